/* How it works.
 *
 * The events stand in a cache (cache.h), which also knows which of them may be handed out. A gap in
 * the tail (as the tail itself, a beat, or two lease replies in a row tell), a deletion too large
 * to be listed, or distrust begins a new generation there. What the tail tells while a read is
 * under way is noted in the read and applied to its answer, which may be older than that message.
 */
#include "publisher/feed.h"

#include "publisher/cache.h"

#include <uthash.h>

#define READS_MAX 4
#define RETRY_MS  200u /* after a read that failed */

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
    struct cache cache;
    struct read *reads[READS_MAX];
    struct wish *wishes; /* in the order they were made */
    bool resting;        /* a read failed; the timer ends it */
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
    struct cache_entry *e = cache_find(&f->cache, pos);
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
    while (to < f->head && to - pos + 1 < f->cache.ahead &&
           !cache_usable(&f->cache, cache_find(&f->cache, to + 1)) && !under_way(f, to + 1))
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
    *r = (struct read){.feed = f, .from = pos, .to = reach(f, pos), .gen = f->cache.gen};
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
        if (cache_usable(&f->cache, cache_find(&f->cache, pos)) || under_way(f, pos))
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
        cache_put(&f->cache, &ev, true, r->gen)->turn = f->cache.turn;
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
        f->cache.gen++;
}

static void on_tail(void *arg, const struct queue_tail *t)
{
    struct feed *f = arg;
    uint64_t pos = t->ev.pos;
    note_gap(f, pos);
    if (t->deleted_more)
        f->cache.gen++;
    for (size_t i = 0; i < t->superseded_len; i++)
        note(f, t->superseded[i], pos, 0);
    for (size_t i = 0; i < t->deleted_len; i++)
        note(f, t->deleted[i], 0, pos);
    if (pos >= f->tail_next) {
        f->tail_next = pos + 1;
        (void)cache_put(&f->cache, &t->ev, false, f->cache.gen);
        cache_evict(&f->cache);
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
    f->cache.gen++, f->cache.turn++;
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
    f->cache.turn++;
    cache_evict(&f->cache);
}

struct feed *feed_new(uv_loop_t *loop, struct queue *q, const struct feed_options *o)
{
    struct feed *f = mem_zero(1, sizeof *f);
    f->loop = loop;
    f->q = q;
    f->o = *o;
    cache_init(&f->cache, o->cache_max);
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
    cache_fini(&f->cache);
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
    struct cache_entry *e = cache_find(&f->cache, pos);
    if (!cache_usable(&f->cache, e)) {
        wish(f, pos);
        return NULL;
    }
    e->used = true;
    return &e->ev;
}

const struct queue_event *feed_peek(const struct feed *f, uint64_t pos)
{
    const struct cache_entry *e = cache_find(&f->cache, pos);
    return cache_usable(&f->cache, e) ? &e->ev : NULL;
}

void feed_distrust(struct feed *f)
{
    f->cache.gen++;
}
