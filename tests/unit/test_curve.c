/* Keys in files, and the list of who may connect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/secret.h"
#include "queue/allow.h"
#include "tests/support/curve_dir.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct world {
    char dir[128];
    struct curve_pair server, client;
};

static int begin(void **state)
{
    struct world *w = mem_zero(1, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "%s/volley-keys-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(w->dir));
    curve_dir_fill(w->dir, &w->server, &w->client);
    *state = w;
    return 0;
}

static void path_of(const struct world *w, const char *name, char out[CURVE_PATH_SIZE])
{
    assert_int_equal(curve_path(w->dir, name, out, NULL), ERR_NONE);
}

static int end(void **state)
{
    struct world *w = *state;
    DIR *d = opendir(w->dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[CURVE_PATH_SIZE];
        path_of(w, e->d_name, path);
        unlink(path);
    }
    closedir(d);
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

static void what_volley_keys_makes_is_loaded(void **state)
{
    struct world *w = *state;
    struct curve_pair server;
    struct curve_client client;
    assert_int_equal(curve_load_server(w->dir, &server, NULL), ERR_NONE);
    assert_string_equal(server.secret, w->server.secret);
    assert_string_equal(server.public, w->server.public);
    assert_int_equal(curve_load_client(w->dir, &client, NULL), ERR_NONE);
    assert_string_equal(client.own.secret, w->client.secret);
    assert_string_equal(client.own.public, w->client.public); /* though only the secret was read */
    assert_string_equal(client.server, w->server.public);
}

/* What the file `name` holds instead, or NULL for no file; and a word of what is said then. */
static void wrong_keys_are_refused_with_words_and_never_shown(void **state)
{
    struct world *w = *state;
    char cut[CURVE_TEXT_SIZE];
    (void)snprintf(cut, sizeof cut, "%.39s", w->client.secret);
    const struct {
        const char *name, *text, *word;
    } rows[] = {
        {"client.key", NULL, "client.key"},
        {"client.key", "", "40 characters"},
        {"client.key", cut, "40 characters"},
        {"client.key", "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~", "40 characters"},
        {"server.pub", NULL, "copy it from the queue's machine"},
        {"server.pub", "rubbish", "server.pub"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct curve_client client;
        struct problem p = {0};
        char path[CURVE_PATH_SIZE];
        curve_dir_fill_client(w->dir, &w->client, w->server.public);
        path_of(w, rows[i].name, path);
        if (rows[i].text != NULL)
            curve_dir_write(w->dir, rows[i].name, 0600, rows[i].text);
        else
            unlink(path);
        assert_int_equal(curve_load_client(w->dir, &client, &p), ERR_INVALID);
        assert_non_null(strstr(p.text, rows[i].word));
        assert_null(strstr(p.text, cut));
    }
    struct curve_pair server;
    struct problem p = {0};
    assert_int_equal(curve_load_server("", &server, &p), ERR_INVALID);
    assert_non_null(strstr(p.text, "queue.keys_dir"));
    assert_int_equal(curve_load_server(NULL, &server, &p), ERR_INVALID);
    assert_int_equal(curve_load_server("/nowhere", &server, &p), ERR_INVALID);
    assert_non_null(strstr(p.text, "volley keys"));
}

static void a_secret_that_others_can_read_is_refused(void **state)
{
    struct world *w = *state;
    struct problem p = {0};
    char path[CURVE_PATH_SIZE], text[100];
    path_of(w, "client.key", path);
    static const mode_t modes[] = {0640, 0604, 0620, 0601, 0644};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        curve_dir_write(w->dir, "client.key", modes[i], w->client.secret);
        assert_int_equal(secret_read(path, false, text, sizeof text, &p), ERR_INVALID);
        assert_non_null(strstr(p.text, "chmod 600"));
        assert_int_equal(secret_read(path, true, text, sizeof text, &p), ERR_NONE);
        assert_string_equal(text, w->client.secret);
    }
    struct curve_client client;
    enum err want = secret_in_container() ? ERR_NONE : ERR_INVALID;
    assert_int_equal(curve_load_client(w->dir, &client, &p), want);
}

