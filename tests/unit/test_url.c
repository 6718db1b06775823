/* Relay URLs as people write them, and the one form they get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/net/url.h"

#include <string.h>

#define ONION "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"

enum { TLS = 1, IS_ONION = 2, LITERAL = 4, LOCAL = 8 };

static const struct {
    const char *text, *normal, *host;
    uint16_t port;
    const char *path;
    int is;
} good[] = {
    {"wss://r.example", "wss://r.example", "r.example", 443, "/", TLS},
    {"ws://r.example", "ws://r.example", "r.example", 80, "/", 0},
    /* a bare host, as Haven's lists have it */
    {"relay.damus.io", "wss://relay.damus.io", "relay.damus.io", 443, "/", TLS},
    {"r.example:7777", "wss://r.example:7777", "r.example", 7777, "/", TLS},
    {"r.example/inbox?a=b", "wss://r.example/inbox?a=b", "r.example", 443, "/inbox?a=b", TLS},
    {"r.example/wss://y", "wss://r.example/wss://y", "r.example", 443, "/wss://y", TLS},
    {"[2001:DB8::1]:7777", "wss://[2001:db8::1]:7777", "2001:db8::1", 7777, "/", TLS | LITERAL},
    {"localhost", "wss://localhost", "localhost", 443, "/", TLS | LOCAL},
    /* upper case, default ports, slashes, dots */
    {"WSS://Relay.Example:443/", "wss://relay.example", "relay.example", 443, "/", TLS},
    {"Ws://R.EXAMPLE:80", "ws://r.example", "r.example", 80, "/", 0},
    {"ws://r.example:443", "ws://r.example:443", "r.example", 443, "/", 0},
    {"wss://r.example:00443", "wss://r.example", "r.example", 443, "/", TLS},
    {"wss://r.example:", "wss://r.example", "r.example", 443, "/", TLS},
    {"wss://r.example.", "wss://r.example", "r.example", 443, "/", TLS},
    {"wss://r.example/Path/", "wss://r.example/Path/", "r.example", 443, "/Path/", TLS},
    {"wss://r.example//", "wss://r.example//", "r.example", 443, "//", TLS},
    {"wss://r.example/a/../b/./c", "wss://r.example/b/c", "r.example", 443, "/b/c", TLS},
    /* queries are kept, empty ones are none */
    {"wss://r.example?X=Y", "wss://r.example/?X=Y", "r.example", 443, "/?X=Y", TLS},
    {"wss://r.example/?X=Y", "wss://r.example/?X=Y", "r.example", 443, "/?X=Y", TLS},
    {"wss://r.example/?", "wss://r.example", "r.example", 443, "/", TLS},
    /* beyond ASCII */
    {"wss://b\xc3\xbc"
     "cher.example",
     "wss://xn--bcher-kva.example", "xn--bcher-kva.example", 443, "/", TLS},
    {"B\xc3\x9c"
     "CHER.example",
     "wss://xn--bcher-kva.example", "xn--bcher-kva.example", 443, "/", TLS},
    {"wss://XN--bcher-KVA.example", "wss://xn--bcher-kva.example", "xn--bcher-kva.example", 443,
     "/", TLS},
    {"wss://r.example/\xc3\xa4?\xc3\xb6", "wss://r.example/%C3%A4?%C3%B6", "r.example", 443,
     "/%C3%A4?%C3%B6", TLS},
    {"wss://%61b.example", "wss://ab.example", "ab.example", 443, "/", TLS},
    {"wss://_dmarc.a-b.example", "wss://_dmarc.a-b.example", "_dmarc.a-b.example", 443, "/", TLS},
    /* addresses, in one form */
    {"wss://127.0.0.1:7777", "wss://127.0.0.1:7777", "127.0.0.1", 7777, "/", TLS | LITERAL | LOCAL},
    {"wss://127.1", "wss://127.0.0.1", "127.0.0.1", 443, "/", TLS | LITERAL | LOCAL},
    {"wss://0x7f.1", "wss://127.0.0.1", "127.0.0.1", 443, "/", TLS | LITERAL | LOCAL},
    {"wss://2130706433", "wss://127.0.0.1", "127.0.0.1", 443, "/", TLS | LITERAL | LOCAL},
    {"wss://127.0.0.1.", "wss://127.0.0.1", "127.0.0.1", 443, "/", TLS | LITERAL | LOCAL},
    {"wss://8.8.8.8", "wss://8.8.8.8", "8.8.8.8", 443, "/", TLS | LITERAL},
    {"ws://[::1]:7777/", "ws://[::1]:7777", "::1", 7777, "/", LITERAL | LOCAL},
    {"ws://[0:0:0:0:0:0:0:1]", "ws://[::1]", "::1", 80, "/", LITERAL | LOCAL},
    {"wss://[2606:4700::1111]", "wss://[2606:4700::1111]", "2606:4700::1111", 443, "/",
     TLS | LITERAL},
    /* what no exit can reach */
    {"ws://10.0.0.1", "ws://10.0.0.1", "10.0.0.1", 80, "/", LITERAL | LOCAL},
    {"ws://172.16.0.1", "ws://172.16.0.1", "172.16.0.1", 80, "/", LITERAL | LOCAL},
    {"ws://172.31.255.255", "ws://172.31.255.255", "172.31.255.255", 80, "/", LITERAL | LOCAL},
    {"ws://172.32.0.1", "ws://172.32.0.1", "172.32.0.1", 80, "/", LITERAL},
    {"ws://192.168.9.9", "ws://192.168.9.9", "192.168.9.9", 80, "/", LITERAL | LOCAL},
    {"ws://169.254.1.1", "ws://169.254.1.1", "169.254.1.1", 80, "/", LITERAL | LOCAL},
    {"ws://100.64.0.1", "ws://100.64.0.1", "100.64.0.1", 80, "/", LITERAL | LOCAL},
    {"ws://100.128.0.1", "ws://100.128.0.1", "100.128.0.1", 80, "/", LITERAL},
    {"ws://0.0.0.0", "ws://0.0.0.0", "0.0.0.0", 80, "/", LITERAL | LOCAL},
    {"ws://[::]", "ws://[::]", "::", 80, "/", LITERAL | LOCAL},
    {"ws://[fd12::1]", "ws://[fd12::1]", "fd12::1", 80, "/", LITERAL | LOCAL},
    {"ws://[fe80::1]", "ws://[fe80::1]", "fe80::1", 80, "/", LITERAL | LOCAL},
    {"ws://[fec0::1]", "ws://[fec0::1]", "fec0::1", 80, "/", LITERAL},
    {"ws://relay.localhost:81", "ws://relay.localhost:81", "relay.localhost", 81, "/", LOCAL},
    {"ws://nas.LOCAL", "ws://nas.local", "nas.local", 80, "/", LOCAL},
    {"ws://nolocal", "ws://nolocal", "nolocal", 80, "/", 0},
    {"ws://notlocalhost", "ws://notlocalhost", "notlocalhost", 80, "/", 0},
    {"ws://localhost.example", "ws://localhost.example", "localhost.example", 80, "/", 0},
    /* onion services */
    {"ws://" ONION, "ws://" ONION, ONION, 80, "/", IS_ONION},
    {"ws://sub." ONION "/x", "ws://sub." ONION "/x", "sub." ONION, 80, "/x", IS_ONION},
    {ONION, "wss://" ONION, ONION, 443, "/", TLS | IS_ONION},
};

