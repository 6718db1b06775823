/* What a relay's OK means: answer → outcome. Pure, one table (docs: NIP-01, machine-readable
 * prefixes). */
#ifndef VOLLEY_PUBLISHER_OUTCOME_H
#define VOLLEY_PUBLISHER_OUTCOME_H

#include "queue/queue.h"

enum outcome_kind {
    OUTCOME_DELIVERED,
    OUTCOME_RETRY, /* error: — later again, an attempt is paid */
    OUTCOME_SLOW,  /* rate-limited: — the lane slows down, no attempt is paid */
    OUTCOME_AUTH,  /* auth-required: — AUTH when a key is configured, then once more; else failed,
                      auth */
    OUTCOME_FAILED, /* `cls` says how */
    OUTCOME_SKIPPED /* `cls`: superseded (replaced:) or deleted (deleted:) */
};
struct outcome {
    enum outcome_kind kind;
    enum row_class cls;
    char text[QUEUE_TEXT_SIZE]; /* the relay's words, unescaped, control characters made visible */
};

/* `text` is the unescaped fourth element of ["OK",id,accepted,text]. */
void outcome_of(bool accepted, const char *text, struct outcome *out);
/* A relay's words, fit for a row and a terminal: control characters and bytes that are no UTF-8 are
 * made visible, cut at a character's end. */
void outcome_text(const char *text, char out[QUEUE_TEXT_SIZE]);

#endif
