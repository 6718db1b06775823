#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "publisher/key.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The pair of NIP-19's example. */
#define HEX  "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa"
#define NSEC "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"

static char dir[] = "/tmp/volley-test-XXXXXX";
static char path[sizeof dir + 8];

static int make_dir(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/key", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void write_file(const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void a_key_is_read_or_refused_with_a_reason(void **state)
{
    static const struct {
        const char *text;
        mode_t mode;
        bool may_be_readable;
        enum err err;
        const char *words;
    } rows[] = {
        {HEX, 0600, false, ERR_NONE, ""},
        {NSEC, 0400, false, ERR_NONE, ""},
        {"\n  " NSEC "\r\n\n", 0600, false, ERR_NONE, ""},
        {HEX, 0644, true, ERR_NONE, ""},
        {HEX, 0644, false, ERR_INVALID, "chmod 600"},
        {HEX, 0640, false, ERR_INVALID, "mode 640"},
        {HEX, 0602, false, ERR_INVALID, "mode 602"},
        {"", 0600, false, ERR_INVALID, "no secret key"},
        {ZERO, 0600, false, ERR_INVALID, "no secret key"},
        {HEX HEX, 0600, false, ERR_INVALID, "no secret key"},
        {HEX "\n" HEX, 0600, false, ERR_INVALID, "no secret key"},
        {HEX HEX HEX HEX HEX, 0600, false, ERR_INVALID, "no secret key"},
    };
    uint8_t want[32], got[32];
    (void)state;
    assert_int_equal(hex_get(HEX, 64, want, sizeof want), ERR_NONE);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct problem p = {0};
        write_file(rows[i].text, rows[i].mode);
        assert_int_equal(key_load(path, rows[i].may_be_readable, got, &p), rows[i].err);
        assert_non_null(strstr(p.text, rows[i].words));
        assert_null(strstr(p.text, "67dea2ed")); /* never the secret */
        if (rows[i].err == ERR_NONE)
            assert_memory_equal(got, want, sizeof want);
        else
            assert_non_null(strstr(p.text, path));
        unlink(path);
    }
}

static void what_is_no_file_is_refused(void **state)
{
    uint8_t got[32];
    struct problem p = {0};
    (void)state;
    assert_int_equal(key_load("/nowhere/at/all", false, got, &p), ERR_NOT_FOUND);
    assert_non_null(strstr(p.text, "/nowhere/at/all"));
    assert_int_equal(key_load(dir, false, got, &p), ERR_INVALID);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(key_load(path, false, got, &p), ERR_INVALID); /* and does not wait */
}

static void a_file_is_read_once_for_all_who_name_it(void **state)
{
    struct keys *k = keys_new(false);
    const uint8_t *first, *second;
    struct problem p;
    (void)state;
    unlink(path);
    assert_int_equal(keys_get(k, path, &first, &p), ERR_NOT_FOUND);
    write_file(HEX, 0600);
    assert_int_equal(keys_get(k, path, &first, &p), ERR_NONE);
    write_file("gone", 0600);
    assert_int_equal(keys_get(k, path, &second, &p), ERR_NONE);
    assert_ptr_equal(first, second);
    keys_free(k);
    keys_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_read_or_refused_with_a_reason),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(a_file_is_read_once_for_all_who_name_it),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
