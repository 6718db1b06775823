#include "queue/blasted.h"

#include "common/base/hex.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_EVERY_MS 1000u

struct run {
    uint64_t pos; /* of its last event */
    int64_t accepted_ms;
    uint64_t count;
};

struct blasted {
    struct blasted_ops ops;
    struct run runs[BLASTED_WATCHED]; /* in the order of their positions */
    size_t len;
    size_t next, left; /* where to look next; so many since lanes moved */
    bool spoke;
    uint64_t spoke_ms;
    /* What is to be said next. */
    bool pending;
    struct store_tally tally;
    int64_t took_ms;
    uint64_t others;
};

struct blasted *blasted_new(const struct blasted_ops *ops)
{
    struct blasted *b = mem_zero(1, sizeof *b);
    b->ops = *ops;
    return b;
}

void blasted_free(struct blasted *b)
{
    free(b);
}

void blasted_add(struct blasted *b, uint64_t pos, int64_t accepted_ms)
{
    struct run *last = b->len > 0 ? &b->runs[b->len - 1] : NULL;
    if (b->len == BLASTED_WATCHED ||
        (b->len >= BLASTED_SINGLE_MAX && last->count < BLASTED_RUN_MAX)) {
        last->pos = pos;
        last->accepted_ms = accepted_ms;
        last->count++;
        return;
    }
    b->runs[b->len++] = (struct run){pos, accepted_ms, 1};
}

void blasted_moved(struct blasted *b)
{
    b->left = b->len;
}

static void forget(struct blasted *b, size_t at)
{
    b->len--;
    memmove(&b->runs[at], &b->runs[at + 1], (b->len - at) * sizeof b->runs[0]);
    if (b->next > at)
        b->next--;
}

static void announce(struct blasted *b, const struct store_tally *t, int64_t took_ms,
                     uint64_t count)
{
    if (t->delivered + t->failed + t->waiting == 0)
        return; /* it was nobody's business */
    if (b->pending) {
        b->others += count;
        return;
    }
    b->pending = true;
    b->tally = *t;
    b->took_ms = took_ms;
    b->others += count - 1;
}

/* Those that wait for too long; only what will be said costs a tally. */
static void look_at_old(struct blasted *b, int64_t now_ms)
{
    while (b->len > 0 && now_ms - b->runs[0].accepted_ms >= BLASTED_AFTER_MS) {
        struct run old = b->runs[0];
        struct store_tally t;
        enum err e = b->pending ? ERR_NONE : b->ops.tally(b->ops.arg, old.pos, &t);
        if (e == ERR_AGAIN)
            return;
        forget(b, 0);
        if (b->pending)
            b->others += old.count;
        else if (e == ERR_NONE)
            announce(b, &t, t.waiting > 0 ? -1 : now_ms - t.accepted_ms, old.count);
    }
}

/* `*again`: where to begin next time, as the first that was not known yet. */
static void look_at_next(struct blasted *b, int64_t now_ms, size_t *again)
{
    struct store_tally t;
    if (b->next >= b->len)
        b->next = 0;
    struct run r = b->runs[b->next];
    enum err e = b->ops.tally(b->ops.arg, r.pos, &t);
    if (e == ERR_AGAIN && *again > b->next)
        *again = b->next;
    if (e == ERR_AGAIN || (e == ERR_NONE && t.waiting > 0)) {
        b->next++;
        return;
    }
    *again -= *again != SIZE_MAX && *again > b->next;
    forget(b, b->next);
    if (e == ERR_NONE)
        announce(b, &t, now_ms - t.accepted_ms, r.count);
}

void blasted_look(struct blasted *b, int64_t now_ms, uint64_t boot_ms, unsigned tallies_max)
{
    size_t again = SIZE_MAX;
    look_at_old(b, now_ms);
    for (; tallies_max > 0 && b->left > 0 && b->len > 0; tallies_max--, b->left--)
        look_at_next(b, now_ms, &again);
    if (again != SIZE_MAX)
        b->next = again;
    if (!b->pending || (b->spoke && boot_ms - b->spoke_ms < LINE_EVERY_MS))
        return;
    char line[BLASTED_LINE_SIZE];
    blasted_line(line, &b->tally, b->took_ms, b->others);
    b->pending = false;
    b->others = 0;
    b->spoke = true;
    b->spoke_ms = boot_ms;
    b->ops.say(b->ops.arg, line);
}

void blasted_line(char out[BLASTED_LINE_SIZE], const struct store_tally *t, int64_t took_ms,
                  uint64_t others)
{
    char id[2 * EVENT_ID_LEN + 1], took[40] = "", ends[64] = "", more[40] = "";
    if (took_ms >= 0)
        (void)snprintf(took, sizeof took, " in %.1fs", (double)took_ms / 1000);
    if (t->failed > 0 && t->waiting > 0)
        (void)snprintf(ends, sizeof ends, " (%u failed, %u waiting)", t->failed, t->waiting);
    else if (t->failed + t->waiting > 0)
        (void)snprintf(ends, sizeof ends, " (%u %s)", t->failed + t->waiting,
                       t->failed > 0 ? "failed" : "waiting");
    if (others > 0)
        (void)snprintf(more, sizeof more, ", and %" PRIu64 " other%s", others,
                       others == 1 ? "" : "s");
    (void)snprintf(out, BLASTED_LINE_SIZE, "🔫 blasted %s to %u of %u relays%s%s%s",
                   hex_str(id, t->id, EVENT_ID_LEN), t->delivered,
                   t->delivered + t->failed + t->waiting, took, ends, more);
}
