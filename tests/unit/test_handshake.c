/* The opening handshake as bytes: what we ask, and what we take for an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/net/handshake.h"

#include <stdlib.h>
#include <string.h>

/* The example of RFC 6455, 1.3. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define GOOD                                                                                       \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static void the_accept_of_the_rfc_s_example(void **state)
{
    (void)state;
    char out[HANDSHAKE_ACCEPT_SIZE];
    handshake_accept(KEY, out);
    assert_string_equal(out, ACCEPT);
}

static void keys_are_16_random_bytes_in_base64(void **state)
{
    (void)state;
    char a[HANDSHAKE_KEY_SIZE], b[HANDSHAKE_KEY_SIZE];
    handshake_key(a);
    handshake_key(b);
    assert_int_equal(strlen(a), HANDSHAKE_KEY_SIZE - 1);
    assert_string_equal(a + 22, "==");
    assert_string_not_equal(a, b);
}

static void a_request_names_host_and_path(void **state)
{
    (void)state;
    static const struct {
        struct relay_url url;
        const char *agent, *first, *host;
    } rows[] = {
        {{.tls = true, .host = "r.example", .port = 443, .path = "/"},
         "volley/1",
         "GET / HTTP/1.1\r\n",
         "\r\nHost: r.example\r\n"},
        {{.tls = true, .host = "r.example", .port = 80, .path = "/a?b=c"},
         NULL,
         "GET /a?b=c HTTP/1.1\r\n",
         "\r\nHost: r.example:80\r\n"},
        {{.host = "r.example", .port = 80, .path = "/"},
         NULL,
         "GET / HTTP/1.1\r\n",
         "\r\nHost: r.example\r\n"},
        {{.host = "::1", .port = 7777, .path = "/"},
         NULL,
         "GET / HTTP/1.1\r\n",
         "\r\nHost: [::1]:7777\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf out;
        buf_init(&out, 4096);
        assert_int_equal(handshake_request(&out, &rows[i].url, KEY, rows[i].agent), ERR_NONE);
        const char *text = buf_str(&out);
        assert_ptr_equal(strstr(text, rows[i].first), text);
        assert_non_null(strstr(text, rows[i].host));
        assert_non_null(strstr(text, "\r\nSec-WebSocket-Key: " KEY "\r\n"));
        assert_non_null(strstr(text, "\r\nSec-WebSocket-Version: 13\r\n"));
        assert_non_null(strstr(text, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"));
        assert_int_equal(strstr(text, "User-Agent: volley/1\r\n") != NULL, rows[i].agent != NULL);
        assert_ptr_equal(strstr(text, "\r\n\r\n"), text + out.len - 4);
        buf_fini(&out);
    }
}

static void a_request_that_finds_no_room_is_an_error(void **state)
{
    (void)state;
    struct relay_url url = {.host = "r.example", .port = 80, .path = "/"};
    for (size_t max = 0; max < 120; max += 10) {
        struct buf out;
        buf_init(&out, max);
        assert_int_equal(handshake_request(&out, &url, KEY, "volley/1"), ERR_TOO_BIG);
        buf_fini(&out);
    }
}

static const struct {
    const char *what, *answer;
    enum err err;
    int status;
    uint32_t retry_after_ms;
    const char *text; /* part of the problem */
} answers[] = {
    {"as it should be", GOOD "\r\n", ERR_NONE, 101, 0, ""},
    {"lines that end in LF alone",
     "HTTP/1.1 101 x\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: " ACCEPT
     "\n\n",
     ERR_NONE, 101, 0, ""},
    {"names in any case, lists, spaces",
     "HTTP/1.1 101\r\nUPGRADE:WebSocket\r\nconnection: keep-alive , upgrade \r\nServer: x\r\n"
     "sec-websocket-accept:\t" ACCEPT " \r\n\r\n",
     ERR_NONE, 101, 0, ""},
    {"no upgrade",
     "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
     ERR_PROTOCOL, 101, 0, "Upgrade"},
    {"no connection",
     "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
     ERR_PROTOCOL, 101, 0, "Connection"},
    {"no accept", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
     ERR_PROTOCOL, 101, 0, "Accept"},
    {"a wrong accept",
     "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
     ERR_PROTOCOL, 101, 0, "wrong"},
    {"two accepts, one wrong", GOOD "Sec-WebSocket-Accept: x\r\n\r\n", ERR_PROTOCOL, 101, 0,
     "wrong"},
    {"an extension", GOOD "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", ERR_PROTOCOL, 101,
     0, "extension"},
    {"a subprotocol", GOOD "Sec-WebSocket-Protocol: nostr\r\n\r\n", ERR_PROTOCOL, 101, 0,
     "subprotocol"},
    {"HTTP/1.0 cannot upgrade",
     "HTTP/1.0 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
     ERR_PROTOCOL, 101, 0, "HTTP/1.1"},
    {"a line without a colon", GOOD "nonsense\r\n\r\n", ERR_PROTOCOL, 101, 0, "malformed"},
    {"a folded line", GOOD " folded: x\r\n\r\n", ERR_PROTOCOL, 101, 0, "malformed"},
    {"refused", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", ERR_HTTP, 403, 0,
     "HTTP 403 Forbidden"},
    {"refused without words", "HTTP/1.1 500\r\n\r\n", ERR_HTTP, 500, 0, "HTTP 500"},
    {"refused in HTTP/1.0 with odd headers", "HTTP/1.0 404 Not Found\r\nodd\r\n\r\n", ERR_HTTP, 404,
     0, "HTTP 404 Not Found"},
    {"control characters in the words", "HTTP/1.1 403 a\x1b[2Jb\r\n\r\n", ERR_HTTP, 403, 0,
     "HTTP 403 a?[2Jb"},
    {"a redirection is not followed", "HTTP/1.1 301 Moved\r\nLocation: wss://b\r\n\r\n", ERR_HTTP,
     301, 0, "HTTP 301"},
    {"retry after seconds", "HTTP/1.1 429 Too Many\r\nRetry-After: 120\r\n\r\n", ERR_HTTP, 429,
     120000, "HTTP 429"},
    {"retry after at most a day", "HTTP/1.1 503 x\r\nRetry-After: 99999999999999999999\r\n\r\n",
     ERR_HTTP, 503, 86400000, ""},
    {"retry after nonsense", "HTTP/1.1 503 x\r\nRetry-After: 12x\r\n\r\n", ERR_HTTP, 503, 0, ""},
    {"retry after a negative number", "HTTP/1.1 503 x\r\nRetry-After: -5\r\n\r\n", ERR_HTTP, 503, 0,
     ""},
    {"retry after a date",
     "HTTP/1.1 503 x\r\nRetry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n"
     "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
     ERR_HTTP, 503, 60000, ""},
    {"retry after a date that is past",
     "HTTP/1.1 503 x\r\nRetry-After: Sun, 06 Nov 1994 08:48:37 GMT\r\n"
     "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
     ERR_HTTP, 503, 0, ""},
    {"retry after a date, now unknown",
     "HTTP/1.1 503 x\r\nRetry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n\r\n", ERR_HTTP, 503, 0, ""},
    {"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n", ERR_PROTOCOL, 0, 0, "not HTTP"},
    {"TLS where none is spoken", "\x15\x03\x01", ERR_PROTOCOL, 0, 0, "not HTTP"},
    {"HTTP/2", "HTTP/2 101\r\n\r\n", ERR_PROTOCOL, 0, 0, "not HTTP"},
    {"a status of letters", "HTTP/1.1 1o1 x\r\n\r\n", ERR_PROTOCOL, 0, 0, "status line"},
    {"a status of four digits", "HTTP/1.1 1010\r\n\r\n", ERR_PROTOCOL, 0, 0, "status line"},
    {"a status line cut short", "HTTP/1.1\r\n\r\n", ERR_PROTOCOL, 0, 0, "status line"},
    {"a status out of range", "HTTP/1.1 999 x\r\n\r\n", ERR_PROTOCOL, 999, 0, "status line"},
};

