/* Which rows an operator means, by what their lane, the row itself, and the event's entry tell. The
 * event itself is not needed: its bytes may be gone. */
#include "queue/store_operate.h"

#include <stdlib.h>
#include <string.h>

/* ---- ids ---- */

static int by_id(const void *a, const void *b)
{
    const uint8_t(*const *x)[EVENT_ID_LEN] = a, (*const *y)[EVENT_ID_LEN] = b;
    return memcmp(**x, **y, EVENT_ID_LEN);
}

/* In their order, each once: so a page can go on behind the last one. */
static void sort_ids(struct filter *out)
{
    const struct row_filter *f = out->f;
    out->ids = mem_zero(f->ids_len + 1, sizeof *out->ids);
    for (size_t i = 0; i < f->ids_len; i++)
        out->ids[i] = &f->ids[i];
    qsort(out->ids, f->ids_len, sizeof *out->ids, by_id);
    for (size_t i = 0; i < f->ids_len; i++) {
        if (out->ids_len == 0 || by_id(&out->ids[out->ids_len - 1], &out->ids[i]) != 0)
            out->ids[out->ids_len++] = out->ids[i];
    }
}

void filter_init(struct filter *out, const struct row_filter *f, int64_t now_ms)
{
    *out = (struct filter){
        .f = f, .now_ms = now_ms, .by_event = f->has_kind || f->has_author || f->ids};
    if (f->ids)
        sort_ids(out);
}

void filter_fini(struct filter *f)
{
    free(f->ids);
    f->ids = NULL;
}

/* ---- what is meant ---- */

bool filter_takes_expired(const struct filter *f)
{
    uint32_t expired =
        1u << CLASS_RETENTION | 1u << CLASS_LANE_MAX | 1u << CLASS_RETIRED | 1u << CLASS_RELEASED;
    return (f->f->classes & expired) != 0;
}

bool filter_takes_lane(const struct filter *f, const struct lane *l)
{
    return f->f->url[0] == '\0' || strcmp(f->f->url, l->wanted->url) == 0;
}

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool contains(const char *text, const char *part)
{
    for (;; text++) {
        size_t i = 0;
        while (part[i] != '\0' && fold(text[i]) == fold(part[i]))
            i++;
        if (part[i] == '\0')
            return true;
        if (*text == '\0')
            return false;
    }
}

bool filter_takes_row(const struct filter *f, const struct row *r)
{
    const struct row_filter *w = f->f;
    int64_t age_ms = f->now_ms - r->last_ms;
    if (r->end != ROW_FAILED && (r->end != ROW_EXPIRED || w->classes == 0))
        return false;
    return (w->classes == 0 || (w->classes & 1u << r->cls) != 0) &&
           r->attempts >= w->min_attempts && (w->older_than_ms == 0 || age_ms > w->older_than_ms) &&
           (w->newer_than_ms == 0 || age_ms < w->newer_than_ms) && contains(r->text, w->reason);
}

bool filter_takes_event(const struct filter *f, const struct entry *en)
{
    const struct row_filter *w = f->f;
    return (!w->has_kind || en->kind == w->kind) &&
           (!w->has_author || memcmp(en->author, w->author, sizeof en->author) == 0);
}
