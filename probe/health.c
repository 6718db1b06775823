#include "probe/health.h"

#include "common/base/clock.h"
#include "common/config/value.h"
#include "common/net/names.h"
#include "ctl/text.h"
#include "httpd/address.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 4000u
#define ANSWER_MAX 2048u

struct ingest_ask {
    struct ingest_ask **slot; /* NULL: cancelled */
    struct service_state *state;
    uv_loop_t *loop;
    struct names *names; /* under way; NULL */
    uint16_t port;
    union address to[2]; /* one of each family, tried in this order */
    size_t to_len, tried_len;
    uv_tcp_t tcp; /* while has_tcp */
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    unsigned open_len; /* handles */
    bool has_tcp, ended;
    char request[HOST_SIZE + 80];
    char answer[ANSWER_MAX];
    size_t len;
};

/* "Volley-Events: accepted=1 duplicate=2 refused=3 error=4" among the headers. */
static void read_counts(const char *headers, struct service_state *out)
{
    uint64_t now[INGEST_RESULT_COUNT];
    const char *line = strstr(headers, "\nVolley-Events: ");

    for (int i = 0; i < INGEST_RESULT_COUNT; i++) {
        char word[16];
        (void)snprintf(word, sizeof word, " %s=", ingest_result_name((enum ingest_result)i));
        const char *at = line != NULL ? strstr(line, word) : NULL;
        if (at == NULL)
            return;
        now[i] = strtoull(at + strlen(word), NULL, 10);
    }
    service_counted(out, now);
}

void health_read(const char *answer, size_t len, struct service_state *out)
{
    char text[ANSWER_MAX + 1], line[sizeof out->text];
    size_t n = len < ANSWER_MAX ? len : ANSWER_MAX;

    memcpy(text, answer, n);
    text[n] = '\0';
    const char *body = strstr(text, "\r\n\r\n");
    bool http = n > 12 && strncmp(text, "HTTP/1.1 ", 9) == 0 && body != NULL;
    if (http)
        read_counts(text, out);
    out->known = true;
    out->well = http && strncmp(text + 9, "200", 3) == 0;
    (void)snprintf(line, sizeof line, "%.*s", http ? (int)strcspn(body + 4, "\r\n") : 0,
                   http ? body + 4 : "");
    if (out->well)
        (void)snprintf(out->text, sizeof out->text, "takes events");
    else if (http && line[0] != '\0')
        (void)clean_text(line, out->text, sizeof out->text);
    else
        (void)snprintf(out->text, sizeof out->text, "does not answer as it should");
    if (out->well)
        out->heard_ms = clock_wall_ms();
}

static void on_closed(uv_handle_t *handle)
{
    struct ingest_ask *a = handle->data;

    if (--a->open_len == 0)
        free(a);
}

