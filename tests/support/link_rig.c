#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/link_rig.h"

#include "common/base/clock.h"
#include "common/net/websocket.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

int count_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n - 3; /* ".", ".." and the folder itself */
}

void link_rig_init(struct link_rig *r, const char *ca_file)
{
    struct problem p = {""};
    struct dialer_options o = {.ca_file = ca_file, .user_agent = "volley-test"};
    uv_loop_t first;
    (void)signal(SIGPIPE, SIG_IGN);
    memset(r, 0, sizeof *r);
    assert_int_equal(uv_loop_init(&first), 0); /* libuv keeps two descriptors from its first loop */
    assert_int_equal(uv_loop_close(&first), 0);
    r->fds = count_fds();
    assert_int_equal(uv_loop_init(&r->loop), 0);
    if (dialer_new(&r->loop, &o, &r->dialer, &p) != ERR_NONE)
        fail_msg("%s", p.text);
}

static void on_freed(void *arg)
{
    ((struct link_rig *)arg)->dialer = NULL;
}

void link_rig_fini(struct link_rig *r)
{
    link_rig_hang_up(r);
    dialer_free(r->dialer, on_freed, r);
    uint64_t start_ms = clock_boot_ms(); /* after a failure something may be left */
    while (uv_run(&r->loop, UV_RUN_NOWAIT) != 0 && clock_boot_ms() - start_ms < 2000)
        continue;
    assert_null(r->dialer);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    assert_int_equal(count_fds(), r->fds);
}

void link_rig_ask(struct link_rig *r, const char *format, ...)
{
    char text[URL_SIZE];
    struct problem p = {""};
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    r->request = (struct link_request){
        .route = ROUTE_DIRECT, .mode = MODE_AUTO, .race_delay_ms = 300, .timeout_ms = 5000};
    if (relay_url_parse(text, &r->request.url, &p) != ERR_NONE)
        fail_msg("%s", p.text);
}

static void on_link(void *arg, const struct link_result *result)
{
    struct link_rig *r = arg;
    r->opening = NULL;
    r->told++;
    r->result = *result;
    assert_int_equal(result->err == ERR_NONE, result->link != NULL);
    assert_in_range(result->tries_len, 1, LINK_TRIES_MAX);
    assert_true(result->extra_len <= sizeof r->extra);
    if (result->extra_len > 0)
        memcpy(r->extra, result->extra, result->extra_len);
    r->result.extra = (const uint8_t *)r->extra;
}

enum err link_rig_run(struct link_rig *r)
{
    link_rig_hang_up(r);
    uint64_t start_ms = clock_boot_ms();
    r->told = 0;
    r->opening = link_open(r->dialer, &r->request, on_link, r);
    assert_int_equal(r->told, 0);
    while (r->told == 0 && clock_boot_ms() - start_ms < 20000)
        uv_run(&r->loop, UV_RUN_ONCE);
    r->took_ms = clock_boot_ms() - start_ms;
    assert_int_equal(r->told, 1);
    return r->result.err;
}

void link_rig_hang_up(struct link_rig *r)
{
    link_close(r->result.link);
    r->result.link = NULL;
}

static void on_turn_over(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void turn_until(struct link_rig *r, uint64_t ms, const bool *stop)
{
    bool over = false;
    uv_timer_t timer;
    uv_timer_init(&r->loop, &timer);
    timer.data = &over;
    uv_update_time(&r->loop);
    uv_timer_start(&timer, on_turn_over, ms, 0);
    while (!over && !*stop)
        uv_run(&r->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
}

void link_rig_turn(struct link_rig *r, uint64_t ms)
{
    bool never = false;
    turn_until(r, ms, &never);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    *(bool *)poll->data = true;
    uv_poll_stop(poll);
}

void link_rig_wait_readable(struct link_rig *r)
{
    bool readable = false;
    uv_poll_t poll;
    assert_int_equal(uv_poll_init(&r->loop, &poll, link_fd(r->result.link)), 0);
    poll.data = &readable;
    uv_poll_start(&poll, UV_READABLE, on_readable);
    turn_until(r, 5000, &readable);
    uv_close((uv_handle_t *)&poll, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
    assert_true(readable);
}

static bool on_text(void *arg, const char *text, size_t len)
{
    (void)arg;
    assert_int_equal(len, 4);
    assert_memory_equal(text, "ping", 4);
    return true;
}

static ssize_t send_bytes(void *arg, const uint8_t *data, size_t len)
{
    return link_send(((struct link_rig *)arg)->result.link, data, len);
}

static ssize_t recv_bytes(void *arg, uint8_t *data, size_t len)
{
    ssize_t n = link_recv(((struct link_rig *)arg)->result.link, data, len);
    ((struct link_rig *)arg)->told += n > 0;
    return n;
}

void link_rig_echo(struct link_rig *r)
{
    struct websocket_io io = {send_bytes, recv_bytes, on_text, r};
    struct websocket_limits limits = {1000, 2000};
    struct websocket *ws = websocket_new(WEBSOCKET_CLIENT, &io, &limits);
    int before = r->told;
    assert_int_equal(websocket_send_text(ws, "ping", 4), ERR_NONE);
    assert_int_equal(websocket_flush(ws), ERR_NONE);
    while (r->told == before) {
        link_rig_wait_readable(r);
        assert_int_equal(websocket_read(ws, 1000), ERR_NONE);
    }
    websocket_free(ws);
}
