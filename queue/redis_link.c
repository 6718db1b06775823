/* The states: waiting (the timer runs), resolving, dialing (hiredis connects, then our login is
 * asked), up. `timer` is the wait, the limit of a dial, or the look for silence. */
#include "queue/redis_link.h"

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/secret.h"
#include "queue/redis_uv.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS       500
#define FOUND_MAX     8
#define PASSWORD_SIZE 513

enum link_state { LINK_WAITING, LINK_RESOLVING, LINK_DIALING, LINK_UP, LINK_CLOSING };

struct redis_link {
    uv_loop_t *loop;
    struct redis_address at;
    char *password_file, *channel;
    size_t reply_max;
    struct redis_link_ops ops;
    void *arg;

    enum link_state state;
    redisAsyncContext *ac; /* NULL: none, or it is not ours any more */
    uv_timer_t timer;
    uv_getaddrinfo_t resolving;
    bool is_resolving;
    int parts; /* of us in the loop: the timer, the look for names, connections not closed yet */
    uint32_t failures;
    struct rng rng;
    char found[FOUND_MAX][INET6_ADDRSTRLEN]; /* addresses of the name that were not tried yet */
    unsigned found_len;

    uint64_t asked;    /* commands without an answer */
    uint64_t heard_ms; /* the last answer, or when `asked` rose from 0 */
    bool was_silent;   /* at the last look */

    void (*closed_fn)(void *arg);
    void *closed_arg;
};

static void wait_and_dial(struct redis_link *l);
static void dial(struct redis_link *l);

/* ---- commands */

struct command {
    struct redis_link *l;
    redis_reply_fn *fn;
    void *arg;
    uint64_t tag;
};

static void on_reply(redisAsyncContext *ac, void *reply, void *command)
{
    struct command c = *(struct command *)command;
    struct redis_link *l = c.l;
    free(command);
    if (reply == NULL || ac != l->ac)
        return;
    l->asked--;
    l->heard_ms = clock_boot_ms();
    if (redis_uv_reply(ac))
        c.fn(c.arg, c.tag, reply);
}

static bool send_to(struct redis_link *l, int argc, const char **argv, const size_t *argv_len,
                    redis_reply_fn *fn, void *arg, uint64_t tag)
{
    struct command *c = mem_new(sizeof *c);
    *c = (struct command){l, fn, arg, tag};
    if (redisAsyncCommandArgv(l->ac, on_reply, c, argc, argv, argv_len) != REDIS_OK) {
        free(c);
        return false;
    }
    if (l->asked++ == 0)
        l->heard_ms = clock_boot_ms();
    return true;
}

bool redis_link_send(struct redis_link *l, int argc, const char **argv, const size_t *argv_len,
                     redis_reply_fn *fn, uint64_t tag)
{
    return l->state == LINK_UP && l->ac != NULL &&
           send_to(l, argc, argv, argv_len, fn, l->arg, tag);
}

bool redis_link_is_up(const struct redis_link *l)
{
    return l->state == LINK_UP;
}

/* ---- leaving */

static void release(struct redis_link *l)
{
    if (--l->parts > 0 || l->state != LINK_CLOSING)
        return;
    void (*fn)(void *) = l->closed_fn;
    void *arg = l->closed_arg;
    free(l->password_file);
    free(l->channel);
    free(l);
    fn(arg);
}

static void on_closed(void *arg)
{
    release(arg);
}

/* From now on nothing that the connection says is heard. */
static void let_go(struct redis_link *l)
{
    redisAsyncContext *ac = l->ac;
    l->ac = NULL;
    l->asked = 0;
    l->was_silent = false;
    if (ac != NULL)
        redisAsyncFree(ac);
}

void redis_link_drop(struct redis_link *l)
{
    if (l->state == LINK_CLOSING)
        return;
    let_go(l);
    wait_and_dial(l);
}

static void lose(struct redis_link *l)
{
    bool was_up = l->state == LINK_UP;
    redis_link_drop(l);
    if (was_up)
        l->ops.on_down(l->arg);
}

static void on_gone(void *arg)
{
    struct redis_link *l = arg;
    if (l->ac == NULL) /* we let go of it */
        return;
    l->ac = NULL; /* it frees itself */
    lose(l);
}

static void trouble(struct redis_link *l, const char *text)
{
    if (l->state == LINK_CLOSING)
        return;
    l->ops.on_trouble(l->arg, text);
    lose(l);
}

void redis_link_good(struct redis_link *l)
{
    l->failures = 0;
}

/* ---- looking */

