/* The housekeeper: what the broker does in time is a script on Redis (housekeep.lua), called every
 * 100 ms by one of the services that use the queue. Which one is for the script to say: it grants,
 * renews or refuses the lease in the same step as the work, so that there is never a second one at
 * it. The "blasted" lines come from here, too. */
#include "queue/blasted.h"
#include "queue/queue_redis_state.h"

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "common/base/pack.h"
#include "common/base/rng.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS         100
#define FULL_TICKS      5    /* each so many ticks all of it; between, replay jobs only */
#define LANES_A_FULL    1000 /* with so many more lanes, so many ticks more: it looks at each */
#define ASK_AGAIN_MS    2000 /* somebody else has it: at most so long until the next question */
#define TALLIES_MAX     8u   /* a tick; fewer with many lanes, as each looks at every lane */
#define TALLY_LANES_MAX 2000u

struct redis_house {
    struct redis_queue *q;
    uv_timer_t timer;
    char id[33], boot_id[64];
    unsigned ticks;
    bool asked; /* the script runs */
    bool held;
    uint64_t again_ms; /* not held: when to ask again */

    struct blasted *blasted;
    uint64_t head;  /* those up to it were added to `blasted` */
    uint64_t moved; /* the queue's count of commits, as it was last told */
    uint64_t lanes;
    int64_t now_ms;               /* the queue's clock */
    bool tallying;                /* the other script runs */
    uint64_t wanted[TALLIES_MAX]; /* positions whose tally is not known */
    struct {
        uint64_t pos;
        enum err err;
        struct store_tally tally;
    } known[TALLIES_MAX];
    size_t wanted_len, known_len;

    void (*closed_fn)(struct redis_queue *q);
};

/* ---- the "blasted" line */

static enum err tally_of(void *arg, uint64_t pos, struct store_tally *out)
{
    struct redis_house *h = arg;
    for (size_t i = 0; i < h->known_len; i++)
        if (h->known[i].pos == pos) {
            *out = h->known[i].tally;
            return h->known[i].err;
        }
    if (h->wanted_len < TALLIES_MAX && !h->tallying)
        h->wanted[h->wanted_len++] = pos;
    return ERR_AGAIN;
}

static void say(void *arg, const char *line)
{
    (void)arg;
    LOG(LOG_INFO, line);
}

static void read_tallies(struct redis_house *h, const redisReply *r)
{
    struct unpack u;
    unpack_init(&u, r->str, r->len);
    for (size_t i = 0; i < h->wanted_len; i++) {
        struct store_tally *t = &h->known[i].tally;
        h->known[i].pos = h->wanted[i];
        h->known[i].err = unpack_u8(&u) == 0 ? ERR_NONE : ERR_NOT_FOUND;
        unpack_raw(&u, t->id, sizeof t->id);
        t->delivered = unpack_u32(&u);
        t->failed = unpack_u32(&u);
        t->waiting = unpack_u32(&u);
        t->accepted_ms = unpack_i64(&u);
    }
    if (unpack_end(&u) == ERR_NONE)
        h->known_len = h->wanted_len;
}

static void on_tallies(void *arg, uint64_t session, const redisReply *r)
{
    struct redis_queue *q = arg;
    struct redis_house *h = q->house;
    if (session != q->session || !h->tallying)
        return;
    h->tallying = false;
    if (r->type == REDIS_REPLY_STRING)
        read_tallies(h, r);
    h->wanted_len = 0;
    blasted_moved(h->blasted);
}

static void ask_tallies(struct redis_house *h)
{
    struct buf b;
    struct pack p;
    buf_init(&b, sizeof h->wanted);
    pack_init(&p, &b);
    for (size_t i = 0; i < h->wanted_len; i++)
        pack_u64(&p, h->wanted[i]);
    const struct redis_text extra = {b.data, b.len};
    h->tallying = redis_run(h->q, VERB_TALLY, (struct redis_text){"", 0}, &extra, 1, on_tallies,
                            h->q->session);
    if (!h->tallying)
        h->wanted_len = 0;
    buf_fini(&b);
}

static void tell_blasted(struct redis_house *h)
{
    unsigned most = TALLIES_MAX;
    if (h->lanes * most > TALLY_LANES_MAX)
        most = h->lanes > TALLY_LANES_MAX ? 1 : (unsigned)(TALLY_LANES_MAX / h->lanes);
    blasted_look(h->blasted, h->now_ms, clock_boot_ms(), most);
    h->known_len = 0;
    if (h->wanted_len > 0 && !h->tallying)
        ask_tallies(h);
}

/* ---- the lease */

