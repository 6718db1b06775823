/* A connection, by libcurl's CURLOPT_CONNECT_ONLY: libcurl resolves, connects, speaks SOCKS and
 * TLS, then hands over a stream. Facts this rests on (libcurl 7.88), beside those of dialer.c:
 *
 * - The handle stays in the multi for the life of the link: removing it closes the connection.
 * - A connection nobody has sent on counts as idle: when another starts, libcurl may close it. The
 *   first curl_easy_send ties it to its handle for good; the websocket's request is sent at once.
 */
#include "common/net/dial.h"

#include "common/base/clock.h"
#include "common/net/transfer.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct dial {
    struct transfer transfer; /* first: its `done` finds the dial */
    dial_fn *fn;
    void *arg;
    enum family family;
    bool tls, by_socks;
    int fd; /* -1 until connected */
    uint64_t start_us, tls_start_us, done_us;
};

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

static void tell(struct transfer *t, CURLcode code);

struct dial *dial_start(struct dialer *d, const struct dial_request *r, dial_fn *fn, void *arg)
{
    struct dial *x = mem_zero(1, sizeof *x);
    const struct transfer_way way = {
        .route = r->route, .family = r->family, .socks = r->socks, .socks_user = r->socks_user};
    x->fn = fn;
    x->arg = arg;
    x->family = r->family;
    x->tls = r->url->tls;
    x->by_socks = r->route == ROUTE_TOR;
    x->fd = -1;
    x->start_us = clock_boot_us();
    x->transfer.done = tell;
    transfer_init(&x->transfer, d, r->url, "/", &way);
    TRANSFER_SET(&x->transfer, CURLOPT_CONNECT_ONLY, 1L);
    TRANSFER_SET(&x->transfer, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
    TRANSFER_SET(&x->transfer, CURLOPT_SSL_CTX_DATA, x);
    TRANSFER_SET(&x->transfer, CURLOPT_CONNECTTIMEOUT_MS, (long)r->timeout_ms);
    transfer_start(&x->transfer);
    return x;
}

void dial_close(struct dial *x)
{
    if (x == NULL)
        return;
    transfer_end(&x->transfer);
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
    (void)curl_easy_getinfo(x->transfer.easy, CURLINFO_PROXY_ERROR, &code);
    if (code > 0 && code < CURLPX_LAST && words[code] != NULL)
        return words[code];
    /* Tor has codes of its own for onion services; they stand at the end of libcurl's words. */
    const char *number = strrchr(x->transfer.problem, '(');
    return number != NULL ? number : x->transfer.problem;
}

/* libcurl's words without what only it needs. */
static const char *tls_words(const struct dial *x, CURLcode code)
{
    static const char *const starts[] = {
        "SSL certificate problem: ", "SSL: ", "OpenSSL SSL_connect: ", "TLS connect error: "};
    for (size_t i = 0; i < COUNT_OF(starts); i++)
        if (strncmp(x->transfer.problem, starts[i], strlen(starts[i])) == 0)
            return x->transfer.problem + strlen(starts[i]);
    return x->transfer.problem[0] != '\0' ? x->transfer.problem : curl_easy_strerror(code);
}

/* What a failure is called. */
struct verdict {
    enum err err;
    enum link_why why;
    char text[CURL_ERROR_SIZE + 32];
};

static void explain_socks(const struct dial *x, struct verdict *v)
{
    long code = 0;
    (void)curl_easy_getinfo(x->transfer.easy, CURLINFO_PROXY_ERROR, &code);
    bool tor_itself =
        code == CURLPX_CLOSED || code == CURLPX_NO_AUTH || code == CURLPX_USER_REJECTED;
    bool refused = code == CURLPX_REPLY_CONNECTION_REFUSED;
    v->why = tor_itself ? LINK_WHY_TOR : refused ? LINK_WHY_REFUSED : LINK_WHY_UNREACHABLE;
    (void)snprintf(v->text, sizeof v->text, "SOCKS: %s", socks_words(x));
}

/* The system's error: of the connection to the relay, or to the SOCKS port. */
static void explain_os(const struct dial *x, int error, struct verdict *v)
{
    char words[100];
    os_words(error, words, sizeof words);
    v->why = x->by_socks             ? LINK_WHY_TOR
             : error == ECONNREFUSED ? LINK_WHY_REFUSED
                                     : LINK_WHY_UNREACHABLE;
    (void)snprintf(v->text, sizeof v->text, "%s: %s", x->by_socks ? "SOCKS port" : "connect",
                   words);
}

static void explain_no_address(const struct dial *x, struct verdict *v)
{
    v->why = x->by_socks ? LINK_WHY_TOR : LINK_WHY_NO_ADDRESS;
    (void)snprintf(v->text, sizeof v->text, "%s",
                   x->by_socks                ? "SOCKS port: no such address"
                   : x->family == FAMILY_IPV6 ? "name: no IPv6 address"
                                              : "name: no IPv4 address");
}

static void explain(const struct dial *x, CURLcode code, struct verdict *v)
{
    long error = 0;
    *v = (struct verdict){.err = ERR_UNREACHABLE, .why = LINK_WHY_UNREACHABLE};
    if (code == CURLE_OPERATION_TIMEDOUT) {
        *v = (struct verdict){ERR_TIMEOUT, LINK_WHY_TIMEOUT, "timeout"};
        return;
    }
    if (x->tls_start_us != 0) {
        *v = (struct verdict){.err = ERR_TLS, .why = LINK_WHY_TLS};
        (void)snprintf(v->text, sizeof v->text, "TLS: %s", tls_words(x, code));
        return;
    }
    if (code == CURLE_COULDNT_CONNECT)
        (void)curl_easy_getinfo(x->transfer.easy, CURLINFO_OS_ERRNO, &error);
    /* Without an error of the system there was no address to connect to: libcurl asks for both
     * families when it wants IPv6, and a name that has the other one only does exist. */
    bool no_address = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
                      (code == CURLE_COULDNT_CONNECT && error == 0);
    if (no_address) {
        explain_no_address(x, v);
    } else if (code == CURLE_PROXY) {
        explain_socks(x, v);
    } else if (code == CURLE_COULDNT_CONNECT) {
        explain_os(x, (int)error, v);
    } else {
        const char *words = x->transfer.problem;
        v->why = x->by_socks ? LINK_WHY_TOR : LINK_WHY_UNREACHABLE;
        (void)snprintf(v->text, sizeof v->text, "%s: %s", x->by_socks ? "SOCKS port" : "connect",
                       words[0] != '\0' ? words : curl_easy_strerror(code));
    }
}

static void tell(struct transfer *t, CURLcode code)
{
    struct dial *x = (struct dial *)t;
    struct verdict v = {0};
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (code == CURLE_OK)
        code = curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (code == CURLE_OK && fd == CURL_SOCKET_BAD)
        code = CURLE_COULDNT_CONNECT;
    if (code != CURLE_OK) {
        explain(x, code, &v);
    } else {
        x->fd = fd;
        x->done_us = clock_boot_us();
    }
    x->fn(x->arg, v.err, v.why, v.text);
}

void dial_look(struct dial *x, struct dial_times *out)
{
    curl_off_t dns_us = 0;
    *out = (struct dial_times){0};
    if (!x->by_socks)
        (void)curl_easy_getinfo(x->transfer.easy, CURLINFO_NAMELOOKUP_TIME_T, &dns_us);
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
        (void)curl_easy_getinfo(x->transfer.easy, CURLINFO_PRIMARY_IP, &address);
    (void)snprintf(out, size, "%s", address == NULL ? "" : address);
}

uint16_t dial_local_port(struct dial *x)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof a;
    if (x->fd < 0 || getsockname(x->fd, (struct sockaddr *)&a, &len) != 0)
        return 0;
    if (a.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&a)->sin_port);
    return a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port) : 0;
}

int64_t dial_certificate_end_s(struct dial *x)
{
    struct curl_tlssessioninfo *session = NULL;
    struct tm end = {0};
    if (!x->tls || x->done_us == 0 ||
        curl_easy_getinfo(x->transfer.easy, CURLINFO_TLS_SSL_PTR, &session) != CURLE_OK ||
        session->backend != CURLSSLBACKEND_OPENSSL || session->internals == NULL)
        return 0;
    const X509 *certificate = SSL_get0_peer_certificate(session->internals);
    if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1)
        return 0;
    return (int64_t)timegm(&end);
}

/* --- the stream ------------------------------------------------------------------------------ */

ssize_t dial_send(struct dial *x, const uint8_t *data, size_t len)
{
    size_t sent = 0;
    CURLcode code = curl_easy_send(x->transfer.easy, data, len, &sent);
    if (code == CURLE_AGAIN)
        return 0;
    return code == CURLE_OK ? (ssize_t)sent : -1;
}

ssize_t dial_recv(struct dial *x, uint8_t *data, size_t len)
{
    size_t got = 0;
    CURLcode code = curl_easy_recv(x->transfer.easy, data, len, &got);
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
