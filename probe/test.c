/* Some relays at a time, each by all its families at once; meanwhile the queue is asked what was
 * learned of them. Everything has a deadline, the whole too. */
#include "probe/test.h"

#include "common/base/clock.h"
#include "common/config/socks.h"
#include "common/config/value.h"
#include "ctl/screen.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE        8u     /* relays */
#define CONNECT_MAX_MS 20000u /* a person waits; no longer than the publisher would */
#define READ_MS        8000u
#define NIP11_MS       8000u
#define QUEUE_MS       2000u
#define WHOLE_MS       60000u /* and for each relay … */
#define WHOLE_EACH_MS  3000u
#define PROGRESS_MS    200u

struct place;

struct test {
    const struct invocation *inv;
    const struct config *config;
    uv_loop_t loop;
    struct dialer *dialer;
    struct socks_ports socks;
    bool has_tor;
    struct test_relay *relays;
    struct place *places; /* two a relay */
    size_t len, begun, ended;
    struct queue *queue; /* NULL: not open (any more) */
    bool queue_asking, queue_answered;
    int64_t now_ms;
    uv_timer_t deadline, tick;
    uv_signal_t interrupt;
    uint64_t began_ms;
    bool progress, over;
};

/* One of a relay's acts: what its callback is told. */
struct place {
    struct test *test;
    size_t relay, act;
};

/* ---- the progress line ---- */

static void draw(struct test *t)
{
    char text[512], cut[512];
    size_t width = terminal_size(2, NULL), len;
    uint64_t s = (clock_boot_ms() - t->began_ms) / 1000;
    if (!t->progress)
        return;
    len = (size_t)snprintf(text, sizeof text, "%zu of %zu relays tested, %llu s; waiting for",
                           t->ended, t->len, (unsigned long long)s);
    for (size_t i = 0; i < t->begun && len < sizeof text / 2; i++) {
        char label[64];
        const struct test_relay *r = &t->relays[i];
        if (r->done < r->acts_len)
            len += (size_t)snprintf(text + len, sizeof text - len, " %s",
                                    clean_text(relay_label(&r->definition), label, sizeof label));
    }
    fprintf(stderr, "\r\033[K%s", text_cut(text, width > 1 ? width - 1 : 79, cut, sizeof cut));
}

static void undraw(const struct test *t)
{
    if (t->progress)
        fputs("\r\033[K", stderr);
}

/* ---- running ---- */

static void go_on(struct test *t);

static void on_closed(void *arg)
{
    (void)arg;
}

static void close_queue(struct test *t)
{
    if (t->queue != NULL)
        t->queue->ops->close(t->queue, on_closed, t);
    t->queue = NULL;
}

/* All is known: handles go, the loop ends. */
static void finish(struct test *t)
{
    t->over = true;
    undraw(t);
    t->progress = false;
    close_queue(t);
    uv_close((uv_handle_t *)&t->deadline, NULL);
    uv_close((uv_handle_t *)&t->tick, NULL);
    uv_close((uv_handle_t *)&t->interrupt, NULL);
    dialer_free(t->dialer, NULL, NULL);
}

static void on_act(void *arg, const struct act_result *result)
{
    struct place *p = arg;
    struct test *t = p->test;
    struct test_relay *r = &t->relays[p->relay];
    r->acts[p->act] = NULL;
    r->results[p->act] = *result;
    r->done++;
    t->ended += r->done == r->acts_len;
    go_on(t);
}

static void begin(struct test *t, size_t relay)
{
    struct test_relay *r = &t->relays[relay];
    uint64_t timeout_ms = t->config->publisher.connect_timeout_ms;
    struct act_request request = {.url = r->url,
                                  .route = r->route,
                                  .socks = r->route == ROUTE_TOR ? &t->socks : NULL,
                                  .timeout_ms = timeout_ms < CONNECT_MAX_MS ? (uint32_t)timeout_ms
                                                                            : CONNECT_MAX_MS,
                                  .read_ms = READ_MS,
                                  .nip11_ms = NIP11_MS};
    r->acts_len = act_families(&r->url, r->route, request.socks, r->modes);
    for (size_t i = 0; i < r->acts_len; i++) {
        struct place *p = &t->places[2 * relay + i];
        *p = (struct place){t, relay, i};
        request.family = r->modes[i];
        r->acts[i] = act_start(&t->loop, t->dialer, &request, on_act, p);
    }
}

static void go_on(struct test *t)
{
    while (!t->over && t->begun < t->len && t->begun - t->ended < AT_ONCE)
        begin(t, t->begun++);
    if (!t->over && t->ended == t->len && !t->queue_asking)
        finish(t);
}

