/* What happens on a fresh connection before calls travel on it: what kind of Redis is it, does it
 * keep what it acknowledges, are our scripts there, is it the store we know. All but the last is
 * asked in one go. */
#include "queue/queue_redis_state.h"

#include "common/base/hex.h"
#include "common/base/log.h"
#include "common/base/rng.h"

#include <stdio.h>
#include <string.h>

/* A tag: the session, and what of it. */
enum question { ASK_INFO, ASK_CONFIG, ASK_SCRIPT };
#define TAG(q, what, verb) ((uint64_t)(q)->session << 16 | (uint64_t)(verb) << 8 | (uint64_t)(what))

static bool is_current(const struct redis_queue *q, uint64_t tag)
{
    return tag >> 16 == q->session && q->phase == REDIS_ASKING;
}

/* It can't be used as it is; perhaps later. */
static void give_up(struct redis_queue *q, const char *text)
{
    calls_trouble(&q->calls, text);
    redis_leave(q);
}

/* ---- is it ours */

static bool is_text(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS;
}

static void come_up(struct redis_queue *q)
{
    bool restarted = q->known[0] != '\0' && strcmp(q->known, q->incarnation) != 0;
    memcpy(q->known, q->incarnation, sizeof q->known);
    q->phase = REDIS_READY;
    redis_link_good(q->link);
    calls_trouble(&q->calls, "");
    if (restarted) { /* what these say is from before */
        calls_refuse(&q->calls, WIRE_COMMIT);
        calls_refuse(&q->calls, WIRE_LEASE);
    }
    if (restarted && q->following && q->follower.on_restart != NULL)
        q->follower.on_restart(q->follower.arg);
    q->calls.ops.wake(q->calls.arg);
}

static void on_hello(void *arg, uint64_t tag, const redisReply *r)
{
    struct redis_queue *q = arg;
    if (tag != q->session || q->phase != REDIS_HELLO)
        return;
    if (r->type == REDIS_REPLY_ERROR && strncmp(r->str, "VOLLEYOTHER", 11) == 0) {
        redis_foreign(q, r->str + 11);
    } else if (r->type == REDIS_REPLY_ERROR && strncmp(r->str, "NOSCRIPT", 8) == 0) {
        redis_session_begin(q);
    } else if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 || !is_text(r->element[0]) ||
               r->element[0]->len != REDIS_STORE_SIZE - 1) {
        char text[sizeof(struct problem)];
        (void)snprintf(text, sizeof text, "Redis refuses the queue's first question: %.300s",
                       r->type == REDIS_REPLY_ERROR ? r->str : "its answer can't be read");
        give_up(q, text);
    } else {
        (void)snprintf(q->store, sizeof q->store, "%s", r->element[0]->str);
        come_up(q);
    }
}

static void hello(struct redis_queue *q)
{
    uint8_t random[16];
    char fresh[REDIS_STORE_SIZE];
    rng_secure(random, sizeof random);
    const struct redis_text extra = {hex_str(fresh, random, sizeof random), sizeof fresh - 1};
    q->phase = REDIS_HELLO;
    (void)redis_run(q, VERB_HELLO, (struct redis_text){"", 0}, &extra, 1, on_hello, q->session);
}

/* ---- what is it */

static void judge(struct redis_queue *q)
{
    struct problem p = {0};
    if (redis_check_usable(&q->said, &p) != ERR_NONE) {
        give_up(q, p.text);
        return;
    }
    if (redis_check_safe(&q->said, q->max_bytes, &p) != ERR_NONE) {
        if (!q->unsafe) {
            give_up(q, p.text);
            return;
        }
        if (!q->warned && !q->calls.quiet)
            LOG(LOG_WARN, "queue.unsafe is set: acknowledged events may be lost",
                LOG_S("reason", p.text));
        q->warned = true;
    }
    (void)snprintf(q->incarnation, sizeof q->incarnation, "%s:%s", q->said.run_id,
                   q->said.replication_id);
    hello(q);
}

static void take_config(struct redis_queue *q, const redisReply *r)
{
    if (r->type == REDIS_REPLY_ERROR)
        (void)snprintf(q->said.config_error, sizeof q->said.config_error, "%s", r->str);
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2)
        if (is_text(r->element[i]) && is_text(r->element[i + 1]))
            redis_said_config(&q->said, r->element[i]->str, r->element[i + 1]->str);
}

static void on_answer(void *arg, uint64_t tag, const redisReply *r)
{
    struct redis_queue *q = arg;
    unsigned what = tag & 0xff, verb = (tag >> 8) & 0xff;
    if (!is_current(q, tag))
        return;
    if (what == ASK_INFO && is_text(r)) {
        redis_said_info(&q->said, r->str, r->len);
    } else if (what == ASK_CONFIG) {
        take_config(q, r);
    } else if (what == ASK_SCRIPT && is_text(r) && r->len == REDIS_SHA_SIZE - 1) {
        (void)snprintf(q->shas[verb], sizeof q->shas[verb], "%s", r->str);
    } else {
        char text[sizeof(struct problem)];
        (void)snprintf(text, sizeof text, "Redis refuses %s: %.300s",
                       what == ASK_INFO ? "INFO" : redis_verb_name(verb),
                       r->type == REDIS_REPLY_ERROR ? r->str : "its answer can't be read");
        give_up(q, text);
        return;
    }
    if (--q->owed == 0)
        judge(q);
}

static void ask(struct redis_queue *q, int argc, const char **argv, const size_t *lens,
                uint64_t tag)
{
    if (redis_link_send(q->link, argc, argv, lens, on_answer, tag))
        q->owed++;
}

static void load_script(struct redis_queue *q, unsigned verb)
{
    struct buf text;
    buf_init(&text, REDIS_SCRIPT_MAX);
    redis_script_text(verb, &text);
    const char *argv[] = {"SCRIPT", "LOAD", (const char *)text.data};
    const size_t lens[] = {6, 4, text.len};
    ask(q, 3, argv, lens, TAG(q, ASK_SCRIPT, verb));
    buf_fini(&text);
}

void redis_session_begin(struct redis_queue *q)
{
    static const char *config[] = {"CONFIG",
                                   "GET",
                                   "appendonly",
                                   "appendfsync",
                                   "maxmemory",
                                   "maxmemory-policy",
                                   "no-appendfsync-on-rewrite"};
    static const size_t config_len[] = {6, 3, 10, 11, 9, 16, 25};
    static const char *info[] = {"INFO"};
    static const size_t info_len[] = {4};
    q->session++;
    q->phase = REDIS_ASKING;
    q->owed = 0;
    q->said = (struct redis_said){0};
    ask(q, 1, info, info_len, TAG(q, ASK_INFO, 0));
    ask(q, COUNT_OF(config), config, config_len, TAG(q, ASK_CONFIG, 0));
    for (unsigned verb = VERB_FIRST; verb < VERB_END; verb++)
        load_script(q, verb);
}