/* Twice in a row, so that what had arrived while we ourselves stood still was read. */
static void on_look(uv_timer_t *t)
{
    struct redis_link *l = t->data;
    bool silent = l->asked > 0 && clock_boot_ms() - l->heard_ms >= REDIS_SILENT_MS;
    if (silent && l->was_silent)
        lose(l);
    else
        l->was_silent = silent;
}

static void come_up(struct redis_link *l)
{
    l->state = LINK_UP;
    l->found_len = 0; /* resolved anew when it is lost */
    uv_timer_start(&l->timer, on_look, LOOK_MS, LOOK_MS);
    l->ops.on_up(l->arg);
}

/* ---- logging in */

static void refuse(struct redis_link *l, const char *what, const redisReply *r)
{
    char text[sizeof(struct problem)];
    (void)snprintf(text, sizeof text, "%s: %.200s", what,
                   r->type == REDIS_REPLY_ERROR ? r->str : "no answer of a Redis");
    trouble(l, text);
}

static bool is_ok(const redisReply *r)
{
    return r->type == REDIS_REPLY_STATUS && strcmp(r->str, "OK") == 0;
}

static void on_auth(void *arg, uint64_t tag, const redisReply *r)
{
    (void)tag;
    if (!is_ok(r))
        refuse(arg, "Redis refused queue.password_file's password", r);
}

static void on_message(redisAsyncContext *ac, void *reply, void *link)
{
    struct redis_link *l = link;
    const redisReply *r = reply;
    if (r == NULL || ac != l->ac || r->type != REDIS_REPLY_ARRAY || r->elements != 3)
        return;
    if (r->element[2]->type == REDIS_REPLY_INTEGER && l->state == LINK_DIALING) {
        redis_link_good(l);
        come_up(l);
    } else if (r->element[2]->type == REDIS_REPLY_STRING && l->state == LINK_UP) {
        l->ops.on_message(l->arg, r->element[2]->str, r->element[2]->len);
    }
}

static void subscribe(struct redis_link *l)
{
    const char *argv[] = {"SUBSCRIBE", l->channel};
    const size_t lens[] = {9, strlen(l->channel)};
    redis_uv_subscribed(l->ac);
    (void)redisAsyncCommandArgv(l->ac, on_message, l, 2, argv, lens);
}

static void on_select(void *arg, uint64_t tag, const redisReply *r)
{
    struct redis_link *l = arg;
    (void)tag;
    if (r->type == REDIS_REPLY_ERROR && strncmp(r->str, "NOAUTH", 6) == 0)
        trouble(l, "Redis asks for a password: put it into a file of its own and name that in "
                   "queue.password_file");
    else if (r->type == REDIS_REPLY_ERROR && strncmp(r->str, "LOADING", 7) == 0)
        trouble(l, "Redis is loading its data: waiting for it");
    else if (!is_ok(r))
        refuse(l, "Redis refused the database of queue.url", r);
    else if (l->channel != NULL)
        subscribe(l);
    else
        come_up(l);
}

/* False: there is a file of a password, and it can't be used. */
static bool log_in(struct redis_link *l)
{
    char password[PASSWORD_SIZE], db[16];
    struct problem p = {0};
    const char *argv[] = {"AUTH", password};
    (void)snprintf(db, sizeof db, "%u", l->at.db);
    const char *select[] = {"SELECT", db};
    const size_t select_len[] = {6, strlen(db)};
    if (l->password_file[0] != '\0') {
        if (secret_read(l->password_file, secret_in_container(), password, sizeof password, &p) !=
            ERR_NONE) {
            trouble(l, p.text);
            return false;
        }
        const size_t lens[] = {4, strlen(password)};
        (void)send_to(l, 2, argv, lens, on_auth, l, 0);
        explicit_bzero(password, sizeof password);
    }
    return send_to(l, 2, select, select_len, on_select, l, 0);
}

/* ---- dialing */

static void on_late(uv_timer_t *t)
{
    struct redis_link *l = t->data;
    if (l->state == LINK_DIALING)
        trouble(l, "who listens there takes the connection and does not answer: Redis is paused, "
                   "very busy, or it is no Redis");
    else
        lose(l);
}

/* hiredis looks whether it is connected when the descriptor is first ready to be written. */
static void on_connect(const redisAsyncContext *ac, int status)
{
    (void)ac, (void)status; /* a failure frees it: on_gone */
}

static bool start(struct redis_link *l, redisAsyncContext *ac)
{
    static const struct redis_uv_ops ops = {on_gone, on_closed};
    if (ac == NULL)
        return false;
    if (ac->err != 0 || redis_uv_attach(l->loop, ac, l->reply_max, &ops, l) != ERR_NONE) {
        redisAsyncFree(ac);
        return false;
    }
    l->parts++;
    l->ac = ac;
    l->state = LINK_DIALING;
    (void)redisAsyncSetConnectCallback(ac, on_connect);
    return log_in(l);
}

