/* The control port's language: lines, fields, events, proofs, and which stream is ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/net/control_auth.h"
#include "common/net/control_line.h"
#include "common/net/control_streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- lines ---- */

static bool note_line(void *arg, const struct control_line *line)
{
    static const char kinds[] = {'-', '+', ' '};
    assert_int_equal(buf_addf(arg, "%d%c%s|", line->status, kinds[line->kind], line->text),
                     ERR_NONE);
    return true;
}

/* The same bytes at once and one by one must give the same lines. */
static enum err feed(const char *bytes, size_t len, struct buf *out)
{
    struct control_reader r;
    struct buf single;
    enum err e = ERR_NONE, e1 = ERR_NONE;
    buf_init(out, 100000);
    buf_init(&single, 100000);
    control_reader_init(&r);
    e = control_feed(&r, (const uint8_t *)bytes, len, note_line, out);
    control_reader_fini(&r);
    control_reader_init(&r);
    for (size_t i = 0; i < len && e1 == ERR_NONE; i++)
        e1 = control_feed(&r, (const uint8_t *)bytes + i, 1, note_line, &single);
    control_reader_fini(&r);
    assert_int_equal(e, e1);
    assert_string_equal(buf_str(out), buf_str(&single));
    buf_fini(&single);
    return e;
}

static void replies_are_read_line_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *lines;
        enum err err;
    } rows[] = {
        {"250 OK\r\n", "250 OK|", ERR_NONE},
        {"250 OK\n", "250 OK|", ERR_NONE},
        {"250 \r\n", "250 |", ERR_NONE},
        {"250-a=b\r\n250 OK\r\n650 X", "250-a=b|250 OK|", ERR_NONE},
        {"250+x=\r\n1 A\r\n..dot\r\n\r\n.\r\n250 OK\r\n", "250-x=|250+1 A|250+.dot|250+|250 OK|",
         ERR_NONE},
        {"250+x=\r\n250 OK\r\n", "250-x=|250+250 OK|", ERR_NONE},
        {"510 Unrecognized command\r\n", "510 Unrecognized command|", ERR_NONE},
        {"\r\n", "", ERR_PROTOCOL},
        {"250\r\n", "", ERR_PROTOCOL},
        {"25 OK\r\n", "", ERR_PROTOCOL},
        {"099 OK\r\n", "", ERR_PROTOCOL},
        {"250=OK\r\n", "", ERR_PROTOCOL},
        {"HTTP/1.1 400 Bad Request\r\n", "", ERR_PROTOCOL},
        {"250 \x1b[31m\r\n", "", ERR_PROTOCOL},
        {"250 OK\r\nnonsense\r\n", "250 OK|", ERR_PROTOCOL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf out;
        assert_int_equal(feed(rows[i].bytes, strlen(rows[i].bytes), &out), rows[i].err);
        assert_string_equal(buf_str(&out), rows[i].lines);
        buf_fini(&out);
    }
    struct buf out;
    assert_int_equal(feed("250 a\0b\r\n", 9, &out), ERR_PROTOCOL);
    buf_fini(&out);
}

static void a_line_has_a_longest(void **state)
{
    (void)state;
    static char line[CONTROL_LINE_MAX + 8];
    struct buf out;
    memset(line, 'x', sizeof line);
    memcpy(line, "250 ", 4);
    memcpy(line + CONTROL_LINE_MAX - 1, "\r\n", 2);
    assert_int_equal(feed(line, CONTROL_LINE_MAX + 1, &out), ERR_NONE);
    buf_fini(&out);
    memset(line + CONTROL_LINE_MAX - 1, 'x', 3);
    assert_int_equal(feed(line, CONTROL_LINE_MAX + 1, &out), ERR_PROTOCOL);
    buf_fini(&out);
}

/* ---- fields ---- */

