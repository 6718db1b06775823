/* What travels between the broker and its clients: every request and reply of queue.h, and the
 * tail, as flat bytes (common/base/pack.h).
 *
 * A message is one ZeroMQ frame. It begins with u16 version, u8 type, u64 number, in every version
 * there will ever be, so that a peer of another version can be told so. The requester chooses the
 * number, the reply carries it back. A published message begins with its topic byte instead.
 *
 * Unpacking trusts nothing: every count is bounded by what is left of the message and by the
 * contract's limits before anything is allocated, every enum, flag and text is checked, and nothing
 * may be left over. */
#ifndef VOLLEY_QUEUE_WIRE_H
#define VOLLEY_QUEUE_WIRE_H

#include "queue/queue.h"

#define WIRE_VERSION 3u

#define WIRE_MESSAGE_MAX  (64u * 1024 * 1024)   /* bytes of any message */
#define WIRE_APPENDS_MAX  1024u                 /* events of one append message */
#define WIRE_ROWS_MAX     65536u                /* rows of one lane's commit */
#define WIRE_EVENTS_MAX   65536u                /* positions of one read's answer, or of one tail */
#define WIRE_LANES_MAX    (4 * QUEUE_LANES_MAX) /* in depth and receipts: retired ones too */
#define WIRE_VERSIONS_MAX 65536u                /* definitions of all lanes of a registry */
#define WIRE_GROUPS_MAX   65536u                /* of one page of failed deliveries */

enum wire_type {
    WIRE_APPEND = 1,
    WIRE_READ,
    WIRE_LEASE,
    WIRE_COMMIT,
    WIRE_DEFINE,
    WIRE_DEPTH,
    WIRE_RECEIPT,
    WIRE_REGISTRY,
    WIRE_HOLD,
    WIRE_FAILED,
    WIRE_JOBS,
    WIRE_CANCEL,
    WIRE_OBSERVE,
    WIRE_STATISTICS,
    WIRE_LEAD,
    WIRE_TYPE_END
};
#define WIRE_IS_REPLY 0x80u /* set in the type of a reply */

/* What unpacked messages point to. One arena may serve several messages; it is freed as a whole. */
struct wire_arena {
    struct wire_block *blocks;
    struct event **events; /* references it holds */
    size_t events_len, events_cap;
};
/* Zeroed memory that lives as long as the arena; never NULL. */
void *wire_alloc(struct wire_arena *a, size_t count, size_t size);
/* A copy in the arena; NULL for nothing. */
void *wire_copy(struct wire_arena *a, const void *data, size_t count, size_t size);
/* Keeps a reference of its own to `ev` until the arena is freed. */
void wire_keep(struct wire_arena *a, struct event *ev);
/* Frees everything and is empty, ready for use again. */
void wire_arena_free(struct wire_arena *a);

struct wire_request {
    enum wire_type type;
    uint64_t number;
    union {
        struct {
            const struct json_span *events; /* canonical bytes; not yet parsed */
            size_t len;
        } append;
        struct {
            uint64_t from, to;
        } read;
        struct lease_call lease;
        struct {
            const struct lane_commit *lanes;
            size_t len;
        } commit;
        struct define_call define;
        uint8_t receipt[EVENT_ID_LEN];
        struct hold_call hold;
        struct failed_call failed;
        struct {
            uint64_t job;
            char by[OPERATOR_SIZE];
        } cancel;
        struct observe_call observe;
        struct statistics_call statistics;
        struct lead_call lead;
    };
};

/* One event's answer in an append's reply. */
struct wire_appended {
    enum err err;
    struct append_result result; /* when err is ERR_NONE */
    const char *why;             /* when it is not; may be NULL */
};

struct wire_reply {
    enum wire_type type;
    uint64_t number;
    enum err err;    /* of the request as a whole; then nothing but `why` follows */
    const char *why; /* may be NULL */
    union {
        struct {
            const struct wire_appended *results; /* in the order of the request */
            size_t len;
        } append;
        struct {
            uint64_t head;
            const struct queue_event *events;
            size_t len;
        } read;
        struct lease_reply lease;
        struct {
            const struct lane_committed *lanes;
            size_t len;
        } commit;
        struct define_result define;
        struct queue_depth depth;
        struct queue_receipt receipt;
        struct queue_registry registry;
        struct hold_result hold;
        struct failed_page failed;
        struct {
            const struct replay_job *jobs;
            size_t len;
        } jobs;
        struct observe_result observe;
        struct statistics_page statistics;
        struct lead_result lead;
    };
};

/* Appends the message to `out`. ERR_TOO_BIG when the buffer's maximum would be passed (then `out`
 * holds rubbish). */
MUST_USE enum err wire_put_request(struct buf *out, const struct wire_request *r);
MUST_USE enum err wire_put_reply(struct buf *out, const struct wire_reply *r);

/* Reads a message. What `out` points to lives in the arena or in `data`.
 * ERR_VERSION: another version; ERR_UNSUPPORTED: a type this build does not know; ERR_INVALID:
 * anything else. `out` then has type and number as far as they could be read, else zeros. */
MUST_USE enum err wire_get_request(const void *data, size_t len, struct wire_arena *a,
                                   struct wire_request *out);
MUST_USE enum err wire_get_reply(const void *data, size_t len, struct wire_arena *a,
                                 struct wire_reply *out);

/* ---- published: subscribers choose by the first byte */

#define WIRE_TOPIC_BEAT 'B'
#define WIRE_TOPIC_TAIL 'T'

struct wire_published {
    char topic;
    uint64_t broker; /* random, anew for each process of the broker */
    uint64_t head;
    uint64_t news;                  /* of a beat: see queue_follower.on_head */
    const struct queue_tail *tails; /* WIRE_TOPIC_TAIL: what was committed, ascending */
    size_t tails_len;
};
/* A tail is put together as its events are committed: begin, one put for each, and end writes head
 * and count into the room that was left. */
MUST_USE enum err wire_begin_tail(struct buf *out, uint64_t broker);
MUST_USE enum err wire_put_tail(struct buf *out, const struct queue_tail *t);
void wire_end_tail(struct buf *out, uint64_t head, uint32_t count);
MUST_USE enum err wire_put_beat(struct buf *out, uint64_t broker, uint64_t head, uint64_t news);
MUST_USE enum err wire_get_published(const void *data, size_t len, struct wire_arena *a,
                                     struct wire_published *out);

#endif
