#include "ctl/relay_names.h"

#include "common/config/value.h"
#include "ctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void relay_names_add(struct relay_names *n, uint32_t lane, bool retired, const struct definition *d)
{
    if ((n->len & (n->len - 1)) == 0)
        n->rows = mem_grow(n->rows, (n->len == 0 ? 1 : 2 * n->len) * sizeof *n->rows);
    struct relay_name *row = &n->rows[n->len++];
    *row = (struct relay_name){.lane = lane, .retired = retired, .hold_defined = d->hold};
    (void)snprintf(row->url, sizeof row->url, "%s", d->url);
    (void)snprintf(row->name, sizeof row->name, "%s", d->name);
}

void relay_names_take(struct relay_names *n, const struct queue_registry *r)
{
    for (size_t i = 0; i < r->lanes_len; i++) {
        const struct lane_entry *lane = &r->lanes[i];
        /* The newest words of the list are those people know, also while they wait. */
        const struct lane_version *v = lane_waiting(lane);
        if (v == NULL)
            v = lane_in_force(lane);
        if (v == NULL)
            continue;
        relay_names_add(n, lane->lane, lane->retired, &v->definition);
        n->rows[n->len - 1].hold = lane->hold;
    }
}

void relay_names_fini(struct relay_names *n)
{
    free(n->rows);
    *n = (struct relay_names){0};
}

const struct relay_name *relay_names_lane(const struct relay_names *n, uint32_t lane)
{
    size_t low = 0, high = n->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (n->rows[middle].lane < lane)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n->len && n->rows[low].lane == lane ? &n->rows[low] : NULL;
}

static const char *without_scheme(const char *url)
{
    return strncmp(url, "wss://", 6) == 0 ? url + 6 : url;
}

const char *relay_name_label(const struct relay_name *r, uint32_t lane, char out[URL_SIZE])
{
    if (r == NULL)
        (void)snprintf(out, URL_SIZE, "lane %u", (unsigned)lane);
    else
        (void)clean_text(r->name[0] != '\0' ? r->name : without_scheme(r->url), out, URL_SIZE);
    return out;
}

void relay_name_json(cJSON *o, const struct relay_name *r)
{
    bool named = r != NULL && r->name[0] != '\0';
    cJSON_AddItemToObject(o, "relay", r != NULL ? cJSON_CreateString(r->url) : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "name", named ? cJSON_CreateString(r->name) : cJSON_CreateNull());
}

static enum err say_unknown(const struct relay_names *n, const char *text, struct problem *p)
{
    const char **candidates = mem_zero(2 * n->len + 1, sizeof *candidates);
    size_t len = 0;
    for (size_t i = 0; i < n->len; i++) {
        if (n->rows[i].name[0] != '\0')
            candidates[len++] = n->rows[i].name;
        candidates[len++] = without_scheme(n->rows[i].url);
    }
    const char *near = value_nearest(without_scheme(text), candidates, len);
    free(candidates);
    if (near != NULL)
        return problem_set(p, ERR_NOT_FOUND, "no relay '%s' in the queue (did you mean %s?)", text,
                           near);
    return problem_set(p, ERR_NOT_FOUND, "no relay '%s' in the queue; 'volley relays' lists them",
                       text);
}

const struct relay_name *relay_names_find(const struct relay_names *n, const char *text,
                                          struct problem *p)
{
    struct relay_url url;
    bool is_url = relay_url_parse(text, &url, NULL) == ERR_NONE;
    const struct relay_name *found = NULL;
    for (size_t i = 0; i < n->len; i++) {
        const struct relay_name *r = &n->rows[i];
        bool named = r->name[0] != '\0' && strcmp(r->name, text) == 0;
        if (!named && !(is_url && strcmp(r->url, url.text) == 0))
            continue;
        if (found != NULL && !found->retired && !r->retired && strcmp(found->url, r->url) != 0) {
            (void)problem_set(p, ERR_INVALID, "two relays are called '%s': say %s or %s", text,
                              found->url, r->url);
            return NULL;
        }
        if (found == NULL || (found->retired && !r->retired))
            found = r;
    }
    if (found == NULL)
        (void)say_unknown(n, text, p);
    return found;
}

const struct lane_version *lane_in_force(const struct lane_entry *lane)
{
    const struct lane_version *found = NULL;
    for (size_t i = 0; i < lane->versions_len; i++)
        if (!lane->versions[i].waits || found == NULL)
            found = &lane->versions[i];
    return found;
}

const struct lane_version *lane_waiting(const struct lane_entry *lane)
{
    size_t len = lane->versions_len;
    return len > 1 && lane->versions[len - 1].waits ? &lane->versions[len - 1] : NULL;
}
