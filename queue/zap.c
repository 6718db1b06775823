#include "queue/zap.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "queue/endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MAX      8
#define FRAME_MAX       256u
#define HWM             1000
#define REFUSALS_LOG_MS 10000 /* at most one line in so long about who was refused */

/* The frames of a request, by their number. */
enum { VERSION_FRAME, REQUEST_ID, DOMAIN_FRAME, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS };

struct zap {
    void *socket;
    struct allow *allow;
    uv_poll_t poll;
    void (*stopped_fn)(void *arg);
    void *stopped_arg;
    uint64_t refused, told_ms; /* since the last line; when that was */
};

struct frame {
    uint8_t data[FRAME_MAX];
    size_t len;
};

static bool is(const struct frame *f, const char *text)
{
    return f->len == strlen(text) && memcmp(f->data, text, f->len) == 0;
}

/* Reads one request away, whatever its form; how many frames it had. */
static int receive(struct zap *z, struct frame *frames)
{
    int count = 0;
    zmq_msg_t m;
    zmq_msg_init(&m);
    for (bool more = true; more && endpoint_recv(z->socket, &m); count++) {
        more = zmq_msg_more(&m);
        if (count >= FRAMES_MAX)
            continue;
        size_t len = zmq_msg_size(&m);
        frames[count].len = len <= FRAME_MAX ? len : 0;
        memcpy(frames[count].data, zmq_msg_data(&m), frames[count].len);
    }
    zmq_msg_close(&m);
    return count;
}

static void send_frame(struct zap *z, const void *data, size_t len, int more)
{
    while (zmq_send(z->socket, data, len, more | ZMQ_DONTWAIT) < 0 && errno == EINTR)
        continue;
}

static void reply(struct zap *z, const struct frame *id, bool may, const char *name)
{
    const char *status = may ? "200" : "400",
               *text = may ? "welcome" : "this key is not known here";
    send_frame(z, "1.0", 3, ZMQ_SNDMORE);
    send_frame(z, id->data, id->len, ZMQ_SNDMORE);
    send_frame(z, status, strlen(status), ZMQ_SNDMORE);
    send_frame(z, text, strlen(text), ZMQ_SNDMORE);
    send_frame(z, name != NULL ? name : "", name != NULL ? strlen(name) : 0, ZMQ_SNDMORE);
    send_frame(z, "", 0, 0);
}

/* The key is no secret, and it is what the operator must know to let the client in. */
static void note_refusal(struct zap *z, const uint8_t *key, const struct frame *address)
{
    char text[CURVE_TEXT_SIZE] = "none";
    uint64_t now_ms = clock_boot_ms();
    if (key != NULL)
        zmq_z85_encode(text, key, CURVE_KEY_LEN);
    char from[FRAME_MAX + 1] = "";
    memcpy(from, address->data, address->len);
    LOG(LOG_DEBUG, "a client was refused", LOG_S("key", text), LOG_S("address", from));
    z->refused++;
    if (z->told_ms != 0 && now_ms - z->told_ms < REFUSALS_LOG_MS)
        return;
    LOG(LOG_WARN, "a client was refused: its key is not in clients.allow", LOG_S("key", text),
        LOG_I("refused", z->refused));
    z->told_ms = now_ms;
    z->refused = 0;
}

static void answer(struct zap *z)
{
    struct frame f[FRAMES_MAX] = {0};
    const char *name = NULL;
    int count = receive(z, f);
    if (count == 0)
        return;
    bool has_key = count == CREDENTIALS + 1 && is(&f[VERSION_FRAME], "1.0") &&
                   is(&f[MECHANISM], "CURVE") && f[CREDENTIALS].len == CURVE_KEY_LEN;
    bool may = has_key && allow_has(z->allow, f[CREDENTIALS].data, &name);
    if (may)
        LOG(LOG_DEBUG, "a client connects", LOG_S("name", name));
    else
        note_refusal(z, has_key ? f[CREDENTIALS].data : NULL, &f[ADDRESS]);
    reply(z, &f[REQUEST_ID], may, name);
}

/* The descriptor tells of a change once: looked at until nothing is left. */
static void on_readable(uv_poll_t *h, int status, int events)
{
    struct zap *z = h->data;
    (void)status, (void)events;
    while ((endpoint_events(z->socket) & ZMQ_POLLIN) != 0)
        answer(z);
}

enum err zap_new(void *zmq_ctx, const char *keys_dir, struct zap **out, struct problem *p)
{
    struct zap *z = mem_zero(1, sizeof *z);
    enum err e = allow_new(keys_dir, &z->allow, p);
    if (e == ERR_NONE) {
        z->socket = endpoint_socket(zmq_ctx, ZMQ_REP, HWM);
        if (z->socket == NULL || zmq_bind(z->socket, "inproc://zeromq.zap.01") != 0)
            e = problem_set(p, ERR_IO, "no handler for ZeroMQ's handshakes: %s",
                            zmq_strerror(errno));
    }
    if (e != ERR_NONE) {
        zap_free(z);
        return e;
    }
    *out = z;
    return ERR_NONE;
}

void zap_guard(void *zmq_socket)
{
    if (zmq_setsockopt(zmq_socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) != 0)
        die("ZMQ_ZAP_DOMAIN: %s", zmq_strerror(errno));
}

void zap_start(struct zap *z, uv_loop_t *loop)
{
    uv_poll_init(loop, &z->poll, endpoint_fd(z->socket));
    z->poll.data = z;
    uv_poll_start(&z->poll, UV_READABLE, on_readable);
}

static void on_stopped(uv_handle_t *h)
{
    struct zap *z = h->data;
    z->stopped_fn(z->stopped_arg);
}

void zap_stop(struct zap *z, void (*fn)(void *arg), void *arg)
{
    z->stopped_fn = fn;
    z->stopped_arg = arg;
    uv_close((uv_handle_t *)&z->poll, on_stopped);
}

void zap_free(struct zap *z)
{
    if (z == NULL)
        return;
    if (z->socket != NULL)
        zmq_close(z->socket);
    allow_free(z->allow);
    free(z);
}
