/* When a run is over, and what must hold then. Included by sim.h. */
#ifndef VOLLEY_TESTS_SIM_CHECK_H
#define VOLLEY_TESTS_SIM_CHECK_H

static bool settled(const struct sim *s)
{
    const struct sim_queue *q = &s->queue;
    return q->head == s->total && queue_position(q) >= s->total && q->exceptions_len == 0 &&
           q->requests_len == 0 && s->mood == MOOD_OK && s->moods_left == 0 && s->now_ms > 300000 &&
           s->lane != NULL && !lane_dirty(s->lane) && s->flying_commit == NULL &&
           s->lane->live == 0;
}

static bool deserves_failure(const struct sim *s, const struct fate *f, enum row_class cls)
{
    if (cls == CLASS_BLOCKED)
        return f->blocked;
    if (cls == CLASS_AUTH)
        return s->refuses_auth;
    return (cls == CLASS_ERROR || cls == CLASS_TIMEOUT) && (f->poison || f->hopeless);
}

static void check_end(struct sim *s)
{
    for (uint32_t pos = 1; pos <= s->total; pos++) {
        const struct stored_row *row = &s->queue.rows[pos];
        const struct fate *f = &s->fates[pos];
        if (!row->there)
            SIM_CHECK(s, f->taken || sim_filters(s, sim_version_at(&s->queue, pos), pos),
                      "%u counts as delivered, the relay never took it", pos);
        else if (row->end == ROW_FAILED)
            SIM_CHECK(s, deserves_failure(s, f, row->cls), "%u failed, class %d", pos,
                      (int)row->cls);
        else if (row->end == ROW_SKIPPED)
            SIM_CHECK(s, f->deleted, "%u skipped", pos);
        else
            SIM_CHECK(s, s->queue.expired[pos], "%u expired", pos);
    }
    SIM_CHECK(s, s->dead_connects <= 20 + s->dead_ms / 5000,
              "%" PRIu64 " connects in %" PRIu64 " ms dead", s->dead_connects, s->dead_ms);
    uint64_t busy = 10 * (s->sends + s->connects + s->commits + s->total) + s->now_ms / 100;
    SIM_CHECK(s, s->wants <= busy, "%" PRIu64 " wants, %" PRIu64 " would do", s->wants, busy);
}

#endif
