/* libcurl's multi interface under libuv, by CURLOPT_CONNECT_ONLY: libcurl resolves, connects,
 * speaks SOCKS and TLS, then hands over a stream. Facts this rests on (libcurl 7.88):
 *
 * - NOPROXY "" and an explicit PROXY, always: else the environment decides, and leaks.
 * - The handle stays in the multi for the life of the link: removing it closes the connection.
 * - A connection nobody has sent on counts as idle: when another starts, libcurl may close it. The
 *   first curl_easy_send ties it to its handle for good; the websocket's request is sent at once.
 * - With CAPATH NULL all connections share one parsed CA store, kept in the multi.
 * - Without QUICK_EXIT, closing a handle waits for its thread that resolves the name: seconds. */
#include "common/net/dial.h"

#include "common/base/clock.h"

#include <ctype.h>
#include <curl/curl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dialer {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    char *ca_file, *user_agent; /* NULL: none */
    size_t handles;             /* of the loop, not yet closed */
    bool closing;
    void (*free_fn)(void *arg);
    void *free_arg;
};

/* A descriptor that libcurl wants watched. */
struct watch {
    uv_poll_t poll;
    struct dialer *dialer;
    curl_socket_t fd;
};

struct dial {
    struct dialer *dialer;
    CURL *easy;
    dial_fn *fn;
    void *arg;
    enum family family;
    bool tls, by_socks;
    int fd; /* -1 until connected */
    uint64_t start_us, tls_start_us, done_us;
    char problem[CURL_ERROR_SIZE];
};

/* --- libcurl on the loop --------------------------------------------------------------------- */

/* libcurl's verdicts. A `fn` may close any dial and even the dialer. */
static void tell(struct dial *x, CURLcode code);

