/* Event × lane → send or not. Pure; decided at sending time, from facts as fresh as the tail. */
#ifndef VOLLEY_PUBLISHER_ROUTE_H
#define VOLLEY_PUBLISHER_ROUTE_H

#include "queue/queue.h"

#define EPHEMERAL_PATIENCE_MS 60000

enum verdict_kind {
    VERDICT_SEND,
    VERDICT_PASS, /* filtered by the definition: no row, it follows from the definition that held
                     here */
    VERDICT_SKIP  /* a row, `cls` says why */
};
struct verdict {
    enum verdict_kind kind;
    enum row_class cls;
};

/* `ev` has an event (GONE_NO). `admitted` (lane_admitted): an exception whose definition let it
 * through already: kinds and except_kinds are not asked again, private kinds are.
 * `newer_deliverable`: whether the superseding version is deliverable on this lane (same kind as
 * this one, so it is whenever this one is, unless it has expired or been deleted itself: the caller
 * passes what it knows, true when unknown). Order: definition, 22242 never, NIP-70, deleted (never
 * a kind 5), expired (NIP-40), superseded, ephemeral too old, NIP-62 only to the relays it names.
 * `now_ms` is the queue's wall clock. */
struct verdict route_event(const struct queue_event *ev, const struct definition *def,
                           bool admitted, bool newer_deliverable, int64_t now_ms);

#endif
