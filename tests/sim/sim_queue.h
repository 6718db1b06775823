/* The queue's side of one lane, as the contract tells it: grants with rising epochs, commits judged
 * by epoch, sequence and bounds, floors, requests, definitions. Included by sim.h. */
#ifndef VOLLEY_TESTS_SIM_QUEUE_H
#define VOLLEY_TESTS_SIM_QUEUE_H

/* Version 1 sends all, 2 and 3 filter what the fates say. */
static bool sim_filters(const struct sim *s, uint32_t version, uint64_t pos)
{
    return version > 1 && s->fates[pos].filtered[version - 1];
}

static uint32_t sim_version_at(const struct sim_queue *q, uint64_t pos)
{
    uint32_t version = 1;
    for (uint32_t v = 2; v <= q->version; v++)
        if (pos > q->switched[v])
            version = v;
    return version;
}

static bool sim_is_exception(const struct sim_queue *q, uint64_t pos)
{
    for (size_t i = 0; i < q->exceptions_len; i++)
        if (q->exceptions[i].pos == pos)
            return true;
    return false;
}

/* Paid and durable; 0 when it is no exception. */
static uint32_t sim_attempts(const struct sim_queue *q, uint64_t pos)
{
    for (size_t i = 0; i < q->exceptions_len; i++)
        if (q->exceptions[i].pos == pos)
            return q->exceptions[i].attempts;
    return 0;
}

/* The effective one. */
static uint64_t queue_position(const struct sim_queue *q)
{
    return q->position > q->floor ? q->position : q->floor;
}

static void sim_copy(const void *from, size_t len, size_t size, const void **to)
{
    void *copy = mem_zero(len + 1, size);
    if (len > 0)
        memcpy(copy, from, len * size);
    *to = copy;
}

static struct lane_commit *commit_copy(const struct lane_commit *c)
{
    struct lane_commit *k = mem_new(sizeof *k);
    *k = *c;
    sim_copy(c->exceptions, c->exceptions_len, sizeof *c->exceptions,
             (const void **)&k->exceptions);
    sim_copy(c->rows_added, c->rows_added_len, sizeof *c->rows_added,
             (const void **)&k->rows_added);
    sim_copy(c->rows_removed, c->rows_removed_len, sizeof *c->rows_removed,
             (const void **)&k->rows_removed);
    return k;
}

static void commit_drop(struct lane_commit *c)
{
    if (c == NULL)
        return;
    free((void *)(uintptr_t)c->exceptions);
    free((void *)(uintptr_t)c->rows_added);
    free((void *)(uintptr_t)c->rows_removed);
    free(c);
}

/* Whether `pos`, not above the last position, may be an exception: it was one, or is asked for. */
static bool exception_known(const struct sim_queue *q, const struct lane_commit *c, uint64_t pos)
{
    for (size_t i = 0; i < q->requests_len; i++)
        if (q->requests[i].pos == pos && q->requests[i].number <= c->requests_taken)
            return true;
    return sim_is_exception(q, pos);
}

/* What every backend would refuse as COMMIT_INVALID. */
static void check_commit(struct sim *s, const struct lane_commit *c)
{
    const struct sim_queue *q = &s->queue;
    SIM_CHECK(s, c->seq == q->seq + 1, "sequence %" PRIu64 " after %" PRIu64, c->seq, q->seq);
    SIM_CHECK(s, c->position <= q->head, "position beyond the head");
    SIM_CHECK(s, c->position >= q->position, "position falls");
    SIM_CHECK(s, c->exceptions_len <= QUEUE_EXCEPTIONS_MAX, "too many exceptions");
    uint64_t last = 0;
    for (size_t i = 0; i < c->exceptions_len; i++) {
        SIM_CHECK(s, c->exceptions[i].pos > last && c->exceptions[i].pos <= c->position,
                  "exception %" PRIu64 " out of order", c->exceptions[i].pos);
        last = c->exceptions[i].pos;
        SIM_CHECK(s, last <= q->floor || last > q->position || exception_known(q, c, last),
                  "exception %" PRIu64 " out of nothing", last);
        for (size_t j = 0; j < c->rows_removed_len; j++)
            SIM_CHECK(s, c->rows_removed[j] != last, "removes the row of an exception");
    }
    for (size_t i = 0; i < c->rows_added_len; i++)
        SIM_CHECK(s, c->rows_added[i].from <= c->position, "a row above the position");
    SIM_CHECK(s, c->definition_version >= q->version && c->definition_version <= q->next_version,
              "unknown definition");
    SIM_CHECK(s, c->requests_taken <= q->request_number, "took a request never made");
}

static bool lists(const struct lane_commit *c, uint64_t pos)
{
    for (size_t i = 0; i < c->exceptions_len; i++)
        if (c->exceptions[i].pos == pos)
            return true;
    return false;
}

/* What was given up meanwhile is no exception any more; what the holder settled not knowing that it
 * was given up is settled. */
