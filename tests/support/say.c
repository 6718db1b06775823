#include "tests/support/say.h"

#include "common/base/hex.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PRINTF(2, 3) static void say(struct buf *out, const char *fmt, ...)
{
    char line[4096];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof line || buf_add_str(out, line) != ERR_NONE)
        die("an answer is too long to be said");
}

static bool went_wrong(struct buf *out, const struct answer *a)
{
    if (a->e != ERR_NONE)
        say(out, "error %s\n", err_name(a->e));
    return a->e != ERR_NONE;
}

void say_append(struct buf *out, const struct answer *a)
{
    if (!went_wrong(out, a))
        say(out, "pos %" PRIu64 " duplicate %d requeued %" PRIu32 "\n", a->append.pos,
            a->append.duplicate, a->append.requeued);
}

void say_read(struct buf *out, const struct answer *a)
{
    if (went_wrong(out, a))
        return;
    say(out, "head %" PRIu64 "\n", a->read.head);
    for (size_t i = 0; i < a->read.len; i++) {
        const struct queue_event *ev = &a->read.events[i];
        char id[65] = "-";
        if (ev->event)
            hex_str(id, ev->event->id, sizeof ev->event->id);
        say(out,
            "%" PRIu64 " gone %d accepted %" PRId64 " newer %" PRIu64 " deleted by %" PRIu64
            " %.16s\n",
            ev->pos, (int)ev->gone, ev->gone ? 0 : ev->accepted_ms, ev->newer, ev->deleted_by, id);
    }
}

/* ---- leases ---- */

static void say_definition(struct buf *out, const struct definition *d)
{
    say(out, " %s \"%s\" %s %s window %" PRIu32 " rate %" PRIu32 "%s%s%s kinds", d->url, d->name,
        route_name(d->route), family_mode_name(d->family), d->window, d->rate_per_1000s,
        d->is_private ? " private" : "", d->backfill ? " backfill" : "", d->hold ? " hold" : "");
    for (uint32_t i = 0; i < d->kinds_len; i++)
        say(out, " %u", d->kinds[i]);
    say(out, " except");
    for (uint32_t i = 0; i < d->except_kinds_len; i++)
        say(out, " %u", d->except_kinds[i]);
    say(out, "\n");
}

static void say_requests(struct buf *out, const struct lane_request *requests, size_t len)
{
    for (size_t i = 0; i < len; i++)
        say(out, "  request %" PRIu64 " of %" PRIu64 "\n", requests[i].number, requests[i].pos);
}

static void say_exception(struct buf *out, const struct exception *x)
{
    say(out,
        "  exception %" PRIu64 " attempts %" PRIu32 " flags %" PRIu32 " not before %" PRId64 "\n",
        x->pos, x->attempts, x->flags, x->not_before_ms);
}

static void say_learned(struct buf *out, const struct learned *l)
{
    say(out,
        "  learned window %" PRIu32 " rate %" PRIu32 " %s ipv6 failures %" PRIu32
        " connect %" PRIu32 " demoted until %" PRId64 "\n",
        l->window, l->rate_per_1000s, family_name(l->family), l->ipv6_failures, l->ipv6_connect_ms,
        l->demoted_until_ms);
}

static void say_grant(struct buf *out, const struct lane_grant *g)
{
    say(out,
        "grant %" PRIu32 " epoch %" PRIu64 " start %" PRIu64 " position %" PRIu64
        " held %d stalls %" PRIu32 "\n",
        g->lane, g->epoch, g->start, g->position, g->held, g->stalls);
    say(out, "  version %" PRIu32, g->definition_version);
    say_definition(out, &g->definition);
    if (g->next_version > g->definition_version) {
        say(out, "  next %" PRIu32, g->next_version);
        say_definition(out, &g->next);
    }
    for (size_t i = 0; i < g->exceptions_len; i++)
        say_exception(out, &g->exceptions[i]);
    say_requests(out, g->requests, g->requests_len);
    say_learned(out, &g->learned);
}