static void fields_are_found_among_quoted_ones(void **state)
{
    (void)state;
    static const struct {
        const char *text, *key, *value;
        enum err err;
    } rows[] = {
        {"A=1 B=2", "B", "2", ERR_NONE},
        {"A=1 B=2", "C", "", ERR_NOT_FOUND},
        {"NOTICE BOOTSTRAP X=\"a b\"", "X", "a b", ERR_NONE},
        {"X=\"B=2\" B=3", "B", "3", ERR_NONE},
        {"X=\"a\\\" B=2\" B=3", "B", "3", ERR_NONE},
        {"X=\"a\\\\\" B=3", "B", "3", ERR_NONE},
        {"X=\"\\n\\t\\r\\101\\377\\08\\q\"", "X", "\n\t\rA\377", ERR_INVALID},
        {"X=\"\\n\\t\\r\\101\\377\\18\\q\"", "X",
         "\n\t\rA\377\0018"
         "q",
         ERR_NONE},
        {"X=\"open B=3", "B", "", ERR_INVALID},
        {"X=\"open B=3", "X", "", ERR_INVALID},
        {"X=\"open\\", "X", "", ERR_INVALID},
        {"X= B=3", "X", "", ERR_NONE},
        {"AB=1 B=2", "B", "2", ERR_NONE},
        {"=1 B=2", "B", "2", ERR_NONE},
        {"B=123456789abcdefg", "B", "", ERR_TOO_BIG},
        {"B=\"123456789abcdefg\"", "B", "", ERR_TOO_BIG},
        {"", "B", "", ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[16] = "";
        assert_int_equal(control_field(rows[i].text, rows[i].key, out, sizeof out), rows[i].err);
        if (rows[i].err == ERR_NONE)
            assert_string_equal(out, rows[i].value);
    }
}

static void what_is_quoted_is_read_back(void **state)
{
    (void)state;
    char text[256], back[256];
    for (int i = 1; i < 256; i++)
        text[i - 1] = (char)i;
    text[255] = '\0';
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(buf_add_str(&b, "X="), ERR_NONE);
    assert_int_equal(control_quote(&b, text), ERR_NONE);
    assert_int_equal(control_field(buf_str(&b), "X", back, sizeof back), ERR_NONE);
    assert_memory_equal(text, back, sizeof text);
    buf_fini(&b);
}

/* ---- events, as tor 0.4.9 writes them ---- */

static void the_bootstrap_is_read(void **state)
{
    (void)state;
    struct control_bootstrap_event e;
    assert_int_equal(control_event_bootstrap("NOTICE BOOTSTRAP PROGRESS=10 TAG=conn_done "
                                             "SUMMARY=\"Connected to a relay\"",
                                             &e),
                     ERR_NONE);
    assert_int_equal(e.percent, 10);
    assert_string_equal(e.summary, "Connected to a relay");
    assert_string_equal(e.warning, "");
    assert_int_equal(
        control_event_bootstrap("WARN BOOTSTRAP PROGRESS=5 TAG=conn SUMMARY=\"Connecting\" "
                                "WARNING=\"No route to host\" REASON=NOROUTE COUNT=3",
                                &e),
        ERR_NONE);
    assert_string_equal(e.warning, "No route to host");
    assert_int_equal(control_event_bootstrap("NOTICE CIRCUIT_ESTABLISHED", &e), ERR_NOT_FOUND);
    static const char *const wrong[] = {"", "NOTICE BOOTSTRAP", "NOTICE BOOTSTRAP PROGRESS=101",
                                        "NOTICE BOOTSTRAP PROGRESS=-1",
                                        "NOTICE BOOTSTRAP PROGRESS=99999999999"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(control_event_bootstrap(wrong[i], &e), ERR_INVALID);
}

#define ISO                                                                                        \
    " SOCKS_USERNAME=\"r-1\" SOCKS_PASSWORD=\"x\" CLIENT_PROTOCOL=SOCKS5 NYM_EPOCH=0 "             \
    "SESSION_GROUP=-5 ISO_FIELDS=SOCKS_USERNAME,SOCKS_PASSWORD,SESSION_GROUP,NYM_EPOCH"

static void streams_are_read(void **state)
{
    (void)state;
    struct control_stream_event e;
    assert_int_equal(control_event_stream("14 NEW 0 dual.test:8080 "
                                          "SOURCE_ADDR=/d/tor/ipv6.sock:0 PURPOSE=USER" ISO,
                                          &e),
                     ERR_NONE);
    assert_int_equal(e.stream, 14);
    assert_int_equal(e.change, STREAM_NEW);
    assert_string_equal(e.host, "dual.test");
    assert_int_equal(e.port, 8080);
    assert_string_equal(e.user, "r-1");
    assert_string_equal(e.source, "/d/tor/ipv6.sock");
    assert_int_equal(control_event_stream("14 REMAP 3 [fd70::2:10]:8080 SOURCE=EXIT" ISO, &e),
                     ERR_NONE);
    assert_int_equal(e.change, STREAM_REMAP);
    assert_int_equal(e.circuit, 3);
    assert_string_equal(e.host, "fd70::2:10");
    assert_int_equal(control_event_stream("14 REMAP 3 192.0.2.1:80 SOURCE=CACHE", &e), ERR_NONE);
    assert_int_equal(e.change, STREAM_MOVED);
    assert_int_equal(control_event_stream("9 CLOSED 3 x.test:1 REASON=DONE", &e), ERR_NONE);
    assert_int_equal(e.change, STREAM_ENDED);
    assert_int_equal(control_event_stream("9 NEW 0 fd70::2:10:80 SOURCE_ADDR=127.0.0.1:41636", &e),
                     ERR_NONE);
    assert_string_equal(e.host, "fd70::2:10");
    assert_string_equal(e.source, "127.0.0.1:41636");
    static const char *const wrong[] = {"",
                                        "x NEW 0 a:1",
                                        "1 NEW 0",
                                        "1 NEW 0 noport",
                                        "1 NEW 0 a:70000",
                                        "1 NEW 0 a:",
                                        "99999999999999999999999 NEW 0 a:1",
                                        "1 NEW -1 a:1"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_not_equal(control_event_stream(wrong[i], &e), ERR_NONE);
}

static void circuits_are_read(void **state)
{
    (void)state;
    struct control_circuit_event e;
    assert_int_equal(control_event_circuit("12 LAUNCHED BUILD_FLAGS=X PURPOSE=GENERAL", &e),
                     ERR_NONE);
    assert_string_equal(e.hops, "");
    assert_int_equal(control_event_circuit("12 BUILT $AB~a,$CD~b BUILD_FLAGS=X", &e), ERR_NONE);
    assert_int_equal(e.circuit, 12);
    assert_string_equal(e.hops, "$AB~a,$CD~b");
    assert_false(e.ended);
    assert_int_equal(control_event_circuit("12 CLOSED $AB~a REASON=FINISHED", &e), ERR_NONE);
    assert_true(e.ended);
    assert_int_equal(control_event_circuit("BUILT $AB~a", &e), ERR_INVALID);
}

/* ---- which one is ours ---- */

static void take(struct control_streams *s, const char *text)
{
    struct control_stream_event e;
    assert_int_equal(control_event_stream(text, &e), ERR_NONE);
    control_streams_take(s, &e);
}

static void take_circuit(struct control_streams *s, const char *text)
{
    struct control_circuit_event e;
    assert_int_equal(control_event_circuit(text, &e), ERR_NONE);
    control_streams_take_circuit(s, &e);
}

static void a_stream_is_found_by_user_target_and_socket(void **state)
{
    (void)state;
    struct control_streams *s = control_streams_new();
    struct control_path path;
    const char *why;
    const struct control_query v6 = {"r-1", "dual.test", 8080, "unix:/d/ipv6.sock", 0},
                               v4 = {"r-1", "DUAL.test", 8080, "unix:/d/ipv4.sock", 0},
                               other = {"r-2", "dual.test", 8080, "unix:/d/ipv6.sock", 0};
    take_circuit(s, "3 BUILT $AB~a,$CD~b,$EF~c PURPOSE=GENERAL");
    assert_int_equal(control_streams_find(s, &v6, &path, &why), ERR_NOT_FOUND);
    take(s, "1 NEW 0 dual.test:8080 SOURCE_ADDR=/d/ipv6.sock:0" ISO);
    take(s, "2 NEW 0 dual.test:8080 SOURCE_ADDR=/d/ipv4.sock:0" ISO);
    assert_int_equal(control_streams_find(s, &v6, &path, &why), ERR_AGAIN);
    take(s, "1 SENTCONNECT 2 dual.test:8080" ISO);
    take(s, "1 DETACHED 2 dual.test:8080" ISO);
    take(s, "1 SENTCONNECT 3 dual.test:8080" ISO);
    take(s, "1 REMAP 3 [fd70::2:10]:8080 SOURCE=EXIT" ISO);
    take(s, "1 SUCCEEDED 3 [fd70::2:10]:8080" ISO);
    assert_int_equal(control_streams_find(s, &v6, &path, &why), ERR_NONE);
    assert_int_equal(path.stream, 1);
    assert_int_equal(path.circuit, 3);
    assert_string_equal(path.hops, "$AB~a,$CD~b,$EF~c");
    assert_string_equal(path.exit_address, "fd70::2:10");
    assert_int_equal(path.exit_port, 8080);
    assert_int_equal(path.exit_family, FAMILY_IPV6);
    assert_int_equal(control_streams_find(s, &v4, &path, &why), ERR_AGAIN);
    assert_int_equal(control_streams_find(s, &other, &path, &why), ERR_NOT_FOUND);
    take(s, "1 CLOSED 3 [fd70::2:10]:8080 REASON=DONE" ISO);
    assert_int_equal(control_streams_find(s, &v6, &path, &why), ERR_NOT_FOUND);
    control_streams_free(s);
}

static void over_tcp_our_port_tells_it(void **state)
{
    (void)state;
    struct control_streams *s = control_streams_new();
    struct control_path path;
    const char *why;
    struct control_query q = {"r-1", "dual.test", 8080, "127.0.0.1:9050", 0};
    take(s, "1 NEW 0 dual.test:8080 SOURCE_ADDR=127.0.0.1:1001" ISO);
    take(s, "2 NEW 0 dual.test:8080 SOURCE_ADDR=127.0.0.1:1002" ISO);
    take(s, "1 SUCCEEDED 3 dual.test:8080" ISO);
    take(s, "2 SUCCEEDED 4 dual.test:8080" ISO);
    assert_int_equal(control_streams_find(s, &q, &path, &why), ERR_EXISTS);
    q.local_port = 1002;
    assert_int_equal(control_streams_find(s, &q, &path, &why), ERR_NONE);
    assert_int_equal(path.stream, 2);
    assert_int_equal(path.exit_family, FAMILY_NONE);
    assert_string_equal(path.hops, "");
    control_streams_free(s);
}

static void what_is_remembered_is_bounded(void **state)
{
    (void)state;
    struct control_streams *s = control_streams_new();
    struct control_path path;
    const char *why;
    char text[200];
    for (unsigned i = 1; i <= 3 * CONTROL_STREAMS_MAX; i++) {
        (void)snprintf(text, sizeof text, "%u NEW 0 h%u.test:1 SOURCE_ADDR=127.0.0.1:1", i, i);
        take(s, text);
        (void)snprintf(text, sizeof text, "%u SUCCEEDED 3 h%u.test:1", i, i);
        take(s, text);
        (void)snprintf(text, sizeof text, "%u BUILT $AB~a", i);
        take_circuit(s, text);
    }
    char host[32];
    const struct {
        unsigned number;
        enum err err;
    } rows[] = {{1, ERR_NOT_FOUND},
                {2 * CONTROL_STREAMS_MAX, ERR_NOT_FOUND},
                {2 * CONTROL_STREAMS_MAX + 1, ERR_NONE},
                {3 * CONTROL_STREAMS_MAX, ERR_NONE}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)snprintf(host, sizeof host, "h%u.test", rows[i].number);
        const struct control_query q = {NULL, host, 1, NULL, 0};
        assert_int_equal(control_streams_find(s, &q, &path, &why), rows[i].err);
    }
    control_streams_free(s);
}

/* ---- being let in ---- */

static void ways_in_are_read(void **state)
{
    (void)state;
    struct control_methods m = {0};
    assert_int_equal(control_methods_take(&m, "PROTOCOLINFO 1"), ERR_NONE);
    assert_int_equal(control_methods_take(&m, "AUTH METHODS=COOKIE,SAFECOOKIE,HASHEDPASSWORD "
                                              "COOKIEFILE=\"/a \\\"b\\\"/c\""),
                     ERR_NONE);
    assert_true(m.cookie && m.safe_cookie && m.password && !m.none);
    assert_string_equal(m.cookie_file, "/a \"b\"/c");
    assert_int_equal(control_methods_take(&m, "AUTH COOKIEFILE=x"), ERR_INVALID);
    assert_int_equal(control_methods_take(&m, "AUTH METHODS=NULL COOKIEFILE=\"x"), ERR_INVALID);
}

static void both_sides_prove_that_they_know_the_cookie(void **state)
{
    (void)state;
    uint8_t cookie[32], nonce[32], proof[32];
    struct control_challenge c;
    char text[300], hex[65];
    for (int i = 0; i < 32; i++)
        cookie[i] = (uint8_t)i;
    memset(nonce, 0xaa, sizeof nonce);
    (void)snprintf(text, sizeof text, "AUTHCHALLENGE SERVERHASH=%s SERVERNONCE=%064d",
                   "7780BA467C566548B61DA5B927043DF643CC6FB18E6258718F47591A09909213", 0);
    assert_int_equal(control_challenge_parse(text, &c), ERR_NONE);
    memset(c.server_nonce, 0xbb, sizeof c.server_nonce);
    assert_int_equal(control_challenge_answer(&c, cookie, nonce, proof), ERR_NONE);
    assert_string_equal(hex_str(hex, proof, 32),
                        "ecd5845c1ed9b11354fed620d989e9f34243606e0f7f97c0f3c8a9303a06d468");
    cookie[0] ^= 1;
    assert_int_equal(control_challenge_answer(&c, cookie, nonce, proof), ERR_INVALID);
    assert_int_equal(control_challenge_parse("AUTHCHALLENGE SERVERHASH=00 SERVERNONCE=00", &c),
                     ERR_INVALID);
    assert_int_equal(control_challenge_parse("OK", &c), ERR_INVALID);
}

static const char *file_with(char path[64], const char *text, mode_t mode)
{
    (void)snprintf(path, 64, "/tmp/volley-control-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

static void secrets_are_read_from_files_of_their_own(void **state)
{
    (void)state;
    static const struct {
        const char *text, *password;
        mode_t mode;
    } rows[] = {
        {"secret \"word\"\n", "secret \"word\"", 0600},
        {"secret", "secret", 0600},
        {"", NULL, 0600},
        {"\n", NULL, 0600},
        {"two\nlines\n", NULL, 0600},
        {"secret", NULL, 0644},
    };
    char path[64], out[CONTROL_SECRET_MAX];
    uint8_t cookie[CONTROL_COOKIE_LEN];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct problem p = {0};
        file_with(path, rows[i].text, rows[i].mode);
        enum err e = control_password_load(path, false, out, &p);
        assert_int_equal(e == ERR_NONE, rows[i].password != NULL);
        if (e == ERR_NONE)
            assert_string_equal(out, rows[i].password);
        else
            assert_non_null(strstr(p.text, path));
        unlink(path);
    }
    file_with(path, "secret", 0644);
    assert_int_equal(control_password_load(path, true, out, NULL), ERR_NONE);
    assert_int_equal(control_cookie_load(path, cookie, NULL), ERR_INVALID);
    unlink(path);
    file_with(path, "0123456789abcdef0123456789abcdef", 0600);
    assert_int_equal(control_cookie_load(path, cookie, NULL), ERR_NONE);
    assert_memory_equal(cookie, "0123456789abcdef0123456789abcdef", 32);
    unlink(path);
    assert_int_equal(control_cookie_load(path, cookie, NULL), ERR_IO);
    assert_int_equal(control_cookie_load("/dev/zero", cookie, NULL), ERR_IO);
    assert_int_equal(control_cookie_load("relative", cookie, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_read_line_by_line),
        cmocka_unit_test(a_line_has_a_longest),
        cmocka_unit_test(fields_are_found_among_quoted_ones),
        cmocka_unit_test(what_is_quoted_is_read_back),
        cmocka_unit_test(the_bootstrap_is_read),
        cmocka_unit_test(streams_are_read),
        cmocka_unit_test(circuits_are_read),
        cmocka_unit_test(a_stream_is_found_by_user_target_and_socket),
        cmocka_unit_test(over_tcp_our_port_tells_it),
        cmocka_unit_test(what_is_remembered_is_bounded),
        cmocka_unit_test(ways_in_are_read),
        cmocka_unit_test(both_sides_prove_that_they_know_the_cookie),
        cmocka_unit_test(secrets_are_read_from_files_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