static void what_people_write_gets_one_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct relay_url u;
        struct problem p = {""};
        if (relay_url_parse(good[i].text, &u, &p) != ERR_NONE)
            fail_msg("%s: %s", good[i].text, p.text);
        int is = (u.tls ? TLS : 0) | (u.is_onion ? IS_ONION : 0) | (u.is_literal ? LITERAL : 0) |
                 (u.is_local ? LOCAL : 0);
        if (strcmp(u.text, good[i].normal) != 0 || strcmp(u.host, good[i].host) != 0 ||
            u.port != good[i].port || strcmp(u.path, good[i].path) != 0 || is != good[i].is)
            fail_msg("%s: %s, host %s, port %d, path %s, is %d", good[i].text, u.text, u.host,
                     u.port, u.path, is);
    }
}

static void the_normal_form_is_its_own_normal_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct relay_url u;
        assert_int_equal(relay_url_parse(good[i].normal, &u, NULL), ERR_NONE);
        assert_string_equal(u.text, good[i].normal);
    }
}

static const struct {
    const char *text, *why; /* a part of what a person reads */
} bad[] = {
    {"", "empty"},
    {"wss://", "no host"},
    {"wss:///x", "no host"},
    {"/x", "no host"},
    {"?x", "no host"},
    {"https://r.example", "write wss://"},
    {"HTTP://r.example", "write wss://"},
    {"ftp://r.example", "scheme"},
    {"file:///etc/passwd", "scheme"},
    {"://r.example", "scheme"},
    {"wss:/r.example", "followed by ://"},
    {"ws:r.example", "followed by ://"},
    {"wss://user:secret@r.example", "user name"},
    {"wss://user@r.example", "user name"},
    {"wss://@r.example", "user name"},
    {"user:secret@r.example:99999", ""},
    {"wss://r.example/#x", "fragment"},
    {"wss://r.example#", "fragment"},
    {"r.example/x?y#", "fragment"},
    {"wss://r.example/a b", "space"},
    {" wss://r.example", "byte 1"},
    {"wss://r.example\n", "byte 16"},
    {"wss://r.exa\tmple", "control"},
    {"wss://r.example/\x7f", "control"},
    {"wss://r.example/\x1b[2J", "control"},
    {"r.example:0", "1 to 65535"},
    {"r.example:65536", ""},
    {"r.example:-1", ""},
    {"r.example:+5", ""},
    {"r.example:x", ""},
    {"wss://a..b", "valid name"},
    {"wss://.a", "valid name"},
    {"wss://a..", "valid name"},
    {"wss://.", "valid name"},
    {"wss://a%2fb", ""},
    {"wss://a\\b", ""},
    {"wss://a,b", ""},
    {"wss://a;b", ""},
    {"wss://192.168.1.256", "valid name"},
    {"wss://1.2.3.4.5", "valid name"},
    {"wss://a\xff.example", "IDN"},
    {"wss://\xe2\x80\xa8.example", "IDN"},
    {"wss://[::1", ""},
    {"wss://[1.2.3.4]", ""},
    {"wss://[::g]", ""},
    {"::1", "brackets"},
    {"2001:db8::1", "brackets"},
    {"wss://[fe80::1%25eth0]", "zone"},
    {"wss://[::ffff:127.0.0.1]", "IPv4"},
    {"abc.onion", "56"},
    {"expyuzz4wqqyqhjn.onion", "56"},
    {"wss://.onion", ""},
    {"wss://a" ONION, "56"},
    {"wss://1g6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion", "56"},
};

