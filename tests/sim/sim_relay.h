/* The relay, with its moods. It answers in order, as relays mostly do. Included by sim.h. */
#ifndef VOLLEY_TESTS_SIM_RELAY_H
#define VOLLEY_TESTS_SIM_RELAY_H

static void relay_next_mood(struct sim *s)
{
    if (s->mood == MOOD_DOWN || s->mood == MOOD_HOLE)
        s->dead_ms += s->now_ms - s->mood_since_ms;
    s->mood = MOOD_OK;
    s->mood_since_ms = s->now_ms;
    if (s->moods_left > 0) {
        s->moods_left--;
        s->mood = (enum mood)below(s, MOOD_COUNT);
        happens(s, 1000 + below(s, 60000), (struct happens){.what = HAPPENS_MOOD});
    }
    s->latency_ms = s->mood == MOOD_SLOW ? 200 + below(s, 5000) : 1 + below(s, 300);
    s->tokens = 1 + below(s, 20);
    s->tokens_ms = s->now_ms;
}

static void relay_cut(struct sim *s, uint64_t in_ms)
{
    happens(s, in_ms, (struct happens){.what = HAPPENS_CUT, .link = s->served});
}

static void relay_connect(struct sim *s)
{
    s->connects++;
    if (s->mood == MOOD_DOWN || s->mood == MOOD_HOLE) {
        s->dead_connects++;
        happens(s, s->mood == MOOD_DOWN ? s->latency_ms : 30000,
                (struct happens){.what = HAPPENS_REFUSED, .epoch = (uint32_t)s->queue.epoch});
        return;
    }
    happens(s, s->latency_ms,
            (struct happens){.what = HAPPENS_CONNECTED, .epoch = (uint32_t)s->queue.epoch});
}

/* So many tokens a minute. */
static bool relay_has_token(struct sim *s)
{
    uint64_t per_ms = 60000 / (6 + below(s, 3));
    while (s->now_ms >= s->tokens_ms + per_ms) {
        s->tokens_ms += per_ms;
        if (s->tokens < 10)
            s->tokens++;
    }
    if (s->tokens == 0)
        return false;
    s->tokens--;
    return true;
}

static void relay_answer(struct sim *s, uint64_t pos, enum outcome_kind kind)
{
    uint64_t at_ms = s->now_ms + s->latency_ms / 2;
    if (at_ms < s->busy_ms && s->mood == MOOD_OK)
        at_ms = s->busy_ms;
    s->busy_ms = at_ms;
    happens(
        s, at_ms - s->now_ms,
        (struct happens){.what = HAPPENS_ANSWER, .link = s->served, .pos = pos, .outcome = kind});
}

static void relay_judges(struct sim *s, uint64_t pos)
{
    struct fate *f = &s->fates[pos];
    if (s->wants_auth && !s->authed) {
        relay_answer(s, pos, OUTCOME_AUTH);
    } else if (f->taken) {
        relay_answer(s, pos, OUTCOME_DELIVERED); /* duplicate: */
    } else if (f->blocked) {
        relay_answer(s, pos, OUTCOME_FAILED);
    } else if (f->hopeless || f->errors > 0 || s->mood == MOOD_BROKEN) {
        if (f->errors > 0)
            f->errors--;
        relay_answer(s, pos, OUTCOME_RETRY);
    } else if (s->mood == MOOD_LIMITED && !relay_has_token(s)) {
        relay_answer(s, pos, OUTCOME_SLOW);
    } else {
        f->taken = true;
        relay_answer(s, pos, OUTCOME_DELIVERED);
    }
}

static void relay_arrival(struct sim *s, const struct happens *h)
{
    struct fate *f = &s->fates[h->pos];
    bool takes = !f->poison && !f->blocked && !f->hopeless && (!s->wants_auth || s->authed);
    if (h->link != s->served) {
        /* The publisher is gone, or the link is; what is on the wire may still be read. */
        f->taken = f->taken || (takes && chance(s, 50));
        return;
    }
    bool now_and_then = chance(s, 5);
    if (f->poison && !f->late_poison) {
        relay_cut(s, 0);
        s->served = 0;
    } else if (f->poison) {
        relay_cut(s, 100 + below(s, 3000));
    } else if (s->mood == MOOD_RUDE || (s->mood == MOOD_CUT_BEFORE && now_and_then)) {
        f->taken = f->taken || (takes && chance(s, 30));
        relay_cut(s, 0);
        s->served = 0;
    } else if (s->mood == MOOD_SILENT || (s->mood == MOOD_SWALLOWS && now_and_then)) {
        f->taken = f->taken || (takes && chance(s, 50));
    } else if (s->mood == MOOD_HOLE || s->mood == MOOD_DOWN) {
        relay_cut(s, s->mood == MOOD_DOWN ? 0 : 20000);
    } else {
        relay_judges(s, h->pos);
        if (s->mood == MOOD_CUT_AFTER && now_and_then)
            relay_cut(s, s->latency_ms);
    }
}

#endif
