/* What a kind number means for a broadcaster. Pure. */
#ifndef VOLLEY_NOSTR_KINDS_H
#define VOLLEY_NOSTR_KINDS_H

#include <stdbool.h>
#include <stdint.h>

enum kind_class {
    KIND_REGULAR,
    KIND_REPLACEABLE, /* 0, 3, 10000–19999: the newest of an author counts */
    KIND_EPHEMERAL,   /* 20000–29999: not kept for the dead */
    KIND_ADDRESSABLE  /* 30000–39999: the newest of an author and d tag counts */
};
enum kind_class kind_class(uint32_t kind);

#define KIND_DELETION 5u
#define KIND_VANISH   62u
#define KIND_AUTH     22242u

/* 4, 1059, 21059: never to a relay that is not marked `private` (NIP-04, NIP-17, NIP-59). */
bool kind_private(uint32_t kind);
/* 22242: never forwarded at all (NIP-42). */
bool kind_never(uint32_t kind);

#endif
