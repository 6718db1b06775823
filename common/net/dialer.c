/* libcurl's multi interface under libuv, and what every transfer sets. Facts this rests on (libcurl
 * 7.88):
 *
 * - NOPROXY "" and an explicit PROXY, always: else the environment decides, and leaks.
 * - With CAPATH NULL all connections share one parsed CA store, kept in the multi.
 * - Without QUICK_EXIT, closing a handle waits for its thread that resolves the name: seconds. */
#include "common/net/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A descriptor that libcurl wants watched. */
struct watch {
    uv_poll_t poll;
    struct dialer *dialer;
    curl_socket_t fd;
};

/* --- libcurl on the loop --------------------------------------------------------------------- */

/* libcurl's verdicts. A `done` may end any transfer and even the dialer. */
static void tell_all(struct dialer *d)
{
    int left;
    CURLMsg *m;
    while (!d->closing && (m = curl_multi_info_read(d->multi, &left)) != NULL) {
        struct transfer *t = NULL;
        CURLcode code = m->data.result;
        if (m->msg == CURLMSG_DONE &&
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) == CURLE_OK)
            t->done(t, code);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    struct dialer *d = w->dialer;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0, running;
    flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    (void)curl_multi_socket_action(d->multi, w->fd, flags, &running);
    tell_all(d);
}

static void on_timer(uv_timer_t *timer)
{
    struct dialer *d = timer->data;
    int running;
    (void)curl_multi_socket_action(d->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    tell_all(d);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    dialer_release(w->dialer);
    free(w);
}

static struct watch *watch_new(struct dialer *d, curl_socket_t fd)
{
    struct watch *w = mem_zero(1, sizeof *w);
    w->dialer = d;
    w->fd = fd;
    int e = uv_poll_init(d->loop, &w->poll, fd);
    if (e != 0)
        die("dial: cannot watch descriptor %d: %s", (int)fd, uv_strerror(e));
    w->poll.data = w;
    dialer_hold(d);
    (void)curl_multi_assign(d->multi, fd, w);
    return w;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct watch *w = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL)
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        return 0;
    }
    if (w == NULL)
        w = watch_new(arg, fd);
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_poll) == 0 ? 0 : -1;
}

static int on_timeout_change(CURLM *multi, long timeout_ms, void *arg)
{
    struct dialer *d = arg;
    (void)multi;
    if (timeout_ms < 0)
        return uv_timer_stop(&d->timer);
    return uv_timer_start(&d->timer, on_timer, (uint64_t)timeout_ms, 0);
}

/* --- the dialer ------------------------------------------------------------------------------ */

