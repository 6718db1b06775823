/* How it works.
 *
 * Two lists share one hash by position: HOT, what came by the tail, and COLD, what was read for
 * lanes behind it. Both are first in, first out, as lanes pass through the log in order; the cold
 * ones are evicted first as soon as they take more than a quarter, so that a lane that catches up
 * does not cost the others their tail.
 *
 * Freshness is a generation: a gap in the tail (as the tail itself, a beat, or two lease replies in
 * a row tell), a deletion too large to be listed, or distrust raises it, and entries of an older
 * one are read again before they are handed out. What the tail tells while a read is under way is
 * noted in the read and applied to its answer, which may be older than that message. An answer is
 * always handed out once, in the turn it arrives (`turn`), whatever the generation: its facts are
 * as fresh as any reading can make them, and without this a tail that always has gaps would stop
 * everything.
 *
 * How far a read reaches adapts: when much of what was read is evicted unused, reads get shorter.
 */
#include "publisher/feed.h"

#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define READS_MAX   4
#define AHEAD_FIRST 256u
#define AHEAD_MIN   16u
#define AHEAD_MAX   1024u
#define SAMPLE_LEN  64u  /* evictions looked at before the reach is changed */
#define RETRY_MS    200u /* after a read that failed */

struct entry {
    struct queue_event ev; /* ev.pos is the key; ev.event is a reference of ours */
    uint64_t gen, turn;
    size_t cost;
    bool cold, used;
    struct entry *prev, *next;
    UT_hash_handle hh;
};

struct fact {
    uint64_t newer, deleted_by;
};

struct read {
    struct feed *feed; /* NULL: the feed is gone, nobody waits */
    uint64_t from, to, gen;
    struct fact *facts; /* to - from + 1 of them once the tail told something about the range */
};

/* A position asked for while all reads were busy. */
struct wish {
    uint64_t pos;
    UT_hash_handle hh;
};

struct feed {
    uv_loop_t *loop;
    struct queue *q;
    struct feed_options o;
    uint64_t head, tail_next; /* tail_next: the position the tail must bring next; 0: unknown */
    uint64_t leased;          /* the head in the last lease reply */
    uint64_t lease_news;      /* as the last beat told */
    uint64_t gen, turn;
    struct entry *by_pos, *hot, *cold;
    size_t hot_bytes, cold_bytes;
    struct read *reads[READS_MAX];
    struct wish *wishes; /* in the order they were made */
    uint32_t ahead, evicted_used, evicted_unused;
    bool resting; /* a read failed; the timer ends it */
    uv_idle_t news;
    uv_timer_t retry;
    int handles;
    void (*freed)(void *arg);
    void *freed_arg;
};

/* ---- news ---- */

static void on_idle(uv_idle_t *h);

static void tell(struct feed *f)
{
    if (!uv_is_active((uv_handle_t *)&f->news))
        uv_idle_start(&f->news, on_idle);
}

static void saw(struct feed *f, uint64_t head)
{
    if (head > f->head) {
        f->head = head;
        tell(f);
    }
}

/* ---- the cache ---- */

static struct entry *find(const struct feed *f, uint64_t pos)
{
    struct entry *e = NULL;
    HASH_FIND(hh, f->by_pos, &pos, sizeof pos, e);
    return e;
}

static bool usable(const struct feed *f, const struct entry *e)
{
    return e != NULL && (e->gen == f->gen || e->turn == f->turn);
}

static size_t cost_of(const struct queue_event *ev)
{
    return sizeof(struct entry) + (ev->event != NULL ? sizeof(struct event) + ev->event->len : 0);
}

static void account(struct feed *f, struct entry *e, size_t cost)
{
    size_t *bytes = e->cold ? &f->cold_bytes : &f->hot_bytes;
    *bytes = *bytes - e->cost + cost;
    e->cost = cost;
}

