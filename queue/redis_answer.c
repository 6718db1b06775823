/* What it means when Redis, or a script, refuses. */
#include "queue/queue_redis_state.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdio.h>
#include <string.h>

/* Redis looks at these before it runs a script: nothing was done. */
static const struct refusal {
    const char *code;
    enum err err;
    const char *why; /* for an OK message, and for the operator; NULL: Redis' own words */
} refusals[] = {
    {"OOM", ERR_FULL, "the queue's Redis has reached its maxmemory; send again later"},
    {"BUSY", ERR_CLOSED, "the queue's Redis is busy with somebody's script; send again later"},
    {"LOADING", ERR_CLOSED, "the queue's Redis is loading its data; send again later"},
    {"READONLY", ERR_CLOSED, "the queue's Redis is a replica now; send again later"},
    {"MASTERDOWN", ERR_CLOSED, "the queue's Redis is a replica without its primary"},
    {"MISCONF", ERR_CLOSED, "the queue's Redis can't write to its disk; send again later"},
    {"NOREPLICAS", ERR_CLOSED, "the queue's Redis misses its replicas; send again later"},
    {"NOAUTH", ERR_CLOSED, "the queue's Redis asks for a password"},
    {"NOPERM", ERR_CLOSED, NULL},
    {"MAXCLIENTS", ERR_CLOSED, NULL},
};

static const struct refusal *find(const char *text)
{
    if (strstr(text, " script: ") != NULL) /* in the middle of it: who knows what was done */
        return NULL;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        size_t len = strlen(refusals[i].code);
        if (strncmp(text, refusals[i].code, len) == 0 && (text[len] == ' ' || text[len] == '\0'))
            return &refusals[i];
    }
    return NULL;
}

void redis_answer_error(struct redis_queue *q, uint64_t number, const char *text)
{
    const struct refusal *r = find(text);
    if (strncmp(text, "NOSCRIPT", 8) == 0) {
        calls_again(&q->calls, number);
        if (q->phase == REDIS_READY)
            redis_session_begin(q);
    } else if (strncmp(text, "VOLLEYOTHER", 11) == 0) {
        redis_foreign(q, text + 11);
    } else if (strncmp(text, "VOLLEYFORMAT", 12) == 0) {
        calls_trouble(&q->calls, "the queue in this Redis has a format that this volley does not "
                                 "know: run the same volley everywhere");
        calls_fail(&q->calls, number, ERR_VERSION, q->calls.base.trouble.text);
    } else if (r != NULL) {
        if (r->err == ERR_CLOSED)
            calls_trouble(&q->calls, r->why != NULL ? r->why : text);
        calls_fail(&q->calls, number, r->err, r->why != NULL ? r->why : text);
    } else {
        LOG(LOG_ERROR, "a script of the queue failed inside Redis", LOG_S("error", text));
        calls_fail(&q->calls, number, ERR_UNKNOWN, NULL);
    }
}

/* ---- another store */

/* The caller holds nothing here: he is told that all he has is lost. */
static void answer_lost(struct redis_queue *q, struct call *c)
{
    struct wire_arena a = {0};
    struct wire_request asked;
    struct wire_reply r = {.type = WIRE_LEASE, .number = c->number};
    struct buf frame;
    buf_init(&frame, WIRE_MESSAGE_MAX);
    if (wire_get_request(c->message.data, c->message.len, &a, &asked) == ERR_NONE) {
        uint32_t *lost = wire_alloc(&a, asked.lease.held_len + 1, sizeof *lost);
        for (size_t i = 0; i < asked.lease.held_len; i++)
            lost[i] = asked.lease.held[i].lane;
        r.lease.now_ms = clock_wall_ms();
        r.lease.lost = lost;
        r.lease.lost_len = asked.lease.held_len;
    }
    if (wire_put_reply(&frame, &r) != ERR_NONE || !calls_reply(&q->calls, frame.data, frame.len))
        die("an answer without grants does not fit");
    buf_fini(&frame);
    wire_arena_free(&a);
}

void redis_answer_foreign(struct redis_queue *q)
{
    uint64_t last = q->calls.last_number; /* not those that the callbacks make */
    while (q->calls.sent != NULL && q->calls.sent->number <= last) {
        struct call *c = q->calls.sent;
        if (c->type == WIRE_LEASE)
            answer_lost(q, c);
        else
            calls_fail(&q->calls, c->number, ERR_CLOSED, q->calls.base.trouble.text);
    }
}

void redis_foreign(struct redis_queue *q, const char *text)
{
    char line[sizeof(struct problem)];
    (void)snprintf(line, sizeof line,
                   "this Redis is not the one we used:%.200s; nothing more is sent until it is "
                   "back. If that is meant, restart volley",
                   text);
    calls_trouble(&q->calls, line);
    q->phase = REDIS_FOREIGN;
    redis_answer_foreign(q);
    redis_link_drop(q->link); /* and looks again when it is up */
}
