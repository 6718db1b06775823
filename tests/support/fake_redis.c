#include "tests/support/fake_redis.h"

#include "queue/redis_scripts.h"

#include "tests/support/spin.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#define OUT_MAX (80u << 20)

struct fake_client {
    struct fake_redis *f;
    uv_pipe_t pipe;
    redisReader *reader;
    bool subscribed, closing;
    unsigned loads;
    char input[65536];
    struct fake_client *prev, *next;
};

struct writing {
    uv_write_t req;
    char data[];
};

/* ---- answers */

static void on_written(uv_write_t *req, int status)
{
    (void)status;
    free(req->data);
}

static void say(struct fake_client *c, const void *data, size_t len)
{
    if (c->f->silent || c->closing || len == 0)
        return;
    struct writing *w = mem_new(sizeof *w + len);
    memcpy(w->data, data, len);
    w->req.data = w;
    uv_buf_t b = uv_buf_init(w->data, (unsigned)len);
    if (uv_write(&w->req, (uv_stream_t *)&c->pipe, &b, 1, on_written) != 0)
        free(w);
}

static void say_text(struct fake_client *c, const char *text)
{
    say(c, text, strlen(text));
}

static void say_bulk(struct fake_client *c, const void *data, size_t len)
{
    char head[32];
    (void)snprintf(head, sizeof head, "$%zu\r\n", len);
    say_text(c, head);
    say(c, data, len);
    say_text(c, "\r\n");
}

static void say_error(struct fake_client *c, const char *text)
{
    say_text(c, "-");
    say_text(c, text);
    say_text(c, "\r\n");
}

static void say_strings(struct fake_client *c, const char *const *strings, size_t len)
{
    char head[32];
    (void)snprintf(head, sizeof head, "*%zu\r\n", len);
    say_text(c, head);
    for (size_t i = 0; i < len; i++)
        say_bulk(c, strings[i], strlen(strings[i]));
}

static void on_closed(uv_handle_t *h)
{
    struct fake_client *c = h->data;
    DL_DELETE(c->f->clients, c);
    redisReaderFree(c->reader);
    free(c);
}

static void hang_up(struct fake_client *c)
{
    if (!c->closing)
        uv_close((uv_handle_t *)&c->pipe, on_closed);
    c->closing = true;
}

/* ---- what is asked */

static void on_info(struct fake_client *c)
{
    char text[400];
    const struct fake_redis *f = c->f;
    (void)snprintf(text, sizeof text,
                   "# Server\r\nredis_version:%s\r\nredis_mode:standalone\r\nrun_id:%s\r\n"
                   "# Replication\r\nrole:%s\r\nmaster_replid:%s\r\n",
                   f->version, f->run_id, f->role, f->run_id);
    say_bulk(c, text, strlen(text));
}

static void on_config(struct fake_client *c)
{
    const char *pairs[] = {
        "appendonly", "yes",       "appendfsync", c->f->appendfsync,  "no-appendfsync-on-rewrite",
        "no",         "maxmemory", "0",           "maxmemory-policy", "noeviction"};
    if (c->f->config_error != NULL)
        say_error(c, c->f->config_error);
    else
        say_strings(c, pairs, COUNT_OF(pairs));
}

/* The sha tells the script: its number in the order of loading. */
/* A script's name is its verb's number: each connection loads all of them, in order. */
static void on_load(struct fake_client *c)
{
    char sha[41];
    c->f->loads++;
    (void)snprintf(sha, sizeof sha, "%040u", 1 + c->loads++ % (VERB_END - 1));
    say_bulk(c, sha, 40);
}

static void on_hello(struct fake_client *c, const redisReply *r)
{
    const char *expected = r->element[4]->str;
    c->f->hellos++;
    if (expected[0] != '\0' && strcmp(expected, c->f->store) != 0) {
        say_error(c, "VOLLEYOTHER another id");
        return;
    }
    const char *const answer[] = {c->f->store, "1", "7", "1"};
    say_strings(c, answer, COUNT_OF(answer));
}

static void answer_call(struct fake_client *c, const struct wire_request *q)
{
    struct wire_appended results[WIRE_APPENDS_MAX] = {0};
    struct wire_reply a = {.type = q->type, .number = q->number};
    struct buf out;
    if (q->type == WIRE_APPEND) {
        for (size_t i = 0; i < q->append.len; i++)
            results[i].result.pos = ++c->f->appended;
        a.append.results = results;
        a.append.len = q->append.len;
    }
    buf_init(&out, WIRE_MESSAGE_MAX);
    if (wire_put_reply(&out, &a) != ERR_NONE)
        die("an answer does not fit");
    say_bulk(c, out.data, out.len);
    buf_fini(&out);
}

static void on_call(struct fake_client *c, const redisReply *r)
{
    struct fake_redis *f = c->f;
    struct wire_arena a = {0};
    struct wire_request q;
    f->runs++;
    if (wire_get_request(r->element[6]->str, r->element[6]->len, &a, &q) != ERR_NONE)
        die("a call's frame can't be read");
    if (q.type == WIRE_APPEND)
        f->facts_len = r->element[8]->len;
    if (f->drops) {
        hang_up(c);
    } else if (f->garbage_len > 0) {
        say(c, f->garbage, f->garbage_len);
    } else if (f->error != NULL) {
        say_error(c, f->error);
        if (f->errors > 0 && --f->errors == 0)
            f->error = NULL;
    } else {
        answer_call(c, &q);
    }
    wire_arena_free(&a);
}