static void white_space_around_a_secret_does_not_count(void **state)
{
    struct world *w = *state;
    char path[CURVE_PATH_SIZE], text[16];
    path_of(w, "x", path);
    curve_dir_write(w->dir, "x", 0600, " \n a b\r\n\n");
    assert_int_equal(secret_read(path, false, text, sizeof text, NULL), ERR_NONE);
    assert_string_equal(text, "a b");
    curve_dir_write(w->dir, "x", 0600, " \n ");
    assert_int_equal(secret_read(path, false, text, sizeof text, NULL), ERR_NONE);
    assert_string_equal(text, "");
    curve_dir_write(w->dir, "x", 0600, "0123456789abcdef");
    assert_int_equal(secret_read(path, false, text, sizeof text, NULL), ERR_INVALID);
    assert_int_equal(secret_read(w->dir, false, text, sizeof text, NULL), ERR_INVALID);
    path_of(w, "y", path);
    assert_int_equal(secret_read(path, false, text, sizeof text, NULL), ERR_NOT_FOUND);
}

/* ---- the list */

static bool may(struct allow *a, const struct curve_pair *who)
{
    const char *name;
    uint8_t key[CURVE_KEY_LEN];
    assert_int_equal(curve_parse(who->public, key), ERR_NONE);
    return allow_has(a, key, &name);
}

static void the_list_is_read_anew_when_it_changed(void **state)
{
    struct world *w = *state;
    struct curve_pair other;
    struct allow *a;
    char lines[300];
    assert_int_equal(curve_make(&other, NULL), ERR_NONE);
    assert_int_equal(allow_new(w->dir, &a, NULL), ERR_NONE);
    assert_true(may(a, &w->client));
    assert_false(may(a, &other));
    assert_false(may(a, &w->server));
    (void)snprintf(lines, sizeof lines, "\n  \t%s\r\n# %s old\n#%s\n\t%s  and another name",
                   other.public, w->server.public, w->server.public, w->client.public);
    curve_dir_allow(w->dir, lines);
    assert_true(may(a, &other));
    assert_true(may(a, &w->client));
    assert_false(may(a, &w->server));
    curve_dir_allow(w->dir, "");
    assert_false(may(a, &w->client));
    (void)snprintf(lines, sizeof lines, "rubbish\n%s client\n", w->client.public);
    curve_dir_allow(w->dir, lines);
    assert_true(may(a, &w->client)); /* a wrong line is not another's loss */
    curve_dir_write(w->dir, "clients.allow", 0666, lines);
    assert_false(may(a, &w->client)); /* anybody could have written it */
    curve_dir_allow(w->dir, lines);
    assert_true(may(a, &w->client));
    char path[CURVE_PATH_SIZE];
    path_of(w, "clients.allow", path);
    unlink(path);
    assert_false(may(a, &w->client));
    allow_free(a);
}

static void a_list_to_begin_with_must_be_right(void **state)
{
    struct world *w = *state;
    struct allow *a;
    struct problem p = {0};
    char path[CURVE_PATH_SIZE];
    curve_dir_allow(w->dir, "# nobody yet\n\nrubbish\n");
    assert_int_equal(allow_new(w->dir, &a, &p), ERR_INVALID);
    assert_non_null(strstr(p.text, "clients.allow:3:"));
    curve_dir_write(w->dir, "clients.allow", 0662, "");
    assert_int_equal(allow_new(w->dir, &a, &p), ERR_INVALID);
    assert_non_null(strstr(p.text, "chmod"));
    path_of(w, "clients.allow", path);
    unlink(path);
    assert_int_equal(allow_new(w->dir, &a, &p), ERR_INVALID);
    curve_dir_allow(w->dir, "# nobody yet\n");
    assert_int_equal(allow_new(w->dir, &a, &p), ERR_NONE);
    assert_false(may(a, &w->client));
    allow_free(a);
}

/* A line that begins with # is a comment: so must no key. (One in 85 would.) */
static void no_new_key_looks_like_a_comment(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++) {
        struct curve_pair pair;
        assert_int_equal(curve_make(&pair, NULL), ERR_NONE);
        assert_int_not_equal(pair.public[0], '#');
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_volley_keys_makes_is_loaded),
        TEST(wrong_keys_are_refused_with_words_and_never_shown),
        TEST(a_secret_that_others_can_read_is_refused),
        TEST(white_space_around_a_secret_does_not_count),
        TEST(the_list_is_read_anew_when_it_changed),
        TEST(a_list_to_begin_with_must_be_right),
        TEST(no_new_key_looks_like_a_comment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
