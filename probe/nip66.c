#include "probe/nip66.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool nip66_may_tell(const struct relay_url *url, const char *address)
{
    char text[HOST_SIZE];
    struct relay_url at;
    if (url->is_local || strchr(url->text, '?') != NULL)
        return false;
    if (address == NULL)
        return true;
    (void)snprintf(text, sizeof text, strchr(address, ':') != NULL ? "ws://[%s]" : "ws://%s",
                   address);
    return relay_url_parse(text, &at, NULL) == ERR_NONE && at.is_literal && !at.is_local;
}

/* ---- tags ---- */

struct tags {
    struct buf *out;
    enum err e; /* the first one stays */
};

static void add_value(struct tags *t, const char *before, const char *value)
{
    if (t->e == ERR_NONE)
        t->e = buf_add_str(t->out, before);
    if (t->e == ERR_NONE)
        t->e = json_put_string(t->out, value, strlen(value));
}

/* `second`: NULL for none. */
static void tag(struct tags *t, const char *name, const char *first, const char *second)
{
    add_value(t, t->out->len > 1 ? ",[" : "[", name);
    add_value(t, ",", first);
    if (second != NULL)
        add_value(t, ",", second);
    if (t->e == ERR_NONE)
        t->e = buf_add_char(t->out, ']');
}

static void tag_number(struct tags *t, const char *name, uint64_t n)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, n);
    tag(t, name, text, NULL);
}

static void begin(struct tags *t, struct buf *out)
{
    *t = (struct tags){.out = out};
    buf_clear(out);
    t->e = buf_add_char(out, '[');
}

static enum err finish(struct tags *t)
{
    return t->e == ERR_NONE ? buf_add_char(t->out, ']') : t->e;
}

/* RFC 3986, 6.2.3: an empty path is "/". Ours is dropped. */
static void tag_url(struct tags *t, const struct relay_url *url)
{
    char text[URL_SIZE + 1];
    (void)snprintf(text, sizeof text, "%s%s", url->text, strcmp(url->path, "/") == 0 ? "/" : "");
    tag(t, "d", text, NULL);
}

static void tag_time(struct tags *t, const char *name, uint64_t us)
{
    if (us > 0)
        tag_number(t, name, (us + 999) / 1000);
}

/* Printable ASCII: a name or an address; nothing that pretends to be something else. */
static bool is_plain(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            return false;
    return text[0] != '\0';
}

static void tag_document(struct tags *t, const struct nip11 *n)
{
    const struct requirement {
        const char *yes, *no;
        int64_t value; /* NIP11_UNKNOWN, 0, or more */
    } rows[] = {{"auth", "!auth", n->auth_required},
                {"payment", "!payment", n->payment_required},
                {"pow", "!pow", n->min_pow_difficulty},
                {"writes", "!writes", n->restricted_writes}};
    for (size_t i = 0; i < n->nips_len; i++)
        tag_number(t, "N", n->nips[i]);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].value != NIP11_UNKNOWN)
            tag(t, "R", rows[i].value > 0 ? rows[i].yes : rows[i].no, NULL);
    if (is_plain(n->software))
        tag(t, "s", n->software, NULL);
}

static void tag_families(struct tags *t, const bool works[FAMILY_COUNT])
{
    bool first = true;
    for (int f = FAMILY_NONE + 1; f < FAMILY_COUNT; f++) {
        if (!works[f])
            continue;
        if (first)
            tag(t, "L", NIP66_FAMILY, NULL);
        first = false;
        tag(t, "l", family_name((enum family)f), NIP66_FAMILY);
    }
}

enum err nip66_tags(const struct nip66_facts *f, bool with_times, struct buf *out)
{
    struct tags t;
    begin(&t, out);
    tag_url(&t, f->url);
    tag(&t, "n", f->url->is_onion ? "tor" : "clearnet", NULL);
    if (with_times) {
        tag_time(&t, "rtt-open", f->open_us);
        tag_time(&t, "rtt-read", f->read_us);
    }
    if (f->nip11 != NULL)
        tag_document(&t, f->nip11);
    tag_families(&t, f->works);
    return finish(&t);
}

/* ---- events ---- */

enum err nip66_relay(const uint8_t secret[32], uint64_t created_at, const struct nip66_facts *f,
                     struct event **out, struct problem *p)
{
    struct buf tags;
    buf_init(&tags, NIP66_TAGS_MAX);
    enum err e = nip66_tags(f, true, &tags);
    if (e == ERR_NONE)
        e = event_make(secret, created_at, NIP66_RELAY, buf_str(&tags), "", out, p);
    else
        (void)problem_set(p, e, "the tags are too big");
    buf_fini(&tags);
    return e;
}

static void tag_check(struct tags *t, const char *check, uint32_t timeout_ms)
{
    char ms[16];
    (void)snprintf(ms, sizeof ms, "%" PRIu32, timeout_ms);
    tag(t, "timeout", check, ms);
    tag(t, "c", check, NULL);
}

enum err nip66_monitor(const uint8_t secret[32], uint64_t created_at, const struct nip66_monitor *m,
                       struct event **out, struct problem *p)
{
    struct buf text;
    struct tags t;
    buf_init(&text, NIP66_TAGS_MAX);
    begin(&t, &text);
    tag_number(&t, "frequency", m->frequency_s);
    tag_check(&t, "open", m->open_ms);
    tag_check(&t, "read", m->read_ms);
    tag_check(&t, "nip11", m->nip11_ms);
    enum err e = finish(&t);
    if (e == ERR_NONE)
        e = event_make(secret, created_at, NIP66_MONITOR, buf_str(&text), "", out, p);
    else
        (void)problem_set(p, e, "the tags are too big");
    buf_fini(&text);
    return e;
}
