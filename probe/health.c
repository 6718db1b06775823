#include "probe/health.h"

#include "common/base/clock.h"
#include "ctl/text.h"
#include "httpd/address.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 4000u
#define ANSWER_MAX 2048u

struct ingest_ask {
    struct ingest_ask **slot; /* NULL: cancelled */
    struct service_state *state;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    unsigned open_len;
    bool ended;
    char request[160];
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

static void on_connect(uv_connect_t *connect, int status)
{
    struct ingest_ask *a = connect->data;
    uv_buf_t buf = uv_buf_init(a->request, (unsigned)strlen(a->request));

    if (status == UV_ECANCELED)
        return;
    if (status != 0) {
        end(a, "can't be reached");
        return;
    }
    a->write.data = a;
    (void)uv_read_start((uv_stream_t *)&a->tcp, on_alloc, on_read);
    (void)uv_write(&a->write, (uv_stream_t *)&a->tcp, &buf, 1, on_write);
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

struct ingest_ask *ingest_ask(uv_loop_t *loop, const char *address, struct ingest_ask **slot,
                              struct service_state *state)
{
    union address to;
    struct problem why;

    state->configured = true;
    if (address_parse(address, &to, &why) != ERR_NONE) {
        state->known = true;
        (void)snprintf(state->text, sizeof state->text, "%.150s", why.text);
        return NULL;
    }
    make_reachable(&to);
    struct ingest_ask *a = mem_zero(1, sizeof *a);
    a->slot = slot;
    a->state = state;
    (void)snprintf(a->request, sizeof a->request,
                   "GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", address);
    (void)uv_tcp_init(loop, &a->tcp);
    (void)uv_timer_init(loop, &a->timer);
    a->open_len = 2;
    a->tcp.data = a->timer.data = a->connect.data = a;
    (void)uv_timer_start(&a->timer, on_timeout, TIMEOUT_MS, 0);
    if (uv_tcp_connect(&a->connect, &a->tcp, &to.any, on_connect) != 0)
        (void)uv_timer_start(&a->timer, on_timeout, 0, 0);
    return a;
}

void ingest_ask_cancel(struct ingest_ask *a)
{
    a->slot = NULL;
    end(a, "");
}
