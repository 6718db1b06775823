#include "common/net/ipv6.h"

#include "common/base/clock.h"
#include "common/net/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEST_MS 5000u

/* ---- looking ---- */

/* "20010db8…(32 digits) 02 40 00 80 eth0": index, prefix, scope, flags, name. */
#define SCOPE_GLOBAL    0x00u /* unique-local ones too */
#define FLAG_DAD_FAILED 0x08u
#define FLAG_TENTATIVE  0x40u

unsigned ipv6_count(const char *if_inet6)
{
    unsigned count = 0;
    while (*if_inet6 != '\0') {
        unsigned index, prefix, scope, flags;
        char address[33];
        if (sscanf(if_inet6, "%32[0-9a-f] %x %x %x %x", address, &index, &prefix, &scope, &flags) ==
                5 &&
            strlen(address) == 32 && scope == SCOPE_GLOBAL &&
            (flags & (FLAG_DAD_FAILED | FLAG_TENTATIVE)) == 0)
            count++;
        if_inet6 += strcspn(if_inet6, "\n");
        if_inet6 += *if_inet6 == '\n';
    }
    return count;
}

/* Connecting a datagram socket asks the routing table and sends nothing. */
static bool has_route(void)
{
    struct sockaddr_in6 anywhere = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    (void)inet_pton(AF_INET6, "2000::1", &anywhere.sin6_addr);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool yes = connect(fd, (struct sockaddr *)&anywhere, sizeof anywhere) == 0;
    close(fd);
    return yes;
}

static bool has_kernel_support(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || (errno != EAFNOSUPPORT && errno != EPROTONOSUPPORT);
}

