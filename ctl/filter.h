/* FILTER: which failed deliveries a person means, read from the options that `failed`, `replay` and
 * `purge` share. */
#ifndef VOLLEY_CTL_FILTER_H
#define VOLLEY_CTL_FILTER_H

#include "ctl/command.h"
#include "ctl/relay_names.h"

/* The option rows of FILTER. */
#define FILTER_OPTIONS                                                                             \
    {"--relay", "R", "at this relay (URL or name; retired ones too)"},                             \
        {"--class", "C", "of these classes (blocked,mute …; expired: all that expired)"},          \
        {"--reason", "TEXT", "whose reason contains this, in upper or lower case"},                \
        {"--kind", "N", "events of this kind"}, {"--author", "A", "of this author (hex or npub)"}, \
        {"--id", "ID", "this event (hex, note, nevent; several with commas; -: from stdin)"},      \
        {"--older-than", "D", "last tried longer ago than this (2h, 7d)"},                         \
        {"--newer-than", "D", "last tried less long ago than this"},                               \
    {                                                                                              \
        "--min-attempts", "N", "tried at least so often"                                           \
    }

#define FILTER_CLASSES                                                                             \
    "Classes: blocked restricted mute invalid pow auth refused error timeout; and, of what "       \
    "expired, retention lane_max retired released, or expired for all four. Without --class all "  \
    "that failed is meant, and nothing that expired."

struct filter {
    struct row_filter row; /* its url by filter_resolve; ids: ours */
    const char *relay;     /* as typed, borrowed; NULL: any */
    bool none;             /* ids were to come from stdin, and none came: nothing is meant */
    int ids_fd;            /* where "--id -" reads */
};

/* Reads the options; "--id -" reads `ids_fd` to its end. ERR_INVALID: `p` says what is wrong (of
 * bad lines the first, with its number, and how many there are). ERR_IO: they could not be read.
 * Frees with filter_free, also after an error. */
MUST_USE enum err filter_read(const struct invocation *inv, int ids_fd, struct filter *out,
                              struct problem *p);
/* The same of two words: a relay, and classes; NULL or empty: any. Nothing to free. */
MUST_USE enum err filter_of_words(const char *relay, const char *classes, struct filter *out,
                                  struct problem *p);
void filter_free(struct filter *f);
/* Which relay is meant. ERR_NOT_FOUND, ERR_INVALID. */
MUST_USE enum err filter_resolve(struct filter *f, const struct relay_names *names,
                                 struct problem *p);
/* "relay damus, class blocked mute, older than 2h"; without any "all that failed". Clean, and cut
 * where it is too long. */
void filter_text(const struct filter *f, char out[FILTER_TEXT_SIZE]);

#endif