/* What is not known by now stays so. */
static void give_up(struct test *t, size_t relay, const char *text)
{
    struct test_relay *r = &t->relays[relay];
    static const enum family families[MODE_COUNT] = {
        [MODE_IPV6] = FAMILY_IPV6, [MODE_IPV4] = FAMILY_IPV4};
    r->acts_len = act_families(&r->url, r->route, &t->socks, r->modes);
    for (size_t i = 0; i < r->acts_len; i++) {
        bool never = relay >= t->begun;
        if (!never && r->acts[i] == NULL)
            continue;
        act_cancel(r->acts[i]);
        r->acts[i] = NULL;
        struct link_try *try = &r->results[i].try;
        *try = (struct link_try){.family = families[r->modes[i]],
                                 .err = ERR_TIMEOUT,
                                 .why = never ? LINK_WHY_NOT_TRIED : LINK_WHY_TIMEOUT};
        (void)snprintf(try->text, sizeof try->text, "%s", text);
    }
}

static void give_up_all(struct test *t, const char *text)
{
    for (size_t i = 0; i < t->len; i++)
        if (i >= t->begun || t->relays[i].done < t->relays[i].acts_len)
            give_up(t, i, text);
    finish(t);
}

static void on_deadline(uv_timer_t *timer)
{
    give_up_all(timer->data, "the test as a whole took too long");
}

/* Ctrl-C: what was found so far is shown. A second one ends it at once. */
static void on_interrupt(uv_signal_t *s, int number)
{
    (void)number;
    give_up_all(s->data, "interrupted");
}

static void on_tick(uv_timer_t *timer)
{
    draw(timer->data);
}

/* ---- the queue ---- */

static void on_depth(void *arg, enum err e, const struct queue_depth *d)
{
    struct test *t = arg;
    t->queue_asking = false;
    if (t->over)
        return;
    t->queue_answered = e == ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < d->lanes_len; i++) {
        const struct lane_status *l = &d->lanes[i];
        t->now_ms = d->now_ms;
        for (size_t k = 0; k < t->len; k++) {
            struct test_relay *r = &t->relays[k];
            if (l->retired || strcmp(r->url.text, l->definition.url) != 0)
                continue;
            r->has_lane = true;
            r->learned = l->learned;
            r->connected = l->live.family;
        }
    }
    close_queue(t);
    go_on(t);
}

static void ask_queue_of(struct test *t)
{
    struct problem p;
    struct queue_options o = queue_options_of(t->config);
    o.timeout_ms = QUEUE_MS;
    if (queue_open(&t->loop, &o, &t->queue, &p) != ERR_NONE) {
        t->queue = NULL;
        return;
    }
    t->queue_asking = true;
    t->queue->ops->depth(t->queue, on_depth, t);
}

/* ---- which relays ---- */

static bool is_url(const char *text)
{
    return strpbrk(text, ".:/") != NULL;
}

static int unknown_relay(const struct test *t, const char *text)
{
    const struct config_relays *all = &t->config->publisher.relays;
    const char **names = mem_zero(all->len + 1, sizeof *names);
    size_t len = 0;
    for (size_t i = 0; i < all->len; i++)
        if (all->defs[i].name[0] != '\0')
            names[len++] = all->defs[i].name;
    const char *near = value_nearest(text, names, len);
    int status = command_fail(t->inv, EXIT_USAGE, "no relay is named '%s'%s%s%s", text,
                              near != NULL ? " (did you mean " : "; give its URL",
                              near != NULL ? near : "", near != NULL ? "?)" : "");
    free(names);
    return status;
}

static int add(struct test *t, const struct definition *d)
{
    struct problem p;
    struct test_relay *r = &t->relays[t->len];
    if (relay_url_parse(d->url, &r->url, &p) != ERR_NONE)
        return command_fail(t->inv, EXIT_USAGE, "'%.120s': %s", d->url, p.text);
    for (size_t i = 0; i < t->len; i++)
        if (strcmp(t->relays[i].url.text, r->url.text) == 0)
            return 0; /* named twice */
    r->definition = *d;
    memcpy(r->definition.url, r->url.text, sizeof r->definition.url);
    t->len++;
    return 0;
}

/* A relay that is not in the list is tested as it would be there. */
static int add_stranger(struct test *t, const char *text)
{
    struct definition d = {.route = t->config->publisher.route,
                           .family = t->config->publisher.family};
    if (strlen(text) >= sizeof d.url)
        return command_fail(t->inv, EXIT_USAGE, "'%.120s…' is too long for a URL", text);
    (void)snprintf(d.url, sizeof d.url, "%s", text);
    return add(t, &d);
}

static int add_named(struct test *t, const char *text)
{
    const struct config_relays *all = &t->config->publisher.relays;
    struct relay_choice choice;
    relay_choose(text, &choice);
    for (size_t i = 0; i < all->len; i++)
        if (relay_chosen(&choice, &all->defs[i]))
            return add(t, &all->defs[i]);
    return is_url(text) ? add_stranger(t, text) : unknown_relay(t, text);
}

static int choose_relays(struct test *t)
{
    const struct config_relays *all = &t->config->publisher.relays;
    int len = t->inv->arguments_len, status = 0;
    t->relays = mem_zero(all->len + (size_t)len + 1, sizeof *t->relays);
    t->places = mem_zero(all->len + (size_t)len + 1, 2 * sizeof *t->places);
    for (int i = 0; i < len && status == 0; i++)
        status = add_named(t, t->inv->arguments[i]);
    for (size_t i = 0; len == 0 && i < all->len && status == 0; i++)
        status = add(t, &all->defs[i]);
    if (status == 0 && t->len == 0)
        status = command_fail(t->inv, EXIT_USAGE,
                              "no relay is configured (publisher.relays), and none was named");
    return status;
}

