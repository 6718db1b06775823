/* What one lane may pin of the log, so that a dead or held relay never makes the queue refuse what
 * others would take.
 *
 * Every entry knows the sum of all that was appended up to it. So what lies between any position
 * and the head is a difference, and the position up to which a lane must give up is found by
 * halving, once for all lanes: it depends on the head alone. */
#include "queue/store_operate.h"

static uint64_t lane_max(const struct store *s)
{
    return s->options.lane_max != 0 ? s->options.lane_max : s->options.max_bytes / 2;
}

/* Bytes of the log above `pos`, which is in it. */
static enum err above(struct store *s, uint64_t pos, uint64_t *bytes)
{
    struct entry en;
    enum err e = entry_get(s, pos, &en);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? db_corrupt(s, TABLE_ENTRY) : e;
    *bytes = s->meta.sum - en.sum;
    return ERR_NONE;
}

/* The lowest position above which no more than lane_max lies; 0 when the whole log is no more. */
static enum err find_mark(struct store *s, uint64_t *mark)
{
    uint64_t low = s->meta.first, high = s->meta.head, bytes = 0;
    struct entry en;
    *mark = 0;
    if (low > high)
        return ERR_NONE;
    enum err e = entry_get(s, low, &en);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? db_corrupt(s, TABLE_ENTRY) : e;
    if (s->meta.sum - en.sum + en.len + STORE_ENTRY_COST <= lane_max(s))
        return ERR_NONE;
    while (e == ERR_NONE && low < high) {
        uint64_t mid = low + (high - low) / 2;
        e = above(s, mid, &bytes);
        if (e == ERR_NONE && bytes <= lane_max(s))
            high = mid;
        else
            low = mid + 1;
    }
    *mark = low;
    return e;
}

/* A lane that passed the mark, and needs something below, gives up its exceptions only. */
static enum err last_needed(struct store *s, const struct lane *l, uint64_t mark, uint64_t *to)
{
    size_t len;
    *to = mark;
    if (lane_position(l) < mark)
        return ERR_NONE;
    enum err e = exceptions_load(s, l, s->exceptions, &len);
    for (size_t i = 0; i < len && s->exceptions[i].pos <= mark; i++)
        *to = s->exceptions[i].pos;
    return e;
}

enum err lanes_give_up_excess(struct store *s, int64_t now_ms)
{
    uint64_t mark, low, to;
    enum err e = find_mark(s, &mark);
    for (size_t i = 0; e == ERR_NONE && mark > 0 && i < s->lanes_len; i++) {
        struct lane *l = s->lanes[i];
        if (l->retired)
            continue;
        e = lane_lowest(s, l, &low);
        if (e != ERR_NONE || low > mark)
            continue;
        s->room.mark = 0; /* more may be finished now */
        e = last_needed(s, l, mark, &to);
        if (e == ERR_NONE)
            e = lane_give_up(s, l, to, CLASS_LANE_MAX, now_ms);
    }
    return e;
}
