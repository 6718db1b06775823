/* What can go wrong, as a value.
 *
 * A function that can fail returns `enum err` and hands its result through its last parameters.
 * Whoever gets an error either returns it or logs it, never both. What a person must read travels
 * beside the code in a `struct problem`. Running out of memory aborts: every size from outside is
 * bounded before it is allocated. */
#ifndef VOLLEY_BASE_ERR_H
#define VOLLEY_BASE_ERR_H

#include <stddef.h>

#define MUST_USE      __attribute__((warn_unused_result))
#define PRINTF(f, a)  __attribute__((format(printf, f, a)))
#define COUNT_OF(arr) (sizeof(arr) / sizeof((arr)[0]))

enum err {
    ERR_NONE = 0,
    ERR_INVALID,     /* the input is not what it must be */
    ERR_TOO_BIG,     /* a bound would be passed */
    ERR_NOT_FOUND,   /* no such thing */
    ERR_EXISTS,      /* there is one already */
    ERR_FULL,        /* a limit of ours is reached; trying later may help */
    ERR_NO_SPACE,    /* the disk, or the space set for the store, is full */
    ERR_NO_LANES,    /* no relay is configured, so nothing can be promised */
    ERR_FILTERED,    /* every lane would filter this event */
    ERR_AGAIN,       /* would block; wait for the descriptor */
    ERR_TIMEOUT,     /* no answer in time */
    ERR_CLOSED,      /* the other side, or we, closed the connection */
    ERR_UNREACHABLE, /* could not connect: refused, no route, no such name, proxy says no */
    ERR_TLS,         /* TLS failed, certificate included */
    ERR_HTTP,        /* the handshake was answered with an HTTP status other than 101 */
    ERR_PROTOCOL,    /* the peer broke its protocol */
    ERR_UNKNOWN,     /* sent, but the answer never came: it may or may not have happened */
    ERR_STALE,       /* an older epoch, a falling position: the caller is no longer the owner */
    ERR_LOCKED,      /* another process has it */
    ERR_CORRUPT,     /* the data on disk is damaged */
    ERR_VERSION,     /* a format or protocol version that this build does not know */
    ERR_IO,          /* the operating system refused */
    ERR_UNSUPPORTED, /* understood, but not offered here */
    ERR_COUNT
};

/* A short lower-case name, for logs ("timeout"). Never NULL. */
const char *err_name(enum err e);

/* One clear line for a person: what, where, how to mend it. Empty when nothing was said. */
struct problem {
    char text[512];
};

/* Writes the line, cutting it at the size of the struct. `p` may be NULL: then nothing is written.
 * Returns `e`, so that a failing function can end with `return problem_set(p, ERR_INVALID, …)`. */
enum err problem_set(struct problem *p, enum err e, const char *fmt, ...) PRINTF(3, 4);

/* Ends the process with a message on stderr. For broken promises of our own (a NULL that can't be),
 * and for running out of memory; never for bad input. */
_Noreturn void die(const char *fmt, ...) PRINTF(1, 2);

/* malloc, calloc, realloc and strdup that never return NULL. Free with free(). */
void *mem_new(size_t len) __attribute__((malloc, returns_nonnull));
void *mem_zero(size_t count, size_t len) __attribute__((malloc, returns_nonnull));
void *mem_grow(void *p, size_t len) __attribute__((returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *s, size_t len) __attribute__((malloc, returns_nonnull));

#endif