static void take(struct redis_house *h, bool held, uint64_t left_ms)
{
    if (held != h->held)
        LOG(LOG_DEBUG, held ? "this process keeps the queue's house now"
                            : "another process keeps the queue's house");
    if (held && !h->held)
        h->head = 0; /* what was appended before is not ours to tell */
    h->held = held;
    if (left_ms > ASK_AGAIN_MS)
        left_ms = ASK_AGAIN_MS;
    h->again_ms = held ? 0 : clock_boot_ms() + left_ms;
}

static void note_news(struct redis_house *h, uint64_t head, uint64_t moved)
{
    for (uint64_t pos = h->head + 1; h->head != 0 && pos <= head; pos++)
        blasted_add(h->blasted, pos, h->now_ms);
    h->head = head;
    if (moved != h->moved)
        blasted_moved(h->blasted);
    h->moved = moved;
}

static void ask(struct redis_house *h, bool full);

/* { held, left_ms, more, now_ms, head, news, moved, lanes } */
static void on_housekept(void *arg, uint64_t session, const redisReply *r)
{
    struct redis_queue *q = arg;
    struct redis_house *h = q->house;
    uint64_t n[8];
    if (session != q->session || !h->asked)
        return;
    h->asked = false;
    if (r->type == REDIS_REPLY_ERROR && strncmp(r->str, "VOLLEYOTHER", 11) == 0) {
        redis_foreign(q, r->str + 11);
        return;
    }
    if (r->type == REDIS_REPLY_ERROR && strncmp(r->str, "NOSCRIPT", 8) == 0) {
        redis_session_begin(q);
        return;
    }
    bool good = r->type == REDIS_REPLY_ARRAY && r->elements == COUNT_OF(n);
    for (size_t i = 0; good && i < COUNT_OF(n); i++) {
        good = r->element[i]->type == REDIS_REPLY_INTEGER && r->element[i]->integer >= 0;
        n[i] = (uint64_t)r->element[i]->integer;
    }
    if (!good) {
        LOG(LOG_WARN, "the queue's housekeeping failed inside Redis",
            LOG_S("error", r->type == REDIS_REPLY_ERROR ? r->str : "no answer of it"));
        take(h, false, ASK_AGAIN_MS);
        return;
    }
    take(h, n[0] != 0, n[1]);
    h->now_ms = (int64_t)n[3];
    h->lanes = n[7];
    if (h->held)
        note_news(h, n[4], n[6]);
    if (h->held && n[2] != 0)
        ask(h, true);
}

static void ask(struct redis_house *h, bool full)
{
    char boot_ms[24];
    (void)snprintf(boot_ms, sizeof boot_ms, "%" PRIu64, clock_boot_ms());
    const struct redis_text extra[] = {{boot_ms, strlen(boot_ms)},
                                       {h->id, strlen(h->id)},
                                       {full ? "1" : "0", 1},
                                       {h->boot_id, strlen(h->boot_id)}};
    h->asked = redis_run(h->q, VERB_HOUSEKEEP, (struct redis_text){"", 0}, extra, COUNT_OF(extra),
                         on_housekept, h->q->session);
}

static void on_tick(uv_timer_t *t)
{
    struct redis_house *h = t->data;
    if (h->q->phase != REDIS_READY || clock_boot_ms() < h->again_ms)
        return;
    if (h->held)
        tell_blasted(h);
    if (!h->asked)
        ask(h, h->ticks++ % (FULL_TICKS * (1 + h->lanes / LANES_A_FULL)) == 0);
}

/* ---- life */

static void read_boot_id(char *out, size_t size)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, out, size - 1) : 0;
    if (fd >= 0)
        close(fd);
    out[len > 0 ? len : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

struct redis_house *redis_house_new(struct redis_queue *q)
{
    struct redis_house *h = mem_zero(1, sizeof *h);
    uint8_t random[16];
    h->q = q;
    rng_secure(random, sizeof random);
    (void)hex_str(h->id, random, sizeof random);
    read_boot_id(h->boot_id, sizeof h->boot_id);
    h->blasted = blasted_new(&(struct blasted_ops){tally_of, say, h});
    uv_timer_init(q->loop, &h->timer);
    h->timer.data = h;
    uv_timer_start(&h->timer, on_tick, TICK_MS, TICK_MS);
    return h;
}

void redis_house_reset(struct redis_house *h)
{
    h->asked = h->tallying = h->held = false;
    h->wanted_len = h->known_len = 0;
    h->again_ms = 0;
}

static void on_closed(uv_handle_t *t)
{
    struct redis_house *h = t->data;
    struct redis_queue *q = h->q;
    void (*fn)(struct redis_queue *) = h->closed_fn;
    blasted_free(h->blasted);
    free(h);
    fn(q);
}

void redis_house_close(struct redis_house *h, void (*fn)(struct redis_queue *q))
{
    h->closed_fn = fn;
    uv_close((uv_handle_t *)&h->timer, on_closed);
}
