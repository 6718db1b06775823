/* The table is read in two passes: the word before the first colon, as NIP-01 means it (or one that
 * is the whole text), decides alone; only a text without a known prefix is searched for phrases, in
 * the order of the table. More telling phrases stand before vaguer ones. A phrase that counts as
 * delivered must say that the relay has this very event: "duplicate content" is a spam filter. */
#include "publisher/outcome.h"

#include "common/base/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* `words`: whole words; a trailing * takes any end of the last word. In a prefix, spaces and
 * underscores count as hyphens. */
struct rule {
    const char *words;
    enum outcome_kind kind;
    enum row_class cls;
};

static const struct rule prefixes[] = {
    {"duplicate", OUTCOME_DELIVERED, CLASS_NONE},
    {"rate-limited", OUTCOME_SLOW, CLASS_NONE},
    {"rate-limit", OUTCOME_SLOW, CLASS_NONE},
    {"ratelimited", OUTCOME_SLOW, CLASS_NONE},
    {"error", OUTCOME_RETRY, CLASS_ERROR},
    {"timeout", OUTCOME_RETRY, CLASS_ERROR},
    {"auth-required", OUTCOME_AUTH, CLASS_AUTH},
    {"auth", OUTCOME_AUTH, CLASS_AUTH},
    {"blocked", OUTCOME_FAILED, CLASS_BLOCKED},
    {"spam", OUTCOME_FAILED, CLASS_BLOCKED},
    {"restricted", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"payment-required", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"mute", OUTCOME_FAILED, CLASS_MUTE},
    {"muted", OUTCOME_FAILED, CLASS_MUTE},
    {"invalid", OUTCOME_FAILED, CLASS_INVALID},
    {"pow", OUTCOME_FAILED, CLASS_POW},
    {"refused", OUTCOME_FAILED, CLASS_REFUSED},
    {"replaced", OUTCOME_SKIPPED, CLASS_SUPERSEDED},
    {"superseded", OUTCOME_SKIPPED, CLASS_SUPERSEDED},
    {"deleted", OUTCOME_SKIPPED, CLASS_DELETED},
};

static const struct rule phrases[] = {
    {"rate limit*", OUTCOME_SLOW, CLASS_NONE},
    {"rate-limit*", OUTCOME_SLOW, CLASS_NONE},
    {"ratelimit*", OUTCOME_SLOW, CLASS_NONE},
    {"throttl*", OUTCOME_SLOW, CLASS_NONE},
    {"slow down", OUTCOME_SLOW, CLASS_NONE},
    {"too many", OUTCOME_SLOW, CLASS_NONE},
    {"too fast", OUTCOME_SLOW, CLASS_NONE},
    {"too much", OUTCOME_SLOW, CLASS_NONE},
    {"too quickly", OUTCOME_SLOW, CLASS_NONE},
    {"quota", OUTCOME_SLOW, CLASS_NONE},

    {"newer event", OUTCOME_SKIPPED, CLASS_SUPERSEDED},
    {"newer version", OUTCOME_SKIPPED, CLASS_SUPERSEDED},
    {"have newer", OUTCOME_SKIPPED, CLASS_SUPERSEDED},
    {"have a newer", OUTCOME_SKIPPED, CLASS_SUPERSEDED},

    {"duplicate event", OUTCOME_DELIVERED, CLASS_NONE},
    {"event duplicate*", OUTCOME_DELIVERED, CLASS_NONE},
    {"is a duplicate", OUTCOME_DELIVERED, CLASS_NONE},
    {"duplicate id", OUTCOME_DELIVERED, CLASS_NONE},
    {"already have", OUTCOME_DELIVERED, CLASS_NONE},
    {"already exists", OUTCOME_DELIVERED, CLASS_NONE},
    {"already stored", OUTCOME_DELIVERED, CLASS_NONE},
    {"already received", OUTCOME_DELIVERED, CLASS_NONE},
    {"already known", OUTCOME_DELIVERED, CLASS_NONE},
    {"have this event", OUTCOME_DELIVERED, CLASS_NONE},

    {"auth required", OUTCOME_AUTH, CLASS_AUTH},
    {"auth-required", OUTCOME_AUTH, CLASS_AUTH},
    {"authentication required", OUTCOME_AUTH, CLASS_AUTH},
    {"requires auth*", OUTCOME_AUTH, CLASS_AUTH},
    {"require auth*", OUTCOME_AUTH, CLASS_AUTH},
    {"must auth*", OUTCOME_AUTH, CLASS_AUTH},
    {"please auth*", OUTCOME_AUTH, CLASS_AUTH},
    {"need to auth*", OUTCOME_AUTH, CLASS_AUTH},
    {"not authenticated", OUTCOME_AUTH, CLASS_AUTH},
    {"unauthenticated", OUTCOME_AUTH, CLASS_AUTH},

    {"was deleted", OUTCOME_SKIPPED, CLASS_DELETED},
    {"been deleted", OUTCOME_SKIPPED, CLASS_DELETED},
    {"requested deletion", OUTCOME_SKIPPED, CLASS_DELETED},

    {"proof of work", OUTCOME_FAILED, CLASS_POW},
    {"proof-of-work", OUTCOME_FAILED, CLASS_POW},
    {"pow", OUTCOME_FAILED, CLASS_POW},
    {"difficulty", OUTCOME_FAILED, CLASS_POW},

    {"spam*", OUTCOME_FAILED, CLASS_BLOCKED},
    {"block*", OUTCOME_FAILED, CLASS_BLOCKED},
    {"ban", OUTCOME_FAILED, CLASS_BLOCKED},
    {"banned", OUTCOME_FAILED, CLASS_BLOCKED},
    {"blacklist*", OUTCOME_FAILED, CLASS_BLOCKED},
    {"denylist*", OUTCOME_FAILED, CLASS_BLOCKED},

    {"paid", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"unpaid", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"pay", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"payment*", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"subscri*", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"whitelist*", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"allowlist*", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"web of trust", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"not allowed", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"not permitted", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"not authorized", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"unauthorized", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"not registered", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"not a member", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"members only", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"permission*", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"restricted", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"forbidden", OUTCOME_FAILED, CLASS_RESTRICTED},
    {"muted", OUTCOME_FAILED, CLASS_MUTE},

    {"too large", OUTCOME_FAILED, CLASS_INVALID},
    {"too big", OUTCOME_FAILED, CLASS_INVALID},
    {"too long", OUTCOME_FAILED, CLASS_INVALID},
    {"too old", OUTCOME_FAILED, CLASS_INVALID},
    {"in the future", OUTCOME_FAILED, CLASS_INVALID},
    {"invalid", OUTCOME_FAILED, CLASS_INVALID},
    {"malformed", OUTCOME_FAILED, CLASS_INVALID},
    {"bad signature", OUTCOME_FAILED, CLASS_INVALID},
    {"bad event id", OUTCOME_FAILED, CLASS_INVALID},

    {"try again", OUTCOME_RETRY, CLASS_ERROR},
    {"try later", OUTCOME_RETRY, CLASS_ERROR},
    {"temporar*", OUTCOME_RETRY, CLASS_ERROR},
    {"internal error", OUTCOME_RETRY, CLASS_ERROR},
    {"internal server error", OUTCOME_RETRY, CLASS_ERROR},
    {"server error", OUTCOME_RETRY, CLASS_ERROR},
    {"database error", OUTCOME_RETRY, CLASS_ERROR},
    {"database is locked", OUTCOME_RETRY, CLASS_ERROR},
    {"could not save", OUTCOME_RETRY, CLASS_ERROR},
    {"failed to save", OUTCOME_RETRY, CLASS_ERROR},
    {"failed to store", OUTCOME_RETRY, CLASS_ERROR},
    {"overloaded", OUTCOME_RETRY, CLASS_ERROR},
    {"unavailable", OUTCOME_RETRY, CLASS_ERROR},
    {"timed out", OUTCOME_RETRY, CLASS_ERROR},
    {"timeout", OUTCOME_RETRY, CLASS_ERROR},
};