static void say_kept(struct buf *out, const struct lane_kept *k)
{
    say(out, "kept %" PRIu32 " floor %" PRIu64 " held %d give back %d\n", k->lane, k->floor,
        k->held, k->give_back);
    if (k->next) {
        say(out, "  next %" PRIu32, k->next_version);
        say_definition(out, k->next);
    }
    say_requests(out, k->requests, k->requests_len);
}

void say_lease(struct buf *out, const struct answer *a)
{
    if (went_wrong(out, a))
        return;
    const struct lease_reply *r = &a->lease;
    say(out, "now %" PRId64 " head %" PRIu64 " registry %" PRIu64 "\n", r->now_ms, r->head,
        r->registry_version);
    for (size_t i = 0; i < r->grants_len; i++)
        say_grant(out, &r->grants[i]);
    for (size_t i = 0; i < r->kept_len; i++)
        say_kept(out, &r->kept[i]);
    for (size_t i = 0; i < r->lost_len; i++)
        say(out, "lost %" PRIu32 "\n", r->lost[i]);
    if (r->heartbeat != NULL)
        say(out, "heartbeat %" PRIu64 " %.*s\n", r->heartbeat_number, (int)r->heartbeat->len,
            r->heartbeat->bytes);
}

/* ---- commits, definitions ---- */

void say_commit(struct buf *out, const struct answer *a)
{
    static const char *const names[COMMIT_STATUS_COUNT] = {"done", "repeated", "stale", "invalid"};
    if (went_wrong(out, a))
        return;
    for (size_t i = 0; i < a->committed_len; i++) {
        const struct lane_committed *c = &a->committed[i];
        bool placed = c->status == COMMIT_DONE || c->status == COMMIT_REPEATED;
        say(out, "lane %" PRIu32 " %s position %" PRIu64 "\n", c->lane, names[c->status],
            placed ? c->position : 0);
    }
}

void say_define(struct buf *out, const struct answer *a)
{
    if (!went_wrong(out, a))
        say(out,
            "added %" PRIu32 " changed %" PRIu32 " retired %" PRIu32 " unchanged %" PRIu32
            " registry %" PRIu64 "\n",
            a->define.added, a->define.changed, a->define.retired, a->define.unchanged,
            a->define.registry_version);
}

/* ---- depth ---- */

static void say_path(struct buf *out, const struct path_stat *p)
{
    say(out,
        "  path %s %s attempts %" PRIu64 " successes %" PRIu64 " failures %" PRIu64 " us %" PRIu64
        " %" PRIu64 " %" PRIu64 " last %" PRId64 " %" PRId64 "\n",
        route_name(p->route), family_name(p->family), p->attempts, p->successes, p->failures,
        p->connect_us, p->tls_us, p->websocket_us, p->last_success_ms, p->last_failure_ms);
}

static void say_paths(struct buf *out, const struct path_stat *paths, size_t len)
{
    for (int route = 0; route < ROUTE_COUNT; route++) {
        for (int family = 0; family < FAMILY_COUNT; family++) {
            for (size_t i = 0; i < len; i++) {
                if ((int)paths[i].route == route && (int)paths[i].family == family)
                    say_path(out, &paths[i]);
            }
        }
    }
}

static void say_live(struct buf *out, const struct lane_live *l)
{
    say(out,
        "  %s since %" PRId64 " in flight %" PRIu32 " %s retry at %" PRId64 " delivered %" PRId64
        " rate %" PRIu32 " error at %" PRId64 " \"%s\"\n",
        lane_state_name(l->state), l->since_ms, l->in_flight, family_name(l->family),
        l->retry_at_ms, l->delivered_ms, l->rate_per_1000s, l->error_ms, l->last_error);
}

