/* A lane driven by a script: words that tell it facts, and words for what it must want then. Time
 * is whatever the script says.
 *
 *   wants: peek:N (answered: sendable)  connect  refuse[:RETRY_AFTER] (connect, which fails)
 *          send:A[-B]  auth  close  quiet (nothing)  wait[:MIN-MAX] (nothing, until it wants more)
 *          pass:N skip:N:CLASS (the answer to a peek or a send)  urgent clean dirty drained
 *   facts: +MS head:N lost ok:A[-B] error: slow: blocked: replaced: auth?:A[-B] ignored:N (an OK
 *          that is none) authed authno floor:N hold unhold give drain request:NUMBER:POS
 *          define:VERSION:WINDOW tick:A[-B] (ok of A … B with 1 ms between)
 *   commit[:lost|:stale|:at:POS] begins and ends a commit, lost: no answer, stale: refused, at: the
 *          floor was there; begin done: in two steps. Then, about that commit: pos:N ex:LIST
 *          rows:LIST removed:LIST took:N stalls:N version:N delivered:N seq:N
 *          floored:N; LIST is "-" for none, of
 *          exceptions POS/ATTEMPTS with s for suspect, w for waiting until a time; of rows
 *          POS=CLASS/ATTEMPTS
 *   also:  window:N rate:N (in force) state:NAME admitted:N new:N (not admitted) lowest:N
 *          arrived:MS (when the last one was delivered, since the start; - never) since:MS (of the
 *          state, since the start)
 *          limits:WINDOW:BACKOFF (other limits from now on) */
#ifndef VOLLEY_TESTS_LANE_SCRIPT_H
#define VOLLEY_TESTS_LANE_SCRIPT_H

#include "common/base/buf.h"
#include "publisher/lane_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_WALL 1700000000000ll

struct script {
    const char *name, *at; /* for messages */
    struct lane *lane;
    uint64_t now_ms;
    bool held, give;
    struct lane_commit commit;
    char ex[2048], rows[1024], removed[512];
};

static void complain(const struct script *s, const char *what)
{
    fail_msg("%s\n  at \"%.60s\"\n  %s", s->name, s->at, what);
}

static void expect(const struct script *s, bool good, const char *what, uint64_t got)
{
    char text[160];
    snprintf(text, sizeof text, "%s: got %" PRIu64, what, got);
    if (!good)
        complain(s, text);
}

static struct want want_of(struct script *s, enum want_kind kind, uint64_t pos)
{
    static const char *const names[] = {"nothing", "peek", "connect", "auth", "send", "close"};
    struct want w = lane_want(s->lane, s->now_ms);
    char text[160];
    snprintf(text, sizeof text,
             "expected %s %" PRIu64 ", it wants %s %" PRIu64 " (at +%" PRId64 ")", names[kind], pos,
             names[w.kind], w.pos, w.at_ms == 0 ? -1 : (int64_t)(w.at_ms - s->now_ms));
    if (w.kind != kind || (pos != 0 && w.pos != pos))
        complain(s, text);
    if (w.kind == WANT_NOTHING)
        expect(s, w.at_ms == 0 || w.at_ms > s->now_ms, "it wants to be asked in the past", w.at_ms);
    return w;
}

/* ---- words ---- */

struct args {
    uint64_t a, b;
    bool has_a, has_b;
    const char *text; /* after the first colon */
};

static void do_send(struct script *s, const struct args *a)
{
    for (uint64_t pos = a->a; pos <= a->b; pos++) {
        want_of(s, WANT_SEND, pos);
        lane_sent(s->lane, pos, 100, s->now_ms);
    }
}

static void do_connect(struct script *s, const struct args *a)
{
    (void)a;
    want_of(s, WANT_CONNECT, 0);
    lane_connecting(s->lane, s->now_ms);
    want_of(s, WANT_NOTHING, 0);
    lane_connected(s->lane, FAMILY_IPV6, ROUTE_DIRECT, s->now_ms);
}

static void do_refuse(struct script *s, const struct args *a)
{
    want_of(s, WANT_CONNECT, 0);
    lane_connecting(s->lane, s->now_ms);
    lane_connect_failed(s->lane, a->has_a ? a->a : 0, "refused", s->now_ms);
}

