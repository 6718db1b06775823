/* The client of the control port against a server that plays tor: let in, told, disappointed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/base/rng.h"
#include "common/net/control.h"
#include "tests/support/control_server.h"
#include "tests/support/spin.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rig {
    uv_loop_t loop;
    char dir[64], socket[96], address[112], cookie_file[96], password_file[96];
    uint8_t cookie[32];
    struct control_server server;
    bool listening;
    struct control *control;
    struct control_status status; /* the last one told */
    char said[4096];              /* all of them */
    int freed, watched;
    struct control_path path;
    char why[64];
    const char *awaited;
};

/* ---- the rig ---- */

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
    assert_int_equal(chmod(path, 0600), 0);
}

static void listen_now(struct rig *r, const struct control_answer *answers)
{
    control_server_start(&r->server, &r->loop, r->socket, answers);
    r->listening = true;
}

static int setup(void **state)
{
    struct rig *r = mem_zero(1, sizeof *r);
    assert_int_equal(uv_loop_init(&r->loop), 0);
    (void)snprintf(r->dir, sizeof r->dir, "/tmp/volley-control-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    (void)snprintf(r->socket, sizeof r->socket, "%s/control.sock", r->dir);
    (void)snprintf(r->address, sizeof r->address, "unix:%s", r->socket);
    (void)snprintf(r->cookie_file, sizeof r->cookie_file, "%s/cookie", r->dir);
    (void)snprintf(r->password_file, sizeof r->password_file, "%s/password", r->dir);
    rng_secure(r->cookie, sizeof r->cookie);
    memcpy(r->server.cookie, r->cookie, sizeof r->cookie);
    write_file(r->cookie_file, r->cookie, sizeof r->cookie);
    write_file(r->password_file, "pass \"word\"\n", 12);
    buf_init(&r->server.heard, 100000);
    *state = r;
    return 0;
}

static void on_freed(void *arg)
{
    struct rig *r = arg;
    r->freed++;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    if (r->control != NULL)
        control_free(r->control, on_freed, r);
    if (r->listening)
        control_server_stop(&r->server);

    spin_out(&r->loop);
    assert_true(r->control == NULL || r->freed == 1);
    unlink(r->socket);
    unlink(r->cookie_file);
    unlink(r->password_file);
    rmdir(r->dir);
    buf_fini(&r->server.heard);
    free(r);
    return 0;
}

static void on_status(void *arg, const struct control_status *s)
{
    static const char *const names[] = {"away", "bootstrapping", "ready"};
    struct rig *r = arg;
    size_t len = strlen(r->said);
    r->status = *s;
    (void)snprintf(r->said + len, sizeof r->said - len, "%s %d %s%s\n", names[s->state], s->percent,
                   s->summary, s->problem);
}

static void begin(struct rig *r, struct control_options o)
{
    o.address = r->address;
    o.on_status = on_status;
    o.arg = r;
    r->control = control_new(&r->loop, &o);
}

static bool was_said(void *arg)
{
    const struct rig *r = arg;
    return strstr(r->said, r->awaited) != NULL;
}

static void until_said(struct rig *r, const char *what)
{
    r->awaited = what;
    spin_until(&r->loop, was_said, r, what);
}

static bool was_heard(void *arg)
{
    struct rig *r = arg;
    return strstr(buf_str(&r->server.heard), r->awaited) != NULL;
}

static void until_heard(struct rig *r, const char *what)
{
    r->awaited = what;
    spin_until(&r->loop, was_heard, r, what);
}

/* ---- answers ---- */

#define AUTH_OPEN                                                                                  \
    {                                                                                              \
        "PROTOCOLINFO", "250-PROTOCOLINFO 1\r\n250-AUTH METHODS=NULL\r\n250 OK\r\n"                \
    }
#define LET_IN                                                                                     \
    {                                                                                              \
        "AUTHENTICATE", "250 OK\r\n"                                                               \
    }
#define EVENTS                                                                                     \
    {                                                                                              \
        "SETEVENTS", "250 OK\r\n"                                                                  \
    }
#define OWN                                                                                        \
    {                                                                                              \
        "TAKEOWNERSHIP", "250 OK\r\n"                                                              \
    }
#define PHASE(text)                                                                                \
    {                                                                                              \
        "GETINFO status/bootstrap-phase", "250-status/bootstrap-phase=" text "\r\n250 OK\r\n"      \
    }
#define DONE PHASE("NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY=\"Done\"")
#define CIRCUITS                                                                                   \
    {                                                                                              \
        "GETINFO circuit-status",                                                                  \
            "250+circuit-status=\r\n3 BUILT $AB~a,$CD~b PURPOSE=GENERAL\r\n.\r\n250 OK\r\n"        \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }

/* The reply to PROTOCOLINFO with this rig's cookie. */
static struct control_answer info(struct rig *r, const char *methods)
{
    static char texts[8][512];
    static size_t next;
    char *text = texts[next++ % COUNT_OF(texts)];
    (void)snprintf(text, sizeof texts[0],
                   "250-PROTOCOLINFO 1\r\n250-AUTH METHODS=%s COOKIEFILE=\"%s\"\r\n"
                   "250-VERSION Tor=\"0.4.9.11\"\r\n250 OK\r\n",
                   methods, r->cookie_file);
    return (struct control_answer){"PROTOCOLINFO", text};
}

/* ---- being let in ---- */

static void it_is_let_in_by_cookie_and_tells_how_far_tor_is(void **state)
{
    struct rig *r = *state;
    const struct control_answer answers[] = {
        info(r, "COOKIE,SAFECOOKIE,HASHEDPASSWORD"),
        {"AUTHCHALLENGE SAFECOOKIE ", NULL},
        LET_IN,
        EVENTS,
        PHASE("NOTICE BOOTSTRAP PROGRESS=45 TAG=x SUMMARY=\"Asking\""),
        END};
    listen_now(r, answers);
    begin(r, (struct control_options){0});
    until_said(r, "bootstrapping 45 Asking\n");
    char hex[65];
    assert_null(strstr(buf_str(&r->server.heard), hex_str(hex, r->cookie, 32)));
    assert_non_null(strstr(buf_str(&r->server.heard), "\nSETEVENTS STATUS_CLIENT\n"));
    assert_null(strstr(buf_str(&r->server.heard), "TAKEOWNERSHIP"));
    control_server_say(&r->server,
                       "650 STATUS_CLIENT WARN BOOTSTRAP PROGRESS=50 TAG=x SUMMARY=\"Loading\" "
                       "WARNING=\"No route to host\"\r\n");
    until_said(r, "bootstrapping 50 LoadingNo route to host\n");
    control_server_say(&r->server,
                       "650 STATUS_CLIENT NOTICE CONSENSUS_ARRIVED\r\n650 STATUS_CLIENT NOTICE "
                       "BOOTSTRAP PROGRESS=100 TAG=done SUMMARY=\"Done\"\r\n");
    until_said(r, "ready 100 Done\n");
    assert_int_equal(control_bootstrap(r->control)->state, CONTROL_READY);
}

static void a_port_that_does_not_know_the_cookie_gets_no_proof(void **state)
{
    struct rig *r = *state;
    const struct control_answer answers[] = {
        info(r, "COOKIE,SAFECOOKIE"), {"AUTHCHALLENGE SAFECOOKIE ", NULL}, LET_IN, END};
    r->server.cookie[0] ^= 1;
    listen_now(r, answers);
    begin(r, (struct control_options){0});
    until_said(r, "does not know the cookie");
    assert_null(strstr(buf_str(&r->server.heard), "AUTHENTICATE"));
}

static void an_old_tor_gets_the_cookie_itself(void **state)
{
    struct rig *r = *state;
    const struct control_answer answers[] = {info(r, "COOKIE"), LET_IN, EVENTS, DONE, END};
    char hex[65];
    listen_now(r, answers);
    begin(r, (struct control_options){0});
    until_said(r, "ready 100");
    assert_non_null(strstr(buf_str(&r->server.heard), hex_str(hex, r->cookie, 32)));
}

static void a_password_is_preferred_when_there_is_one(void **state)
{
    struct rig *r = *state;
    const struct control_answer answers[] = {
        info(r, "COOKIE,SAFECOOKIE,HASHEDPASSWORD"), LET_IN, EVENTS, OWN, DONE, CIRCUITS, END};
    listen_now(r, answers);
    begin(r, (struct control_options){
                 .password_file = r->password_file, .own = true, .streams = true});
    until_heard(r, "circuit-status\n");
    assert_string_equal(buf_str(&r->server.heard),
                        "PROTOCOLINFO 1\nAUTHENTICATE \"pass \\\"word\\\"\"\nTAKEOWNERSHIP\n"
                        "SETEVENTS STATUS_CLIENT STREAM CIRC\nGETINFO status/bootstrap-phase\n"
                        "GETINFO circuit-status\n");
}

static void what_keeps_it_out_is_said_in_words(void **state)
{
    struct rig *r = *state;
    char no_file[128];
    (void)snprintf(no_file, sizeof no_file, "%s/none", r->dir);
    static char long_line[20000];
    memset(long_line, 'x', sizeof long_line - 1);
    const struct {
        struct control_answer answers[4];
        const char *password_file, *words;
    } rows[] = {
        {{info(r, "HASHEDPASSWORD"), {"AUTHENTICATE", "515 Authentication failed\r\n"}, END},
         r->password_file,
         "tor refuses the password in "},
        {{info(r, "HASHEDPASSWORD"), END}, NULL, "give tor.control_password_file"},
        {{info(r, "HASHEDPASSWORD"), END}, no_file, "tor.control_password_file: "},
        {{info(r, "COOKIE"), {"AUTHENTICATE", "515 no\r\n"}, END},
         NULL,
         "tor refuses the cookie in "},
        {{info(r, "MAGIC"), END}, NULL, "offers no way to be let in"},
        {{{"PROTOCOLINFO", "HTTP/1.1 400 Bad Request\r\n"}, END}, NULL, "not tor's control"},
        {{{"PROTOCOLINFO", long_line}, END}, NULL, "not tor's control"},
        {{{"PROTOCOLINFO", "250 OK\r\n250 OK\r\n"}, END}, NULL, "offers no way"},
        {{{"PROTOCOLINFO", "510 What?\r\n"}, END}, NULL, "refused: 510 What?"},
        {{AUTH_OPEN, {"AUTHENTICATE", "250 OK\r\n250 OK\r\n250 OK\r\n250 OK\r\n"}, END},
         NULL,
         "an answer nobody asked for"},
        {{END}, NULL, "closed the connection"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        listen_now(r, rows[i].answers);
        begin(r, (struct control_options){.password_file = rows[i].password_file});
        until_said(r, rows[i].words);
        assert_non_null(strstr(r->said, "away 0 "));
        control_free(r->control, NULL, NULL);
        r->control = NULL;
        control_server_stop(&r->server);
        r->listening = false;
        uv_run(&r->loop, UV_RUN_DEFAULT);
        unlink(r->socket);
        r->said[0] = '\0';
    }
}

static void the_same_failure_is_told_once(void **state)
{
    struct rig *r = *state;
    const struct control_answer answers[] = {
        info(r, "COOKIE"), {"AUTHENTICATE", "515 no\r\n"}, END};
    listen_now(r, answers);
    begin(r, (struct control_options){0});
    while (r->server.clients_len < 3)
        uv_run(&r->loop, UV_RUN_ONCE);
    until_said(r, "refuses");
    const char *first = strstr(r->said, "refuses");
    assert_null(strstr(first + 1, "refuses"));
}

static void it_waits_for_a_tor_that_comes_later_and_again(void **state)
{
    struct rig *r = *state;
    const struct control_answer answers[] = {AUTH_OPEN, LET_IN, EVENTS, DONE, END};
    begin(r, (struct control_options){0});
    until_said(r, "cannot connect to unix:/");
    listen_now(r, answers);
    until_said(r, "ready 100");
    r->said[0] = '\0';
    control_server_hang_up(&r->server);
    until_said(r, "away 0 ");
    until_said(r, "ready 100");
    assert_int_equal(r->server.clients_len, 2);
}

/* ---- watches ---- */

static void on_path(void *arg, const struct control_path *path, const char *why)
{
    struct rig *r = arg;
    r->watched++;
    r->path = path != NULL ? *path : (struct control_path){0};
    (void)snprintf(r->why, sizeof r->why, "%s", why);
}

static bool was_watched(void *arg)
{
    const struct rig *r = arg;
    return r->watched > 0;
}

#define USER " SOCKS_USERNAME=\"r-1\" SOCKS_PASSWORD=\"x\""
static const struct control_query query = {"r-1", "dual.test", 8080, "unix:/d/ipv6.sock", 0};
static const struct control_answer streaming[] = {AUTH_OPEN, LET_IN, EVENTS, DONE, CIRCUITS, END};

static void a_watch_tells_circuit_and_exit_of_our_stream(void **state)
{
    struct rig *r = *state;
    listen_now(r, streaming);
    begin(r, (struct control_options){.streams = true});
    assert_non_null(control_watch(r->control, &query, 10000, on_path, r));
    until_heard(r, "circuit-status\n");
    control_server_say(&r->server,
                       "650 STREAM 7 NEW 0 dual.test:8080 SOURCE_ADDR=/d/ipv6.sock:0" USER
                       "\r\n650 STREAM nonsense\r\n650 STREAM 7 SENTCONNECT 3 dual.test:8080" USER
                       "\r\n650 STREAM 7 REMAP 3 [fd70::2:10]:8080 SOURCE=EXIT" USER "\r\n");
    spin_turns(&r->loop, 5);
    assert_int_equal(r->watched, 0);
    control_server_say(&r->server, "650 STREAM 7 SUCCEEDED 3 [fd70::2:10]:8080" USER "\r\n");
    spin_until(&r->loop, was_watched, r, "a path");
    assert_int_equal(r->path.stream, 7);
    assert_string_equal(r->path.hops, "$AB~a,$CD~b");
    assert_string_equal(r->path.exit_address, "fd70::2:10");
    assert_int_equal(r->path.exit_family, FAMILY_IPV6);
    r->watched = 0;
    assert_non_null(control_watch(r->control, &query, 10000, on_path, r));
    spin_until(&r->loop, was_watched, r, "the same, asked afterwards");
    assert_int_equal(r->path.stream, 7);
}

static void a_watch_ends_in_words_when_its_time_is_over(void **state)
{
    struct rig *r = *state;
    begin(r, (struct control_options){.streams = true});
    assert_non_null(control_watch(r->control, &query, 0, on_path, r));
    spin_until(&r->loop, was_watched, r, "nothing to tell");
    assert_string_equal(r->why, "the control port is away");
    listen_now(r, streaming);
    until_said(r, "ready 100");
    until_heard(r, "circuit-status\n");
    r->watched = 0;
    assert_non_null(control_watch(r->control, &query, 20, on_path, r));
    spin_until(&r->loop, was_watched, r, "no such stream");
    assert_string_equal(r->why, "tor told of no such connection");
}

static void who_no_longer_watches_is_not_told(void **state)
{
    struct rig *r = *state;
    listen_now(r, streaming);
    begin(r, (struct control_options){.streams = true});
    struct control_watch *w = control_watch(r->control, &query, 10, on_path, r);
    until_heard(r, "circuit-status\n");
    control_unwatch(w);
    control_server_say(&r->server,
                       "650 STREAM 7 NEW 0 dual.test:8080 SOURCE_ADDR=/d/ipv6.sock:0" USER
                       "\r\n650 STREAM 7 SUCCEEDED 3 dual.test:8080" USER "\r\n");
    spin_turns(&r->loop, 5);
    assert_int_equal(r->watched, 0);
}

static void addresses_are_literal(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
    } rows[] = {{"127.0.0.1:9051", ERR_NONE},
                {"localhost:9051", ERR_NONE},
                {"[::1]:9051", ERR_NONE},
                {"unix:/run/tor/control", ERR_NONE},
                {"tor:9051", ERR_INVALID},
                {"127.0.0.1", ERR_INVALID},
                {"127.0.0.1:0", ERR_INVALID},
                {"127.0.0.1:70000", ERR_INVALID},
                {"::1:9051", ERR_INVALID},
                {"unix:relative", ERR_INVALID},
                {"", ERR_INVALID},
                {":9051", ERR_INVALID}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct problem p = {0};
        assert_int_equal(control_address_check(rows[i].text, &p), rows[i].err);
        assert_int_equal(p.text[0] != '\0', rows[i].err != ERR_NONE);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(it_is_let_in_by_cookie_and_tells_how_far_tor_is),
        TEST(a_port_that_does_not_know_the_cookie_gets_no_proof),
        TEST(an_old_tor_gets_the_cookie_itself),
        TEST(a_password_is_preferred_when_there_is_one),
        TEST(what_keeps_it_out_is_said_in_words),
        TEST(the_same_failure_is_told_once),
        TEST(it_waits_for_a_tor_that_comes_later_and_again),
        TEST(a_watch_tells_circuit_and_exit_of_our_stream),
        TEST(a_watch_ends_in_words_when_its_time_is_over),
        TEST(who_no_longer_watches_is_not_told),
        cmocka_unit_test(addresses_are_literal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
