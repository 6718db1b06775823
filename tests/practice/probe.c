/* `practice probe QUEUE INTERVAL [ANY IPV6 IPV4]`: a prober of its own, as often as told (in ms),
 * through these SOCKS ports. Ends with SIGTERM. */
#include "tests/practice/practice.h"

#include "common/base/log.h"
#include "probe/prober.h"

#include <signal.h>
#include <stdlib.h>

#define CONNECT_MS 3000u

struct probing {
    uv_loop_t loop;
    struct queue *q;
    struct prober *prober;
    uv_signal_t stop;
};

static void on_queue_closed(void *arg)
{
    (void)arg;
}

static void on_prober_closed(void *arg)
{
    struct probing *x = arg;
    x->q->ops->close(x->q, on_queue_closed, x);
}

static void on_stop(uv_signal_t *s, int number)
{
    struct probing *x = s->data;
    (void)number;
    uv_close((uv_handle_t *)s, NULL);
    prober_close(x->prober, on_prober_closed, x);
}

int practice_probe(int argc, char **argv)
{
    struct probing x = {.q = NULL};
    struct socks_ports socks = {.any = ""};
    struct problem p = {0};
    if (argc != 2 && argc != 5) {
        fprintf(stderr, "usage: practice probe QUEUE INTERVAL_MS [ANY IPV6 IPV4]\n");
        return 2;
    }
    if (argc == 5) {
        (void)snprintf(socks.any, sizeof socks.any, "%s", argv[2]);
        (void)snprintf(socks.ipv6, sizeof socks.ipv6, "%s", argv[3]);
        (void)snprintf(socks.ipv4, sizeof socks.ipv4, "%s", argv[4]);
    }
    const struct queue_options o = {.url = argv[0]};
    const struct prober_settings s = {.interval_ms = strtoull(argv[1], NULL, 10),
                                      .routes = (1u << ROUTE_TOR) | (1u << ROUTE_DIRECT),
                                      .connect_timeout_ms = CONNECT_MS,
                                      .socks = argc == 5 ? &socks : NULL};
    signal(SIGPIPE, SIG_IGN);
    log_init(LOG_DEBUG, LOG_TEXT, "probe");
    uv_loop_init(&x.loop);
    if (queue_open(&x.loop, &o, &x.q, &p) != ERR_NONE ||
        prober_new(&x.loop, x.q, &s, &x.prober, &p) != ERR_NONE) {
        fprintf(stderr, "%s\n", p.text);
        return 1;
    }
    uv_signal_init(&x.loop, &x.stop);
    x.stop.data = &x;
    uv_signal_start(&x.stop, on_stop, SIGTERM);
    uv_run(&x.loop, UV_RUN_DEFAULT);
    uv_loop_close(&x.loop);
    return 0;
}
