/* The scripts that are the queue inside Redis: queue/redis/ (one file a verb, and lib_….lua, what
 * they share), put into the program when it is built.
 *
 * A script's text: the verb's first line (#!lua …), then the libs its second line names
 * ("-- needs: wire meta", in that order), then the rest of the verb. */
#ifndef VOLLEY_QUEUE_REDIS_SCRIPTS_H
#define VOLLEY_QUEUE_REDIS_SCRIPTS_H

#include "queue/wire.h"

/* The verbs: those of the wire, by enum wire_type, and three of our own. */
enum redis_verb {
    VERB_APPEND = WIRE_APPEND,
    VERB_HELLO = WIRE_TYPE_END, /* who are you: the store's id, its format */
    VERB_HOUSEKEEP,             /* what goes with time */
    VERB_TALLY,                 /* what became of some events, for the "blasted" line */
    VERB_END
};
#define VERB_FIRST VERB_APPEND

const char *redis_verb_name(unsigned verb);
/* The verb's text. Dies when the verb, or a lib it needs, is not in the program. */
void redis_script_text(unsigned verb, struct buf *out);
#define REDIS_SCRIPT_MAX (1024u * 1024u)

/* Made by the Makefile, ends with an empty name: queue/redis/….lua as they are. */
struct redis_source {
    const char *name; /* "append", "lib_wire" */
    const char *text; /* not terminated */
    size_t len;
};
extern const struct redis_source redis_sources[];

#endif