static int choose_route(struct test *t)
{
    const char *typed = invocation_option(t->inv, "--route");
    struct problem p;
    bool needs_tor = false;
    for (size_t i = 0; i < t->len; i++) {
        struct test_relay *r = &t->relays[i];
        r->route = r->definition.route;
        if (typed != NULL && strcmp(typed, route_name(ROUTE_DIRECT)) == 0)
            r->route = ROUTE_DIRECT;
        else if (typed != NULL && strcmp(typed, route_name(ROUTE_TOR)) == 0)
            r->route = ROUTE_TOR;
        else if (typed != NULL)
            return command_fail(t->inv, EXIT_USAGE, "--route %s: expected tor or direct", typed);
        needs_tor |= r->route == ROUTE_TOR;
    }
    if (socks_of_config(t->config, &t->socks, &t->has_tor, &p) != ERR_NONE)
        return command_fail(t->inv, EXIT_USAGE, "%s", p.text);
    if (needs_tor && !t->has_tor)
        return command_fail(t->inv, EXIT_USAGE,
                            "no tor to go through: tor.socks is 'managed', and volley runs that "
                            "tor only when a configured relay has route tor");
    return 0;
}

/* ---- the command ---- */

static int run(struct test *t)
{
    struct problem p;
    const char *ca_file = t->config->publisher.ca_file;
    const struct dialer_options o = {.ca_file = ca_file[0] != '\0' ? ca_file : NULL,
                                     .user_agent = "volley/" VERSION};
    signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&t->loop) != 0)
        die("cannot make an event loop");
    if (dialer_new(&t->loop, &o, &t->dialer, &p) != ERR_NONE) {
        uv_loop_close(&t->loop);
        return command_fail(t->inv, EXIT_USAGE, "%s", p.text);
    }
    uv_timer_init(&t->loop, &t->deadline);
    uv_timer_init(&t->loop, &t->tick);
    t->deadline.data = t->tick.data = t;
    uv_signal_init(&t->loop, &t->interrupt);
    t->interrupt.data = t;
    uv_signal_start_oneshot(&t->interrupt, on_interrupt, SIGINT);
    uv_timer_start(&t->deadline, on_deadline, WHOLE_MS + WHOLE_EACH_MS * t->len, 0);
    if (t->progress)
        uv_timer_start(&t->tick, on_tick, PROGRESS_MS, PROGRESS_MS);
    ask_queue_of(t);
    go_on(t);
    uv_run(&t->loop, UV_RUN_DEFAULT);
    uv_loop_close(&t->loop);
    return 0;
}

static int show(const struct test *t)
{
    const struct test_view v = {.config = t->config,
                                .socks = t->has_tor ? &t->socks : NULL,
                                .relays = t->relays,
                                .len = t->len,
                                .queue_answered = t->queue_answered,
                                .now_ms = t->now_ms};
    if (invocation_option(t->inv, "--json") != NULL)
        test_json(&v, stdout);
    else
        test_table(&v, terminal_size(1, NULL), terminal_colours(1), stdout);
    for (size_t i = 0; i < t->len; i++)
        if (!test_reached(&t->relays[i]))
            return 1;
    return 0;
}

static int test_run(const struct invocation *inv)
{
    struct test t = {.inv = inv,
                     .config = &inv->config,
                     .now_ms = clock_wall_ms(),
                     .began_ms = clock_boot_ms(),
                     .progress = terminal_size(2, NULL) > 0};
    int status = choose_relays(&t);
    if (status == 0)
        status = choose_route(&t);
    if (status == 0)
        status = run(&t);
    if (status == 0)
        status = show(&t);
    free(t.relays);
    free(t.places);
    return status;
}

static const struct option_row options[] = {
    {"--route", "tor|direct", "another route than the relay's own"},
    {"--json", NULL, "one object a line"},
};

const struct command command_test = {
    .name = "test",
    .arguments = "[R…]",
    .summary = "tries each relay over each address family, and shows what happened",
    .details =
        "R is a relay's URL or its configured name; without any, all that are configured. Each is "
        "reached over its own route. Times are in milliseconds: name (direct only), connection "
        "(through Tor the name is a part of it), TLS, websocket, one event read (until the relay "
        "says "
        "that there is no more), the relay's document about itself (NIP-11); CERT is how many days "
        "its certificate is still valid. Nothing is "
        "published. The exit status is 1 when a relay can't be reached by any family. Ctrl-C shows "
        "what was found so far.",
    .examples = "  volley test\n  volley test wss://relay.example\n"
                "  volley test --route direct wss://relay.example --json",
    .options = options,
    .options_len = COUNT_OF(options),
    .arguments_max = 1000,
    .run = test_run,
};
