/* Each SOCKS port is greeted, as any client does, and nothing is asked of it; the control port,
 * when there is one, tells how far tor is. */
#include "common/base/secret.h"
#include "common/config/socks.h"
#include "common/net/control.h"
#include "ctl/check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MS 3000

/* ---- SOCKS ---- */

static enum err resolve(const char *text, struct sockaddr_storage *out, socklen_t *len,
                        struct problem *p)
{
    *out = (struct sockaddr_storage){0};
    if (strncmp(text, "unix:", 5) == 0) {
        struct sockaddr_un *un = (struct sockaddr_un *)out;
        un->sun_family = AF_UNIX;
        if (strlen(text + 5) >= sizeof un->sun_path)
            return problem_set(p, ERR_INVALID, "the path is too long");
        memcpy(un->sun_path, text + 5, strlen(text + 5) + 1);
        *len = sizeof *un;
        return ERR_NONE;
    }
    char host[SOCKS_ADDRESS_SIZE];
    const char *colon = strrchr(text, ':');
    bool brackets = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text) - 2 * brackets, text + brackets);
    /* A container's name: it is looked up as it is for deliveries. Addresses need no look-up. */
    uv_getaddrinfo_t request;
    uv_loop_t loop;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (uv_loop_init(&loop) != 0)
        die("cannot make an event loop");
    int e = uv_getaddrinfo(&loop, &request, NULL, host, colon + 1, &hints);
    (void)uv_loop_close(&loop);
    if (e != 0)
        return problem_set(p, ERR_UNREACHABLE, "%s", uv_strerror(e));
    *len = request.addrinfo->ai_addrlen;
    memcpy(out, request.addrinfo->ai_addr, *len);
    uv_freeaddrinfo(request.addrinfo);
    return ERR_NONE;
}

static enum err wait_for(int fd, short events, struct problem *p)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int error = 0;
    socklen_t len = sizeof error;
    if (poll(&poll_fd, 1, ANSWER_MS) <= 0)
        return problem_set(p, ERR_TIMEOUT, "no answer in %d s", ANSWER_MS / 1000);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0)
        return problem_set(p, ERR_UNREACHABLE, "%s", strerror(error));
    return ERR_NONE;
}

