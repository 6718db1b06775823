/* Answers as text: two queues are compared by what they say, and a difference can be read.
 *
 * What backends may do differently is left out here, and only here: the words of a refusal; the
 * order of path statistics; how long a run of expired positions is that a receipt's row belongs to,
 * and since when; a definition that is not pending; the order of failed deliveries. */
#ifndef VOLLEY_TESTS_SUPPORT_SAY_H
#define VOLLEY_TESTS_SUPPORT_SAY_H

#include "tests/support/ask.h"

/* Each appends lines to `out`. */
void say_append(struct buf *out, const struct answer *a);
void say_read(struct buf *out, const struct answer *a);
void say_lease(struct buf *out, const struct answer *a);
void say_commit(struct buf *out, const struct answer *a);
void say_define(struct buf *out, const struct answer *a);
void say_depth(struct buf *out, const struct answer *a);
void say_receipt(struct buf *out, const struct answer *a);
void say_registry(struct buf *out, const struct answer *a);
void say_hold(struct buf *out, const struct answer *a);
/* All pages as one. */
void say_failed(struct buf *out, const struct answer *a);
void say_jobs(struct buf *out, const struct answer *a);
void say_cancel(struct buf *out, const struct answer *a);

#endif
