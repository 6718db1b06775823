/* What a relay's OK means: one table of answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "publisher/outcome.h"

#include <stdio.h>
#include <string.h>

static const struct answer {
    bool accepted;
    const char *text;
    enum outcome_kind kind;
    enum row_class cls;
} answers[] = {
    /* the boolean first */
    {true, "", OUTCOME_DELIVERED, CLASS_NONE},
    {true, "blocked: not really", OUTCOME_DELIVERED, CLASS_NONE},
    {true, "duplicate: have it", OUTCOME_DELIVERED, CLASS_NONE},
    /* then the prefix, as NIP-01 and NIP-42 name them */
    {false, "duplicate: already have this event", OUTCOME_DELIVERED, CLASS_NONE},
    {false, "rate-limited: slow down there chief", OUTCOME_SLOW, CLASS_NONE},
    {false, "error: could not connect to the database", OUTCOME_RETRY, CLASS_ERROR},
    {false, "auth-required: we only take events from users", OUTCOME_AUTH, CLASS_AUTH},
    {false, "blocked: you are banned", OUTCOME_FAILED, CLASS_BLOCKED},
    {false, "restricted: pay first", OUTCOME_FAILED, CLASS_RESTRICTED},
    {false, "mute: no one was ever going to read it", OUTCOME_FAILED, CLASS_MUTE},
    {false, "invalid: event too far in the future", OUTCOME_FAILED, CLASS_INVALID},
    {false, "pow: difficulty 25>=24", OUTCOME_FAILED, CLASS_POW},
    {false, "replaced: have newer event", OUTCOME_SKIPPED, CLASS_SUPERSEDED},
    {false, "deleted: user requested deletion", OUTCOME_SKIPPED, CLASS_DELETED},
    /* … and what relays make of them */
    {false, "BLOCKED: shouting", OUTCOME_FAILED, CLASS_BLOCKED},
    {false, "Rate-Limited: x", OUTCOME_SLOW, CLASS_NONE},
    {false, "rate limited: x", OUTCOME_SLOW, CLASS_NONE},
    {false, "rate_limited: x", OUTCOME_SLOW, CLASS_NONE},
    {false, "rate-limit: x", OUTCOME_SLOW, CLASS_NONE},
    {false, "ratelimited: x", OUTCOME_SLOW, CLASS_NONE},
    {false, " invalid: indented", OUTCOME_FAILED, CLASS_INVALID},
    {false, "invalid : spaced", OUTCOME_FAILED, CLASS_INVALID},
    {false, "[blocked]: in brackets", OUTCOME_FAILED, CLASS_BLOCKED},
    {false, "blocked:", OUTCOME_FAILED, CLASS_BLOCKED},
    {false, "duplicate", OUTCOME_DELIVERED, CLASS_NONE},
    {false, "blocked", OUTCOME_FAILED, CLASS_BLOCKED},
    {false, "error", OUTCOME_RETRY, CLASS_ERROR},
    /* the prefix decides alone, whatever the text says */
    {false, "error: duplicate key in index", OUTCOME_RETRY, CLASS_ERROR},
    {false, "blocked: rate limit of your tier", OUTCOME_FAILED, CLASS_BLOCKED},
    {false, "invalid: duplicate event tag", OUTCOME_FAILED, CLASS_INVALID},
    /* the names of our classes */
    {false, "refused: x", OUTCOME_FAILED, CLASS_REFUSED},
    {false, "muted: x", OUTCOME_FAILED, CLASS_MUTE},
    {false, "auth: x", OUTCOME_AUTH, CLASS_AUTH},
    {false, "timeout: x", OUTCOME_RETRY, CLASS_ERROR},
    {false, "superseded: x", OUTCOME_SKIPPED, CLASS_SUPERSEDED},
    /* phrases, without a prefix */
    {false, "Too many requests", OUTCOME_SLOW, CLASS_NONE},
    {false, "you are noting too much", OUTCOME_SLOW, CLASS_NONE},
    {false, "Rate limit exceeded, try again later", OUTCOME_SLOW, CLASS_NONE},
    {false, "request was throttled", OUTCOME_SLOW, CLASS_NONE},
    {false, "Event already exists", OUTCOME_DELIVERED, CLASS_NONE},
    {false, "already have this event", OUTCOME_DELIVERED, CLASS_NONE},
    {false, "Duplicate event.", OUTCOME_DELIVERED, CLASS_NONE},
    {false, "have newer version", OUTCOME_SKIPPED, CLASS_SUPERSEDED},
    {false, "already have a newer event", OUTCOME_SKIPPED, CLASS_SUPERSEDED},
    {false, "this event was deleted by its author", OUTCOME_SKIPPED, CLASS_DELETED},
    {false, "Spam detected", OUTCOME_FAILED, CLASS_BLOCKED},
    {false, "spammer", OUTCOME_FAILED, CLASS_BLOCKED},
    {false, "pubkey is blacklisted", OUTCOME_FAILED, CLASS_BLOCKED},
    {false, "This is a paid relay", OUTCOME_FAILED, CLASS_RESTRICTED},
    {false, "payment required", OUTCOME_FAILED, CLASS_RESTRICTED},
    {false, "payment-required: 5000 sats", OUTCOME_FAILED, CLASS_RESTRICTED},
    {false, "pubkey not in whitelist", OUTCOME_FAILED, CLASS_RESTRICTED},
    {false, "pubkey not whitelisted", OUTCOME_FAILED, CLASS_RESTRICTED},
    {false, "kind 30023 not allowed", OUTCOME_FAILED, CLASS_RESTRICTED},
    {false, "you are not in the Web of Trust", OUTCOME_FAILED, CLASS_RESTRICTED},
    {false, "restricted to members", OUTCOME_FAILED, CLASS_RESTRICTED},
    {false, "auth required", OUTCOME_AUTH, CLASS_AUTH},
    {false, "Please authenticate first", OUTCOME_AUTH, CLASS_AUTH},
    {false, "this relay requires authentication", OUTCOME_AUTH, CLASS_AUTH},
    {false, "event too large", OUTCOME_FAILED, CLASS_INVALID},
    {false, "invalid signature", OUTCOME_FAILED, CLASS_INVALID},
    {false, "proof of work required", OUTCOME_FAILED, CLASS_POW},
    {false, "insufficient PoW", OUTCOME_FAILED, CLASS_POW},
    {false, "difficulty 4 is less than 20", OUTCOME_FAILED, CLASS_POW},
    {false, "internal error", OUTCOME_RETRY, CLASS_ERROR},
    {false, "Database is locked", OUTCOME_RETRY, CLASS_ERROR},
    {false, "temporarily unavailable", OUTCOME_RETRY, CLASS_ERROR},
    /* whole words only */
    {false, "powerful words", OUTCOME_FAILED, CLASS_REFUSED},
    {false, "the bandwagon", OUTCOME_FAILED, CLASS_REFUSED},
    {false, "our payload differs", OUTCOME_FAILED, CLASS_REFUSED},
    /* a filter against repetition does not have the event */
    {false, "duplicate content", OUTCOME_FAILED, CLASS_REFUSED},
    /* and the rest is refused */
    {false, "", OUTCOME_FAILED, CLASS_REFUSED},
    {false, ":", OUTCOME_FAILED, CLASS_REFUSED},
    {false, "no", OUTCOME_FAILED, CLASS_REFUSED},
    {false, "https://example.com/terms: read them", OUTCOME_FAILED, CLASS_REFUSED},
};

