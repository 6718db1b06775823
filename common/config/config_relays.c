/* The relay list: entries as people write them → definitions as the queue keeps them. */
#include "common/config/config_internal.h"
#include "common/config/value.h"
#include "common/nostr/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

static const struct {
    const char *name;
    size_t offset;
} fields[] = {
    {"url", offsetof(struct relay_entry, url)},
    {"name", offsetof(struct relay_entry, name)},
    {"route", offsetof(struct relay_entry, route)},
    {"family", offsetof(struct relay_entry, family)},
    {"window", offsetof(struct relay_entry, window)},
    {"rate", offsetof(struct relay_entry, rate)},
    {"kinds", offsetof(struct relay_entry, kinds)},
    {"except_kinds", offsetof(struct relay_entry, except_kinds)},
    {"private", offsetof(struct relay_entry, is_private)},
    {"backfill", offsetof(struct relay_entry, backfill)},
    {"hold", offsetof(struct relay_entry, hold)},
    {"auth_key_file", offsetof(struct relay_entry, auth_key_file)},
};

static char **field_at(struct relay_entry *e, size_t i)
{
    return (char **)((char *)e + fields[i].offset);
}

char **relay_entry_field(struct relay_entry *e, const char *name)
{
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (strcmp(fields[i].name, name) == 0)
            return field_at(e, i);
    return NULL;
}

const char *relay_entry_suggest(const char *name, char *out, size_t size)
{
    const char *names[COUNT_OF(fields)];
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        names[i] = fields[i].name;
    const char *near = value_nearest(name, names, COUNT_OF(names));
    (void)snprintf(out, size, near != NULL ? " (did you mean %s?)" : "%s",
                   near != NULL ? near : "");
    return out;
}

void relay_entries_free(struct relay_entries *e)
{
    for (size_t i = 0; i < e->len; i++)
        for (size_t f = 0; f < COUNT_OF(fields); f++)
            free(*field_at(&e->list[i], f));
    free(e->list);
    *e = (struct relay_entries){0};
}

enum err relay_entries_add(struct relay_entries *e, int line, struct relay_entry **out,
                           struct problem *p)
{
    if (e->len == CONFIG_RELAYS_MAX)
        return problem_set(p, ERR_INVALID, "more than %u relays", CONFIG_RELAYS_MAX);
    if ((e->len & (e->len - 1)) == 0)
        e->list = mem_grow(e->list, (e->len == 0 ? 1 : 2 * e->len) * sizeof *e->list);
    *out = &e->list[e->len++];
    **out = (struct relay_entry){.file = e->file, .line = line};
    return ERR_NONE;
}

enum err relay_entries_add_text(struct relay_entries *e, const char *text, int line,
                                struct problem *p)
{
    static const char gaps[] = ", \t\r\n";
    for (text += strspn(text, gaps); *text != '\0'; text += strspn(text, gaps)) {
        size_t len = strcspn(text, gaps);
        struct relay_entry *entry;
        enum err err = relay_entries_add(e, line, &entry, p);
        if (err != ERR_NONE)
            return err;
        entry->url = mem_strndup(text, len);
        text += len;
    }
    return ERR_NONE;
}

enum err relay_entries_add_json(struct relay_entries *e, const char *text, size_t len,
                                struct problem *p)
{
    struct json_cur c;
    struct relay_entry *entry;
    bool first = true;
    int line = 1;
    const char *seen = text;
    enum err err = ERR_NONE;
    json_begin(&c, text, len);
    if (json_enter(&c, '[') != ERR_NONE)
        (void)json_fail(&c, ERR_INVALID, "expected a list such as [\"relay.example\"]");
    while (err == ERR_NONE && c.err == ERR_NONE && json_next(&c, ']', &first)) {
        struct json_span raw;
        char url[URL_SIZE + 1]; /* what is longer is refused as a URL */
        if (json_string(&c, &raw) != ERR_NONE)
            break;
        for (; seen < raw.p; seen++)
            line += *seen == '\n';
        json_copy(raw, url, sizeof url);
        err = relay_entries_add(e, line, &entry, p);
        if (err == ERR_NONE)
            entry->url = mem_strdup(url);
    }
    if (err != ERR_NONE || json_end(&c) == ERR_NONE)
        return err;
    for (; seen < c.p; seen++)
        line += *seen == '\n';
    return problem_set(p, ERR_INVALID, "%s:%d: not a JSON list of relays: %s", e->file, line,
                       c.what);
}