/* ---- the relay's words, fit for a terminal and for a row ---- */

static uint32_t code_point(const char *p, size_t len)
{
    const unsigned char *s = (const unsigned char *)p;
    if (len == 1)
        return s[0];
    uint32_t c = s[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (s[i] & 0x3fu);
    return c;
}

/* C0, DEL, C1, line and paragraph separators, and what turns the direction of writing around. */
static bool deceives(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f || c == 0x061c ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Control characters become \n, \t, \u001b; bytes that are no UTF-8 \xff. */
void outcome_text(const char *text, char out[QUEUE_TEXT_SIZE])
{
    const char *end = text + strnlen(text, QUEUE_TEXT_SIZE * 4);
    size_t at = 0;
    while (text < end) {
        size_t len = utf8_len(text, end);
        uint32_t c = len > 0 ? code_point(text, len) : 0;
        char piece[8];
        int piece_len = (int)len;
        if (len == 0)
            piece_len = snprintf(piece, sizeof piece, "\\x%02x", (unsigned char)*text);
        else if (c == '\n' || c == '\t')
            piece_len = snprintf(piece, sizeof piece, "\\%c", c == '\n' ? 'n' : 't');
        else if (deceives(c))
            piece_len = snprintf(piece, sizeof piece, "\\u%04x", c & 0xffffu);
        else
            memcpy(piece, text, len);
        if (at + (size_t)piece_len >= QUEUE_TEXT_SIZE)
            break;
        memcpy(out + at, piece, (size_t)piece_len);
        at += (size_t)piece_len;
        text += len > 0 ? len : 1;
    }
    out[at] = '\0';
}

/* ---- matching ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static const struct rule *find_prefix(const char *text)
{
    while (*text == ' ' || *text == '[' || *text == '"')
        text++;
    for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
        const char *w = prefixes[i].words, *t = text;
        while (*w != '\0' && (lower(*t) == *w || (*w == '-' && (*t == ' ' || *t == '_'))))
            w++, t++;
        while (*w == '\0' && (*t == ' ' || *t == ']'))
            t++;
        if (*w == '\0' && (*t == ':' || *t == '\0'))
            return &prefixes[i];
    }
    return NULL;
}

static bool phrase_at(const char *text, const char *words)
{
    while (*words != '\0' && *words != '*' && lower(*text) == *words)
        text++, words++;
    return *words == '*' || (*words == '\0' && !is_word(*text));
}

static bool contains(const char *text, const char *words)
{
    for (const char *t = text; *t != '\0'; t++)
        if ((t == text || !is_word(t[-1])) && phrase_at(t, words))
            return true;
    return false;
}

static const struct rule *find_phrase(const char *text)
{
    for (size_t i = 0; i < COUNT_OF(phrases); i++)
        if (contains(text, phrases[i].words))
            return &phrases[i];
    return NULL;
}

void outcome_of(bool accepted, const char *text, struct outcome *out)
{
    static const struct rule yes = {"", OUTCOME_DELIVERED, CLASS_NONE},
                             no = {"", OUTCOME_FAILED, CLASS_REFUSED};
    outcome_text(text, out->text);
    const struct rule *r = accepted ? &yes : find_prefix(out->text);
    if (r == NULL)
        r = find_phrase(out->text);
    if (r == NULL)
        r = &no;
    out->kind = r->kind;
    out->cls = r->cls;
}
