/* `volley check`: would it work? One line each: ok, warning or error. */
#include "ctl/check.h"
#include "common/base/clock.h"
#include "common/base/secret.h"
#include "common/config/socks.h"
#include "common/nostr/event.h"
#include "publisher/key.h"
#include "queue/redis_address.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

void check_say(struct check *k, enum check_level level, const char *fmt, ...)
{
    static const char *const words[] = {"ok", "warning", "error"};
    va_list ap;
    printf("%-8s ", words[level]);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    if (level == CHECK_ERROR)
        k->status = 1;
}

static void check_config(struct check *k, const struct config *c)
{
    check_say(k, CHECK_OK, "configuration: %s", c->file[0] != '\0' ? c->file : "no file; defaults");
    const char *at = (const char *)c->warnings.data;
    for (const char *end = at + c->warnings.len; at < end;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        check_say(k, CHECK_WARNING, "%.*s", (int)(eol - at), at);
        at = eol + 1;
    }
    if (c->publisher.relays.len == 0)
        check_say(k, CHECK_WARNING,
                  "relays: none; nothing is accepted until publisher.relays names some");
    else
        check_say(k, CHECK_OK, "relays: %zu, %zu of them through Tor", c->publisher.relays.len,
                  config_route_len(c, ROUTE_TOR));
}

/* In the words of the log, which docs/ipv6.md explains. */
static void check_host_ipv6(struct check *k, const struct config *c)
{
    struct ipv6_options o;
    struct ipv6_result result;
    struct ipv6_line lines[IPV6_LINES_MAX];
    struct problem p;
    if (ipv6_of_config(c, &o, &p) != ERR_NONE) {
        check_say(k, CHECK_ERROR, "%s", p.text);
        return;
    }
    check_ipv6(&o, &result);
    size_t len = ipv6_tell(&result, lines);
    for (size_t i = 1; i < len; i++) /* the first only says that it begins */
        check_say(k, lines[i].level == LOG_WARN ? CHECK_WARNING : CHECK_OK, "%s", lines[i].text);
}

static void check_disk(struct check *k, const struct config *c)
{
    struct statvfs fs;
    struct stat st;
    char path[CONFIG_TEXT_SIZE];
    (void)snprintf(path, sizeof path, "%s", c->queue.data_dir);
    while (stat(path, &st) != 0 && strrchr(path, '/') != path && strrchr(path, '/') != NULL)
        *strrchr(path, '/') = '\0'; /* not there yet: ask for the folder it will be made in */
    if (statvfs(path, &fs) != 0) {
        check_say(k, CHECK_ERROR, "disk: %s cannot be read", c->queue.data_dir);
        return;
    }
    double free_gib = (double)fs.f_bavail * (double)fs.f_frsize / 1073741824.0;
    double want_gib = (double)c->queue.max_bytes * 1.5 / 1073741824.0;
    check_say(k, free_gib < want_gib ? CHECK_WARNING : CHECK_OK,
              "disk: %.1f GiB free for %s; queue.max_bytes may take about %.1f GiB", free_gib,
              c->queue.data_dir, want_gib);
    if (stat(c->queue.data_dir, &st) == 0 && (st.st_mode & 077) != 0)
        check_say(k, CHECK_WARNING, "disk: others can look into %s; chmod 700 it",
                  c->queue.data_dir);
}

/* A monitor's events are public: signed by an owner's key they say whose volley it is. */
static void check_nip66(struct check *k, const struct config *c)
{
    uint8_t secret[32], pubkey[32] = {0};
    struct problem p;
    if (c->probe.nip66_key_file[0] == '\0')
        return;
    enum err e = key_load(c->probe.nip66_key_file, secret_in_container(), secret, &p);
    if (e == ERR_NONE && event_pubkey(secret, pubkey) != ERR_NONE)
        e = problem_set(&p, ERR_INVALID, "no key");
    explicit_bzero(secret, sizeof secret);
    if (e != ERR_NONE) {
        check_say(k, CHECK_ERROR, "probe.nip66_key_file: %s", p.text);
        return;
    }
    for (size_t i = 0; i < c->ingest.allow_pubkeys.len; i++)
        if (memcmp(c->ingest.allow_pubkeys.keys[i], pubkey, sizeof pubkey) == 0) {
            check_say(k, CHECK_WARNING,
                      "probe.nip66_key_file: this key is in ingest.allow_pubkeys, too: what is "
                      "told of relays names its owner; make one for the probe alone");
            return;
        }
    check_say(k, CHECK_OK, "probe.nip66_key_file: what the prober finds is told (NIP-66)");
}

static void check_clock(struct check *k)
{
    struct timex t = {0};
    int state = adjtimex(&t);
    if (clock_wall_s() < 1700000000)
        check_say(k, CHECK_ERROR, "clock: it says a year before 2024");
    else if (state == TIME_ERROR || state < 0)
        check_say(k, CHECK_WARNING,
                  "clock: not synchronized; events are judged by it (created_at_future)");
    else
        check_say(k, CHECK_OK, "clock: synchronized");
}

static size_t alive(const struct queue_depth *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->lanes_len; i++)
        n += !d->lanes[i].retired;
    return n;
}

static void on_depth(void *arg, enum err e, const struct queue_depth *d)
{
    struct check *k = arg;
    const struct config *c = &k->ask.inv->config;
    bool unsafe = redis_address_is(c->queue.url) && c->queue.unsafe;
    if (e == ERR_NONE)
        check_say(k, unsafe ? CHECK_WARNING : CHECK_OK,
                  "queue: answers, %s; %" PRIu64 " events held, %zu lanes",
                  unsafe ? "queue.unsafe is set" : "every acknowledged event is on disk", d->events,
                  alive(d));
    else if (k->ask.queue->trouble.text[0] != '\0')
        check_say(k, CHECK_ERROR, "queue: %s", k->ask.queue->trouble.text);
    else
        check_say(k, CHECK_ERROR,
                  redis_address_is(k->ask.inv->config.queue.url)
                      ? "queue: the Redis at %s does not answer"
                      : "queue: %s does not answer; is 'volley up' (or 'volley queue') running?",
                  k->ask.inv->config.queue.url);
    ask_done(&k->ask, ERR_NONE, 0);
}

static void ask_check(struct ask *ask)
{
    ask->queue->ops->depth(ask->queue, on_depth, ask);
}

static int check_run(const struct invocation *inv)
{
    struct check k = {0};
    if (invocation_option(inv, "--print") != NULL) {
        struct buf text;
        buf_init(&text, 16u * CONFIG_FILE_MAX);
        if (config_print(&inv->config, &text) != ERR_NONE)
            return command_fail(inv, 1, "the configuration is too long to print");
        fputs(buf_str(&text), stdout);
        buf_fini(&text);
        return 0;
    }
    check_config(&k, &inv->config);
    check_host_ipv6(&k, &inv->config);
    check_tor(&k, &inv->config);
    if (!redis_address_is(inv->config.queue.url)) /* else the queue's disk is not ours to look at */
        check_disk(&k, &inv->config);
    check_clock(&k);
    check_nip66(&k, &inv->config);
    k.ask.strict = true;
    int status = ask_queue(&k.ask, inv, ask_check);
    return status != 0 ? status : k.status;
}

static const struct option_row options[] = {
    {"--print", NULL, "every key, its value and where it came from"}};

const struct command command_check = {
    .name = "check",
    .arguments = "",
    .summary = "configuration, IPv6, Tor, queue, disk and clock: one line each",
    .examples = "  volley check\n  volley check --print",
    .options = options,
    .options_len = COUNT_OF(options),
    .run = check_run,
};
