#include "ctl/groups.h"

#include "ctl/ctl.h"
#include "ctl/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <uthash.h>

struct group {
    struct {
        uint32_t lane, cls;
    } key;
    uint64_t count, gone, busy;
    UT_hash_handle hh;
};

void groups_add(struct groups *g, const struct failed_page *p)
{
    for (size_t i = 0; i < p->groups_len; i++) {
        const struct failed_group *from = &p->groups[i];
        struct group *at, look = {.key = {from->lane, (uint32_t)from->cls}};
        HASH_FIND(hh, g->by_key, &look.key, sizeof look.key, at);
        if (at == NULL) {
            at = mem_zero(1, sizeof *at);
            at->key = look.key;
            HASH_ADD(hh, g->by_key, key, sizeof at->key, at);
        }
        at->count += from->count;
        at->gone += from->gone;
        at->busy += from->busy;
        g->count += from->count;
        g->gone += from->gone;
        g->busy += from->busy;
    }
}

void groups_fini(struct groups *g)
{
    struct group *at, *next;
    HASH_ITER(hh, g->by_key, at, next)
    {
        HASH_DELETE(hh, g->by_key, at);
        free(at);
    }
    *g = (struct groups){0};
}

static int by_lane_and_class(const struct group *a, const struct group *b)
{
    if (a->key.lane != b->key.lane)
        return a->key.lane < b->key.lane ? -1 : 1;
    return (a->key.cls > b->key.cls) - (a->key.cls < b->key.cls);
}

uint64_t groups_count(const struct groups *g, uint32_t lane, enum row_class cls)
{
    uint64_t sum = 0;
    for (const struct group *at = g->by_key; at != NULL; at = at->hh.next)
        if ((lane == 0 || at->key.lane == lane) && at->key.cls == (uint32_t)cls)
            sum += at->count;
    return sum;
}

void groups_each(const struct groups *g,
                 void (*fn)(void *arg, uint32_t lane, enum row_class cls, uint64_t count),
                 void *arg)
{
    for (const struct group *at = g->by_key; at != NULL; at = at->hh.next)
        fn(arg, at->key.lane, (enum row_class)at->key.cls, at->count);
}

void groups_json(struct groups *g, const struct relay_names *names, FILE *out)
{
    HASH_SORT(g->by_key, by_lane_and_class);
    for (struct group *at = g->by_key; at != NULL; at = at->hh.next) {
        cJSON *o = cJSON_CreateObject();
        relay_name_json(o, relay_names_lane(names, at->key.lane));
        cJSON_AddStringToObject(o, "class", row_class_name((enum row_class)at->key.cls));
        cJSON_AddNumberToObject(o, "count", (double)at->count);
        cJSON_AddNumberToObject(o, "gone", (double)at->gone);
        cJSON_AddNumberToObject(o, "busy", (double)at->busy);
        print_json(o, out);
    }
}

enum { C_RELAY, C_CLASS, C_COUNT_OF, C_GONE, C_BUSY, C_COUNT };

static const struct table_column columns[C_COUNT] = {
    [C_RELAY] = {.head = "RELAY"},
    [C_CLASS] = {.head = "CLASS"},
    [C_COUNT_OF] = {.head = "COUNT", .right = true},
    [C_GONE] = {.head = "GONE", .right = true},
    [C_BUSY] = {.head = "BUSY", .right = true},
};

void groups_table(struct groups *g, const struct relay_names *names, size_t width, FILE *out)
{
    struct table t;
    size_t relays = 0;
    uint32_t last_lane = 0;
    table_init(&t, columns, C_COUNT);
    HASH_SORT(g->by_key, by_lane_and_class);
    for (struct group *at = g->by_key; at != NULL; at = at->hh.next) {
        char label[URL_SIZE], numbers[3][24];
        (void)relay_name_label(relay_names_lane(names, at->key.lane), at->key.lane, label);
        (void)snprintf(numbers[0], sizeof numbers[0], "%" PRIu64, at->count);
        (void)snprintf(numbers[1], sizeof numbers[1], "%" PRIu64, at->gone);
        (void)snprintf(numbers[2], sizeof numbers[2], "%" PRIu64, at->busy);
        const char *cells[C_COUNT] = {[C_RELAY] = label,
                                      [C_CLASS] = row_class_name((enum row_class)at->key.cls),
                                      [C_COUNT_OF] = numbers[0],
                                      [C_GONE] = numbers[1],
                                      [C_BUSY] = numbers[2]};
        table_add(&t, cells, NULL, COLOUR_NONE);
        relays += relays == 0 || at->key.lane != last_lane;
        last_lane = at->key.lane;
    }
    const struct table_look look = {.width = width};
    if (t.rows_len > 0)
        (void)table_print(&t, &look, out);
    fprintf(out, "total: %" PRIu64 " failed %s at %zu %s\n", g->count,
            g->count == 1 ? "delivery" : "deliveries", relays, relays == 1 ? "relay" : "relays");
    if (g->gone > 0)
        fprintf(out,
                "  gone: %" PRIu64 " can't be sent again: no longer kept, or the relay retired\n",
                g->gone);
    if (g->busy > 0)
        fprintf(out, "  busy: %" PRIu64 " are in a replay job\n", g->busy);
    table_fini(&t);
}
