#include "queue/wire_parts.h"

#include <string.h>

unsigned wire_enum(struct unpack *u, unsigned count)
{
    unsigned v = unpack_u8(u);
    if (v >= count) {
        u->bad = true;
        v = 0;
    }
    return v;
}

bool wire_bool(struct unpack *u)
{
    return wire_enum(u, 2) != 0;
}

void *wire_array(struct unpack *u, struct wire_arena *a, size_t each, uint32_t max, size_t size,
                 size_t *len)
{
    *len = unpack_count(u, each, max);
    return *len == 0 ? NULL : wire_alloc(a, *len, size);
}

const char *wire_text(struct unpack *u, struct wire_arena *a, size_t max)
{
    size_t len;
    const uint8_t *at = unpack_bytes(u, max, &len);
    if (len == 0)
        return NULL;
    if (memchr(at, '\0', len) != NULL) {
        u->bad = true;
        return NULL;
    }
    return memcpy(wire_alloc(a, len + 1, 1), at, len);
}

void wire_put_exceptions(struct pack *p, const struct exception *e, size_t len)
{
    pack_u32(p, (uint32_t)len);
    for (size_t i = 0; i < len; i++) {
        pack_u64(p, e[i].pos);
        pack_u32(p, e[i].attempts);
        pack_u32(p, e[i].flags);
        pack_i64(p, e[i].not_before_ms);
    }
}

const struct exception *wire_get_exceptions(struct unpack *u, struct wire_arena *a, size_t *len)
{
    struct exception *e =
        wire_array(u, a, WIRE_EXCEPTION_LEN, QUEUE_EXCEPTIONS_MAX, sizeof *e, len);
    for (size_t i = 0; i < *len; i++) {
        e[i].pos = unpack_u64(u);
        e[i].attempts = unpack_u32(u);
        e[i].flags = unpack_u32(u);
        e[i].not_before_ms = unpack_i64(u);
    }
    return e;
}

void wire_put_lane_requests(struct pack *p, const struct lane_request *r, size_t len)
{
    pack_u32(p, (uint32_t)len);
    for (size_t i = 0; i < len; i++) {
        pack_u64(p, r[i].number);
        pack_u64(p, r[i].pos);
    }
}

const struct lane_request *wire_get_lane_requests(struct unpack *u, struct wire_arena *a,
                                                  size_t *len)
{
    struct lane_request *r = wire_array(u, a, WIRE_REQUEST_LEN, QUEUE_REQUESTS_MAX, sizeof *r, len);
    for (size_t i = 0; i < *len; i++) {
        r[i].number = unpack_u64(u);
        r[i].pos = unpack_u64(u);
    }
    return r;
}

void wire_put_paths(struct pack *p, const struct path_stat *s, size_t len)
{
    pack_u32(p, (uint32_t)len);
    for (size_t i = 0; i < len; i++) {
        pack_u8(p, (uint8_t)s[i].route);
        pack_u8(p, (uint8_t)s[i].family);
        pack_u64(p, s[i].attempts);
        pack_u64(p, s[i].successes);
        pack_u64(p, s[i].failures);
        pack_u64(p, s[i].connect_us);
        pack_u64(p, s[i].tls_us);
        pack_u64(p, s[i].websocket_us);
        pack_i64(p, s[i].last_success_ms);
        pack_i64(p, s[i].last_failure_ms);
    }
}

const struct path_stat *wire_get_paths(struct unpack *u, struct wire_arena *a, size_t *len)
{
    struct path_stat *s = wire_array(u, a, WIRE_PATH_LEN, PATHS_MAX, sizeof *s, len);
    for (size_t i = 0; i < *len; i++) {
        s[i].route = (enum route)wire_enum(u, ROUTE_COUNT);
        s[i].family = (enum family)wire_enum(u, FAMILY_COUNT);
        s[i].attempts = unpack_u64(u);
        s[i].successes = unpack_u64(u);
        s[i].failures = unpack_u64(u);
        s[i].connect_us = unpack_u64(u);
        s[i].tls_us = unpack_u64(u);
        s[i].websocket_us = unpack_u64(u);
        s[i].last_success_ms = unpack_i64(u);
        s[i].last_failure_ms = unpack_i64(u);
    }
    return s;
}

void wire_put_row(struct pack *p, const struct row *r)
{
    pack_u64(p, r->from);
    pack_u64(p, r->to);
    pack_u8(p, (uint8_t)r->end);
    pack_u8(p, (uint8_t)r->cls);
    pack_u32(p, r->attempts);
    pack_i64(p, r->first_ms);
    pack_i64(p, r->last_ms);
    pack_u8(p, (uint8_t)r->route);
    pack_u8(p, (uint8_t)r->family);
    pack_str(p, r->text);
}

