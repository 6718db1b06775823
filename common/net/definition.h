/* A lane's definition: which relay, how it is reached, what it is sent. Kept in the queue with its
 * history; filters follow from the definition that held at a position, so they need no row. Pure.
 */
#ifndef VOLLEY_NET_DEFINITION_H
#define VOLLEY_NET_DEFINITION_H

#include "common/base/pack.h"
#include "common/net/family.h"
#include "common/net/url.h"

#define DEFINITION_KINDS_MAX 64
#define RELAY_NAME_SIZE      64
#define PATH_SIZE            512

struct definition {
    char url[URL_SIZE];         /* normalized */
    char name[RELAY_NAME_SIZE]; /* for people; empty: the URL is the name */
    enum route route;
    enum family_mode family;
    uint32_t window;         /* most in flight */
    uint32_t rate_per_1000s; /* most events per 1,000 s; 0: no limit of ours ("10/s" is 10,000) */
    uint16_t kinds[DEFINITION_KINDS_MAX], except_kinds[DEFINITION_KINDS_MAX];
    uint32_t kinds_len, except_kinds_len; /* kinds_len 0: all */
    bool is_private;                      /* may be sent private kinds (4, 1059, 21059) */
    bool backfill; /* a lane added later starts at the oldest event kept, not at the head */
    bool hold;     /* not sent anything; what waits is kept within retention */
    char auth_key_file[PATH_SIZE]; /* on the publisher's machine; empty: publisher.auth_key_file */
};

/* Whether an event of this kind goes to this lane at all: kinds, except_kinds, private kinds, 22242
 * never. */
bool definition_allows(const struct definition *d, uint32_t kind);
/* Same in everything that is said, the name too. */
bool definition_equal(const struct definition *a, const struct definition *b);
/* What a list says, whatever its order: SHA-256 over its definitions, sorted by URL. */
void definition_list_hash(const struct definition *defs, size_t len, uint8_t out[32]);
void definition_pack(struct pack *p, const struct definition *d);
/* Bad input marks `u` bad; every enum and count is checked. */
void definition_unpack(struct unpack *u, struct definition *out);

#endif
