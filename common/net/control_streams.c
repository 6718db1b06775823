#include "common/net/control_streams.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>

struct stream {
    struct control_stream_event asked; /* as it began: target, user, source */
    uint64_t id, circuit;
    bool connected;
    char exit_address[LINK_ADDRESS_SIZE];
    uint16_t exit_port;
    enum family exit_family;
    UT_hash_handle hh;
};

struct circuit {
    uint64_t id;
    char hops[CONTROL_PATH_SIZE];
    UT_hash_handle hh;
};

/* uthash keeps the order of insertion: the oldest is the first. */
struct control_streams {
    struct stream *streams;
    struct circuit *circuits;
};

struct control_streams *control_streams_new(void)
{
    return mem_zero(1, sizeof(struct control_streams));
}

static void drop_stream(struct control_streams *s, struct stream *stream)
{
    HASH_DEL(s->streams, stream);
    free(stream);
}

static void drop_circuit(struct control_streams *s, struct circuit *circuit)
{
    HASH_DEL(s->circuits, circuit);
    free(circuit);
}

void control_streams_forget(struct control_streams *s)
{
    while (s->streams != NULL)
        drop_stream(s, s->streams);
    while (s->circuits != NULL)
        drop_circuit(s, s->circuits);
}

void control_streams_free(struct control_streams *s)
{
    if (s == NULL)
        return;
    control_streams_forget(s);
    free(s);
}

/* ---- what tor tells ---- */

static void add_stream(struct control_streams *s, const struct control_stream_event *e)
{
    if (HASH_COUNT(s->streams) >= CONTROL_STREAMS_MAX)
        drop_stream(s, s->streams);
    struct stream *stream = mem_zero(1, sizeof *stream);
    stream->asked = *e;
    stream->id = e->stream;
    stream->circuit = e->circuit;
    HASH_ADD(hh, s->streams, id, sizeof stream->id, stream);
}

static void set_exit(struct stream *stream, const struct control_stream_event *e)
{
    struct in6_addr address;
    if (inet_pton(AF_INET6, e->host, &address) == 1)
        stream->exit_family = FAMILY_IPV6;
    else if (inet_pton(AF_INET, e->host, &address) == 1)
        stream->exit_family = FAMILY_IPV4;
    else
        return;
    (void)snprintf(stream->exit_address, sizeof stream->exit_address, "%.*s", LINK_ADDRESS_SIZE - 1,
                   e->host);
    stream->exit_port = e->port;
}

void control_streams_take(struct control_streams *s, const struct control_stream_event *e)
{
    struct stream *stream;
    HASH_FIND(hh, s->streams, &e->stream, sizeof e->stream, stream);
    if (e->change == STREAM_NEW) {
        if (stream != NULL)
            drop_stream(s, stream);
        add_stream(s, e);
        return;
    }
    if (stream == NULL) /* began before we listened, or was forgotten */
        return;
    if (e->change == STREAM_ENDED) {
        drop_stream(s, stream);
        return;
    }
    stream->circuit = e->circuit;
    if (e->change == STREAM_REMAP)
        set_exit(stream, e);
    if (e->change == STREAM_SUCCEEDED)
        stream->connected = true;
}

void control_streams_take_circuit(struct control_streams *s, const struct control_circuit_event *e)
{
    struct circuit *circuit;
    HASH_FIND(hh, s->circuits, &e->circuit, sizeof e->circuit, circuit);
    if (e->ended) {
        if (circuit != NULL)
            drop_circuit(s, circuit);
        return;
    }
    if (circuit == NULL) {
        if (HASH_COUNT(s->circuits) >= CONTROL_CIRCUITS_MAX)
            drop_circuit(s, s->circuits);
        circuit = mem_zero(1, sizeof *circuit);
        circuit->id = e->circuit;
        HASH_ADD(hh, s->circuits, id, sizeof circuit->id, circuit);
    }
    (void)snprintf(circuit->hops, sizeof circuit->hops, "%s", e->hops);
}

/* ---- the search ---- */

/* The source is "127.0.0.1:41636" or, of a unix socket, the socket's path. */
static bool source_fits(const char *source, const struct control_query *q)
{
    if (source[0] == '/')
        return q->socks == NULL ||
               (strncmp(q->socks, "unix:", 5) == 0 && strcmp(q->socks + 5, source) == 0);
    const char *colon = strrchr(source, ':');
    char port[8];
    (void)snprintf(port, sizeof port, "%u", (unsigned)q->local_port);
    return q->local_port == 0 || (colon != NULL && strcmp(colon + 1, port) == 0);
}

static bool fits(const struct stream *s, const struct control_query *q)
{
    return s->asked.port == q->port && strcasecmp(s->asked.host, q->host) == 0 &&
           strcmp(s->asked.user, q->user != NULL ? q->user : "") == 0 &&
           source_fits(s->asked.source, q);
}

static void tell(const struct control_streams *s, const struct stream *stream,
                 struct control_path *out)
{
    struct circuit *circuit;
    HASH_FIND(hh, s->circuits, &stream->circuit, sizeof stream->circuit, circuit);
    *out = (struct control_path){.stream = stream->id,
                                 .circuit = stream->circuit,
                                 .exit_port = stream->exit_port,
                                 .exit_family = stream->exit_family};
    memcpy(out->exit_address, stream->exit_address, sizeof out->exit_address);
    if (circuit != NULL)
        memcpy(out->hops, circuit->hops, sizeof out->hops);
}

enum err control_streams_find(const struct control_streams *s, const struct control_query *q,
                              struct control_path *out, const char **why)
{
    const struct stream *found = NULL;
    size_t connected = 0, waiting = 0;
    for (const struct stream *x = s->streams; x != NULL; x = x->hh.next) {
        if (!fits(x, q))
            continue;
        waiting += !x->connected;
        connected += x->connected;
        if (x->connected)
            found = x;
    }
    if (connected > 1) {
        *why = "several connections fit";
        return ERR_EXISTS;
    }
    if (found != NULL) {
        tell(s, found, out);
        return ERR_NONE;
    }
    *why = waiting > 0 ? "tor has not connected it yet" : "tor told of no such connection";
    return waiting > 0 ? ERR_AGAIN : ERR_NOT_FOUND;
}