static void tell_all(struct dialer *d)
{
    int left;
    CURLMsg *m;
    while (!d->closing && (m = curl_multi_info_read(d->multi, &left)) != NULL) {
        struct dial *x = NULL;
        CURLcode code = m->data.result;
        if (m->msg == CURLMSG_DONE &&
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x) == CURLE_OK)
            tell(x, code);
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

/* --- one try --------------------------------------------------------------------------------- */

/* TLS begins: only here is it seen that SOCKS is over. And OpenSSL wants a write that blocked
 * repeated from the very same address, unless told otherwise. */
static CURLcode on_tls_context(CURL *easy, void *context, void *arg)
{
    struct dial *x = arg;
    (void)easy;
    x->tls_start_us = clock_boot_us();
    (void)SSL_CTX_set_mode(context,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return CURLE_OK;
}

/* Our libcurl knows every option that is set here. */
#define SET(x, option, value)                                                                      \
    do {                                                                                           \
        if (curl_easy_setopt((x)->easy, option, value) != CURLE_OK)                                \
            die("libcurl refuses " #option);                                                       \
    } while (0)

static void set_route(struct dial *x, const struct dial_request *r)
{
    char proxy[SOCKS_ADDRESS_SIZE + 32] = ""; /* "" is direct, whatever the environment says */
    bool tor = r->route == ROUTE_TOR;
    if (tor && (r->socks == NULL || r->socks[0] == '\0'))
        die("dial: route tor without a SOCKS port");
    if (tor && strncmp(r->socks, "unix:", 5) == 0)
        (void)snprintf(proxy, sizeof proxy, "socks5h://localhost%s", r->socks + 5);
    else if (tor)
        (void)snprintf(proxy, sizeof proxy, "socks5h://%s", r->socks);
    SET(x, CURLOPT_PROXY, proxy);
    SET(x, CURLOPT_PRE_PROXY, "");
    SET(x, CURLOPT_NOPROXY, "");
    SET(x, CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC);
    long resolve = CURL_IPRESOLVE_WHATEVER;
    if (!tor)
        resolve = r->family == FAMILY_IPV6 ? CURL_IPRESOLVE_V6 : CURL_IPRESOLVE_V4;
    else if (r->socks_user != NULL) {
        SET(x, CURLOPT_PROXYUSERNAME, r->socks_user);
        SET(x, CURLOPT_PROXYPASSWORD, "x"); /* tor looks at both alike */
    }
    SET(x, CURLOPT_IPRESOLVE, resolve);
}

static void set_tls(struct dial *x, const struct dialer *d)
{
    SET(x, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(x, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(x, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(x, CURLOPT_SSL_SESSIONID_CACHE, 0L); /* a session would tie two circuits together */
    SET(x, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
    SET(x, CURLOPT_SSL_CTX_DATA, x);
    SET(x, CURLOPT_CAPATH, NULL);
    if (d->ca_file != NULL)
        SET(x, CURLOPT_CAINFO, d->ca_file);
}

static void set_rest(struct dial *x, const struct dial_request *r)
{
    char url[HOST_SIZE + 32];
    bool ipv6 = strchr(r->url->host, ':') != NULL;
    (void)snprintf(url, sizeof url, "%s://%s%s%s:%u/", r->url->tls ? "https" : "http",
                   ipv6 ? "[" : "", r->url->host, ipv6 ? "]" : "", (unsigned)r->url->port);
    SET(x, CURLOPT_URL, url);
    SET(x, CURLOPT_PRIVATE, x);
    SET(x, CURLOPT_ERRORBUFFER, x->problem);
    SET(x, CURLOPT_CONNECT_ONLY, 1L);
    SET(x, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(x, CURLOPT_NOSIGNAL, 1L);
    SET(x, CURLOPT_QUICK_EXIT, 1L);
    SET(x, CURLOPT_FRESH_CONNECT, 1L);
    SET(x, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    SET(x, CURLOPT_CONNECTTIMEOUT_MS, (long)r->timeout_ms);
}

struct dial *dial_start(struct dialer *d, const struct dial_request *r, dial_fn *fn, void *arg)
{
    struct dial *x = mem_zero(1, sizeof *x);
    x->dialer = d;
    x->fn = fn;
    x->arg = arg;
    x->family = r->family;
    x->tls = r->url->tls;
    x->by_socks = r->route == ROUTE_TOR;
    x->fd = -1;
    x->start_us = clock_boot_us();
    x->easy = curl_easy_init();
    if (x->easy == NULL)
        die("out of memory (dial)");
    set_rest(x, r);
    set_route(x, r);
    set_tls(x, d);
    CURLMcode code = curl_multi_add_handle(d->multi, x->easy);
    if (code != CURLM_OK)
        die("libcurl takes no handle: %s", curl_multi_strerror(code));
    return x;
}

void dial_close(struct dial *x)
{
    if (x == NULL)
        return;
    (void)curl_multi_remove_handle(x->dialer->multi, x->easy);
    curl_easy_cleanup(x->easy);
    free(x);
}

/* --- what came of it ------------------------------------------------------------------------- */

/* A socket error in lower case, as the other words are. */
static void os_words(int error, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", strerror(error));
    out[0] = (char)tolower((unsigned char)out[0]);
}

static const char *socks_words(const struct dial *x)
{
    static const char *const words[CURLPX_LAST] = {
        [CURLPX_CLOSED] = "connection closed",
        [CURLPX_NO_AUTH] = "no authentication that it accepts",
        [CURLPX_USER_REJECTED] = "user refused",
        [CURLPX_REPLY_GENERAL_SERVER_FAILURE] = "general failure",
        [CURLPX_REPLY_NOT_ALLOWED] = "not allowed",
        [CURLPX_REPLY_NETWORK_UNREACHABLE] = "network unreachable",
        [CURLPX_REPLY_HOST_UNREACHABLE] = "host unreachable",
        [CURLPX_REPLY_CONNECTION_REFUSED] = "connection refused",
        [CURLPX_REPLY_TTL_EXPIRED] = "TTL expired",
        [CURLPX_REPLY_COMMAND_NOT_SUPPORTED] = "command not supported",
        [CURLPX_REPLY_ADDRESS_TYPE_NOT_SUPPORTED] = "address type not supported",
    };
    long code = 0;
    (void)curl_easy_getinfo(x->easy, CURLINFO_PROXY_ERROR, &code);
    if (code > 0 && code < CURLPX_LAST && words[code] != NULL)
        return words[code];
    /* Tor has codes of its own for onion services; they stand at the end of libcurl's words. */
    const char *number = strrchr(x->problem, '(');
    return number != NULL ? number : x->problem;
}

/* libcurl's words without what only it needs. */
static const char *tls_words(const struct dial *x, CURLcode code)
{
    static const char *const starts[] = {
        "SSL certificate problem: ", "SSL: ", "OpenSSL SSL_connect: ", "TLS connect error: "};
    for (size_t i = 0; i < COUNT_OF(starts); i++)
        if (strncmp(x->problem, starts[i], strlen(starts[i])) == 0)
            return x->problem + strlen(starts[i]);
    return x->problem[0] != '\0' ? x->problem : curl_easy_strerror(code);
}

static enum err explain(const struct dial *x, CURLcode code, char *out, size_t size)
{
    const char *who = x->by_socks ? "SOCKS port" : "connect";
    char words[100];
    long error = 0;
    if (code == CURLE_OPERATION_TIMEDOUT) {
        (void)snprintf(out, size, "timeout");
        return ERR_TIMEOUT;
    }
    if (x->tls_start_us != 0) {
        (void)snprintf(out, size, "TLS: %s", tls_words(x, code));
        return ERR_TLS;
    }
    if (code == CURLE_COULDNT_CONNECT)
        (void)curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &error);
    /* Without an error of the system there was no address to connect to: libcurl asks for both
     * families when it wants IPv6, and a name that has the other one only does exist. */
    bool no_address = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
                      (code == CURLE_COULDNT_CONNECT && error == 0);
    if (no_address && x->by_socks) {
        (void)snprintf(out, size, "SOCKS port: no such address");
    } else if (no_address) {
        (void)snprintf(out, size, "name: no %s address",
                       x->family == FAMILY_IPV6 ? "IPv6" : "IPv4");
    } else if (code == CURLE_PROXY) {
        (void)snprintf(out, size, "SOCKS: %s", socks_words(x));
    } else if (code == CURLE_COULDNT_CONNECT) {
        os_words((int)error, words, sizeof words);
        (void)snprintf(out, size, "%s: %s", who, words);
    } else {
        (void)snprintf(out, size, "%s: %s", who,
                       x->problem[0] != '\0' ? x->problem : curl_easy_strerror(code));
    }
    return ERR_UNREACHABLE;
}

static void tell(struct dial *x, CURLcode code)
{
    char text[CURL_ERROR_SIZE + 32] = "";
    enum err e = ERR_NONE;
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (code == CURLE_OK)
        code = curl_easy_getinfo(x->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (code == CURLE_OK && fd == CURL_SOCKET_BAD)
        code = CURLE_COULDNT_CONNECT;
    if (code != CURLE_OK) {
        e = explain(x, code, text, sizeof text);
    } else {
        x->fd = fd;
        x->done_us = clock_boot_us();
    }
    x->fn(x->arg, e, text);
}

void dial_look(struct dial *x, struct dial_times *out)
{
    curl_off_t dns_us = 0;
    *out = (struct dial_times){0};
    if (!x->by_socks)
        (void)curl_easy_getinfo(x->easy, CURLINFO_NAMELOOKUP_TIME_T, &dns_us);
    uint64_t connected_us = x->tls ? x->tls_start_us : x->done_us;
    out->dns_us = (uint64_t)dns_us;
    out->phase = x->by_socks || dns_us > 0 ? DIAL_CONNECT : DIAL_NAME;
    if (connected_us != 0) {
        uint64_t took_us = connected_us - x->start_us;
        out->connect_us = took_us > out->dns_us ? took_us - out->dns_us : 1;
        out->phase = DIAL_TLS;
    }
    if (x->done_us != 0) {
        out->tls_us = x->tls ? x->done_us - x->tls_start_us : 0;
        out->phase = DIAL_DONE;
    }
}

void dial_address(struct dial *x, char *out, size_t size)
{
    char *address = NULL;
    if (!x->by_socks)
        (void)curl_easy_getinfo(x->easy, CURLINFO_PRIMARY_IP, &address);
    (void)snprintf(out, size, "%s", address == NULL ? "" : address);
}

/* --- the stream ------------------------------------------------------------------------------ */

ssize_t dial_send(struct dial *x, const uint8_t *data, size_t len)
{
    size_t sent = 0;
    CURLcode code = curl_easy_send(x->easy, data, len, &sent);
    if (code == CURLE_AGAIN)
        return 0;
    return code == CURLE_OK ? (ssize_t)sent : -1;
}

ssize_t dial_recv(struct dial *x, uint8_t *data, size_t len)
{
    size_t got = 0;
    CURLcode code = curl_easy_recv(x->easy, data, len, &got);
    if (code == CURLE_AGAIN)
        return 0;
    if (code != CURLE_OK)
        return -1;
    return got == 0 ? -2 : (ssize_t)got;
}

int dial_fd(const struct dial *x)
{
    return x->fd;
}