/* "Version 5, two ways to be let in: none, user and password." */
static enum err exchange(int fd, struct problem *p)
{
    static const uint8_t hello[] = {5, 2, 0, 2};
    uint8_t answer[2];
    enum err e = wait_for(fd, POLLOUT, p);
    if (e == ERR_NONE && send(fd, hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello)
        e = problem_set(p, ERR_CLOSED, "%s", strerror(errno));
    if (e == ERR_NONE)
        e = wait_for(fd, POLLIN, p);
    if (e != ERR_NONE)
        return e;
    if (recv(fd, answer, sizeof answer, 0) != sizeof answer || answer[0] != 5 || answer[1] == 0xff)
        return problem_set(p, ERR_PROTOCOL, "this is no SOCKS5 port");
    return ERR_NONE;
}

static enum err greet(const char *address, struct problem *p)
{
    struct sockaddr_storage to;
    socklen_t len = 0;
    enum err e = resolve(address, &to, &len, p);
    if (e != ERR_NONE)
        return e;
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return problem_set(p, ERR_IO, "%s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, len) != 0 && errno != EINPROGRESS)
        e = problem_set(p, ERR_UNREACHABLE, "%s", strerror(errno));
    if (e == ERR_NONE)
        e = exchange(fd, p);
    close(fd);
    return e;
}

/* ---- the control port ---- */

struct asking {
    uv_timer_t timer;
    struct control *control;
    struct control_status status;
    bool over;
};

static void stop_asking(struct asking *a)
{
    if (a->over)
        return;
    a->over = true;
    uv_close((uv_handle_t *)&a->timer, NULL);
    control_free(a->control, NULL, NULL);
}

static void on_status(void *arg, const struct control_status *s)
{
    struct asking *a = arg;
    a->status = *s;
    stop_asking(a);
}

static void on_timeout(uv_timer_t *timer)
{
    struct asking *a = timer->data;
    (void)snprintf(a->status.problem, sizeof a->status.problem, "no answer");
    stop_asking(a);
}

static void ask_control(const char *address, const char *password_file, struct control_status *out)
{
    uv_loop_t loop;
    struct asking a = {0};
    if (uv_loop_init(&loop) != 0)
        die("cannot make an event loop");
    (void)uv_timer_init(&loop, &a.timer);
    a.timer.data = &a;
    uv_timer_start(&a.timer, on_timeout, ANSWER_MS, 0);
    a.control = control_new(
        &loop, &(struct control_options){.address = address,
                                         .password_file = password_file,
                                         .password_may_be_readable = secret_in_container(),
                                         .on_status = on_status,
                                         .arg = &a});
    uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    *out = a.status;
}

/* ---- what to say ---- */

/* Whether it answered. */
static bool say_control(struct check *k, const struct tor_ports *tor, const struct config *c)
{
    struct control_status s;
    ask_control(tor->control, c->tor.control_password_file, &s);
    if (s.state == CONTROL_READY)
        check_say(k, CHECK_OK, "tor: bootstrapped");
    else if (s.state == CONTROL_BOOTSTRAPPING)
        check_say(k, CHECK_WARNING, "tor: not bootstrapped yet, %d %% (%s)%s%s", s.percent,
                  s.summary, s.problem[0] != '\0' ? ": " : "", s.problem);
    else if (tor->managed)
        check_say(k, CHECK_ERROR, "tor: the managed one does not run (%s); is 'volley up' running?",
                  s.problem);
    else
        check_say(k, CHECK_ERROR, "tor: control port: %s", s.problem);
    return s.state != CONTROL_AWAY;
}

/* The first that does not answer. */
static enum err greet_all(const struct socks_ports *s, struct problem *p)
{
    const char *const ports[] = {s->any, s->ipv6, s->ipv4};
    for (size_t i = 0; i < COUNT_OF(ports); i++) {
        struct problem why = {0};
        if (ports[i][0] != '\0' && greet(ports[i], &why) != ERR_NONE)
            return problem_set(p, ERR_UNREACHABLE, "tor: the SOCKS port %s: %s", ports[i],
                               why.text);
    }
    return ERR_NONE;
}

void check_tor(struct check *k, const struct config *c)
{
    struct tor_ports tor;
    struct problem p;
    if (tor_ports_of_config(c, &tor, &p) != ERR_NONE) {
        check_say(k, CHECK_ERROR, "tor: %s", p.text);
        return;
    }
    if (!tor.has_tor || config_route_len(c, ROUTE_TOR) == 0) {
        check_say(k, CHECK_OK, "tor: no relay needs it");
        return;
    }
    bool known = tor.control[0] == '\0' || say_control(k, &tor, c);
    if (tor.managed && !known)
        return;
    if (greet_all(&tor.socks, &p) != ERR_NONE) {
        check_say(k, CHECK_ERROR, "%s; deliveries over Tor wait", p.text);
        return;
    }
    check_say(k, CHECK_OK, "tor: through the SOCKS port %s%s", tor.socks.any,
              tor.socks.ipv6[0] != '\0'
                  ? ", with one for each family"
                  : "; one port only, so the family of a connection is not known");
    if (tor.control[0] == '\0')
        check_say(k, CHECK_OK, "tor: whether it is bootstrapped is not known without tor.control");
}

enum err check_tor_ready(const struct config *c, struct problem *p)
{
    struct tor_ports tor;
    struct control_status s;
    enum err e = tor_ports_of_config(c, &tor, p);
    if (e != ERR_NONE)
        return e;
    if (!tor.has_tor)
        return problem_set(p, ERR_INVALID, "tor: none is configured (tor.socks)");
    e = greet_all(&tor.socks, p);
    if (e != ERR_NONE || tor.control[0] == '\0')
        return e;
    ask_control(tor.control, c->tor.control_password_file, &s);
    if (s.state == CONTROL_READY)
        return ERR_NONE;
    if (s.state == CONTROL_BOOTSTRAPPING)
        return problem_set(p, ERR_UNREACHABLE, "tor: not bootstrapped yet, %d %% (%s)", s.percent,
                           s.summary);
    return problem_set(p, ERR_UNREACHABLE, "tor: control port: %s", s.problem);
}