static void dial_host(struct redis_link *l, const char *host)
{
    uv_timer_start(&l->timer, on_late, REDIS_DIAL_MS, 0);
    if (!start(l, redisAsyncConnect(host, (int)l->at.port)) && l->ac == NULL &&
        l->state != LINK_WAITING)
        wait_and_dial(l);
}

static void dial_unix(struct redis_link *l)
{
    uv_timer_start(&l->timer, on_late, REDIS_DIAL_MS, 0);
    if (!start(l, redisAsyncConnectUnix(l->at.path)) && l->ac == NULL && l->state != LINK_WAITING)
        wait_and_dial(l);
}

static void keep_found(struct redis_link *l, const struct addrinfo *ai)
{
    for (l->found_len = 0; ai != NULL && l->found_len < FOUND_MAX; ai = ai->ai_next) {
        char *to = l->found[l->found_len];
        int rc = -1;
        if (ai->ai_family == AF_INET)
            rc = uv_ip4_name((const struct sockaddr_in *)ai->ai_addr, to, sizeof l->found[0]);
        else if (ai->ai_family == AF_INET6)
            rc = uv_ip6_name((const struct sockaddr_in6 *)ai->ai_addr, to, sizeof l->found[0]);
        l->found_len += rc == 0;
    }
    for (unsigned i = 0; i < l->found_len / 2; i++) { /* taken from the end */
        char swap[sizeof l->found[0]];
        memcpy(swap, l->found[i], sizeof swap);
        memcpy(l->found[i], l->found[l->found_len - 1 - i], sizeof swap);
        memcpy(l->found[l->found_len - 1 - i], swap, sizeof swap);
    }
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct redis_link *l = req->data;
    l->is_resolving = false;
    if (status == 0)
        keep_found(l, res);
    uv_freeaddrinfo(res);
    if (l->state == LINK_RESOLVING) {
        if (l->found_len > 0)
            dial_host(l, l->found[--l->found_len]);
        else
            wait_and_dial(l);
    }
    release(l);
}

static void resolve(struct redis_link *l)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    l->state = LINK_RESOLVING;
    uv_timer_start(&l->timer, on_late, REDIS_DIAL_MS, 0);
    if (l->is_resolving) /* the last one is still at it */
        return;
    l->resolving.data = l;
    if (uv_getaddrinfo(l->loop, &l->resolving, on_resolved, l->at.host, NULL, &hints) != 0) {
        wait_and_dial(l);
        return;
    }
    l->is_resolving = true;
    l->parts++;
}

static void dial(struct redis_link *l)
{
    if (l->at.is_unix)
        dial_unix(l);
    else if (!l->at.is_name)
        dial_host(l, l->at.host);
    else if (l->found_len > 0)
        dial_host(l, l->found[--l->found_len]);
    else
        resolve(l);
}

static void on_wait(uv_timer_t *t)
{
    dial(t->data);
}

static void wait_and_dial(struct redis_link *l)
{
    if (l->state == LINK_CLOSING)
        return;
    l->state = LINK_WAITING;
    l->failures++;
    uv_timer_start(&l->timer, on_wait,
                   backoff_ms(l->failures, REDIS_REDIAL_MS, REDIS_REDIAL_MAX_MS, &l->rng), 0);
}

/* ---- life */

struct redis_link *redis_link_new(uv_loop_t *loop, const struct redis_link_options *o,
                                  const struct redis_link_ops *ops, void *arg)
{
    struct redis_link *l = mem_zero(1, sizeof *l);
    l->loop = loop;
    l->at = *o->at;
    l->password_file = mem_strdup(o->password_file != NULL ? o->password_file : "");
    l->channel = o->channel != NULL ? mem_strdup(o->channel) : NULL;
    l->reply_max = o->reply_max;
    l->ops = *ops;
    l->arg = arg;
    rng_init_secure(&l->rng);
    uv_timer_init(loop, &l->timer);
    l->timer.data = l;
    l->parts = 1;
    uv_timer_start(&l->timer, on_wait, 0, 0);
    return l;
}

static void on_timer_closed(uv_handle_t *h)
{
    release(h->data);
}

void redis_link_close(struct redis_link *l, void (*fn)(void *arg), void *arg)
{
    l->state = LINK_CLOSING;
    l->closed_fn = fn;
    l->closed_arg = arg;
    let_go(l);
    if (l->is_resolving)
        (void)uv_cancel((uv_req_t *)&l->resolving);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}