static void drop(struct feed *f, struct entry *e)
{
    account(f, e, 0);
    HASH_DEL(f->by_pos, e);
    if (e->cold)
        DL_DELETE(f->cold, e);
    else
        DL_DELETE(f->hot, e);
    event_unref(e->ev.event);
    free(e);
}

/* Too much read for nothing: reach less far. Nearly nothing: reach further. */
static void learn_reach(struct feed *f, const struct entry *e)
{
    if (e->used)
        f->evicted_used++;
    else
        f->evicted_unused++;
    if (f->evicted_used + f->evicted_unused < SAMPLE_LEN)
        return;
    if (f->evicted_unused > SAMPLE_LEN / 2 && f->ahead > AHEAD_MIN)
        f->ahead /= 2;
    else if (f->evicted_unused < SAMPLE_LEN / 8 && f->ahead < AHEAD_MAX)
        f->ahead *= 2;
    f->evicted_used = f->evicted_unused = 0;
}

static struct entry *victim(const struct feed *f)
{
    struct entry *cold = f->cold, *hot = f->hot;
    if (cold != NULL && cold->turn == f->turn)
        cold = NULL; /* nobody could take it yet */
    if (hot != NULL && hot->turn == f->turn)
        hot = NULL;
    if (cold != NULL && (hot == NULL || f->cold_bytes > f->o.cache_max / 4))
        return cold;
    return hot;
}

static void evict(struct feed *f)
{
    while (f->hot_bytes + f->cold_bytes > f->o.cache_max) {
        struct entry *e = victim(f);
        if (e == NULL)
            return;
        if (e->cold)
            learn_reach(f, e);
        drop(f, e);
    }
}

static struct entry *store(struct feed *f, const struct queue_event *ev, bool cold, uint64_t gen)
{
    struct entry *e = find(f, ev->pos);
    if (e == NULL) {
        e = mem_zero(1, sizeof *e);
        e->cold = cold;
        e->ev.pos = ev->pos;
        HASH_ADD(hh, f->by_pos, ev.pos, sizeof e->ev.pos, e);
        if (cold)
            DL_APPEND(f->cold, e);
        else
            DL_APPEND(f->hot, e);
    }
    struct event *old = e->ev.event;
    e->ev = *ev;
    if (ev->event != NULL)
        event_ref(ev->event);
    event_unref(old);
    e->gen = gen;
    account(f, e, cost_of(ev));
    return e;
}

/* ---- facts ---- */

/* Where the tail's news about `pos` belong in a read under way; NULL when it lies outside. */
static struct fact *fact_at(struct read *r, uint64_t pos)
{
    if (r == NULL || pos < r->from || pos > r->to)
        return NULL;
    if (r->facts == NULL)
        r->facts = mem_zero((size_t)(r->to - r->from + 1), sizeof *r->facts);
    return &r->facts[pos - r->from];
}

/* The facts of `pos` in the cache, or in reads under way: both get them. */
static void note(struct feed *f, uint64_t pos, uint64_t newer, uint64_t deleted_by)
{
    struct entry *e = find(f, pos);
    if (e != NULL && newer != 0)
        e->ev.newer = newer;
    if (e != NULL && deleted_by != 0)
        e->ev.deleted_by = deleted_by;
    for (int i = 0; i < READS_MAX; i++) {
        struct fact *fact = fact_at(f->reads[i], pos);
        if (fact != NULL && newer != 0)
            fact->newer = newer;
        if (fact != NULL && deleted_by != 0)
            fact->deleted_by = deleted_by;
    }
}

/* ---- reads ---- */

static void on_read(void *arg, enum err e, const struct queue_event *events, size_t len,
                    uint64_t head);

static bool under_way(const struct feed *f, uint64_t pos)
{
    for (int i = 0; i < READS_MAX; i++)
        if (f->reads[i] != NULL && pos >= f->reads[i]->from && pos <= f->reads[i]->to)
            return true;
    return false;
}

