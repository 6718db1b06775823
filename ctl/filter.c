#include "ctl/filter.h"

#include "common/base/hex.h"
#include "common/config/value.h"
#include "common/nostr/nip19.h"
#include "ctl/lines.h"
#include "ctl/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ID_LINE_MAX 256u
#define CHUNK       4096u
#define FAILED_BITS                                                                                \
    (1u << CLASS_BLOCKED | 1u << CLASS_RESTRICTED | 1u << CLASS_MUTE | 1u << CLASS_INVALID |       \
     1u << CLASS_POW | 1u << CLASS_AUTH | 1u << CLASS_REFUSED | 1u << CLASS_ERROR |                \
     1u << CLASS_TIMEOUT)
#define EXPIRED_BITS                                                                               \
    (1u << CLASS_RETENTION | 1u << CLASS_LANE_MAX | 1u << CLASS_RETIRED | 1u << CLASS_RELEASED)

/* ---- ids ---- */

static enum err add_id(struct filter *f, const char *text, struct problem *p)
{
    uint8_t(*ids)[EVENT_ID_LEN] = (void *)f->row.ids; /* ours, see filter.h */
    size_t len = f->row.ids_len;
    if (len == FILTER_IDS_MAX)
        return problem_set(p, ERR_TOO_BIG, "--id: more than %u ids at once; cut the list",
                           FILTER_IDS_MAX);
    if ((len & (len - 1)) == 0)
        ids = mem_grow(ids, (len == 0 ? 1 : 2 * len) * sizeof *ids);
    f->row.ids = (const uint8_t(*)[EVENT_ID_LEN])ids;
    enum err e = nip19_event_id(text, ids[len], p);
    f->row.ids_len += e == ERR_NONE;
    return e;
}

/* The words of a list with commas or spaces. */
static enum err each_word(const char *list,
                          enum err (*take)(struct filter *f, const char *word, struct problem *p),
                          struct filter *f, struct problem *p)
{
    static const char between[] = ", ";
    size_t words = 0;
    for (list += strspn(list, between); *list != '\0'; list += strspn(list, between), words++) {
        size_t len = strcspn(list, between);
        char word[ID_LINE_MAX];
        (void)snprintf(word, sizeof word, "%.*s", (int)len, list);
        enum err e = len >= sizeof word ? problem_set(p, ERR_INVALID, "'%.40s…' is too long", list)
                                        : take(f, word, p);
        if (e != ERR_NONE)
            return e;
        list += len;
    }
    return words > 0 ? ERR_NONE : ERR_NOT_FOUND;
}

struct id_lines {
    struct lines lines;
    uint64_t bad, first_bad;
    struct problem first;
};

static enum err take_lines(struct filter *f, struct id_lines *l, bool eof, struct problem *p)
{
    struct line line;
    for (;;) {
        struct problem why;
        enum line_kind kind = lines_next(&l->lines, eof, &line);
        char text[ID_LINE_MAX + 1];
        if (kind == LINE_NONE)
            return ERR_NONE;
        const char *at = line.text, *end = line.text + line.len;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        while (end > at && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
            end--;
        (void)snprintf(text, sizeof text, "%.*s", (int)(end - at), at);
        enum err e = kind == LINE_TOO_LONG
                         ? problem_set(&why, ERR_INVALID, "the line is too long for an id")
                         : add_id(f, text, &why);
        if (e == ERR_TOO_BIG)
            return problem_set(p, e, "%s", why.text);
        if (e != ERR_NONE && l->bad++ == 0) {
            l->first_bad = line.number;
            l->first = why;
        }
    }
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, EVENT_ID_LEN);
}

/* An id that is named twice is looked for once. */
static void drop_twins(struct filter *f)
{
    uint8_t(*ids)[EVENT_ID_LEN] = (void *)f->row.ids;
    size_t kept = 0;
    if (f->row.ids_len < 2)
        return;
    qsort(ids, f->row.ids_len, sizeof *ids, by_bytes);
    for (size_t i = 0; i < f->row.ids_len; i++)
        if (i == 0 || memcmp(ids[kept - 1], ids[i], EVENT_ID_LEN) != 0)
            memmove(ids[kept++], ids[i], EVENT_ID_LEN);
    f->row.ids_len = kept;
}

