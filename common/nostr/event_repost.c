#include "common/nostr/event_repost.h"

/* At a tag; a tag that is no array of strings is passed over. */
static bool is_minus_tag(struct json_cur *c)
{
    struct json_span raw, name = {0};
    if (json_skip(c, &raw) != ERR_NONE)
        return false;
    struct json_cur tag;
    bool first = true;
    json_begin(&tag, raw.p, raw.len);
    return json_enter(&tag, '[') == ERR_NONE && json_next(&tag, ']', &first) &&
           json_string(&tag, &name) == ERR_NONE && json_equals(name, "-");
}

static bool has_minus_tag(struct json_cur *c)
{
    bool first = true;
    if (json_enter(c, '[') != ERR_NONE)
        return false;
    while (json_next(c, ']', &first))
        if (is_minus_tag(c))
            return true;
    return false;
}

/* Looks no further than the first ["-"]: what follows may be broken, the tag was there. */
static bool is_protected_event(const char *text, size_t len)
{
    struct json_cur c;
    struct json_span key;
    bool first = true;
    json_begin(&c, text, len);
    if (json_enter(&c, '{') != ERR_NONE)
        return false;
    while (json_next(&c, '}', &first)) {
        if (json_key(&c, &key) != ERR_NONE)
            return false;
        if (json_equals(key, "tags") && json_peek(&c) == '[') {
            if (has_minus_tag(&c))
                return true;
        } else if (json_skip(&c, NULL) != ERR_NONE) {
            return false;
        }
    }
    return false;
}

bool event_embeds_protected(uint32_t kind, struct json_span content)
{
    if ((kind != 6 && kind != 16) || content.len == 0)
        return false;
    struct buf text;
    buf_init(&text, content.len);
    bool found =
        json_unescape(content, &text) == ERR_NONE && is_protected_event(buf_str(&text), text.len);
    buf_fini(&text);
    return found;
}
