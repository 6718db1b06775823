/* What `volley receipt` prints: JSON lines, or lines for people. */
#ifndef VOLLEY_CTL_RECEIPT_SHOW_H
#define VOLLEY_CTL_RECEIPT_SHOW_H

#include "ctl/ctl.h"

/* One object a lane, with its `history`. */
void receipt_json(const struct queue_receipt *r, FILE *out);
/* Two lines about the event; a line a relay with what became of it there, the relay's words below
 * it, and below those the earlier failures. Cut at `width` columns (0: not). */
void receipt_text(const struct queue_receipt *r, size_t width, FILE *out);

#endif