static void answers_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        struct handshake_answer a;
        struct problem p = {""};
        enum err e = handshake_answer(answers[i].answer, strlen(answers[i].answer), KEY, &a, &p);
        if (e != answers[i].err || a.status != answers[i].status ||
            a.retry_after_ms != answers[i].retry_after_ms || !strstr(p.text, answers[i].text))
            fail_msg("%s: %s, status %d, retry %u, \"%s\"", answers[i].what, err_name(e), a.status,
                     a.retry_after_ms, p.text);
    }
}

/* In memory of its own, so that the sanitizer sees a read beyond the end. */
static enum err judge_cut(const char *answer, size_t len, struct handshake_answer *a)
{
    char *copy = malloc(len + 1);
    memcpy(copy, answer, len);
    copy = realloc(copy, len > 0 ? len : 1);
    enum err e = handshake_answer(copy, len, KEY, a, NULL);
    free(copy);
    return e;
}

static void an_answer_cut_anywhere_waits_for_more(void **state)
{
    (void)state;
    static const char *const whole[] = {GOOD "\r\n", "HTTP/1.1 403 Forbidden\r\nA: b\r\n\r\n"};
    for (size_t w = 0; w < COUNT_OF(whole); w++) {
        size_t len = strlen(whole[w]);
        for (size_t cut = 0; cut < len; cut++) {
            struct handshake_answer a;
            assert_int_equal(judge_cut(whole[w], cut, &a), ERR_AGAIN);
            assert_int_equal(a.status != 0, cut > strcspn(whole[w], "\n"));
        }
    }
}

static void what_follows_belongs_to_the_websocket(void **state)
{
    (void)state;
    static const char text[] = GOOD "\r\n\x81\x02hi";
    struct handshake_answer a;
    assert_int_equal(handshake_answer(text, sizeof text - 1, KEY, &a, NULL), ERR_NONE);
    assert_memory_equal(text + a.len, "\x81\x02hi", 4);
    assert_int_equal(a.len, sizeof text - 1 - 4);
}

static void endless_headers_are_too_big(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 65536);
    assert_int_equal(buf_add_str(&b, "HTTP/1.1 101 x\r\n"), ERR_NONE);
    while (b.len < 20000)
        assert_int_equal(buf_add_str(&b, "A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"), ERR_NONE);
    struct handshake_answer a;
    struct problem p;
    const char *text = buf_str(&b);
    assert_int_equal(handshake_answer(text, HANDSHAKE_ANSWER_MAX - 1, KEY, &a, &p), ERR_AGAIN);
    assert_int_equal(handshake_answer(text, HANDSHAKE_ANSWER_MAX, KEY, &a, &p), ERR_TOO_BIG);
    assert_int_equal(handshake_answer(text, b.len, KEY, &a, &p), ERR_TOO_BIG);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_accept_of_the_rfc_s_example),
        cmocka_unit_test(keys_are_16_random_bytes_in_base64),
        cmocka_unit_test(a_request_names_host_and_path),
        cmocka_unit_test(a_request_that_finds_no_room_is_an_error),
        cmocka_unit_test(answers_are_judged),
        cmocka_unit_test(an_answer_cut_anywhere_waits_for_more),
        cmocka_unit_test(what_follows_belongs_to_the_websocket),
        cmocka_unit_test(endless_headers_are_too_big),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
