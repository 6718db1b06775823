/* wslay does the framing (its frame layer: headers, lengths, masks), this file the rest: which
 * frame may follow which, whole messages, UTF-8, control frames, closing.
 *
 * Reading: wslay asks `take` for bytes; a message that lies whole in wslay's 4 KiB is handed out
 * from there, others are put together in `message`. Stopping needs nothing: wslay keeps the rest.
 * Sending: a frame is built into `out` at once, and only when it has room as a whole, so queue_max
 * holds for every byte. Text leaves room for a pong and a close behind it, a pong for a close. */
#include "common/net/websocket.h"

#include "common/base/rng.h"
#include "common/base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#define CONTROL_MAX   125u /* longest payload of a control frame (RFC 6455, 5.5) */
#define CONTROL_FRAME (CONTROL_MAX + 6u)
#define REASON_MAX    (CONTROL_MAX - 2u)
#define KEEP_MAX      16384u /* an empty buffer larger than this is given back */
#define MASKS_SIZE    256u   /* bytes for masks fetched from the kernel at a time */

struct websocket {
    enum websocket_role role;
    struct websocket_io io;
    struct websocket_limits limits;
    wslay_frame_context_ptr frames;

    struct buf preload; /* read before the stream */
    size_t preload_at;
    size_t budget;     /* bytes this call of websocket_read may still take */
    bool pending;      /* bytes may be there that nobody was woken for */
    enum err io_err;   /* what the stream said last: ERR_NONE, ERR_AGAIN, ERR_CLOSED, ERR_IO */
    enum err read_err; /* reading is over, and why */

    uint64_t frame_got; /* payload bytes seen of the current frame */
    bool in_frame;      /* its header was judged */
    bool in_message;    /* a text's first fragment came and not its last */
    struct buf message; /* the text so far */
    uint8_t control[CONTROL_MAX];
    size_t control_len;

    struct buf out;
    uint8_t
        pong[CONTROL_MAX]; /* owed, because `out` was full: the newest alone (RFC 6455, 5.5.3) */
    size_t pong_len;
    bool pong_owed;
    bool close_queued;
    uint16_t close_code; /* the peer's */

    uint8_t masks[MASKS_SIZE];
    size_t masks_at;
};

/* --- sending --------------------------------------------------------------------------------- */

static ssize_t put(const uint8_t *data, size_t len, int flags, void *arg)
{
    struct websocket *ws = arg;
    (void)flags;
    return buf_add(&ws->out, data, len) == ERR_NONE ? (ssize_t)len : -1;
}

/* Masks must be unpredictable for whoever chooses the payload (RFC 6455, 5.3). */
static int mask(uint8_t *out, size_t len, void *arg)
{
    struct websocket *ws = arg;
    if (len > MASKS_SIZE - ws->masks_at) {
        rng_secure(ws->masks, sizeof ws->masks);
        ws->masks_at = 0;
    }
    memcpy(out, ws->masks + ws->masks_at, len);
    ws->masks_at += len;
    return 0;
}

static size_t frame_len(const struct websocket *ws, size_t len)
{
    size_t head = len < 126 ? 2 : len < 65536 ? 4 : 10;
    return head + (ws->role == WEBSOCKET_CLIENT ? 4 : 0) + len;
}

/* Is there room for a frame with `spare` bytes left behind it? */
static bool has_room(const struct websocket *ws, size_t len, size_t spare)
{
    size_t need = frame_len(ws, len) + spare;
    return ws->limits.queue_max >= need && ws->out.len <= ws->limits.queue_max - need;
}

/* The caller has seen that there is room, so nothing here can fail. */
static void put_frame(struct websocket *ws, uint8_t opcode, const void *data, size_t len)
{
    struct wslay_frame_iocb frame = {.fin = 1,
                                     .opcode = opcode,
                                     .payload_length = len,
                                     .mask = ws->role == WEBSOCKET_CLIENT,
                                     .data = data,
                                     .data_length = len};
    if (buf_reserve(&ws->out, frame_len(ws, len)) != ERR_NONE ||
        wslay_frame_send(ws->frames, &frame) != (ssize_t)len)
        die("websocket: a frame of %zu bytes found no room", len);
}

