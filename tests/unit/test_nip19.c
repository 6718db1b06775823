/* Names for people. The first rows are NIP-19's own examples; the others were made by another
 * program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/nostr/nip19.h"

#include <string.h>

#define KEY   "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
#define NPUB  "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
#define NOTE  "note10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qnx3ujq"
#define NSEC  "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
#define UPPER "NPUB10ELFCS4FR0L0R8AF98JLMGDH9C8TCXJVZ9QKW038JS35MP4DMA8QZVJPTG"

struct row {
    const char *text, *hex; /* NULL: refused */
};

typedef enum err read_fn(const char *text, uint8_t out[32], struct problem *p);

static void judge(const struct row *rows, size_t len, read_fn *read)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t got[32], want[32];
        struct problem p = {0};
        enum err e = read(rows[i].text, got, &p);
        if (e != (rows[i].hex != NULL ? ERR_NONE : ERR_INVALID))
            fail_msg("row %zu: %s", i, rows[i].text);
        if (rows[i].hex != NULL) {
            assert_int_equal(hex_get(rows[i].hex, 64, want, 32), ERR_NONE);
            assert_memory_equal(got, want, 32);
        } else {
            assert_true(p.text[0] != '\0');
            assert_true(strlen(rows[i].text) < 7 || strstr(p.text, rows[i].text) == NULL);
        }
    }
}

static void a_public_key_is_hex_or_an_npub(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {NPUB, KEY},
        {UPPER, KEY},
        {KEY, KEY},
        {"7E7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e", NULL},
        {KEY "0", NULL},
        {"7e", NULL},
        {"", NULL},
        {"npub", NULL},
        {"npub1", NULL},
        {"npub1qqqqqq", NULL},
        {NOTE, NULL},
        {NSEC, NULL},
        {" " NPUB, NULL},
        {NPUB " ", NULL},
        {"nostr:" NPUB, NULL},
        {"nPub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg", NULL},
        {"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptq", NULL},
        {"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjpt", NULL},
        {"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8bzvjptg", NULL},
        {"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8\xc3\xa9zvjptg", NULL},
        /* of another length, with bits behind the end, with the checksum of bech32m */
        {"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dmup82t8f", NULL},
        {"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qqlhqg6v", NULL},
        {"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8pl6x5k6", NULL},
        {"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qhszdw2", NULL},
    };
    judge(rows, COUNT_OF(rows), nip19_pubkey);
}

static void an_event_id_is_hex_a_note_or_a_nevent(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {NOTE, KEY},
        {KEY, KEY},
        {"nevent1qqsqqe0hd9e2y5mf7qffkfv4w4rxcv63rj458fqj9hn08cwrn23wnvgwrvg7j",
         "0065f76972a25369f0129b259575466c33511cab43a4122de6f3e1c39aa2e9b1"},
        {"nevent1qqs0yvswv6w9yvz2vv02dgul5hyuppuu0vngcm9gj8lpa3jtem20llspz3mhxue69uhhyetvv9ujumn8d"
         "96zuer9wcpzqnjky26htndmf4w76zf7frrge5lhynad23c59uxpkzhv9u4j5zewhq40ud",
         "f2320e669c52304a631ea6a39fa5c9c0879c7b268c6ca891fe1ec64bced4fffe"},
        /* the id behind entries of other types */
        {"nevent1qypkzcnrpyqqqgr706wy92gmlmcel2ffuh76rdewp67p5nq3g9nnufu5ydxcdtwlfcquauel", KEY},
        /* no id, an id of 31 bytes, one that is cut off, half a header, nothing */
        {"nevent1qypxzcs4zc8mu", NULL},
        {"nevent1qq0hul5ug253hlh3n75jne0a5xmjur4urfxpzst88cnegg6ds6ka7g03gg7", NULL},
        {"nevent1qqs8ul5ug253hlh3n75jne0a5xmjur4urfxpzst88cnegg6ds6ka7qzslr3", NULL},
        {"nevent1qq5v4rkz", NULL},
        {"nevent1c3esv7", NULL},
        {NPUB, NULL},
        {"", NULL},
    };
    judge(rows, COUNT_OF(rows), nip19_event_id);
}

static void a_secret_is_hex_or_an_nsec_and_never_repeated(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {NSEC, "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa"},
        {KEY, KEY},
        {NPUB, NULL},
        {"nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe6", NULL},
        {"hunter2", NULL},
        {"", NULL},
    };
    judge(rows, COUNT_OF(rows), nip19_secret);
}

static void a_text_without_end_is_refused(void **state)
{
    (void)state;
    char text[8192] = "nevent1";
    uint8_t out[32];
    memset(text + 7, 'q', sizeof text - 8);
    text[sizeof text - 1] = '\0';
    assert_int_equal(nip19_event_id(text, out, NULL), ERR_INVALID);
}

static void names_are_written_as_they_are_read(void **state)
{
    (void)state;
    uint8_t key[32];
    char text[NIP19_NPUB_SIZE];
    assert_int_equal(hex_get(KEY, 64, key, 32), ERR_NONE);
    nip19_npub(key, text);
    assert_string_equal(text, NPUB);
    nip19_note(key, text);
    assert_string_equal(text, NOTE);
    for (unsigned i = 0; i < 256; i++) {
        uint8_t again[32];
        memset(key, (int)i, sizeof key);
        key[31] = (uint8_t)~i;
        nip19_npub(key, text);
        assert_int_equal(nip19_pubkey(text, again, NULL), ERR_NONE);
        assert_memory_equal(again, key, 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_public_key_is_hex_or_an_npub),
        cmocka_unit_test(an_event_id_is_hex_a_note_or_a_nevent),
        cmocka_unit_test(a_secret_is_hex_or_an_nsec_and_never_repeated),
        cmocka_unit_test(a_text_without_end_is_refused),
        cmocka_unit_test(names_are_written_as_they_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