enum err dialer_new(uv_loop_t *loop, const struct dialer_options *o, struct dialer **out,
                    struct problem *p)
{
    if (o->ca_file != NULL && access(o->ca_file, R_OK) != 0)
        return problem_set(p, ERR_INVALID, "the file of CA certificates \"%s\" cannot be read",
                           o->ca_file);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return problem_set(p, ERR_IO, "libcurl cannot be started");
    struct dialer *d = mem_zero(1, sizeof *d);
    d->loop = loop;
    d->ca_file = o->ca_file == NULL ? NULL : mem_strdup(o->ca_file);
    d->user_agent = o->user_agent == NULL ? NULL : mem_strdup(o->user_agent);
    d->multi = curl_multi_init();
    if (d->multi == NULL)
        die("out of memory (dialer)");
    (void)uv_timer_init(loop, &d->timer);
    d->timer.data = d;
    d->handles = 1;
    (void)curl_multi_setopt(d->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(d->multi, CURLMOPT_SOCKETDATA, d);
    (void)curl_multi_setopt(d->multi, CURLMOPT_TIMERFUNCTION, on_timeout_change);
    (void)curl_multi_setopt(d->multi, CURLMOPT_TIMERDATA, d);
    *out = d;
    return ERR_NONE;
}

void dialer_hold(struct dialer *d)
{
    d->handles++;
}

void dialer_release(struct dialer *d)
{
    if (--d->handles > 0)
        return;
    void (*fn)(void *arg) = d->free_fn;
    void *arg = d->free_arg;
    (void)curl_multi_cleanup(d->multi);
    curl_global_cleanup();
    free(d->ca_file);
    free(d->user_agent);
    free(d);
    if (fn != NULL)
        fn(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    dialer_release(handle->data);
}

void dialer_free(struct dialer *d, void (*fn)(void *arg), void *arg)
{
    d->closing = true;
    d->free_fn = fn;
    d->free_arg = arg;
    (void)curl_multi_setopt(d->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    (void)curl_multi_setopt(d->multi, CURLMOPT_TIMERFUNCTION, NULL);
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

uv_loop_t *dialer_loop(const struct dialer *d)
{
    return d->loop;
}

const char *dialer_user_agent(const struct dialer *d)
{
    return d->user_agent;
}

/* --- one transfer ---------------------------------------------------------------------------- */

static void set_route(struct transfer *t, const struct transfer_way *w)
{
    char proxy[SOCKS_ADDRESS_SIZE + 32] = ""; /* "" is direct, whatever the environment says */
    bool tor = w->route == ROUTE_TOR;
    if (tor && (w->socks == NULL || w->socks[0] == '\0'))
        die("dial: route tor without a SOCKS port");
    if (tor && strncmp(w->socks, "unix:", 5) == 0)
        (void)snprintf(proxy, sizeof proxy, "socks5h://localhost%s", w->socks + 5);
    else if (tor)
        (void)snprintf(proxy, sizeof proxy, "socks5h://%s", w->socks);
    TRANSFER_SET(t, CURLOPT_PROXY, proxy);
    TRANSFER_SET(t, CURLOPT_PRE_PROXY, "");
    TRANSFER_SET(t, CURLOPT_NOPROXY, "");
    TRANSFER_SET(t, CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC);
    long resolve = CURL_IPRESOLVE_WHATEVER;
    if (!tor)
        resolve = w->family == FAMILY_IPV6 ? CURL_IPRESOLVE_V6 : CURL_IPRESOLVE_V4;
    else if (w->socks_user != NULL) {
        TRANSFER_SET(t, CURLOPT_PROXYUSERNAME, w->socks_user);
        TRANSFER_SET(t, CURLOPT_PROXYPASSWORD, "x"); /* tor looks at both alike */
    }
    TRANSFER_SET(t, CURLOPT_IPRESOLVE, resolve);
}

static void set_tls(struct transfer *t)
{
    TRANSFER_SET(t, CURLOPT_SSL_VERIFYPEER, 1L);
    TRANSFER_SET(t, CURLOPT_SSL_VERIFYHOST, 2L);
    TRANSFER_SET(t, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    TRANSFER_SET(t, CURLOPT_SSL_SESSIONID_CACHE,
                 0L); /* a session would tie two circuits together */
    TRANSFER_SET(t, CURLOPT_CAPATH, NULL);
    if (t->dialer->ca_file != NULL)
        TRANSFER_SET(t, CURLOPT_CAINFO, t->dialer->ca_file);
}

static void set_rest(struct transfer *t, const struct relay_url *u, const char *path)
{
    char url[HOST_SIZE + URL_SIZE + 32];
    bool ipv6 = strchr(u->host, ':') != NULL;
    (void)snprintf(url, sizeof url, "%s://%s%s%s:%u%s", u->tls ? "https" : "http", ipv6 ? "[" : "",
                   u->host, ipv6 ? "]" : "", (unsigned)u->port, path);
    TRANSFER_SET(t, CURLOPT_URL, url);
    TRANSFER_SET(t, CURLOPT_PROTOCOLS_STR, "http,https");
    TRANSFER_SET(t, CURLOPT_PRIVATE, t);
    TRANSFER_SET(t, CURLOPT_ERRORBUFFER, t->problem);
    TRANSFER_SET(t, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    TRANSFER_SET(t, CURLOPT_NOSIGNAL, 1L);
    TRANSFER_SET(t, CURLOPT_QUICK_EXIT, 1L);
    TRANSFER_SET(t, CURLOPT_FRESH_CONNECT, 1L);
    TRANSFER_SET(t, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
}

void transfer_init(struct transfer *t, struct dialer *d, const struct relay_url *u,
                   const char *path, const struct transfer_way *w)
{
    t->dialer = d;
    t->easy = curl_easy_init();
    if (t->easy == NULL)
        die("out of memory (transfer)");
    set_rest(t, u, path);
    set_route(t, w);
    set_tls(t);
}

void transfer_start(struct transfer *t)
{
    CURLMcode code = curl_multi_add_handle(t->dialer->multi, t->easy);
    if (code != CURLM_OK)
        die("libcurl takes no handle: %s", curl_multi_strerror(code));
}

void transfer_end(struct transfer *t)
{
    (void)curl_multi_remove_handle(t->dialer->multi, t->easy);
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
}