static enum err parse_kinds(const char *text, uint16_t *out, uint32_t *len)
{
    static const char gaps[] = ", \t\r\n";
    for (text += strspn(text, gaps); *text != '\0'; text += strspn(text, gaps)) {
        char word[8];
        size_t n = strcspn(text, gaps);
        uint64_t kind;
        if (n >= sizeof word || *len == DEFINITION_KINDS_MAX)
            return ERR_INVALID;
        memcpy(word, text, n);
        word[n] = '\0';
        if (value_uint(word, &kind) != ERR_NONE || kind > UINT16_MAX)
            return ERR_INVALID;
        out[(*len)++] = (uint16_t)kind;
        text += n;
    }
    return ERR_NONE;
}

/* Names are shown in tables and typed in commands: no white space, no control characters. */
static enum err copy_text(const char *text, char *out, size_t size)
{
    size_t len = strlen(text);
    if (len >= size)
        return ERR_TOO_BIG;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
            return ERR_INVALID;
    memcpy(out, text, len + 1);
    return ERR_NONE;
}

static enum err parse_route(const char *text, enum route *out)
{
    for (enum route r = 0; r < ROUTE_COUNT; r++)
        if (strcmp(text, route_name(r)) == 0) {
            *out = r;
            return ERR_NONE;
        }
    return ERR_INVALID;
}

static enum err parse_family(const char *text, enum family_mode *out)
{
    for (enum family_mode m = 0; m < MODE_COUNT; m++)
        if (strcmp(text, family_mode_name(m)) == 0) {
            *out = m;
            return ERR_NONE;
        }
    return ERR_INVALID;
}

/* Sets one field of the definition; the word "private" is a key, is_private a field. */
static enum err set_field(const struct relay_entry *e, const char *name, struct definition *d)
{
    uint64_t n = 0;
    enum err err = ERR_NONE;
    if (strcmp(name, "route") == 0)
        return parse_route(e->route, &d->route);
    if (strcmp(name, "family") == 0)
        return parse_family(e->family, &d->family);
    if (strcmp(name, "window") == 0) {
        err = value_uint(e->window, &n);
        d->window = (uint32_t)n;
        return err == ERR_NONE && (n < 1 || n > 1000) ? ERR_INVALID : err;
    }
    if (strcmp(name, "rate") == 0)
        return value_rate(e->rate, &d->rate_per_1000s);
    if (strcmp(name, "kinds") == 0)
        return parse_kinds(e->kinds, d->kinds, &d->kinds_len);
    if (strcmp(name, "except_kinds") == 0)
        return parse_kinds(e->except_kinds, d->except_kinds, &d->except_kinds_len);
    if (strcmp(name, "private") == 0)
        return value_bool(e->is_private, &d->is_private);
    if (strcmp(name, "backfill") == 0)
        return value_bool(e->backfill, &d->backfill);
    if (strcmp(name, "hold") == 0)
        return value_bool(e->hold, &d->hold);
    return copy_text(e->auth_key_file, d->auth_key_file, sizeof d->auth_key_file);
}

#define WHERE_SIZE (CONFIG_TEXT_SIZE + 16)

/* "volley.yaml:12", or "--set". */
static const char *entry_where(const struct relay_entry *e, char out[WHERE_SIZE])
{
    if (e->line > 0)
        (void)snprintf(out, WHERE_SIZE, "%s:%d", e->file, e->line);
    else
        (void)snprintf(out, WHERE_SIZE, "%s", e->file);
    return out;
}

static enum err check_route(const struct definition *d, const struct relay_url *url,
                            const char *where, struct problem *p)
{
    if (d->route == ROUTE_TOR && url->is_local)
        return problem_set(p, ERR_INVALID,
                           "%s: relay %s is a loopback or private address, which no Tor exit "
                           "can reach; give this relay 'route: direct'",
                           where, url->text);
    if (d->route == ROUTE_DIRECT && url->is_onion)
        return problem_set(p, ERR_INVALID,
                           "%s: relay %s is an onion service, which only Tor can reach; give "
                           "this relay 'route: tor'",
                           where, url->text);
    return ERR_NONE;
}