static void what_is_no_relay_s_url_is_refused_with_the_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct relay_url u;
        struct problem p = {""};
        enum err e = relay_url_parse(bad[i].text, &u, &p);
        if (e != ERR_INVALID || p.text[0] == '\0' || strstr(p.text, bad[i].why) == NULL)
            fail_msg("%s: %s \"%s\"", bad[i].text, err_name(e), p.text);
        assert_null(strstr(p.text, "secret"));
        for (const char *c = p.text; *c != '\0'; c++)
            assert_true((unsigned char)*c >= ' ' && *c != 127);
    }
}

static void lengths_are_bounded(void **state)
{
    (void)state;
    struct relay_url u;
    struct problem p;
    for (size_t len = 480; len < 3000; len++) {
        char text[3001] = "wss://r.example/";
        memset(text + strlen(text), 'x', len - strlen(text));
        text[len] = '\0';
        enum err e = relay_url_parse(text, &u, &p);
        assert_int_equal(e, len < URL_SIZE ? ERR_NONE : ERR_INVALID);
        if (e == ERR_NONE)
            assert_string_equal(u.text, text);
    }
    for (size_t len = 1; len < 300; len++) {
        char text[301];
        for (size_t i = 0; i < len; i++)
            text[i] = i % 64 == 63 && i + 1 < len ? '.' : 'a';
        text[len] = '\0';
        if (len % 64 == 0) /* its last label has 64 characters */
            continue;
        assert_int_equal(relay_url_parse(text, &u, &p), len <= 253 ? ERR_NONE : ERR_INVALID);
    }
    char label[] = "wss://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example";
    assert_int_equal(relay_url_parse(label, &u, &p), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_people_write_gets_one_form),
        cmocka_unit_test(the_normal_form_is_its_own_normal_form),
        cmocka_unit_test(what_is_no_relay_s_url_is_refused_with_the_reason),
        cmocka_unit_test(lengths_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
