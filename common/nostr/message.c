/* Reading. Both directions begin alike, with the verb; what follows differs by verb. The readers
 * leave their errors in the cursor, and `finish` tells them. Whatever stands behind what is needed
 * is checked to be JSON and passed over. */
#include "common/nostr/message.h"

#include "common/base/hex.h"

#define ID_RAW_LEN_MAX 64u

struct verb_name {
    const char *name;
    enum verb verb;
};
static const struct verb_name client_verbs[] = {
    {"EVENT", VERB_EVENT}, {"REQ", VERB_REQ},     {"CLOSE", VERB_CLOSE},
    {"AUTH", VERB_AUTH},   {"COUNT", VERB_COUNT},
};
static const struct verb_name relay_verbs[] = {
    {"OK", VERB_OK},     {"EVENT", VERB_EVENT}, {"NOTICE", VERB_NOTICE},
    {"EOSE", VERB_EOSE}, {"AUTH", VERB_AUTH},   {"CLOSED", VERB_CLOSED},
};

/* A message being read: `first` is json_next's, for the outer array. */
struct reader {
    struct json_cur c;
    bool first;
};

/* Whether there is a next element; it is an error that there is none. */
static bool need(struct reader *r, const char *missing)
{
    if (json_next(&r->c, ']', &r->first))
        return true;
    (void)json_fail(&r->c, ERR_INVALID, missing);
    return false;
}

static enum verb read_verb(struct reader *r, const struct verb_name *verbs, size_t len,
                           struct json_span *name)
{
    r->first = true;
    if (json_enter(&r->c, '[') != ERR_NONE || !need(r, "the verb is missing") ||
        json_string(&r->c, name) != ERR_NONE)
        return VERB_OTHER;
    for (size_t i = 0; i < len; i++)
        if (json_equals(*name, verbs[i].name))
            return verbs[i].verb;
    return VERB_OTHER;
}

static enum err finish(struct reader *r, const char *text, struct problem *p)
{
    while (r->c.depth > 0 && json_next(&r->c, ']', &r->first))
        if (json_skip(&r->c, NULL) != ERR_NONE)
            break;
    if (json_end(&r->c) == ERR_NONE)
        return ERR_NONE;
    return problem_set(p, r->c.err, "%s (at byte %zu)", r->c.what, (size_t)(r->c.p - text));
}

static void read_event(struct reader *r, struct json_span *event)
{
    if (!need(r, "the event is missing"))
        return;
    if (json_peek(&r->c) != '{' || json_skip(&r->c, event) != ERR_NONE)
        (void)json_fail(&r->c, ERR_INVALID, "the event is not an object");
}

static void read_sub(struct reader *r, struct json_span *sub)
{
    if (!need(r, "the subscription id is missing") || json_string(&r->c, sub) != ERR_NONE)
        return;
    size_t chars = json_chars(*sub);
    if (chars < 1 || chars > SUBSCRIPTION_LEN_MAX)
        (void)json_fail(&r->c, ERR_INVALID, "a subscription id has 1 to 64 characters");
}

/* All that is left of the array, and at least one. Repeated keys are refused: cJSON reads them. */
static void read_filters(struct reader *r, struct json_span *filters)
{
    struct json_span one;
    if (!need(r, "a filter is missing"))
        return;
    const char *start = r->c.p;
    do {
        if (json_peek(&r->c) != '{' || json_skip_unique(&r->c, &one) != ERR_NONE) {
            (void)json_fail(&r->c, ERR_INVALID, "a filter is not an object");
            return;
        }
        *filters = (struct json_span){start, (size_t)(r->c.p - start)};
    } while (json_peek(&r->c) == ',' && json_next(&r->c, ']', &r->first));
}

enum err message_from_client(const char *text, size_t len, struct client_message *out,
                             struct problem *p)
{
    struct reader r;
    *out = (struct client_message){0};
    json_begin(&r.c, text, len);
    out->verb = read_verb(&r, client_verbs, COUNT_OF(client_verbs), &out->name);
    switch (out->verb) {
    case VERB_EVENT:
    case VERB_AUTH:
        read_event(&r, &out->event);
        break;
    case VERB_REQ:
    case VERB_COUNT:
        read_sub(&r, &out->sub);
        read_filters(&r, &out->filters);
        break;
    case VERB_CLOSE:
        read_sub(&r, &out->sub);
        break;
    default:
        break;
    }
    return finish(&r, text, p);
}

static void read_text(struct reader *r, struct json_span *text)
{
    if (!need(r, "the text is missing"))
        return;
    if (json_peek(&r->c) != '"' || json_string(&r->c, text) != ERR_NONE)
        (void)json_fail(&r->c, ERR_INVALID, "the text is not a string");
}

/* Old relays leave the text out, or send null: that is an answer all the same. */
static void read_optional_text(struct reader *r, struct json_span *text)
{
    struct json_span value;
    if (json_next(&r->c, ']', &r->first) && json_skip(&r->c, &value) == ERR_NONE &&
        value.p[0] == '"')
        *text = (struct json_span){value.p + 1, value.len - 2};
}

static void read_ok(struct reader *r, struct relay_message *out)
{
    struct json_span id;
    if (!need(r, "the event id is missing") || json_string(&r->c, &id) != ERR_NONE)
        return;
    if (hex_get(id.p, id.len, out->id, sizeof out->id) != ERR_NONE) {
        (void)json_fail(&r->c, ERR_INVALID, "the event id is not 64 lower-case hex digits");
        return;
    }
    if (need(r, "true or false is missing") && json_bool(&r->c, &out->accepted) == ERR_NONE)
        read_optional_text(r, &out->text);
}

enum err message_from_relay(const char *text, size_t len, struct relay_message *out,
                            struct problem *p)
{
    struct reader r;
    struct json_span name;
    *out = (struct relay_message){0};
    json_begin(&r.c, text, len);
    out->verb = read_verb(&r, relay_verbs, COUNT_OF(relay_verbs), &name);
    switch (out->verb) {
    case VERB_OK:
        read_ok(&r, out);
        break;
    case VERB_NOTICE:
    case VERB_AUTH:
        read_text(&r, &out->text);
        break;
    case VERB_EVENT:
        read_sub(&r, &out->sub);
        read_event(&r, &out->event);
        break;
    case VERB_EOSE:
        read_sub(&r, &out->sub);
        break;
    case VERB_CLOSED:
        read_sub(&r, &out->sub);
        read_optional_text(&r, &out->text);
        break;
    default:
        break;
    }
    return finish(&r, text, p);
}

struct json_span message_event_id(struct json_span event)
{
    struct json_cur c;
    struct json_span key, id;
    bool first = true;
    json_begin(&c, event.p, event.len);
    if (json_enter(&c, '{') != ERR_NONE)
        return (struct json_span){0};
    while (json_next(&c, '}', &first)) {
        if (json_key(&c, &key) != ERR_NONE)
            break;
        if (!json_equals(key, "id")) {
            if (json_skip(&c, NULL) != ERR_NONE)
                break;
        } else if (json_string(&c, &id) == ERR_NONE && id.len <= ID_RAW_LEN_MAX) {
            return id;
        } else {
            break;
        }
    }
    return (struct json_span){0};
}