static void do_wait(struct script *s, const struct args *a)
{
    uint64_t from_ms = s->now_ms;
    for (int i = 0; i < 2000; i++) {
        struct want w = lane_want(s->lane, s->now_ms);
        if (w.kind != WANT_NOTHING) {
            expect(s, !a->has_a || s->now_ms - from_ms >= a->a, "waited too little",
                   s->now_ms - from_ms);
            expect(s, !a->has_a || s->now_ms - from_ms <= a->b, "waited too long",
                   s->now_ms - from_ms);
            return;
        }
        expect(s, w.at_ms > s->now_ms, "it waits for nothing", w.at_ms);
        s->now_ms = w.at_ms;
    }
    complain(s, "it never wants anything");
}

static void answer(struct script *s, const struct args *a, struct outcome o, uint64_t step_ms)
{
    for (uint64_t pos = a->a; pos <= a->b; pos++, s->now_ms += step_ms)
        expect(s, lane_answer(s->lane, pos, &o, s->now_ms), "answer not taken", pos);
}

static void kept(struct script *s, struct lane_kept k)
{
    k.held = s->held;
    k.give_back = s->give;
    lane_kept(s->lane, &k, s->now_ms);
}

static size_t put_exceptions(char *out, size_t size, const struct lane_commit *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->exceptions_len; i++) {
        const struct exception *e = &c->exceptions[i];
        n += (size_t)snprintf(out + n, size - n, "%s%" PRIu64 "/%u%s%s", i > 0 ? "," : "", e->pos,
                              e->attempts, e->flags & EXCEPTION_SUSPECT ? "s" : "",
                              e->not_before_ms != 0 ? "w" : "");
    }
    return n;
}

static const char *class_word(enum row_class cls)
{
    static const char *const words[CLASS_COUNT] = {
        [CLASS_SUPERSEDED] = "superseded", [CLASS_DELETED] = "deleted",
        [CLASS_BLOCKED] = "blocked",       [CLASS_AUTH] = "auth",
        [CLASS_ERROR] = "error",           [CLASS_TIMEOUT] = "timeout"};
    return words[cls] != NULL ? words[cls] : "other";
}

static void commit_begin(struct script *s)
{
    expect(s, lane_dirty(s->lane), "nothing to commit", 0);
    struct lane_commit *c = &s->commit;
    lane_commit_begin(s->lane, c);
    if (put_exceptions(s->ex, sizeof s->ex, c) == 0)
        snprintf(s->ex, sizeof s->ex, "-");
    snprintf(s->rows, sizeof s->rows, "-");
    snprintf(s->removed, sizeof s->removed, "-");
    for (size_t i = 0, n = 0; i < c->rows_added_len; i++)
        n += (size_t)snprintf(s->rows + n, sizeof s->rows - n, "%s%" PRIu64 "=%s/%u",
                              i > 0 ? "," : "", c->rows_added[i].from,
                              class_word(c->rows_added[i].cls), c->rows_added[i].attempts);
    for (size_t i = 0, n = 0; i < c->rows_removed_len; i++)
        n += (size_t)snprintf(s->removed + n, sizeof s->removed - n, "%s%" PRIu64, i > 0 ? "," : "",
                              c->rows_removed[i]);
}

static void commit_done(struct script *s)
{
    struct lane_committed r = {.status = COMMIT_DONE, .position = s->commit.position};
    expect(s, lane_commit_end(s->lane, &r), "the commit ended the lane", 0);
}

static void do_commit(struct script *s, const struct args *a)
{
    struct lane_committed r = {.status = COMMIT_STALE};
    commit_begin(s);
    if (a->text != NULL && strcmp(a->text, "lost") == 0) {
        expect(s, lane_commit_end(s->lane, NULL), "a lost answer ended the lane", 0);
    } else if (a->text != NULL && strcmp(a->text, "stale") == 0) {
        expect(s, !lane_commit_end(s->lane, &r), "a stale epoch did not end the lane", 0);
    } else if (a->text != NULL && strncmp(a->text, "at:", 3) == 0) {
        r = (struct lane_committed){.status = COMMIT_DONE,
                                    .position = strtoull(a->text + 3, NULL, 10)};
        expect(s, lane_commit_end(s->lane, &r), "a floor ended the lane", 0);
    } else {
        commit_done(s);
    }
}

static void same(const struct script *s, const char *got, const char *want)
{
    char text[2300];
    snprintf(text, sizeof text, "expected %s, got %.2048s", want, got);
    if (strcmp(got, want) != 0)
        complain(s, text);
}

