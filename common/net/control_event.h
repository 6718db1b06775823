/* What tor tells by events, and by GETINFO in the same words: bootstrap, streams, circuits. Pure:
 * text in, facts out. What is not needed here is passed over; what is needed and malformed is
 * ERR_INVALID. */
#ifndef VOLLEY_NET_CONTROL_EVENT_H
#define VOLLEY_NET_CONTROL_EVENT_H

#include "common/net/control.h"

/* "NOTICE BOOTSTRAP PROGRESS=10 TAG=conn_done SUMMARY="Connected to a relay"", with WARNING="…"
 * when something is in the way. ERR_NOT_FOUND: another status event. */
struct control_bootstrap_event {
    int percent;
    char summary[128];
    char warning[128]; /* empty: none */
};
MUST_USE enum err control_event_bootstrap(const char *text, struct control_bootstrap_event *out);

enum control_stream_change {
    STREAM_NEW,
    STREAM_REMAP,     /* the exit said where it connected: the target is an address now */
    STREAM_SUCCEEDED, /* connected */
    STREAM_ENDED,     /* failed or closed */
    STREAM_MOVED      /* anything else: the circuit may have changed */
};
/* "12 NEW 0 relay.example:443 SOURCE_ADDR=… SOCKS_USERNAME="…" …" */
struct control_stream_event {
    uint64_t stream, circuit; /* circuit 0: none yet */
    enum control_stream_change change;
    char host[HOST_SIZE]; /* no brackets */
    uint16_t port;
    char user[256];                  /* empty: none, or not one of ours */
    char source[SOCKS_ADDRESS_SIZE]; /* NEW: "127.0.0.1:41636", or of a unix socket its PATH */
};
MUST_USE enum err control_event_stream(const char *text, struct control_stream_event *out);

/* "12 BUILT $FP~nickname,$FP~nickname PURPOSE=… …", as event or as a line of circuit-status. */
struct control_circuit_event {
    uint64_t circuit;
    bool ended;
    char hops[CONTROL_PATH_SIZE]; /* empty: none yet */
};
MUST_USE enum err control_event_circuit(const char *text, struct control_circuit_event *out);

#endif
