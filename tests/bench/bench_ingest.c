/* How many events a second ingest accepts, and what one costs in CPU, on a queue that answers every
 * append in the next loop turn. The clients are processes of their own, so only ingest's CPU is
 * counted. Usage: bench_ingest [EVENTS] */
#include "common/base/clock.h"
#include "ingest/ingest.h"
#include "tests/support/make_event.h"
#include "tests/support/ws_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS_DEFAULT 40000u
#define CLIENTS_MAX    16u

/* ---- a queue that keeps nothing */

struct waiting {
    queue_append_fn *fn;
    void *arg;
};

struct instant_queue {
    struct queue queue;
    uv_idle_t turn;
    struct waiting *waiting;
    size_t waiting_len, waiting_cap;
    uint64_t pos;
};

static void on_turn(uv_idle_t *handle)
{
    struct instant_queue *q = handle->data;
    size_t len = q->waiting_len;

    for (size_t n = 0; n < len; n++) {
        struct append_result r = {.pos = ++q->pos};
        q->waiting[n].fn(q->waiting[n].arg, ERR_NONE, &r, NULL);
    }
    q->waiting_len = 0;
    (void)uv_idle_stop(&q->turn);
}

static void on_append(struct queue *base, struct event *ev, queue_append_fn *fn, void *arg)
{
    struct instant_queue *q = (struct instant_queue *)base;

    (void)ev;
    if (q->waiting_len == q->waiting_cap) {
        q->waiting_cap = q->waiting_cap * 2 + 64;
        q->waiting = mem_grow(q->waiting, q->waiting_cap * sizeof q->waiting[0]);
    }
    q->waiting[q->waiting_len++] = (struct waiting){fn, arg};
    (void)uv_idle_start(&q->turn, on_turn);
}

static const struct queue_ops instant_ops = {.append = on_append};

/* ---- clients */

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    char answer[1024];
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        send(fd, request, sizeof request - 1, 0) != sizeof request - 1 ||
        recv(fd, answer, sizeof answer, 0) < 12 || memcmp(answer + 9, "101", 3) != 0)
        die("the handshake failed: %s", strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* OKs that begin in these bytes; one cut in two is counted with its second half by `kept`. */
static size_t count_oks(const char *data, size_t len)
{
    size_t count = 0;

    for (const char *at = data; (at = memmem(at, len - (size_t)(at - data), "\",true,", 7)); at++)
        count++;
    return count;
}

/* Sends everything as fast as ingest reads, and reads until every event was answered. */
static void run_client(uint16_t port, const struct buf *frames, size_t events_len)
{
    static char data[1 << 20];
    int fd = connect_to(port);
    size_t sent = 0, oks = 0, kept = 0;

    while (oks < events_len) {
        struct pollfd p = {.fd = fd,
                           .events = (short)(POLLIN | (sent < frames->len ? POLLOUT : 0))};
        (void)poll(&p, 1, -1);
        if (p.revents & POLLOUT) {
            ssize_t n = send(fd, frames->data + sent, frames->len - sent, MSG_DONTWAIT);
            if (n > 0)
                sent += (size_t)n;
        }
        if (p.revents & POLLIN) {
            ssize_t n = recv(fd, data + kept, sizeof data - kept, 0);
            if (n <= 0)
                die("ingest hung up after %zu of %zu", oks, events_len);
            size_t len = kept + (size_t)n;
            oks += count_oks(data, len);
            kept = len < 6 ? len : 6; /* one byte less than what is looked for */
            memmove(data, data + len - kept, kept);
        }
    }
    (void)close(fd);
}

/* ---- the measurement */

static double cpu_s(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void on_beat(uv_timer_t *timer)
{
    (void)timer;
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

static void measure(unsigned clients, const struct buf *frames, size_t events_len)
{
    uv_loop_t loop;
    struct instant_queue q = {.queue = {&instant_ops}};
    struct ingest_options o = {.listen = {"127.0.0.1:0"}, .listen_len = 1};
    struct ingest *i;
    struct problem why;
    uv_timer_t beat;
    unsigned left = clients;
    bool drained = false;

    if (uv_loop_init(&loop) != 0 || ingest_new(&loop, &q.queue, &o, &i, &why) != ERR_NONE)
        die("ingest does not start");
    (void)uv_idle_init(&loop, &q.turn);
    q.turn.data = &q;
    (void)uv_timer_init(&loop, &beat);
    (void)uv_timer_start(&beat, on_beat, 5, 5);
    for (unsigned n = 0; n < clients; n++) {
        if (fork() == 0) {
            run_client(ingest_port(i, 0), &frames[n], events_len / clients);
            _exit(0);
        }
    }
    double cpu = cpu_s();
    uint64_t start_us = clock_boot_us();
    while (left > 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        while (left > 0 && waitpid(-1, NULL, WNOHANG) > 0)
            left--;
    }
    double took_s = (double)(clock_boot_us() - start_us) / 1e6;
    cpu = cpu_s() - cpu;
    printf("%u clients: %.0f events/s, %.1f us of CPU an event (verification included)\n", clients,
           (double)q.pos / took_s, cpu * 1e6 / (double)q.pos);
    ingest_drain(i, 1000, on_drained, &drained);
    while (!drained)
        (void)uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&beat, NULL);
    uv_close((uv_handle_t *)&q.turn, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    free(q.waiting);
}

/* Events are dealt out to the clients in turn. */
static void make_frames(struct buf *frames, unsigned clients, size_t events_len, unsigned series)
{
    static char text[2048], content[300];

    for (unsigned n = 0; n < clients; n++)
        buf_init(&frames[n], 1u << 30);
    memset(content, 'x', sizeof content - 1);
    for (size_t n = 0; n < events_len; n++) {
        (void)snprintf(content, 32, "bench %u %zu", series, n);
        content[strlen(content)] = ' ';
        struct event *ev =
            make_signed_event((unsigned)n % TEST_AUTHORS, 1700000000, 1, "[]", content);
        int len = snprintf(text, sizeof text, "[\"EVENT\",%.*s]", (int)ev->len, ev->bytes);
        ws_frame(&frames[n % clients], 0x81, text, (size_t)len);
        event_unref(ev);
    }
}

int main(int argc, char **argv)
{
    size_t events_len = argc > 1 ? strtoul(argv[1], NULL, 10) : EVENTS_DEFAULT;
    static const unsigned rows[] = {1, 4};
    struct buf frames[CLIENTS_MAX];

    (void)signal(SIGPIPE, SIG_IGN);
    for (unsigned r = 0; r < COUNT_OF(rows); r++) {
        make_frames(frames, rows[r], events_len, r);
        measure(rows[r], frames, events_len);
        for (unsigned n = 0; n < rows[r]; n++)
            buf_fini(&frames[n]);
    }
    return 0;
}