void ipv6_look(struct ipv6_facts *out)
{
    char text[64 * 1024];
    *out = (struct ipv6_facts){.kernel = has_kernel_support()};
    if (!out->kernel)
        return;
    int fd = open("/proc/net/if_inet6", O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n;
    while (fd >= 0 && len < sizeof text - 1 &&
           (n = read(fd, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    if (fd >= 0)
        close(fd);
    text[len] = '\0';
    out->addresses = ipv6_count(text);
    out->route = has_route();
}

/* ---- telling ---- */

struct telling {
    struct ipv6_line *lines;
    size_t len;
};

static void say(struct telling *t, enum log_level level, const char *fmt, ...) PRINTF(3, 4);
static void say(struct telling *t, enum log_level level, const char *fmt, ...)
{
    if (t->len == IPV6_LINES_MAX)
        die("ipv6: more lines than there can be");
    struct ipv6_line *line = &t->lines[t->len++];
    va_list ap;
    line->level = level;
    va_start(ap, fmt);
    (void)vsnprintf(line->text, sizeof line->text, fmt, ap);
    va_end(ap);
}

static const char *missing(const struct ipv6_facts *f)
{
    return !f->kernel      ? "No IPv6 kernel support"
           : !f->addresses ? "No IPv6 address beyond this link"
           : !f->route     ? "No IPv6 route to the internet"
                           : NULL;
}

/* What is missing matters to direct connections alone. */
static void say_missing(struct telling *t, const struct ipv6_result *r, const char *what)
{
    if (r->direct)
        say(t, LOG_WARN,
            "⚠️ %s: relays on the direct route are reached over IPv4 only, those that have "
            "nothing but IPv6 not at all",
            what);
    if (r->tor)
        say(t, LOG_INFO, "%s%s: over Tor this host needs none, the exit speaks IPv6",
            r->direct ? "IPv6" : what, r->direct ? " is missing" : "");
}

static void say_test(struct telling *t, const struct ipv6_result *r)
{
    if (r->test == IPV6_SKIPPED)
        say(t, LOG_INFO,
            "IPv6 test of %.100s skipped: no relay is reached directly, and connecting would "
            "reveal this host",
            r->test_host);
    else if (r->test == IPV6_CONNECTED)
        say(t, LOG_INFO, "✅ IPv6 connection to %.100s in %u ms", r->test_host,
            (unsigned)r->test_ms);
    else if (r->test == IPV6_FAILED)
        say(t, LOG_WARN, "⚠️ No IPv6 connection to %.100s: %s", r->test_host, r->test_problem);
}

size_t ipv6_tell(const struct ipv6_result *r, struct ipv6_line out[IPV6_LINES_MAX])
{
    struct telling t = {.lines = out};
    const char *what = missing(&r->facts);
    say(&t, LOG_INFO, "Checking IPv6 connectivity...");
    if (r->facts.kernel)
        say(&t, LOG_INFO, "✅ IPv6 kernel support detected");
    if (r->facts.kernel && r->facts.addresses > 0)
        say(&t, LOG_INFO, "✅ IPv6 addresses configured: %u", r->facts.addresses);
    if (what != NULL)
        say_missing(&t, r, what);
    say_test(&t, r);
    return t.len;
}

/* ---- testing ---- */

static enum err parse_host(const char *text, struct relay_url *out, struct problem *p)
{
    char url[URL_SIZE];
    const char *colon = strrchr(text, ':');
    bool has_port = colon != NULL && colon != text && strchr(colon, ']') == NULL;
    int len = snprintf(url, sizeof url, "ws://%s", text);
    if (has_port && len > 0 && (size_t)len < sizeof url && strpbrk(text, "/?#") == NULL &&
        relay_url_parse(url, out, NULL) == ERR_NONE && !out->is_onion)
        return ERR_NONE;
    return problem_set(p, ERR_INVALID,
                       "ipv6.test_host: '%.100s' is not HOST:PORT (an address in brackets: "
                       "[2001:db8::1]:443)",
                       text);
}

enum err ipv6_test_host_check(const char *text, struct problem *p)
{
    struct relay_url url;
    return parse_host(text, &url, p);
}

struct test {
    uv_loop_t loop;
    uv_timer_t timer;
    struct dialer *dialer;
    struct dial *dial;
    struct ipv6_result *result;
    uint64_t start_ms;
};

static void end_test(struct test *t)
{
    t->result->test_ms = clock_boot_ms() - t->start_ms;
    dial_close(t->dial);
    uv_close((uv_handle_t *)&t->timer, NULL);
    dialer_free(t->dialer, NULL, NULL);
}

static void on_connected(void *arg, enum err e, enum link_why why, const char *text)
{
    struct test *t = arg;
    (void)why;
    t->result->test = e == ERR_NONE ? IPV6_CONNECTED : IPV6_FAILED;
    (void)snprintf(t->result->test_problem, sizeof t->result->test_problem, "%s",
                   e == ERR_NONE ? "" : text);
    end_test(t);
}

static void on_timeout(uv_timer_t *timer)
{
    struct test *t = timer->data;
    (void)snprintf(t->result->test_problem, sizeof t->result->test_problem, "no answer in %u s",
                   TEST_MS / 1000);
    end_test(t);
}

/* A loop of its own: services begin to listen only when this is over. */
static void test_host(const struct relay_url *url, struct ipv6_result *out)
{
    struct test t = {.result = out, .start_ms = clock_boot_ms()};
    struct problem p = {0};
    out->test = IPV6_FAILED;
    if (uv_loop_init(&t.loop) != 0)
        die("cannot make an event loop");
    if (dialer_new(&t.loop, &(struct dialer_options){0}, &t.dialer, &p) != ERR_NONE)
        die("%s", p.text);
    (void)uv_timer_init(&t.loop, &t.timer);
    t.timer.data = &t;
    uv_timer_start(&t.timer, on_timeout, TEST_MS, 0);
    const struct dial_request request = {
        .url = url, .route = ROUTE_DIRECT, .family = FAMILY_IPV6, .timeout_ms = TEST_MS};
    t.dial = dial_start(t.dialer, &request, on_connected, &t);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&t.loop) != 0)
        die("the test of IPv6 left something open");
}

/* ---- all of it ---- */

void check_ipv6(const struct ipv6_options *o, struct ipv6_result *out)
{
    struct relay_url url;
    *out = (struct ipv6_result){.direct = o->direct, .tor = o->tor, .test_host = o->test_host};
    ipv6_look(&out->facts);
    if (o->test_host == NULL || o->test_host[0] == '\0')
        return;
    if (!o->direct)
        out->test = IPV6_SKIPPED;
    else if (parse_host(o->test_host, &url, NULL) == ERR_NONE)
        test_host(&url, out);
}

void check_ipv6_log(const struct ipv6_options *o)
{
    struct ipv6_result result;
    struct ipv6_line lines[IPV6_LINES_MAX];
    check_ipv6(o, &result);
    size_t len = ipv6_tell(&result, lines);
    for (size_t i = 0; i < len; i++)
        LOG(lines[i].level, lines[i].text);
}