static bool word_about_commit(struct script *s, const char *w, const struct args *a)
{
    const struct lane_commit *c = &s->commit;
    if (strcmp(w, "pos") == 0)
        expect(s, c->position == a->a, "position", c->position);
    else if (strcmp(w, "ex") == 0)
        same(s, s->ex, a->text);
    else if (strcmp(w, "rows") == 0)
        same(s, s->rows, a->text);
    else if (strcmp(w, "removed") == 0)
        same(s, s->removed, a->text);
    else if (strcmp(w, "took") == 0)
        expect(s, c->requests_taken == a->a, "requests", c->requests_taken);
    else if (strcmp(w, "stalls") == 0)
        expect(s, c->stalls == a->a, "stalls", c->stalls);
    else if (strcmp(w, "version") == 0)
        expect(s, c->definition_version == a->a, "version", c->definition_version);
    else if (strcmp(w, "delivered") == 0)
        expect(s, c->delivered == a->a, "delivered", c->delivered);
    else if (strcmp(w, "floored") == 0)
        expect(s, c->floor == a->a, "floor", c->floor);
    else if (strcmp(w, "seq") == 0)
        expect(s, c->seq == a->a, "sequence", c->seq);
    else
        return false;
    return true;
}

/* The lowest position it still needs. */
static uint64_t lowest(const struct lane *l)
{
    const struct item *it = items_begin(l);
    return it != NULL ? it->pos : l->next;
}

static bool word_check(struct script *s, const char *w, const struct args *a)
{
    struct lane_live live;
    lane_live_state(s->lane, s->now_ms, &live);
    if (strcmp(w, "urgent") == 0)
        expect(s, lane_urgent(s->lane), "not urgent", 0);
    else if (strcmp(w, "clean") == 0)
        expect(s, !lane_dirty(s->lane), "dirty", 0);
    else if (strcmp(w, "dirty") == 0)
        expect(s, lane_dirty(s->lane), "clean", 0);
    else if (strcmp(w, "drained") == 0)
        expect(s, lane_drained(s->lane), "not drained", 0);
    else if (strcmp(w, "window") == 0)
        expect(s, window_size(s->lane) == a->a, "window", window_size(s->lane));
    else if (strcmp(w, "rate") == 0)
        expect(s, window_rate(s->lane) == a->a, "rate", window_rate(s->lane));
    else if (strcmp(w, "state") == 0)
        expect(s, live.state == (enum lane_state)a->a, "state", live.state);
    else if (strcmp(w, "flying") == 0)
        expect(s, live.in_flight == a->a, "in flight", live.in_flight);
    else if (strcmp(w, "since") == 0)
        expect(s, live.since_ms == SCRIPT_WALL + (int64_t)a->a, "since", (uint64_t)live.since_ms);
    else if (strcmp(w, "arrived") == 0)
        expect(s, live.delivered_ms == (a->has_a ? SCRIPT_WALL + (int64_t)a->a : 0), "arrived",
               (uint64_t)(live.delivered_ms - SCRIPT_WALL));
    else if (strcmp(w, "admitted") == 0)
        expect(s, lane_admitted(s->lane, a->a), "not admitted", a->a);
    else if (strcmp(w, "new") == 0)
        expect(s, !lane_admitted(s->lane, a->a), "admitted", a->a);
    else if (strcmp(w, "lowest") == 0)
        expect(s, lowest(s->lane) == a->a, "lowest", lowest(s->lane));
    else
        return false;
    return true;
}

static bool word_answer(struct script *s, const char *w, const struct args *a)
{
    static const struct {
        const char *word;
        struct outcome o;
    } table[] = {
        {"ok", {OUTCOME_DELIVERED, CLASS_NONE, ""}},
        {"error", {OUTCOME_RETRY, CLASS_ERROR, "error: no"}},
        {"slow", {OUTCOME_SLOW, CLASS_NONE, "rate-limited: no"}},
        {"blocked", {OUTCOME_FAILED, CLASS_BLOCKED, "blocked: no"}},
        {"replaced", {OUTCOME_SKIPPED, CLASS_SUPERSEDED, "replaced: no"}},
        {"auth?", {OUTCOME_AUTH, CLASS_AUTH, "auth-required: no"}},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (strcmp(w, table[i].word) == 0) {
            answer(s, a, table[i].o, 0);
            return true;
        }
    }
    if (strcmp(w, "tick") == 0)
        answer(s, a, table[0].o, 1);
    else if (strcmp(w, "ignored") == 0)
        expect(s, !lane_answer(s->lane, a->a, &table[0].o, s->now_ms), "taken", a->a);
    else if (strcmp(w, "authed") == 0)
        lane_authenticated(s->lane, true, "", s->now_ms);
    else if (strcmp(w, "authno") == 0)
        lane_authenticated(s->lane, false, "restricted: who are you", s->now_ms);
    else
        return false;
    return true;
}

