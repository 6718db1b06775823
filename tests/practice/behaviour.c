#include "tests/practice/behaviour.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum word_type { FLAG, NUMBER, REST };

static const struct word {
    const char *name;
    enum word_type type;
    size_t offset;
    size_t size;
} words[] = {
    {"down", FLAG, offsetof(struct behaviour, down), 0},
    {"blackhole", FLAG, offsetof(struct behaviour, blackhole), 0},
    {"mute", FLAG, offsetof(struct behaviour, mute), 0},
    {"duplicate", FLAG, offsetof(struct behaviour, duplicate), 0},
    {"auth", FLAG, offsetof(struct behaviour, auth), 0},
    {"silent", FLAG, offsetof(struct behaviour, silent), 0},
    {"noread", FLAG, offsetof(struct behaviour, noread), 0},
    {"garbage", FLAG, offsetof(struct behaviour, garbage), 0},
    {"wrong_id", FLAG, offsetof(struct behaviour, wrong_id), 0},
    {"huge", FLAG, offsetof(struct behaviour, huge), 0},
    {"document", FLAG, offsetof(struct behaviour, document), 0},
    {"http", NUMBER, offsetof(struct behaviour, http), 0},
    {"slow", NUMBER, offsetof(struct behaviour, slow_ms), 0},
    {"rate", NUMBER, offsetof(struct behaviour, rate), 0},
    {"cut_before", NUMBER, offsetof(struct behaviour, cut_before), 0},
    {"cut_after", NUMBER, offsetof(struct behaviour, cut_after), 0},
    {"refuse_every", NUMBER, offsetof(struct behaviour, refuse_every), 0},
    {"hangup_on", REST, offsetof(struct behaviour, hangup_on),
     sizeof((struct behaviour *)0)->hangup_on},
    {"refuse", REST, offsetof(struct behaviour, refuse), sizeof((struct behaviour *)0)->refuse},
};

static const struct word *find(const char *text, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strlen(words[i].name) == len && strncmp(words[i].name, text, len) == 0)
            return &words[i];
    return NULL;
}

enum err behaviour_parse(const char *text, struct behaviour *out, struct problem *p)
{
    *out = (struct behaviour){.refuse_every = 1};
    for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
        size_t len = strcspn(text, " ="), all = strcspn(text, " ");
        const struct word *w = find(text, len);
        if (w == NULL && strncmp(text, "ok", all) == 0 && all == 2) {
            text += all;
            continue;
        }
        if (w == NULL || (w->type == FLAG) != (text[len] != '='))
            return problem_set(p, ERR_INVALID, "no behaviour '%.*s'", (int)all, text);
        char *field = (char *)out + w->offset;
        if (w->type == FLAG) {
            *(bool *)field = true;
        } else if (w->type == NUMBER) {
            *(unsigned *)field = (unsigned)strtoul(text + len + 1, NULL, 10);
        } else {
            (void)snprintf(field, w->size, "%s", text + len + 1);
            return ERR_NONE;
        }
        text += all;
    }
    return ERR_NONE;
}

const char *behaviour_refusal(const struct behaviour *b, uint64_t n, char out[REFUSAL_SIZE])
{
    static const char between[] = " | ";
    uint64_t texts = 1;
    const char *at = b->refuse, *end;
    for (const char *p = at; (p = strstr(p, between)) != NULL; p += strlen(between))
        texts++;
    for (n %= texts; n > 0; n--)
        at = strstr(at, between) + strlen(between);
    end = strstr(at, between);
    (void)snprintf(out, REFUSAL_SIZE, "%.*s", end != NULL ? (int)(end - at) : (int)strlen(at), at);
    return out;
}