/* `trouble` NULL: the answer tells. */
static void end(struct ingest_ask *a, const char *trouble)
{
    if (a->ended)
        return;
    a->ended = true;
    if (a->slot != NULL) {
        *a->slot = NULL;
        if (trouble == NULL)
            health_read(a->answer, a->len, a->state);
        else {
            a->state->known = true;
            a->state->well = false;
            (void)snprintf(a->state->text, sizeof a->state->text, "%s", trouble);
        }
    }
    names_cancel(a->names);
    if (a->has_tcp && !uv_is_closing((uv_handle_t *)&a->tcp))
        uv_close((uv_handle_t *)&a->tcp, on_closed);
    uv_close((uv_handle_t *)&a->timer, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *out)
{
    struct ingest_ask *a = handle->data;

    (void)wanted;
    *out = uv_buf_init(a->answer + a->len, (unsigned)(ANSWER_MAX - a->len));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct ingest_ask *a = stream->data;

    (void)buf;
    if (len > 0)
        a->len += (size_t)len;
    if (len < 0 || a->len == ANSWER_MAX)
        end(a, NULL);
}

static void on_write(uv_write_t *write, int status)
{
    if (status != 0 && status != UV_ECANCELED)
        end(write->data, "hung up");
}

static void try_next(struct ingest_ask *a);

/* This address did not do: another one may. */
static void on_failed_closed(uv_handle_t *handle)
{
    struct ingest_ask *a = handle->data;

    if (a->ended) {
        on_closed(handle);
        return;
    }
    a->open_len--;
    a->has_tcp = false;
    try_next(a);
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct ingest_ask *a = connect->data;
    uv_buf_t buf = uv_buf_init(a->request, (unsigned)strlen(a->request));

    if (status == UV_ECANCELED)
        return;
    if (status != 0) {
        uv_close((uv_handle_t *)&a->tcp, on_failed_closed);
        return;
    }
    a->write.data = a;
    (void)uv_read_start((uv_stream_t *)&a->tcp, on_alloc, on_read);
    (void)uv_write(&a->write, (uv_stream_t *)&a->tcp, &buf, 1, on_write);
}

static void try_next(struct ingest_ask *a)
{
    if (a->tried_len == a->to_len) {
        end(a, a->to_len == 0 ? "has no address" : "can't be reached");
        return;
    }
    (void)uv_tcp_init(a->loop, &a->tcp);
    a->tcp.data = a;
    a->has_tcp = true;
    a->open_len++;
    if (uv_tcp_connect(&a->connect, &a->tcp, &a->to[a->tried_len++].any, on_connect) != 0)
        uv_close((uv_handle_t *)&a->tcp, on_failed_closed);
}

static void take_first(struct ingest_ask *a, const struct names_family *f)
{
    char text[LINK_ADDRESS_SIZE + 8];
    struct problem ignored;

    if (f->len == 0)
        return;
    bool v6 = strchr(f->addresses[0], ':') != NULL;
    (void)snprintf(text, sizeof text, "%s%s%s:%u", v6 ? "[" : "", f->addresses[0], v6 ? "]" : "",
                   a->port);
    if (address_parse(text, &a->to[a->to_len], &ignored) == ERR_NONE)
        a->to_len++;
}

static void on_names(void *arg, const struct names_result *r)
{
    struct ingest_ask *a = arg;

    a->names = NULL;
    take_first(a, &r->ipv6);
    take_first(a, &r->ipv4);
    try_next(a);
}

static void on_timeout(uv_timer_t *timer)
{
    end(timer->data, "does not answer");
}

/* Who listens everywhere is asked on loopback. */
static void make_reachable(union address *to)
{
    if (to->any.sa_family == AF_INET && to->v4.sin_addr.s_addr == htonl(INADDR_ANY))
        to->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (to->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&to->v6.sin6_addr))
        to->v6.sin6_addr = in6addr_loopback;
}

/* A name and its port. */
static bool split(const char *address, char host[HOST_SIZE], uint16_t *port)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    size_t len = strspn(address, letters);
    uint64_t number;

    if (len == 0 || len >= HOST_SIZE || address[len] != ':' ||
        value_uint(address + len + 1, &number) != ERR_NONE || number == 0 || number > UINT16_MAX)
        return false;
    memcpy(host, address, len);
    host[len] = '\0';
    *port = (uint16_t)number;
    return true;
}

enum err ingest_address_check(const char *address, struct problem *p)
{
    char host[HOST_SIZE];
    union address literal;
    struct problem ignored;
    uint16_t port;

    if (address_parse(address, &literal, &ignored) == ERR_NONE || split(address, host, &port))
        return ERR_NONE;
    return problem_set(p, ERR_INVALID, "'%.100s' is not HOST:PORT", address);
}

static struct ingest_ask *ask_new(uv_loop_t *loop, const char *address, struct ingest_ask **slot,
                                  struct service_state *state)
{
    struct ingest_ask *a = mem_zero(1, sizeof *a);

    a->slot = slot;
    a->state = state;
    a->loop = loop;
    (void)snprintf(a->request, sizeof a->request,
                   "GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", address);
    (void)uv_timer_init(loop, &a->timer);
    a->open_len = 1;
    a->timer.data = a->connect.data = a;
    (void)uv_timer_start(&a->timer, on_timeout, TIMEOUT_MS, 0);
    return a;
}

struct ingest_ask *ingest_ask(uv_loop_t *loop, const char *address, struct ingest_ask **slot,
                              struct service_state *state)
{
    char host[HOST_SIZE];
    union address to;
    struct problem why;
    uint16_t port = 0;

    state->configured = true;
    bool literal = address_parse(address, &to, &why) == ERR_NONE;
    if (!literal && !split(address, host, &port)) {
        state->known = true;
        (void)snprintf(state->text, sizeof state->text, "%.150s", why.text);
        return NULL;
    }
    struct ingest_ask *a = ask_new(loop, address, slot, state);
    a->port = port;
    if (literal) {
        make_reachable(&to);
        a->to[a->to_len++] = to;
        try_next(a);
    } else {
        a->names = names_look(loop, ROUTE_DIRECT, host, on_names, a);
        if (a->names == NULL) /* the timer ends it, later */
            (void)uv_timer_start(&a->timer, on_timeout, 0, 0);
    }
    return a;
}

void ingest_ask_cancel(struct ingest_ask *a)
{
    a->slot = NULL;
    end(a, "");
}