static enum err read_ids(struct filter *f, struct problem *p)
{
    struct id_lines l = {0};
    char chunk[CHUNK];
    ssize_t n = 1;
    enum err e = ERR_NONE;
    lines_init(&l.lines, ID_LINE_MAX, CHUNK);
    while (n > 0 && e == ERR_NONE) {
        n = read(f->ids_fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        if (n < 0) {
            e = problem_set(p, ERR_IO, "--id -: %s", strerror(errno));
            break;
        }
        if (n > 0)
            lines_add(&l.lines, chunk, (size_t)n);
        e = take_lines(f, &l, n == 0, p);
    }
    lines_fini(&l.lines);
    if (e == ERR_NONE && l.bad == 1)
        e = problem_set(p, ERR_INVALID, "--id -: line %" PRIu64 ": %s", l.first_bad, l.first.text);
    else if (e == ERR_NONE && l.bad > 1)
        e = problem_set(p, ERR_INVALID,
                        "--id -: line %" PRIu64 ": %s (and %" PRIu64 " more line%s)", l.first_bad,
                        l.first.text, l.bad - 1, l.bad == 2 ? "" : "s");
    f->none = e == ERR_NONE && f->row.ids_len == 0;
    return e;
}

/* ---- the other options ---- */

static enum err take_class(struct filter *f, const char *word, struct problem *p)
{
    const char *names[CLASS_COUNT + 1];
    size_t len = 0;
    if (strcmp(word, "expired") == 0) {
        f->row.classes |= EXPIRED_BITS;
        return ERR_NONE;
    }
    for (unsigned c = 0; c < CLASS_COUNT; c++) {
        if (((FAILED_BITS | EXPIRED_BITS) & 1u << c) == 0)
            continue;
        names[len++] = row_class_name((enum row_class)c);
        if (strcmp(word, names[len - 1]) == 0) {
            f->row.classes |= 1u << c;
            return ERR_NONE;
        }
    }
    names[len++] = "expired";
    const char *near = value_nearest(word, names, len);
    if (near != NULL)
        return problem_set(p, ERR_INVALID, "--class: no class '%s' (did you mean %s?)", word, near);
    return problem_set(p, ERR_INVALID,
                       "--class: no class '%s'; there are blocked restricted mute invalid pow auth "
                       "refused error timeout, and expired (retention lane_max retired released)",
                       word);
}

static enum err take_classes(struct filter *f, const char *text, struct problem *p)
{
    enum err e = each_word(text, take_class, f, p);
    return e == ERR_NOT_FOUND ? take_class(f, "", p) : e;
}

static enum err take_relay(struct filter *f, const char *text, struct problem *p)
{
    (void)p;
    f->relay = text; /* the queue knows which are known: filter_resolve */
    return ERR_NONE;
}

static enum err take_reason(struct filter *f, const char *text, struct problem *p)
{
    if (text[0] == '\0' || strlen(text) >= sizeof f->row.reason)
        return problem_set(p, ERR_INVALID, "--reason: expected a text of at most %zu bytes",
                           sizeof f->row.reason - 1);
    (void)snprintf(f->row.reason, sizeof f->row.reason, "%s", text);
    return ERR_NONE;
}

static enum err number(const char *name, const char *text, uint64_t min, uint64_t max,
                       uint32_t *out, struct problem *p)
{
    uint64_t n;
    if (value_uint(text, &n) != ERR_NONE || n < min || n > max)
        return problem_set(p, ERR_INVALID, "%s=%s: expected a number from %" PRIu64 " to %" PRIu64,
                           name, text, min, max);
    *out = (uint32_t)n;
    return ERR_NONE;
}

static enum err take_kind(struct filter *f, const char *text, struct problem *p)
{
    f->row.has_kind = true;
    return number("--kind", text, 0, 65535, &f->row.kind, p);
}

static enum err take_author(struct filter *f, const char *text, struct problem *p)
{
    struct problem why;
    if (nip19_pubkey(text, f->row.author, &why) != ERR_NONE)
        return problem_set(p, ERR_INVALID, "--author: %s", why.text);
    f->row.has_author = true;
    return ERR_NONE;
}

static enum err duration(const char *name, const char *text, int64_t *out, struct problem *p)
{
    uint64_t ms;
    if (value_duration(text, &ms) != ERR_NONE || ms == 0 || ms > INT64_MAX)
        return problem_set(p, ERR_INVALID, "%s=%s: expected a duration such as 2h or 7d", name,
                           text);
    *out = (int64_t)ms;
    return ERR_NONE;
}

static enum err take_older(struct filter *f, const char *text, struct problem *p)
{
    return duration("--older-than", text, &f->row.older_than_ms, p);
}

static enum err take_newer(struct filter *f, const char *text, struct problem *p)
{
    return duration("--newer-than", text, &f->row.newer_than_ms, p);
}

static enum err take_attempts(struct filter *f, const char *text, struct problem *p)
{
    return number("--min-attempts", text, 1, UINT32_MAX, &f->row.min_attempts, p);
}

static enum err take_ids(struct filter *f, const char *text, struct problem *p)
{
    struct problem why;
    if (strcmp(text, "-") == 0)
        return read_ids(f, p);
    enum err e = each_word(text, add_id, f, &why);
    if (e == ERR_NOT_FOUND)
        return problem_set(p, ERR_INVALID, "--id: expected an event id");
    return e == ERR_NONE ? e : problem_set(p, e, "--id: %s", why.text);
}

/* --id last: standard input is read when all else is right. */
static const struct taker {
    const char *name;
    enum err (*take)(struct filter *f, const char *text, struct problem *p);
} takers[] = {
    {"--relay", take_relay},      {"--class", take_classes},         {"--reason", take_reason},
    {"--kind", take_kind},        {"--author", take_author},         {"--older-than", take_older},
    {"--newer-than", take_newer}, {"--min-attempts", take_attempts}, {"--id", take_ids},
};

enum err filter_read(const struct invocation *inv, int ids_fd, struct filter *f, struct problem *p)
{
    *f = (struct filter){.ids_fd = ids_fd};
    for (size_t i = 0; i < COUNT_OF(takers); i++) {
        const char *text = invocation_option(inv, takers[i].name);
        if (text == NULL)
            continue;
        enum err e = takers[i].take(f, text, p);
        if (e != ERR_NONE)
            return e;
    }
    drop_twins(f);
    return ERR_NONE;
}

void filter_free(struct filter *f)
{
    free((void *)f->row.ids);
    *f = (struct filter){0};
}

enum err filter_of_words(const char *relay, const char *classes, struct filter *out,
                         struct problem *p)
{
    *out = (struct filter){.relay = relay != NULL && relay[0] != '\0' ? relay : NULL};
    return classes != NULL && classes[0] != '\0' ? take_classes(out, classes, p) : ERR_NONE;
}

enum err filter_resolve(struct filter *f, const struct relay_names *names, struct problem *p)
{
    if (f->relay == NULL)
        return ERR_NONE;
    const struct relay_name *r = relay_names_find(names, f->relay, p);
    if (r == NULL)
        return ERR_NOT_FOUND;
    (void)snprintf(f->row.url, sizeof f->row.url, "%s", r->url);
    return ERR_NONE;
}

/* ---- in words ---- */

static void put_classes(FILE *out, uint32_t classes)
{
    fputs(", class", out);
    if ((classes & EXPIRED_BITS) == EXPIRED_BITS) {
        fputs(" expired", out);
        classes &= ~EXPIRED_BITS;
    }
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        if ((classes & 1u << c) != 0)
            fprintf(out, " %s", row_class_name((enum row_class)c));
}

static void put_ids(FILE *out, const struct row_filter *row)
{
    char id[2 * EVENT_ID_LEN + 1];
    if (row->ids_len == 1)
        fprintf(out, ", id %s", hex_str(id, row->ids[0], EVENT_ID_LEN));
    else
        fprintf(out, ", %zu ids", row->ids_len);
}

/* As it would be typed, in the largest unit that tells all of it. */
static void put_age(FILE *out, const char *word, int64_t ms)
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (ms % units[i].ms != 0)
            continue;
        fprintf(out, ", %s than %" PRId64 "%s", word, ms / units[i].ms, units[i].unit);
        return;
    }
}