enum err websocket_send_text(struct websocket *ws, const char *text, size_t len)
{
    if (ws->close_queued)
        return ERR_CLOSED;
    if (len > ws->limits.queue_max || frame_len(ws, len) + 2 * CONTROL_FRAME > ws->limits.queue_max)
        return ERR_TOO_BIG;
    if (!has_room(ws, len, 2 * CONTROL_FRAME))
        return ERR_FULL;
    put_frame(ws, WSLAY_TEXT_FRAME, text, len);
    return ERR_NONE;
}

enum err websocket_ping(struct websocket *ws)
{
    if (ws->close_queued)
        return ERR_CLOSED;
    if (!has_room(ws, 0, 2 * CONTROL_FRAME))
        return ERR_FULL;
    put_frame(ws, WSLAY_PING, NULL, 0);
    return ERR_NONE;
}

/* As much of the reason as fits, cut between characters. */
static size_t reason_len(const char *reason)
{
    const char *at = reason, *end = reason + strlen(reason);
    while (at < end) {
        size_t n = utf8_len(at, end);
        if (n == 0 || (size_t)(at - reason) + n > REASON_MAX)
            break;
        at += n;
    }
    return (size_t)(at - reason);
}

void websocket_close(struct websocket *ws, uint16_t code, const char *reason)
{
    uint8_t data[CONTROL_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
    size_t len = 0;
    if (ws->close_queued)
        return;
    if (code != 0) {
        size_t n = reason == NULL ? 0 : reason_len(reason);
        if (n > 0)
            memcpy(data + 2, reason, n);
        len = 2 + n;
    }
    put_frame(ws, WSLAY_CONNECTION_CLOSE, data, len);
    ws->close_queued = true;
    ws->pong_owed = false;
}

static void pay_pong(struct websocket *ws)
{
    if (!ws->pong_owed || ws->close_queued || !has_room(ws, ws->pong_len, CONTROL_FRAME))
        return;
    ws->pong_owed = false;
    put_frame(ws, WSLAY_PONG, ws->pong, ws->pong_len);
}

/* An empty buffer that once was large would stay so for each of thousands of connections. */
static void shrink(struct buf *b)
{
    if (b->cap > KEEP_MAX)
        buf_fini(b);
    else
        buf_clear(b);
}

enum err websocket_flush(struct websocket *ws)
{
    for (;;) {
        size_t sent = 0;
        ssize_t n = 1;
        while (n > 0 && sent < ws->out.len) {
            n = ws->io.send(ws->io.arg, ws->out.data + sent, ws->out.len - sent);
            if (n > 0)
                sent += (size_t)n;
        }
        buf_drop(&ws->out, sent);
        if (n < 0)
            return ERR_IO;
        pay_pong(ws);
        if (n == 0)
            return ERR_AGAIN;
        if (ws->out.len == 0)
            break;
    }
    shrink(&ws->out);
    return ws->close_queued ? ERR_CLOSED : ERR_NONE;
}

size_t websocket_queued_len(const struct websocket *ws)
{
    return ws->out.len;
}

/* --- reading --------------------------------------------------------------------------------- */

/* wslay wants bytes. It takes any failure for "would block": ws->io_err keeps what it was. */
static ssize_t take(uint8_t *data, size_t len, int flags, void *arg)
{
    struct websocket *ws = arg;
    (void)flags;
    ws->io_err = ERR_AGAIN;
    if (ws->budget == 0) {
        ws->pending = true;
        return -1;
    }
    size_t most = len < ws->budget ? len : ws->budget;
    ssize_t n;
    if (ws->preload_at < ws->preload.len) {
        size_t left = ws->preload.len - ws->preload_at;
        n = (ssize_t)(left < most ? left : most);
        memcpy(data, ws->preload.data + ws->preload_at, (size_t)n);
        ws->preload_at += (size_t)n;
        if (ws->preload_at == ws->preload.len) {
            buf_fini(&ws->preload);
            ws->preload_at = 0;
        }
    } else {
        n = ws->io.recv(ws->io.arg, data, most);
    }
    if (n <= 0) {
        ws->io_err = n == 0 ? ERR_AGAIN : n == -2 ? ERR_CLOSED : ERR_IO;
        return -1;
    }
    ws->io_err = ERR_NONE;
    ws->budget -= (size_t)n;
    return n;
}

/* The connection failed: tell the peer why, and read no more. */
static enum err fail(struct websocket *ws, uint16_t code, const char *reason)
{
    websocket_close(ws, code, reason);
    buf_fini(&ws->message);
    ws->read_err = code == WSLAY_CODE_MESSAGE_TOO_BIG ? ERR_TOO_BIG : ERR_PROTOCOL;
    return ws->read_err;
}

static bool is_utf8(const char *text, size_t len)
{
    const char *at = text, *end = text + len;
    while (at < end) {
        uint64_t eight;
        if (end - at >= 8 && (memcpy(&eight, at, 8), (eight & 0x8080808080808080u) == 0)) {
            at += 8;
            continue;
        }
        size_t n = utf8_len(at, end);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

/* Judges a frame by its header (RFC 6455, 5.2 to 5.5). */
static enum err begin_frame(struct websocket *ws, const struct wslay_frame_iocb *f)
{
    bool from_client = ws->role == WEBSOCKET_SERVER;
    if (f->rsv != 0)
        return fail(ws, WSLAY_CODE_PROTOCOL_ERROR, "reserved bits");
    if ((f->mask != 0) != from_client)
        return fail(ws, WSLAY_CODE_PROTOCOL_ERROR, from_client ? "not masked" : "masked");
    if (wslay_is_ctrl_frame(f->opcode)) {
        ws->control_len = 0;
        return f->opcode <= WSLAY_PONG
                   ? ERR_NONE
                   : fail(ws, WSLAY_CODE_PROTOCOL_ERROR, "unknown control frame");
    }
    if (f->opcode > WSLAY_BINARY_FRAME)
        return fail(ws, WSLAY_CODE_PROTOCOL_ERROR, "unknown frame");
    if ((f->opcode == WSLAY_CONTINUATION_FRAME) != ws->in_message)
        return fail(ws, WSLAY_CODE_PROTOCOL_ERROR, "fragments out of order");
    if (f->opcode == WSLAY_BINARY_FRAME)
        return fail(ws, WSLAY_CODE_UNSUPPORTED_DATA, "text only");
    if (f->payload_length > ws->limits.message_max - ws->message.len)
        return fail(ws, WSLAY_CODE_MESSAGE_TOO_BIG, "message too big");
    ws->in_message = true;
    return ERR_NONE;
}

static bool is_close_code(uint16_t code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

/* The answer repeats the code (RFC 6455, 5.5.1). */
static enum err on_close(struct websocket *ws)
{
    const uint8_t *data = ws->control;
    size_t len = ws->control_len;
    uint16_t code = (uint16_t)(len < 2 ? 0 : data[0] << 8 | data[1]);
    if (len == 1 || (len >= 2 && !is_close_code(code)))
        return fail(ws, WSLAY_CODE_PROTOCOL_ERROR, "bad close code");
    if (len > 2 && !is_utf8((const char *)data + 2, len - 2))
        return fail(ws, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, "bad UTF-8");
    ws->close_code = len < 2 ? WSLAY_CODE_NO_STATUS_RCVD : code;
    websocket_close(ws, code, NULL);
    ws->read_err = ERR_CLOSED;
    return ERR_CLOSED;
}

static enum err end_control(struct websocket *ws, uint8_t opcode)
{
    if (opcode == WSLAY_CONNECTION_CLOSE)
        return on_close(ws);
    if (opcode == WSLAY_PING && !ws->close_queued) {
        memcpy(ws->pong, ws->control, ws->control_len);
        ws->pong_len = ws->control_len;
        ws->pong_owed = true;
        pay_pong(ws);
    }
    return ERR_NONE;
}

static enum err end_text(struct websocket *ws, const uint8_t *data, size_t len)
{
    const char *text = data == NULL ? "" : (const char *)data;
    if (!is_utf8(text, len))
        return fail(ws, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, "bad UTF-8");
    ws->in_message = false;
    bool go_on = ws->io.on_text(ws->io.arg, text, len);
    shrink(&ws->message);
    return go_on ? ERR_NONE : ERR_AGAIN;
}

/* A piece of a frame, perhaps all of it. */
static enum err on_piece(struct websocket *ws, const struct wslay_frame_iocb *f)
{
    bool control = wslay_is_ctrl_frame(f->opcode);
    enum err e = ws->in_frame ? ERR_NONE : begin_frame(ws, f);
    if (e != ERR_NONE)
        return e;
    ws->frame_got = (ws->in_frame ? ws->frame_got : 0) + f->data_length;
    ws->in_frame = ws->frame_got < f->payload_length;
    if (control) {
        if (f->data_length > 0)
            memcpy(ws->control + ws->control_len, f->data, f->data_length);
        ws->control_len += f->data_length;
        return ws->in_frame ? ERR_NONE : end_control(ws, f->opcode);
    }
    bool last = !ws->in_frame && f->fin;
    if (last && ws->message.len == 0)
        return end_text(ws, f->data, f->data_length); /* all in one piece: no copy */
    if (buf_add(&ws->message, f->data, f->data_length) != ERR_NONE)
        return fail(ws, WSLAY_CODE_MESSAGE_TOO_BIG, "message too big");
    return last ? end_text(ws, ws->message.data, ws->message.len) : ERR_NONE;
}

enum err websocket_read(struct websocket *ws, size_t budget)
{
    ws->budget = budget;
    ws->pending = false;
    while (ws->read_err == ERR_NONE) {
        struct wslay_frame_iocb frame = {0};
        ssize_t n = wslay_frame_recv(ws->frames, &frame);
        enum err e = ERR_NONE;
        if (n >= 0)
            e = on_piece(ws, &frame);
        else if (n != WSLAY_ERR_WANT_READ)
            e = fail(ws, WSLAY_CODE_PROTOCOL_ERROR, "bad frame");
        else if (ws->io_err == ERR_AGAIN)
            return ERR_NONE;
        else if (ws->io_err != ERR_NONE)
            ws->read_err = ws->io_err;
        if (e == ERR_AGAIN) {
            ws->pending = true;
            return e;
        }
    }
    return ws->read_err;
}

bool websocket_pending(const struct websocket *ws)
{
    return ws->read_err == ERR_NONE && (ws->pending || ws->preload.len > 0);
}

enum err websocket_preload(struct websocket *ws, const void *data, size_t len)
{
    return buf_add(&ws->preload, data, len);
}

size_t websocket_partial_len(const struct websocket *ws)
{
    return ws->message.len;
}

uint16_t websocket_close_code(const struct websocket *ws)
{
    return ws->close_code;
}

/* --- life ------------------------------------------------------------------------------------ */

struct websocket *websocket_new(enum websocket_role role, const struct websocket_io *io,
                                const struct websocket_limits *l)
{
    static const struct wslay_frame_callbacks calls = {
        .send_callback = put, .recv_callback = take, .genmask_callback = mask};
    if (l->queue_max < WEBSOCKET_QUEUE_MIN)
        die("websocket: queue_max is %zu, and must be at least %u", l->queue_max,
            WEBSOCKET_QUEUE_MIN);
    struct websocket *ws = mem_zero(1, sizeof *ws);
    ws->role = role;
    ws->io = *io;
    ws->limits = *l;
    ws->masks_at = MASKS_SIZE;
    buf_init(&ws->preload, WEBSOCKET_PRELOAD_MAX);
    buf_init(&ws->message, l->message_max);
    buf_init(&ws->out, l->queue_max);
    if (wslay_frame_context_init(&ws->frames, &calls, ws) != 0)
        die("out of memory (websocket)");
    return ws;
}

void websocket_free(struct websocket *ws)
{
    if (ws == NULL)
        return;
    wslay_frame_context_free(ws->frames);
    buf_fini(&ws->preload);
    buf_fini(&ws->message);
    buf_fini(&ws->out);
    free(ws);
}