static struct read **free_slot(struct feed *f)
{
    for (int i = 0; i < READS_MAX; i++)
        if (f->reads[i] == NULL)
            return &f->reads[i];
    return NULL;
}

/* As far as something is missing, and no further than is useful. */
static uint64_t reach(const struct feed *f, uint64_t pos)
{
    uint64_t to = pos;
    while (to < f->head && to - pos + 1 < f->ahead && !usable(f, find(f, to + 1)) &&
           !under_way(f, to + 1))
        to++;
    return to;
}

static void drop_wishes(struct feed *f, uint64_t from, uint64_t to)
{
    struct wish *w, *next;
    HASH_ITER(hh, f->wishes, w, next)
    {
        if (w->pos >= from && w->pos <= to) {
            HASH_DEL(f->wishes, w);
            free(w);
        }
    }
}

static void start_read(struct feed *f, struct read **slot, uint64_t pos)
{
    struct read *r = mem_zero(1, sizeof *r);
    *r = (struct read){.feed = f, .from = pos, .to = reach(f, pos), .gen = f->gen};
    *slot = r;
    drop_wishes(f, r->from, r->to);
    f->q->ops->read(f->q, r->from, r->to, on_read, r);
}

/* Fills free slots from what was wished for, the oldest wish first. */
static void serve(struct feed *f)
{
    struct read **slot;
    while (!f->resting && f->wishes != NULL && (slot = free_slot(f)) != NULL) {
        uint64_t pos = f->wishes->pos;
        if (usable(f, find(f, pos)) || under_way(f, pos))
            drop_wishes(f, pos, pos);
        else
            start_read(f, slot, pos);
    }
}

static void wish(struct feed *f, uint64_t pos)
{
    struct wish *w = NULL;
    HASH_FIND(hh, f->wishes, &pos, sizeof pos, w);
    if (w != NULL || under_way(f, pos))
        return;
    w = mem_zero(1, sizeof *w);
    w->pos = pos;
    HASH_ADD(hh, f->wishes, pos, sizeof w->pos, w);
    serve(f);
}

static void take_answer(struct feed *f, const struct read *r, const struct queue_event *events,
                        size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct queue_event ev = events[i];
        if (ev.pos < r->from || ev.pos > r->to)
            continue;
        if (r->facts != NULL) {
            const struct fact *fact = &r->facts[ev.pos - r->from];
            if (fact->newer > ev.newer)
                ev.newer = fact->newer;
            if (fact->deleted_by != 0)
                ev.deleted_by = fact->deleted_by;
        }
        store(f, &ev, true, r->gen)->turn = f->turn;
    }
}

static void on_retry(uv_timer_t *h)
{
    struct feed *f = h->data;
    f->resting = false;
    serve(f);
    tell(f);
}

static void on_read(void *arg, enum err e, const struct queue_event *events, size_t len,
                    uint64_t head)
{
    struct read *r = arg;
    struct feed *f = r->feed;
    if (f != NULL) {
        for (int i = 0; i < READS_MAX; i++)
            if (f->reads[i] == r)
                f->reads[i] = NULL;
        if (e == ERR_NONE) {
            saw(f, head);
            take_answer(f, r, events, len);
        }
        if (e != ERR_NONE || len == 0) { /* out of reach, or it knows less than it told: rest */
            f->resting = true;
            uv_timer_start(&f->retry, on_retry, RETRY_MS, 0);
        }
        serve(f);
        tell(f);
    }
    free(r->facts);
    free(r);
}

/* ---- the tail ---- */

/* The tail brings `pos`; what should have come before it did not. */
static void note_gap(struct feed *f, uint64_t pos)
{
    if (pos > f->tail_next)
        f->gen++;
}