void filter_text(const struct filter *f, char out[FILTER_TEXT_SIZE])
{
    const struct row_filter *row = &f->row;
    char *text, npub[NIP19_NPUB_SIZE];
    size_t len;
    FILE *words = open_memstream(&text, &len);
    if (words == NULL)
        die("out of memory");
    if (f->relay != NULL)
        fprintf(words, ", relay %s", f->relay);
    if (row->classes != 0)
        put_classes(words, row->classes);
    if (row->reason[0] != '\0')
        fprintf(words, ", reason '%s'", row->reason);
    if (row->has_kind)
        fprintf(words, ", kind %" PRIu32, row->kind);
    if (row->older_than_ms != 0)
        put_age(words, "older", row->older_than_ms);
    if (row->newer_than_ms != 0)
        put_age(words, "newer", row->newer_than_ms);
    if (row->min_attempts != 0)
        fprintf(words, ", at least %" PRIu32 " attempts", row->min_attempts);
    if (row->has_author) {
        nip19_npub(row->author, npub);
        fprintf(words, ", author %s", npub);
    }
    if (row->ids_len > 0)
        put_ids(words, row);
    fclose(words);
    (void)clean_text(len > 0 ? text + 2 : "all that failed", out, FILTER_TEXT_SIZE);
    free(text);
}
