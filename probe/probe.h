/* The probe's serving half: a dashboard, the operators' answers as JSON, metrics, properties,
 * health, and a few actions for whoever holds the admin token. It asks the queue every two seconds
 * and shows what it knows; requests that need more wait for the queue's answer. */
#ifndef VOLLEY_PROBE_PROBE_H
#define VOLLEY_PROBE_PROBE_H

#include "probe/guard.h"
#include "probe/heart.h"
#include "probe/knowledge.h"

struct probe_options {
    const char *listen[CONFIG_LISTEN_MAX]; /* "127.0.0.1:7788"; port 0 picks one */
    size_t listen_len;
    const struct config_hosts *hosts; /* copied */
    bool open;
    const char *admin_token_file;              /* "": read only */
    const char *ingest[CONFIG_LISTEN_MAX + 1]; /* where ingest listens; copied. Ended by NULL */
    const char *ask;                           /* HOST:PORT where this probe asks ingest; copied.
                                                  "": the first of `ingest` */
    bool tor_wanted;                           /* some relay goes by tor */
};

struct probe;
/* ERR_INVALID, ERR_NOT_FOUND: a wrong address, one that others can reach without token or `open`, a
 * bad token file. ERR_IO: can't listen. */
MUST_USE enum err probe_new(uv_loop_t *loop, struct queue *q, const struct probe_options *o,
                            struct probe **out, struct problem *p);
/* hosts, open, the token and `ask` from now on; `listen` says where it listens already. On an error
 * nothing has changed. */
MUST_USE enum err probe_reload(struct probe *p, const struct probe_options *o,
                               struct problem *problem);
/* The port of the n-th listener (for port 0). */
uint16_t probe_port(const struct probe *p, size_t n);
/* Is told what the queue says of heartbeats, until it is set to NULL. The caller's. */
void probe_set_heart(struct probe *p, struct heart *h);
/* What tor says of itself. */
void probe_tor(struct probe *p, const struct control_status *s);

/* Accepts no more. The queue is closed next, which answers whoever waits; then probe_close. */
void probe_quiesce(struct probe *p);
/* The queue is closed. Ends, frees, `fn` last. */
void probe_close(struct probe *p, void (*fn)(void *arg), void *arg);

#endif