static void say_status(struct buf *out, const struct lane_status *s)
{
    say(out,
        "lane %" PRIu32 "%s start %" PRIu64 " position %" PRIu64 " depth %" PRIu64
        " retrying %" PRIu64 " asked %" PRIu64 " failed %" PRIu64 " skipped %" PRIu64
        " expired %" PRIu64 " delivered %" PRIu64 " oldest %" PRId64 " held %d by \"%s\"\n",
        s->lane, s->retired ? " retired" : "", s->start, s->position, s->depth, s->retrying,
        s->asked, s->failed, s->skipped, s->expired, s->delivered, s->oldest_ms, s->held,
        s->publisher);
    say_live(out, &s->live);
    say(out, "  version %" PRIu32, s->definition_version);
    say_definition(out, &s->definition);
    say_learned(out, &s->learned);
    say_paths(out, s->paths, s->paths_len);
}

void say_depth(struct buf *out, const struct answer *a)
{
    if (went_wrong(out, a))
        return;
    const struct queue_depth *d = &a->depth;
    say(out,
        "now %" PRId64 " head %" PRIu64 " first %" PRIu64 " events %" PRIu64 " bytes %" PRIu64
        " of %" PRIu64 "\n",
        d->now_ms, d->head, d->first, d->events, d->bytes, d->max_bytes);
    say(out, "heartbeat %" PRIu64 " at %" PRId64 " taken %" PRIu64 " at %" PRId64 "\n",
        d->heartbeat.number, d->heartbeat.accepted_ms, d->heartbeat.taken, d->heartbeat.taken_ms);
    for (size_t i = 0; i < d->lanes_len; i++)
        say_status(out, &d->lanes[i]);
}

/* ---- receipts ---- */

static void say_row(struct buf *out, uint64_t pos, const struct row *r)
{
    if (r->from > pos || r->to < pos)
        say(out, "  a row of other positions: %" PRIu64 " to %" PRIu64 "\n", r->from, r->to);
    bool run = r->end == ROW_EXPIRED || r->end == ROW_PURGED;
    if (run && r->attempts == 0) { /* it has the times of all its positions */
        say(out, "  row %s %s\n", row_end_name(r->end), row_class_name(r->cls));
        return;
    }
    say(out, "  row %s %s attempts %" PRIu32 " first %" PRId64 " last %" PRId64 " %s %s \"%s\"\n",
        row_end_name(r->end), row_class_name(r->cls), r->attempts, r->first_ms, r->last_ms,
        route_name(r->route), family_name(r->family), r->text);
}

static void say_receipt_lane(struct buf *out, uint64_t pos, const struct receipt_lane *l)
{
    static const char *const ends[] = {"delivered", "queued", "retrying",
                                       "filtered",  "row",    "never"};
    say(out, "lane %" PRIu32 "%s %s \"%s\" %s\n", l->lane, l->retired ? " retired" : "", l->url,
        l->name, ends[l->end]);
    if (l->end == RECEIPT_RETRYING)
        say_exception(out, &l->exception);
    if (l->end == RECEIPT_ROW || (l->end == RECEIPT_RETRYING && l->row.from > 0))
        say_row(out, pos, &l->row);
    for (size_t i = 0; i < l->history_len; i++)
        say_row(out, pos, &l->history[i]);
}

void say_receipt(struct buf *out, const struct answer *a)
{
    if (went_wrong(out, a))
        return;
    const struct queue_receipt *r = &a->receipt;
    char id[65];
    say(out, "%.16s pos %" PRIu64 " accepted %" PRId64 " kind %" PRIu32 "\n",
        hex_str(id, r->id, sizeof r->id), r->pos, r->accepted_ms, r->kind);
    for (size_t i = 0; i < r->lanes_len; i++)
        say_receipt_lane(out, r->pos, &r->lanes[i]);
}

/* ---- registry, hold ---- */