static enum err make_one(const struct config *c, struct relay_entry *e, struct definition *d,
                         struct problem *p)
{
    struct relay_url url;
    struct problem why;
    char where[WHERE_SIZE];
    (void)entry_where(e, where);
    *d = (struct definition){.route = c->publisher.route,
                             .family = c->publisher.family,
                             .window = (uint32_t)c->publisher.window};
    if (relay_url_parse(e->url, &url, &why) != ERR_NONE)
        return problem_set(p, ERR_INVALID, "%s: relay '%.120s': %s", where, e->url, why.text);
    memcpy(d->url, url.text, sizeof d->url);
    if (e->name != NULL && copy_text(e->name, d->name, sizeof d->name) != ERR_NONE)
        return problem_set(p, ERR_INVALID,
                           "%s: relay %s: '%.80s' is no name: at most %zu bytes, no white space",
                           where, d->url, e->name, sizeof d->name - 1);
    for (size_t f = 2; f < COUNT_OF(fields); f++) /* url and name are done */
        if (*field_at(e, f) != NULL && set_field(e, fields[f].name, d) != ERR_NONE)
            return problem_set(p, ERR_INVALID, "%s: relay %s: '%.60s' is no %s", where, d->url,
                               *field_at(e, f), fields[f].name);
    return check_route(d, &url, where, p);
}

struct seen {
    size_t at;
    UT_hash_handle hh, by_name;
};

/* A name that two relays have is no name: commands could not tell them apart. */
static enum err check_name(struct seen **names, struct seen *s, const struct definition *defs,
                           const char *where, struct problem *p)
{
    struct seen *other;
    const struct definition *d = &defs[s->at];
    if (d->name[0] == '\0')
        return ERR_NONE;
    HASH_FIND(by_name, *names, d->name, strlen(d->name), other);
    if (other != NULL)
        return problem_set(p, ERR_INVALID, "%s: relay %s: the name '%s' is %s's already", where,
                           d->url, d->name, defs[other->at].url);
    HASH_ADD_KEYPTR(by_name, *names, d->name, strlen(d->name), s);
    return ERR_NONE;
}

enum err config_make_relays(struct config *c, const struct relay_entries *e, struct problem *p)
{
    struct definition *defs = mem_zero(e->len, sizeof *defs);
    struct seen *all = mem_zero(e->len, sizeof *all), *table = NULL, *names = NULL, *found;
    char where[WHERE_SIZE];
    size_t len = 0;
    enum err err = ERR_NONE;
    for (size_t i = 0; i < e->len; i++) {
        struct definition *d = &defs[len];
        err = make_one(c, &e->list[i], d, p);
        if (err != ERR_NONE)
            break;
        HASH_FIND_STR(table, d->url, found);
        if (found != NULL && !definition_equal(&defs[found->at], d)) {
            err =
                problem_set(p, ERR_INVALID, "%s: relay %s is given twice, with different settings",
                            entry_where(&e->list[i], where), d->url);
            break;
        }
        if (found != NULL) {
            if (buf_addf(&c->warnings, "%s: relay %s is given twice; counted once\n",
                         entry_where(&e->list[i], where), d->url) != ERR_NONE)
                c->warnings.max = c->warnings.len; /* enough has been said */
            continue;
        }
        all[len].at = len;
        HASH_ADD_KEYPTR(hh, table, d->url, strlen(d->url), &all[len]);
        err = check_name(&names, &all[len], defs, entry_where(&e->list[i], where), p);
        if (err != ERR_NONE)
            break;
        len++;
    }
    HASH_CLEAR(by_name, names);
    HASH_CLEAR(hh, table);
    free(all);
    if (err != ERR_NONE) {
        free(defs);
        return err;
    }
    c->publisher.relays = (struct config_relays){.defs = defs, .len = len};
    return ERR_NONE;
}
