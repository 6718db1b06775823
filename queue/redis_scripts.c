#include "queue/redis_scripts.h"

#include <stdio.h>
#include <string.h>

#define NEEDS "-- needs:"

const char *redis_verb_name(unsigned verb)
{
    static const char *const names[VERB_END] = {
        [WIRE_APPEND] = "append",   [WIRE_READ] = "read",           [WIRE_LEASE] = "lease",
        [WIRE_COMMIT] = "commit",   [WIRE_DEFINE] = "define",       [WIRE_DEPTH] = "depth",
        [WIRE_RECEIPT] = "receipt", [WIRE_REGISTRY] = "registry",   [WIRE_HOLD] = "hold",
        [WIRE_FAILED] = "failed",   [WIRE_JOBS] = "jobs",           [WIRE_CANCEL] = "cancel",
        [VERB_HELLO] = "hello",     [VERB_HOUSEKEEP] = "housekeep", [VERB_TALLY] = "tally"};
    return verb < VERB_END && names[verb] != NULL ? names[verb] : "?";
}

static const struct redis_source *find(const char *name)
{
    const struct redis_source *s = redis_sources;
    while (s->name[0] != '\0' && strcmp(s->name, name) != 0)
        s++;
    if (s->name[0] == '\0')
        die("queue/redis/%s.lua is not in this program", name);
    return s;
}

static void add(struct buf *out, const char *text, size_t len)
{
    if (buf_add(out, text, len) != ERR_NONE)
        die("a script of more than %zu bytes", out->max);
}

/* The libs that the line names. */
static void add_libs(struct buf *out, const char *line, size_t len)
{
    const char *at = line + strlen(NEEDS), *end = line + len;
    while (at < end) {
        size_t word = 0;
        char name[64];
        at += *at == ' ';
        while (at + word < end && at[word] != ' ')
            word++;
        if (word == 0)
            continue;
        (void)snprintf(name, sizeof name, "lib_%.*s", (int)word, at);
        const struct redis_source *lib = find(name);
        add(out, lib->text, lib->len);
        add(out, "\n", 1);
        at += word;
    }
}

/* With its end. */
static size_t line_len(const char *text, size_t len)
{
    const char *end = memchr(text, '\n', len);
    return end != NULL ? (size_t)(end - text) + 1 : len;
}

void redis_script_text(unsigned verb, struct buf *out)
{
    const struct redis_source *s = find(redis_verb_name(verb));
    const char *text = s->text;
    size_t len = s->len, first = line_len(text, len);
    add(out, text, first);
    text += first;
    len -= first;
    size_t second = line_len(text, len);
    if (second > strlen(NEEDS) && memcmp(text, NEEDS, strlen(NEEDS)) == 0) {
        add_libs(out, text, second - 1);
        text += second;
        len -= second;
    }
    add(out, text, len);
}