static void on_tail(void *arg, const struct queue_tail *t)
{
    struct feed *f = arg;
    uint64_t pos = t->ev.pos;
    note_gap(f, pos);
    if (t->deleted_more)
        f->gen++;
    for (size_t i = 0; i < t->superseded_len; i++)
        note(f, t->superseded[i], pos, 0);
    for (size_t i = 0; i < t->deleted_len; i++)
        note(f, t->deleted[i], 0, pos);
    if (pos >= f->tail_next) {
        f->tail_next = pos + 1;
        store(f, &t->ev, false, f->gen);
        evict(f);
    }
    saw(f, pos);
}

/* The tail should have brought everything up to `head`. */
static void take_head(struct feed *f, uint64_t head)
{
    note_gap(f, head + 1);
    if (head + 1 > f->tail_next)
        f->tail_next = head + 1;
    saw(f, head);
}

static void on_head(void *arg, uint64_t head, uint64_t news)
{
    struct feed *f = arg;
    take_head(f, head);
    if (news != f->lease_news)
        f->o.on_lease_news(f->o.arg);
    f->lease_news = news;
}

static void on_restart(void *arg)
{
    struct feed *f = arg;
    f->gen++, f->turn++;
    f->head = f->tail_next = f->leased = 0;
    drop_wishes(f, 0, UINT64_MAX);
    if (f->o.on_restart != NULL)
        f->o.on_restart(f->o.arg);
}

/* ---- the public face ---- */

static void on_idle(uv_idle_t *h)
{
    struct feed *f = h->data;
    uv_idle_stop(h);
    f->o.on_news(f->o.arg);
    f->turn++;
    evict(f);
}

struct feed *feed_new(uv_loop_t *loop, struct queue *q, const struct feed_options *o)
{
    struct feed *f = mem_zero(1, sizeof *f);
    f->loop = loop;
    f->q = q;
    f->o = *o;
    f->turn = 1;
    f->ahead = AHEAD_FIRST;
    uv_idle_init(loop, &f->news);
    uv_timer_init(loop, &f->retry);
    f->news.data = f->retry.data = f;
    f->handles = 2;
    const struct queue_follower follower = {
        .on_tail = on_tail, .on_head = on_head, .on_restart = on_restart, .arg = f};
    q->ops->follow(q, &follower);
    return f;
}

static void on_closed(uv_handle_t *h)
{
    struct feed *f = h->data;
    if (--f->handles > 0)
        return;
    void (*fn)(void *) = f->freed;
    void *arg = f->freed_arg;
    free(f);
    if (fn != NULL)
        fn(arg);
}

void feed_free(struct feed *f, void (*fn)(void *arg), void *arg)
{
    f->q->ops->follow(f->q, NULL);
    for (int i = 0; i < READS_MAX; i++)
        if (f->reads[i] != NULL)
            f->reads[i]->feed = NULL;
    drop_wishes(f, 0, UINT64_MAX);
    struct entry *e, *next;
    HASH_ITER(hh, f->by_pos, e, next)
    drop(f, e);
    f->freed = fn;
    f->freed_arg = arg;
    uv_close((uv_handle_t *)&f->news, on_closed);
    uv_close((uv_handle_t *)&f->retry, on_closed);
}

uint64_t feed_head(const struct feed *f)
{
    return f->head;
}

/* What was there at the reply before, and neither tail nor beat told of it: they do not arrive. */
void feed_saw_head(struct feed *f, uint64_t head)
{
    take_head(f, f->leased);
    f->leased = head;
    saw(f, head);
}

const struct queue_event *feed_get(struct feed *f, uint64_t pos)
{
    if (pos == 0 || pos > f->head)
        return NULL;
    struct entry *e = find(f, pos);
    if (!usable(f, e)) {
        wish(f, pos);
        return NULL;
    }
    e->used = true;
    return &e->ev;
}

const struct queue_event *feed_peek(const struct feed *f, uint64_t pos)
{
    const struct entry *e = find(f, pos);
    return usable(f, e) ? &e->ev : NULL;
}

void feed_distrust(struct feed *f)
{
    f->gen++;
}
