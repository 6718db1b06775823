/* One redis-server for a whole test program, emptied before each case; its clock is the rig's. The
 * queue's client is no housekeeper: the script that is called by rig_housekeep here is what one
 * calls. */
#include "tests/support/rig_redis.h"

#include "queue/queue_redis.h"
#include "queue/redis_scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HOUSE_ID "0123456789abcdef0123456789abcdef"

static struct redis_server server;

static void stop_server(void)
{
    if (server.pid != 0)
        redis_server_stop(&server);
}

static char sha[41]; /* of housekeep.lua there; empty: not loaded */

static void load_script(void)
{
    struct buf text;
    if (sha[0] != '\0')
        return;
    buf_init(&text, REDIS_SCRIPT_MAX);
    redis_script_text(VERB_HOUSEKEEP, &text);
    redisReply *r = redis_server_do(&server, "SCRIPT LOAD %b", text.data, text.len);
    (void)snprintf(sha, sizeof sha, "%s", r->str);
    freeReplyObject(r);
    buf_fini(&text);
}

static void open_client(struct rig *r)
{
    struct problem p = {0};
    struct queue_options o = {.url = server.url,
                              .retention_ms = r->options.retention_ms,
                              .max_bytes = r->options.max_bytes,
                              .failed_max = r->options.failed_max,
                              .lane_max = r->options.lane_max};
    if (queue_open(&r->loop, &o, &r->q, &p) != ERR_NONE)
        die("no client: %s", p.text);
}

static void await_answers(struct rig *r)
{
    enum err e = ERR_UNKNOWN;
    for (int good = 0; good < 2; good = e == ERR_NONE ? good + 1 : 0) {
        struct answer a;
        ask_depth(&r->loop, r->q, &a);
        e = a.e;
        if (e != ERR_NONE && e != ERR_UNKNOWN)
            die("Redis answers %s: %s", err_name(e), r->q->trouble.text);
        answer_free(&a);
    }
}

void rig_redis_start(struct rig *r)
{
    if (server.pid == 0) {
        redis_server_start(&server, true, NULL);
        if (atexit(stop_server) != 0)
            die("atexit");
    }
    redis_server_set_clock(&server, r->wall_ms);
    redis_server_tell(&server, "FLUSHALL");
    r->redis = &server;
    open_client(r);
    await_answers(r);
    rig_redis_clocks(r);
}

void rig_redis_stop(struct rig *r)
{
    if (r->q)
        ask_close(&r->loop, r->q);
    r->redis = NULL;
}

void rig_redis_again(struct rig *r)
{
    redis_server_restart(&server);
    sha[0] = '\0';
    await_answers(r);
}

static void read_incarnation(char *out, size_t size)
{
    char run[64] = "", replication[64] = "";
    redisReply *r = redis_server_do(&server, "INFO");
    const char *at = strstr(r->str, "run_id:"), *id = strstr(r->str, "master_replid:");
    if (at == NULL || id == NULL || sscanf(at, "run_id:%60[0-9a-f]", run) != 1 ||
        sscanf(id, "master_replid:%60[0-9a-f]", replication) != 1)
        die("INFO without ids");
    (void)snprintf(out, size, "%s:%s", run, replication);
    freeReplyObject(r);
}

/* As redis_house.c does it, but for the clock. `what`: "1" all, "-" the clock alone. True: there is
 * more to do. */
static bool housekeep(struct rig *r, const char *what)
{
    uint64_t lane_max = r->options.lane_max != 0 ? r->options.lane_max : r->options.max_bytes / 2;
    char limits[100], boot_ms[24], incarnation[128];
    (void)snprintf(limits, sizeof limits, "%" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                   r->options.retention_ms, r->options.max_bytes, r->options.failed_max, lane_max);
    (void)snprintf(boot_ms, sizeof boot_ms, "%" PRIu64, r->boot_ms);
    read_incarnation(incarnation, sizeof incarnation);
    redisReply *reply =
        redis_server_do(r->redis, "EVALSHA %s 1 volley %s %s %s %s %s %s %s %s", sha, "",
                        incarnation, "", limits, boot_ms, HOUSE_ID, what, "rig");
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 8 ||
        (what[0] != '-' && reply->element[0]->integer != 1))
        die("housekeep.lua does not keep house");
    bool more = reply->element[2]->integer != 0;
    freeReplyObject(reply);
    return more;
}

void rig_redis_house(struct rig *r)
{
    load_script();
    while (housekeep(r, "1"))
        continue;
}

void rig_redis_clocks(struct rig *r)
{
    redis_server_set_clock(r->redis, r->wall_ms);
    load_script();
    (void)housekeep(r, "-");
}

void rig_redis_lose(struct rig *r, unsigned count)
{
    if (r->q != NULL)
        queue_redis_lose_tail(r->q, count);
}