static void say_entry(struct buf *out, const struct lane_entry *l)
{
    say(out,
        "lane %" PRIu32 " retired %d at %" PRId64 " start %" PRIu64 " position %" PRIu64 " %s\n",
        l->lane, l->retired, l->retired_ms, l->start, l->position, lane_hold_name(l->hold));
    for (size_t i = 0; i < l->versions_len; i++) {
        const struct lane_version *v = &l->versions[i];
        say(out, "  version %" PRIu32 " from %" PRIu64 "%s", v->version, v->from,
            v->waits ? " waits" : "");
        say_definition(out, &v->definition);
    }
}

void say_registry(struct buf *out, const struct answer *a)
{
    if (went_wrong(out, a))
        return;
    const struct queue_registry *r = &a->registry;
    say(out, "registry %" PRIu64 " since %" PRId64 " by \"%s\"\n", r->version, r->defined_ms,
        r->defined_by);
    for (size_t i = 0; i < r->lanes_len; i++)
        say_entry(out, &r->lanes[i]);
}

void say_hold(struct buf *out, const struct answer *a)
{
    if (!went_wrong(out, a))
        say(out, "waiting %" PRIu64 " given up %" PRIu64 "%s\n", a->hold.waiting, a->hold.given_up,
            a->hold.changed ? " changed" : "");
}

/* ---- failed deliveries, jobs ---- */

static int by_lane_and_position(const void *a, const void *b)
{
    const struct failed_row *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return x->row.from < y->row.from ? -1 : x->row.from > y->row.from;
}

static void say_failed_row(struct buf *out, const struct failed_row *r)
{
    char id[65], author[65];
    say(out, "lane %" PRIu32 " pos %" PRIu64 "..%" PRIu64 " %.16s by %.16s kind %" PRIu32, r->lane,
        r->row.from, r->row.to, hex_str(id, r->id, sizeof r->id),
        hex_str(author, r->author, sizeof r->author), r->kind);
    say(out, " accepted %" PRId64 " %s job %" PRIu64 "\n", r->accepted_ms,
        r->replayable ? "replayable" : "gone", r->job);
    say_row(out, r->row.from, &r->row);
}

void say_failed(struct buf *out, const struct answer *a)
{
    if (went_wrong(out, a))
        return;
    const struct failed_page *p = &a->failed;
    struct failed_row *rows = mem_zero(p->rows_len + 1, sizeof *rows);
    for (size_t i = 0; i < p->rows_len; i++)
        rows[i] = p->rows[i];
    qsort(rows, p->rows_len, sizeof *rows, by_lane_and_position);
    for (size_t i = 0; i < p->rows_len; i++)
        say_failed_row(out, &rows[i]);
    free(rows);
    for (size_t i = 0; i < p->groups_len; i++) {
        const struct failed_group *g = &p->groups[i];
        say(out, "lane %" PRIu32 " %s count %" PRIu64 " gone %" PRIu64 " busy %" PRIu64 "\n",
            g->lane, row_class_name(g->cls), g->count, g->gone, g->busy);
    }
    say(out, "job %" PRIu64 "\n", p->job);
}

void say_jobs(struct buf *out, const struct answer *a)
{
    if (went_wrong(out, a))
        return;
    for (size_t i = 0; i < a->jobs_len; i++) {
        const struct replay_job *j = &a->jobs[i];
        say(out,
            "job %" PRIu64 " %s made %" PRId64 " ended %" PRId64 " rate %" PRIu32 " total %" PRIu64,
            j->number, job_state_name(j->state), j->made_ms, j->ended_ms, j->rate_per_1000s,
            j->total);
        say(out,
            " waiting %" PRIu64 " asked %" PRIu64 " delivered %" PRIu64 " failed %" PRIu64
            " dropped %" PRIu64 " \"%s\" by \"%s\"\n",
            j->waiting, j->asked, j->delivered, j->failed, j->dropped, j->text, j->by);
    }
}

void say_cancel(struct buf *out, const struct answer *a)
{
    if (!went_wrong(out, a))
        say(out, "cancelled\n");
}