void wire_get_row(struct unpack *u, struct row *r)
{
    r->from = unpack_u64(u);
    r->to = unpack_u64(u);
    r->end = (enum row_end)wire_enum(u, ROW_END_COUNT);
    r->cls = (enum row_class)wire_enum(u, CLASS_COUNT);
    r->attempts = unpack_u32(u);
    r->first_ms = unpack_i64(u);
    r->last_ms = unpack_i64(u);
    r->route = (enum route)wire_enum(u, ROUTE_COUNT);
    r->family = (enum family)wire_enum(u, FAMILY_COUNT);
    unpack_str(u, r->text, sizeof r->text);
}

void wire_put_history(struct pack *p, const struct row *r, size_t len)
{
    pack_u32(p, (uint32_t)len);
    for (size_t i = 0; i < len; i++)
        wire_put_row(p, &r[i]);
}

const struct row *wire_get_history(struct unpack *u, struct wire_arena *a, size_t *len)
{
    struct row *r = wire_array(u, a, WIRE_ROW_MIN, HISTORY_MAX, sizeof *r, len);
    for (size_t i = 0; i < *len && !u->bad; i++)
        wire_get_row(u, &r[i]);
    return r;
}

void wire_put_learned(struct pack *p, const struct learned *l)
{
    pack_u32(p, l->window);
    pack_u32(p, l->rate_per_1000s);
    pack_u8(p, (uint8_t)l->family);
    pack_u32(p, l->ipv6_failures);
    pack_u32(p, l->ipv6_connect_ms);
    pack_i64(p, l->demoted_until_ms);
}

void wire_get_learned(struct unpack *u, struct learned *l)
{
    l->window = unpack_u32(u);
    l->rate_per_1000s = unpack_u32(u);
    l->family = (enum family)wire_enum(u, FAMILY_COUNT);
    l->ipv6_failures = unpack_u32(u);
    l->ipv6_connect_ms = unpack_u32(u);
    l->demoted_until_ms = unpack_i64(u);
}

void wire_put_live(struct pack *p, const struct lane_live *l)
{
    pack_u8(p, (uint8_t)l->state);
    pack_i64(p, l->since_ms);
    pack_u32(p, l->in_flight);
    pack_u8(p, (uint8_t)l->family);
    pack_i64(p, l->retry_at_ms);
    pack_i64(p, l->delivered_ms);
    pack_u32(p, l->rate_per_1000s);
    pack_i64(p, l->error_ms);
    pack_str(p, l->last_error);
}

void wire_get_live(struct unpack *u, struct lane_live *l)
{
    l->state = (enum lane_state)wire_enum(u, LANE_STATE_COUNT);
    l->since_ms = unpack_i64(u);
    l->in_flight = unpack_u32(u);
    l->family = (enum family)wire_enum(u, FAMILY_COUNT);
    l->retry_at_ms = unpack_i64(u);
    l->delivered_ms = unpack_i64(u);
    l->rate_per_1000s = unpack_u32(u);
    l->error_ms = unpack_i64(u);
    unpack_str(u, l->last_error, sizeof l->last_error);
}

void wire_put_event(struct pack *p, const struct queue_event *e)
{
    pack_u64(p, e->pos);
    pack_u8(p, (uint8_t)e->gone);
    pack_i64(p, e->accepted_ms);
    pack_u64(p, e->newer);
    pack_u64(p, e->deleted_by);
    if (e->event != NULL)
        pack_bytes(p, e->event->bytes, e->event->len);
    else
        pack_bytes(p, NULL, 0);
}

/* The canonical bytes are parsed again: they are what is trusted, not what somebody says of them.
 */
static struct event *parse_event(struct unpack *u, struct wire_arena *a, const uint8_t *bytes,
                                 size_t len)
{
    struct json_span json = {(const char *)bytes, len};
    struct event *ev;
    if (event_parse(json, EVENT_LEN_MAX, &ev, NULL) != ERR_NONE) {
        u->bad = true;
        return NULL;
    }
    wire_keep(a, ev);
    event_unref(ev);
    return ev;
}

struct event *wire_get_bytes_of_event(struct unpack *u, struct wire_arena *a)
{
    size_t len;
    const uint8_t *bytes = unpack_bytes(u, EVENT_LEN_MAX, &len);
    return u->bad ? NULL : parse_event(u, a, bytes, len);
}

void wire_get_event(struct unpack *u, struct wire_arena *a, struct queue_event *e)
{
    size_t len;
    e->pos = unpack_u64(u);
    e->gone = (enum gone)wire_enum(u, GONE_TRIMMED + 1);
    e->accepted_ms = unpack_i64(u);
    e->newer = unpack_u64(u);
    e->deleted_by = unpack_u64(u);
    const uint8_t *bytes = unpack_bytes(u, EVENT_LEN_MAX, &len);
    if ((e->gone == GONE_NO) != (len > 0))
        u->bad = true;
    if (u->bad || len == 0)
        return;
    e->event = parse_event(u, a, bytes, len);
}
