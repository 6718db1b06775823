/* The prober: connects to each relay again and again, over its own route, by each family for
 * itself, asks it for one event and for its document (act.h), and tells the queue how that went
 * (statistics, source probe). When: schedule.h. It writes no
 * event to a relay itself; with a key, what it found goes into the queue as events (herald.h).
 *
 * Of several probers one acts at a time: who leads (queue.h); the others wait to take over. What is
 * known of earlier probes is read from the queue, so a restart begins where the last one ended. */
#ifndef VOLLEY_PROBE_PROBER_H
#define VOLLEY_PROBE_PROBER_H

#include "probe/act.h"
#include "queue/queue.h"

struct prober_settings {
    uint64_t interval_ms; /* between two probes of a relay by one family; 0: probes nothing */
    uint32_t routes;      /* bits: relays of other routes are left to others */
    uint32_t connect_timeout_ms;     /* to the websocket; and at most for each of the two
                                        answers then */
    const struct socks_ports *socks; /* copied. NULL: no tor here, relays of that route are left to
                                        others */
    const char *ca_file;             /* NULL: Debian's bundle; read once */
    const uint8_t *nip66_secret;     /* signs what was found, for all to see (herald.h); copied.
                                        NULL: not told */
};

struct prober;
/* Runs until prober_close. The queue must live until then, and be closed after it: calls under way
 * end with it. */
MUST_USE enum err prober_new(uv_loop_t *loop, struct queue *q, const struct prober_settings *s,
                             struct prober **out, struct problem *p);
/* Other settings from now on, but for ca_file. */
void prober_set(struct prober *p, const struct prober_settings *s);
/* Gives up the lead, tells the queue what it was not told yet (for a second or two at most), ends
 * and calls `fn`. */
void prober_close(struct prober *p, void (*fn)(void *arg), void *arg);

/* The prober's, for what else connects on its loop; until prober_close. */
struct dialer *prober_dialer(const struct prober *p);

struct prober_status {
    bool leads;
    char leader[PUBLISHER_NAME_SIZE]; /* who does, as far as known */
    size_t relays, under_way;
    uint64_t probes; /* ended since the start */
};
void prober_status(const struct prober *p, struct prober_status *out);

#endif
