#include "publisher/route.h"

#include "common/nostr/kinds.h"

#include <string.h>

static struct verdict skip(enum row_class cls)
{
    return (struct verdict){VERDICT_SKIP, cls};
}

struct naming {
    const char *url;
    bool named;
};

/* Canonical bytes never escape a slash, and a URL that needs an escape is none. */
static bool names(void *arg, struct json_span value)
{
    struct naming *n = arg;
    char text[URL_SIZE];
    struct relay_url url;
    if (value.len >= sizeof text)
        return true;
    memcpy(text, value.p, value.len);
    text[value.len] = '\0';
    n->named = strcmp(text, "ALL_RELAYS") == 0 ||
               (relay_url_parse(text, &url, NULL) == ERR_NONE && strcmp(url.text, n->url) == 0);
    return !n->named;
}

/* NIP-62: a request to vanish is only for the relays it names. */
static bool vanish_names(const struct event *ev, const char *url)
{
    struct naming n = {.url = url};
    event_each_tag(ev, "relay", names, &n);
    return n.named;
}

struct verdict route_event(const struct queue_event *ev, const struct definition *def,
                           bool admitted, bool newer_deliverable, int64_t now_ms)
{
    const struct event *e = ev->event;
    if (!admitted && !definition_allows(def, e->kind))
        return (struct verdict){VERDICT_PASS, CLASS_NONE};
    /* Admitted, and the relay lost its `private` mark since: no filter may pass it silently any
     * more, so it ends in a row. */
    if (kind_never(e->kind) || (kind_private(e->kind) && !def->is_private))
        return skip(CLASS_OPERATOR);
    if (e->is_protected)
        return skip(CLASS_PROTECTED);
    if (ev->deleted_by != 0 && e->kind != KIND_DELETION)
        return skip(CLASS_DELETED);
    if (e->expiration != 0 && now_ms >= 0 && e->expiration <= (uint64_t)now_ms / 1000)
        return skip(CLASS_OUTDATED);
    if (ev->newer != 0 && newer_deliverable)
        return skip(CLASS_SUPERSEDED);
    if (kind_class(e->kind) == KIND_EPHEMERAL && now_ms - ev->accepted_ms > EPHEMERAL_PATIENCE_MS)
        return skip(CLASS_EPHEMERAL);
    if (e->kind == KIND_VANISH && !vanish_names(e, def->url))
        return skip(CLASS_VANISHED);
    return (struct verdict){VERDICT_SEND, CLASS_NONE};
}
