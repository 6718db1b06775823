#include "common/net/control_event.h"

#include "common/config/value.h"
#include "common/net/control_line.h"

#include <string.h>

static enum err take_number(const char **at, uint64_t *out)
{
    char word[24];
    enum err e = control_word(at, word, sizeof word);
    return e == ERR_NONE ? value_uint(word, out) : ERR_INVALID;
}

/* A field that may be missing. */
static enum err optional(const char *text, const char *key, char *out, size_t size)
{
    out[0] = '\0';
    enum err e = control_field(text, key, out, size);
    if (e != ERR_NONE)
        out[0] = '\0';
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* tor's prose: what is too long or strange is left out, and the fact counts all the same. */
static void prose(const char *text, const char *key, char *out, size_t size)
{
    if (optional(text, key, out, size) != ERR_NONE)
        out[0] = '\0';
}

enum err control_event_bootstrap(const char *text, struct control_bootstrap_event *out)
{
    char word[32], number[8];
    uint64_t percent;
    *out = (struct control_bootstrap_event){0};
    const char *at = text;
    if (control_word(&at, word, sizeof word) != ERR_NONE) /* NOTICE, WARN */
        return ERR_INVALID;
    if (control_word(&at, word, sizeof word) != ERR_NONE || strcmp(word, "BOOTSTRAP") != 0)
        return ERR_NOT_FOUND;
    if (control_field(at, "PROGRESS", number, sizeof number) != ERR_NONE ||
        value_uint(number, &percent) != ERR_NONE || percent > 100)
        return ERR_INVALID;
    out->percent = (int)percent;
    prose(at, "SUMMARY", out->summary, sizeof out->summary);
    prose(at, "WARNING", out->warning, sizeof out->warning);
    return ERR_NONE;
}

/* HOST:PORT, the host in brackets or not. */
static enum err take_target(const char *target, char *host, size_t size, uint16_t *port)
{
    const char *colon = strrchr(target, ':');
    uint64_t number;
    if (colon == NULL || value_uint(colon + 1, &number) != ERR_NONE || number > UINT16_MAX)
        return ERR_INVALID;
    size_t len = (size_t)(colon - target);
    if (len >= 2 && target[0] == '[' && target[len - 1] == ']') {
        target++;
        len -= 2;
    }
    if (len >= size)
        return ERR_INVALID;
    memcpy(host, target, len);
    host[len] = '\0';
    *port = (uint16_t)number;
    return ERR_NONE;
}

static enum control_stream_change change_of(const char *word, const char *rest)
{
    char source[16];
    if (strcmp(word, "NEW") == 0)
        return STREAM_NEW;
    if (strcmp(word, "SUCCEEDED") == 0)
        return STREAM_SUCCEEDED;
    if (strcmp(word, "FAILED") == 0 || strcmp(word, "CLOSED") == 0)
        return STREAM_ENDED;
    if (strcmp(word, "REMAP") == 0 &&
        control_field(rest, "SOURCE", source, sizeof source) == ERR_NONE &&
        strcmp(source, "EXIT") == 0)
        return STREAM_REMAP;
    return STREAM_MOVED;
}

/* Of a unix socket tor gives "PATH:0". */
static enum err take_source(const char *text, char *out, size_t size)
{
    enum err e = optional(text, "SOURCE_ADDR", out, size);
    size_t len = strlen(out);
    if (e == ERR_NONE && out[0] == '/' && len > 2 && strcmp(out + len - 2, ":0") == 0)
        out[len - 2] = '\0';
    return e;
}

enum err control_event_stream(const char *text, struct control_stream_event *out)
{
    char change[24], target[HOST_SIZE + 64];
    *out = (struct control_stream_event){0};
    if (take_number(&text, &out->stream) != ERR_NONE ||
        control_word(&text, change, sizeof change) != ERR_NONE ||
        take_number(&text, &out->circuit) != ERR_NONE ||
        control_word(&text, target, sizeof target) != ERR_NONE)
        return ERR_INVALID;
    out->change = change_of(change, text);
    if (take_target(target, out->host, sizeof out->host, &out->port) != ERR_NONE)
        return ERR_INVALID;
    /* Other programs use the same tor: a user name that can't be ours is no reason to complain. */
    if (optional(text, "SOCKS_USERNAME", out->user, sizeof out->user) != ERR_NONE)
        out->user[0] = '\0';
    return out->change == STREAM_NEW ? take_source(text, out->source, sizeof out->source)
                                     : ERR_NONE;
}

enum err control_event_circuit(const char *text, struct control_circuit_event *out)
{
    char status[24];
    *out = (struct control_circuit_event){0};
    if (take_number(&text, &out->circuit) != ERR_NONE ||
        control_word(&text, status, sizeof status) != ERR_NONE)
        return ERR_INVALID;
    out->ended = strcmp(status, "CLOSED") == 0 || strcmp(status, "FAILED") == 0;
    text += strspn(text, " ");
    if (text[0] != '$') /* fields follow: no hop yet */
        return ERR_NONE;
    return control_word(&text, out->hops, sizeof out->hops) == ERR_NONE ? ERR_NONE : ERR_INVALID;
}