static void on_run(struct fake_client *c, const redisReply *r)
{
    unsigned verb = (unsigned)strtoul(r->element[1]->str, NULL, 10);
    if (verb == WIRE_TYPE_END)
        on_hello(c, r);
    else if (verb < WIRE_TYPE_END)
        on_call(c, r);
    else if (c->f->housekeeps++ < UINT32_MAX)
        say_text(c, "*8\r\n:1\r\n:10000\r\n:0\r\n:1800000000000\r\n:0\r\n:1\r\n:0\r\n:1\r\n");
}

static void on_subscribe(struct fake_client *c, const redisReply *r)
{
    c->f->subscribers++;
    c->subscribed = true;
    say_text(c, "*3\r\n");
    say_bulk(c, "subscribe", 9);
    say_bulk(c, r->element[1]->str, r->element[1]->len);
    say_text(c, ":1\r\n");
}

static void on_command(struct fake_client *c, const redisReply *r)
{
    const char *name = r->element[0]->str;
    if (strcmp(name, "AUTH") == 0 && c->f->password != NULL &&
        strcmp(r->element[1]->str, c->f->password) == 0)
        say_text(c, "+OK\r\n");
    else if (strcmp(name, "AUTH") == 0)
        say_error(c, "WRONGPASS invalid username-password pair");
    else if (strcmp(name, "SELECT") == 0 && c->f->loading != NULL)
        say_error(c, c->f->loading);
    else if (strcmp(name, "SELECT") == 0)
        say_text(c, "+OK\r\n");
    else if (strcmp(name, "INFO") == 0)
        on_info(c);
    else if (strcmp(name, "CONFIG") == 0)
        on_config(c);
    else if (strcmp(name, "SCRIPT") == 0)
        on_load(c);
    else if (strcmp(name, "EVALSHA") == 0)
        on_run(c, r);
    else if (strcmp(name, "SUBSCRIBE") == 0)
        on_subscribe(c, r);
    else if (strcmp(name, "HMGET") == 0)
        say_strings(c, (const char *const[]){"7", "1"}, 2);
    else
        die("nobody expected %s", name);
}

/* ---- connections */

static void on_alloc(uv_handle_t *h, size_t want, uv_buf_t *b)
{
    struct fake_client *c = h->data;
    (void)want;
    *b = uv_buf_init(c->input, sizeof c->input);
}

static void on_read(uv_stream_t *s, ssize_t len, const uv_buf_t *b)
{
    struct fake_client *c = s->data;
    if (len < 0) {
        hang_up(c);
        return;
    }
    if (redisReaderFeed(c->reader, b->base, (size_t)len) != REDIS_OK)
        die("no memory");
    for (void *r = NULL; !c->closing; freeReplyObject(r)) {
        if (redisReaderGetReply(c->reader, &r) != REDIS_OK)
            die("the client does not speak as one of Redis");
        if (r == NULL)
            return;
        on_command(c, r);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    struct fake_redis *f = server->data;
    struct fake_client *c = mem_zero(1, sizeof *c);
    if (status != 0)
        die("accept: %s", uv_strerror(status));
    c->f = f;
    c->reader = redisReaderCreate();
    uv_pipe_init(f->loop, &c->pipe, 0);
    c->pipe.data = c;
    DL_APPEND(f->clients, c);
    f->connections++;
    if (uv_accept(server, (uv_stream_t *)&c->pipe) != 0 ||
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) != 0)
        die("no connection");
    if (f->garbage_first)
        say(c, f->garbage, f->garbage_len);
}

void fake_redis_start(struct fake_redis *f, uv_loop_t *loop)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as services do */
    char path[160];
    memset(f, 0, sizeof *f);
    f->loop = loop;
    f->version = "7.0.15";
    f->role = "master";
    f->appendfsync = "always";
    (void)snprintf(f->run_id, sizeof f->run_id, "%040d", 1);
    (void)snprintf(f->store, sizeof f->store, "%032d", 1);
    (void)snprintf(f->dir, sizeof f->dir, "%s/volley-fake-XXXXXX", P_tmpdir);
    if (mkdtemp(f->dir) == NULL)
        die("no directory like %s", f->dir);
    (void)snprintf(path, sizeof path, "%s/r.sock", f->dir);
    (void)snprintf(f->url, sizeof f->url, "redis+unix://%s", path);
    uv_pipe_init(loop, &f->server, 0);
    f->server.data = f;
    if (uv_pipe_bind(&f->server, path) != 0 ||
        uv_listen((uv_stream_t *)&f->server, 64, on_connection) != 0)
        die("can't listen on %s", path);
}

void fake_redis_cut(struct fake_redis *f)
{
    for (struct fake_client *c = f->clients; c != NULL; c = c->next)
        hang_up(c);
}

void fake_redis_push(struct fake_redis *f, const void *data, size_t len)
{
    for (struct fake_client *c = f->clients; c != NULL; c = c->next)
        if (c->subscribed)
            say(c, data, len);
}

void fake_redis_publish(struct fake_redis *f, const void *data, size_t len)
{
    for (struct fake_client *c = f->clients; c != NULL; c = c->next) {
        if (!c->subscribed)
            continue;
        say_text(c, "*3\r\n$7\r\nmessage\r\n$11\r\nvolley:tail\r\n");
        say_bulk(c, data, len);
    }
}

static void on_server_closed(uv_handle_t *h)
{
    ((struct fake_redis *)h->data)->closed = true;
}

static bool is_gone(void *arg)
{
    const struct fake_redis *f = arg;
    return f->closed && f->clients == NULL;
}

void fake_redis_stop(struct fake_redis *f)
{
    fake_redis_cut(f);
    uv_close((uv_handle_t *)&f->server, on_server_closed);
    spin_until(f->loop, is_gone, f, "the fake's end");
    rmdir(f->dir);
}
