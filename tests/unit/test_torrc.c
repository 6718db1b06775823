/* The managed tor's torrc and paths, and the lines a user may add. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/net/torrc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static void the_torrc_holds_what_the_documentation_promises(void **state)
{
    (void)state;
    struct tor_paths at;
    struct buf out;
    assert_int_equal(tor_paths_of("/var/lib/volley", &at, NULL), ERR_NONE);
    buf_init(&out, 100000);
    assert_int_equal(torrc_write(&at, 4711, "Bridge 192.0.2.1:443", &out), ERR_NONE);
    static const char *const lines[] = {
        "\nDataDirectory /var/lib/volley/tor\n",
        "\nClientUseIPv6 1\n",
        "\nClientPreferIPv6ORPort 1\n",
        "\nSocksPort unix:/var/lib/volley/tor/any.sock\n",
        "\nSocksPort unix:/var/lib/volley/tor/ipv6.sock NoIPv4Traffic IPv6Traffic\n",
        "\nSocksPort unix:/var/lib/volley/tor/ipv4.sock NoIPv6Traffic\n",
        "\nSafeSocks 1\n",
        "\nControlPort unix:/var/lib/volley/tor/control.sock\n",
        "\nCookieAuthentication 1\n",
        "\n__OwningControllerProcess 4711\n",
        "\nBridge 192.0.2.1:443\n",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        if (strstr(buf_str(&out), lines[i]) == NULL)
            fail_msg("missing: %s in\n%s", lines[i], buf_str(&out));
    assert_null(strstr(buf_str(&out), "PreferIPv6\n"));
    assert_null(strstr(buf_str(&out), "IPv6Exit"));
    buf_fini(&out);
}

static void paths_fit_in_sockets_and_need_no_quotes(void **state)
{
    (void)state;
    struct tor_paths at;
    struct problem p;
    char longest[TOR_DIR_SIZE], dir[TOR_DIR_SIZE + 8];
    memset(longest, 'd', sizeof longest);
    longest[0] = '/';
    longest[TOR_DIR_SIZE - 5] = '\0';
    assert_int_equal(tor_paths_of(longest, &at, &p), ERR_NONE);
    assert_true(strlen(at.control) - 5 < sizeof((struct sockaddr_un *)NULL)->sun_path);
    assert_int_equal(strcmp(at.control + strlen(at.control) - 13, "/control.sock"), 0);
    memset(dir, 'd', sizeof dir);
    dir[0] = '/';
    dir[TOR_DIR_SIZE - 4] = '\0';
    assert_int_equal(tor_paths_of(dir, &at, &p), ERR_INVALID);
    assert_non_null(strstr(p.text, "queue.data_dir"));
    static const char *const wrong[] = {"/a b", "/a\"b", "/a%20b", "/a#b", "/a\nb", "/a\\b", "/é"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(tor_paths_of(wrong[i], &at, &p), ERR_INVALID);
}

static void added_lines_leave_alone_what_volley_sets(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words; /* NULL: fine */
    } rows[] = {
        {"", NULL},
        {"UseBridges 1\nBridge obfs4 192.0.2.1:443 cert=x iat-mode=0\n", NULL},
        {"# SocksPort 9050\n  # more\n\n", NULL},
        {"Log info file /tmp/x\nTestingTorNetwork 1\n", NULL},
        {"Bridge 192.0.2.1:443", NULL},
        {"SocksPort 9050\n", "line 1: SocksPort"},
        {"\r\n\tsocksport 0\r\n", "line 2: SocksPort"},
        {"+SocksPort 9050\n", "line 1: SocksPort"},
        {"/SafeSocks\n", "line 1: SafeSocks"},
        {"SafeSocks\t0\n", "line 1: SafeSocks"},
        {"ControlPort#x\n", "line 1: ControlPort"},
        {"UseBridges 1\n%include /etc/tor/torrc.d\n", "line 2: %include"},
        {"IPv6Exit 1\n", "line 1: IPv6Exit"},
        {"ORPort 443\n", "line 1: ORPort"},
        {"RunAsDaemon 1\n", "line 1: RunAsDaemon"},
        {"__OwningControllerProcess 1\n", "line 1: __OwningControllerProcess"},
        {"Nickname a\\\nSocksPort 0\n", "line 1 goes on"},
        {"a\x01\n", "line 1 has a control character"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct problem p = {0};
        enum err e = torrc_check_extra(rows[i].text, strlen(rows[i].text), &p);
        assert_int_equal(e == ERR_NONE, rows[i].words == NULL);
        if (e != ERR_NONE && strstr(p.text, rows[i].words) == NULL)
            fail_msg("'%s' is told as '%s'", rows[i].words, p.text);
    }
    assert_int_equal(torrc_check_extra("a\0b\n", 4, NULL), ERR_INVALID);
    char *big = mem_zero(1, TOR_EXTRA_MAX + 1);
    memset(big, '\n', TOR_EXTRA_MAX + 1);
    assert_int_equal(torrc_check_extra(big, TOR_EXTRA_MAX, NULL), ERR_NONE);
    assert_int_equal(torrc_check_extra(big, TOR_EXTRA_MAX + 1, NULL), ERR_TOO_BIG);
    memset(big, 'x', TOR_EXTRA_MAX);
    assert_int_equal(torrc_check_extra(big, TOR_EXTRA_MAX, NULL), ERR_INVALID);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_torrc_holds_what_the_documentation_promises),
        cmocka_unit_test(paths_fit_in_sockets_and_need_no_quotes),
        cmocka_unit_test(added_lines_leave_alone_what_volley_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