static void store_exceptions(struct sim_queue *q, const struct lane_commit *c)
{
    struct exception kept[QUEUE_EXCEPTIONS_MAX];
    size_t len = 0;
    for (uint64_t pos = q->position + 1; pos <= c->position && pos <= q->floor; pos++)
        if (pos > c->floor && !lists(c, pos))
            q->rows[pos].there = false;
    for (size_t i = 0; i < c->exceptions_len; i++)
        if (c->exceptions[i].pos > q->floor || exception_known(q, c, c->exceptions[i].pos))
            kept[len++] = c->exceptions[i];
    memcpy(q->exceptions, kept, len * sizeof *kept);
    q->exceptions_len = len;
}

static void store_requests_taken(struct sim_queue *q, uint64_t taken)
{
    size_t len = 0;
    for (size_t i = 0; i < q->requests_len; i++)
        if (q->requests[i].number > taken)
            q->requests[len++] = q->requests[i];
    q->requests_len = len;
}

static struct lane_committed queue_commit(struct sim *s, const struct lane_commit *c)
{
    struct sim_queue *q = &s->queue;
    if (c->epoch != q->epoch)
        return (struct lane_committed){.status = COMMIT_STALE};
    if (c->seq == q->seq)
        return (struct lane_committed){.status = COMMIT_REPEATED, .position = queue_position(q)};
    check_commit(s, c);
    q->seq = c->seq;
    s->commits++;
    while (q->version < c->definition_version)
        q->switched[++q->version] = c->position;
    if (c->delivered > 0 || c->rows_added_len > 0 || c->position > q->position)
        q->progress = true;
    q->stalls = c->stalls;
    store_exceptions(q, c);
    q->position = c->position;
    store_requests_taken(q, c->requests_taken);
    for (size_t i = 0; i < c->rows_added_len; i++)
        q->rows[c->rows_added[i].from] =
            (struct stored_row){c->rows_added[i].end, c->rows_added[i].cls, true};
    for (size_t i = 0; i < c->rows_removed_len; i++)
        q->rows[c->rows_removed[i]].there = false;
    q->learned = c->learned;
    return (struct lane_committed){.status = COMMIT_DONE, .position = queue_position(q)};
}

static struct definition sim_definition(uint32_t version)
{
    return (struct definition){.window = version == 3 ? 5 : 0};
}

static struct lane *queue_grant(struct sim *s)
{
    struct sim_queue *q = &s->queue;
    if (q->epoch > 0)
        q->stalls = q->progress ? 0 : q->stalls + 1;
    q->progress = false;
    q->epoch++;
    q->seq = 0;
    struct lane_grant g = {.lane = 1,
                           .epoch = q->epoch,
                           .position = queue_position(q),
                           .definition_version = q->version,
                           .definition = sim_definition(q->version),
                           .next_version = q->next_version,
                           .next = sim_definition(q->next_version),
                           .stalls = q->stalls,
                           .exceptions = q->exceptions,
                           .exceptions_len = q->exceptions_len,
                           .requests = q->requests,
                           .requests_len = q->requests_len,
                           .learned = q->learned};
    return lane_new(&g, &s->limits, q->head, below(s, UINT64_MAX), SIM_WALL, s->now_ms);
}

static void queue_kept(struct sim *s, bool held)
{
    struct sim_queue *q = &s->queue;
    struct definition next = sim_definition(q->next_version);
    struct lane_kept k = {.lane = 1,
                          .floor = q->floor,
                          .next_version = q->next_version,
                          .next = q->next_version > q->version ? &next : NULL,
                          .held = held,
                          .give_back = s->handing_over,
                          .requests = q->requests,
                          .requests_len = q->requests_len};
    lane_head(s->lane, q->head);
    lane_kept(s->lane, &k, s->now_ms);
}

static void queue_raise_floor(struct sim *s, uint64_t floor)
{
    struct sim_queue *q = &s->queue;
    if (floor <= q->floor)
        return;
    for (uint64_t pos = 1; pos <= floor; pos++) {
        if (pos > queue_position(q) || sim_is_exception(q, pos)) {
            q->rows[pos] = (struct stored_row){ROW_EXPIRED, CLASS_RETENTION, true};
            q->expired[pos] = true;
        }
    }
    size_t len = 0;
    for (size_t i = 0; i < q->exceptions_len; i++)
        if (q->exceptions[i].pos > floor)
            q->exceptions[len++] = q->exceptions[i];
    q->exceptions_len = len;
    q->floor = floor;
}

/* Somebody sends an event again that has a row: a request, once. */
static void queue_resend(struct sim *s, uint64_t pos)
{
    struct sim_queue *q = &s->queue;
    if (pos > queue_position(q) || !q->rows[pos].there || q->rows[pos].end == ROW_SKIPPED ||
        q->requested[pos] || sim_is_exception(q, pos) || q->requests_len == QUEUE_REQUESTS_MAX)
        return;
    q->requested[pos] = true;
    q->requests[q->requests_len++] = (struct lane_request){++q->request_number, pos};
    s->fates[pos].may_repeat = true;
}

#endif