static bool word_want(struct script *s, const char *w, const struct args *a)
{
    if (strcmp(w, "send") == 0) {
        do_send(s, a);
    } else if (strcmp(w, "connect") == 0) {
        do_connect(s, a);
    } else if (strcmp(w, "refuse") == 0) {
        do_refuse(s, a);
    } else if (strcmp(w, "wait") == 0) {
        do_wait(s, a);
    } else if (strcmp(w, "retry") == 0) {
        lane_retry(s->lane, s->now_ms);
    } else if (strcmp(w, "quiet") == 0) {
        want_of(s, WANT_NOTHING, 0);
    } else if (strcmp(w, "peek") == 0) {
        want_of(s, WANT_PEEK, a->a);
        lane_sendable(s->lane, a->a);
    } else if (strcmp(w, "close") == 0) {
        want_of(s, WANT_CLOSE, 0);
        lane_link_lost(s->lane, LINK_CLOSED_BY_US, "", s->now_ms);
    } else if (strcmp(w, "auth") == 0) {
        want_of(s, WANT_AUTH, 0);
        lane_auth_sent(s->lane, s->now_ms);
    } else if (strcmp(w, "pass") == 0 || strcmp(w, "skip") == 0) {
        struct want got = lane_want(s->lane, s->now_ms);
        expect(s, (got.kind == WANT_PEEK || got.kind == WANT_SEND) && got.pos == a->a,
               "asks about another", got.pos);
        if (*w == 'p')
            lane_pass(s->lane, a->a);
        else
            lane_skip(s->lane, a->a, CLASS_DELETED, s->now_ms);
    } else {
        return false;
    }
    return true;
}

static bool word_fact(struct script *s, const char *w, const struct args *a)
{
    if (*w == '+') {
        s->now_ms += strtoull(w + 1, NULL, 10);
    } else if (strcmp(w, "head") == 0) {
        lane_head(s->lane, a->a);
    } else if (strcmp(w, "lost") == 0) {
        lane_link_lost(s->lane, LINK_LOST, "hung up", s->now_ms);
    } else if (strcmp(w, "drain") == 0) {
        lane_drain(s->lane);
    } else if (strcmp(w, "floor") == 0) {
        kept(s, (struct lane_kept){.floor = a->a});
    } else if (strcmp(w, "hold") == 0 || strcmp(w, "unhold") == 0) {
        s->held = *w == 'h';
        kept(s, (struct lane_kept){0});
    } else if (strcmp(w, "give") == 0) {
        s->give = true;
        kept(s, (struct lane_kept){0});
    } else if (strcmp(w, "request") == 0) {
        struct lane_request r = {.number = a->a, .pos = a->b};
        kept(s, (struct lane_kept){.requests = &r, .requests_len = 1});
    } else if (strcmp(w, "define") == 0) {
        struct definition d = {.window = (uint32_t)a->b};
        kept(s, (struct lane_kept){.next_version = (uint32_t)a->a, .next = &d});
    } else if (strcmp(w, "limits") == 0) {
        struct lane_limits l = s->lane->limits;
        l.window_max = (uint32_t)a->a;
        l.backoff_min_ms = l.backoff_max_ms = a->b;
        lane_set_limits(s->lane, &l);
    } else if (strcmp(w, "commit") == 0) {
        do_commit(s, a);
    } else if (strcmp(w, "begin") == 0) {
        commit_begin(s);
    } else if (strcmp(w, "done") == 0) {
        commit_done(s);
    } else {
        return false;
    }
    return true;
}

/* "word", "word:A", "word:A-B", "word:A:B", "word:text" */
static void run_word(struct script *s, char *word)
{
    struct args a = {0};
    char *colon = strchr(word, ':');
    if (colon != NULL) {
        *colon = '\0';
        a.text = colon + 1;
        char *end;
        a.a = a.b = strtoull(a.text, &end, 10);
        a.has_a = end != a.text;
        if (a.has_a && (*end == '-' || *end == ':'))
            a.b = strtoull(end + 1, NULL, 10);
    }
    if (!word_want(s, word, &a) && !word_fact(s, word, &a) && !word_answer(s, word, &a) &&
        !word_check(s, word, &a) && !word_about_commit(s, word, &a))
        complain(s, "no such word");
}

static void run_script(struct script *s, const char *text)
{
    char word[512];
    for (s->at = text; *s->at != '\0';) {
        size_t len = strcspn(s->at, " ");
        if (len > 0) {
            assert_true(len < sizeof word);
            memcpy(word, s->at, len);
            word[len] = '\0';
            run_word(s, word);
        }
        s->at += len;
        s->at += strspn(s->at, " ");
    }
}

#endif