static void every_answer_has_one_outcome(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        struct outcome o;
        outcome_of(answers[i].accepted, answers[i].text, &o);
        if (o.kind != answers[i].kind || o.cls != answers[i].cls)
            fail_msg("\"%s\": kind %d, class %d", answers[i].text, (int)o.kind, (int)o.cls);
    }
}

static void the_relays_words_are_kept_and_made_visible(void **state)
{
    static const struct {
        const char *said, *kept;
    } rows[] = {
        {"blocked: é 日本 🔫", "blocked: é 日本 🔫"},
        {"two\nlines\tand a tab", "two\\nlines\\tand a tab"},
        {"\x1b[31mred\x7f", "\\u001b[31mred\\u007f"},
        {"c1 \xc2\x9b", "c1 \\u009b"},
        {"turned \xe2\x80\xae round", "turned \\u202e round"},
        {"broken \xff\xc3", "broken \\xff\\xc3"},
        {"overlong \xc0\xaf", "overlong \\xc0\\xaf"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct outcome o;
        outcome_of(false, rows[i].said, &o);
        assert_string_equal(o.text, rows[i].kept);
    }
}

static void long_words_are_cut_at_a_characters_end(void **state)
{
    (void)state;
    char text[4 * QUEUE_TEXT_SIZE];
    struct outcome o;
    for (size_t lead = 0; lead < 4; lead++) {
        size_t n = 0;
        while (n < lead)
            text[n++] = 'a';
        for (; n + 4 < sizeof text; n += 4)
            memcpy(text + n, "🔫", 4);
        text[n] = '\0';
        outcome_of(false, text, &o);
        size_t len = strlen(o.text);
        assert_true(len < QUEUE_TEXT_SIZE && len >= QUEUE_TEXT_SIZE - 4);
        assert_int_equal((len - lead) % 4, 0);
        assert_memory_equal(o.text, text, len);
    }
    memset(text, '\n', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    outcome_of(false, text, &o);
    assert_int_equal(strlen(o.text), QUEUE_TEXT_SIZE - 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_has_one_outcome),
        cmocka_unit_test(the_relays_words_are_kept_and_made_visible),
        cmocka_unit_test(long_words_are_cut_at_a_characters_end),
    };
    return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
