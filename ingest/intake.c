/* parse → policy → recently queued again? → verify (threads) → append → OK. Refusals leave at once;
 * what passes is in order: the verifier answers in the order of submission, and the queue keeps the
 * order of one caller's appends. */
#include "ingest/intake.h"

#include "common/nostr/message.h"
#include "ingest/answer.h"
#include "queue/heartbeat.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define SUBMISSION_OVERHEAD 512u /* of the structs around an event's bytes, roughly */

#define HEARTBEAT_PAUSE_MS 1000u

static void count(struct ingest *i, bool accepted, const char *text)
{
    if (accepted && strncmp(text, "duplicate:", 10) == 0)
        i->counts.duplicate++;
    else if (accepted)
        i->counts.accepted++;
    else if (strncmp(text, "error:", 6) == 0)
        i->counts.error++;
    else
        i->counts.refused++;
}

/* Heartbeats are in no total; one that was taken keeps others away for a while. */
static void note_answer(struct ingest *i, const struct event *ev, bool accepted, const char *text)
{
    if (!heartbeat_is(ev))
        count(i, accepted, text);
    else if (accepted)
        i->beat_ms = i->now_ms;
}

static void reply_ok(struct session *s, const uint8_t id[EVENT_ID_LEN], bool accepted,
                     const char *text)
{
    buf_clear(&s->i->reply);
    session_reply(s, message_put_ok_id(&s->i->reply, id, accepted, text));
}

/* An event that can't be read: refused by the id it claims, if it has one. */
static void refuse_unreadable(struct session *s, struct json_span event, const char *why)
{
    struct json_span id = message_event_id(event);
    struct problem text;

    problem_set(&text, ERR_NONE, "invalid: %s", why);
    count(s->i, false, text.text);
    buf_clear(&s->i->reply);
    session_reply(s, id.len > 0 ? message_put_ok(&s->i->reply, id, false, text.text)
                                : message_put_notice(&s->i->reply, text.text));
}

static void settle(struct submission *sub, bool accepted, const char *text)
{
    struct ingest *i = sub->i;
    struct session *s = sub->s;

    if (s != NULL) {
        DL_DELETE(s->under_way, sub);
        s->under_way_len--;
        s->under_way_bytes -= sub->charge;
        reply_ok(s, sub->ev->id, accepted, text);
        session_touch(s);
    }
    note_answer(i, sub->ev, accepted, text);
    i->under_way_len--;
    i->under_way_bytes -= sub->charge;
    event_unref(sub->ev);
    free(sub);
    service_settled(i);
}

static void on_appended(void *arg, enum err e, const struct append_result *r, const char *why)
{
    struct submission *sub = arg;
    struct problem text;

    if (!service_answered(sub->i)) {
        event_unref(sub->ev);
        free(sub);
        return;
    }
    bool accepted = answer_append(e, r, why, &text);
    if (accepted && r->requeued > 0)
        recent_add(&sub->i->recent, sub->ev->id, sub->i->now_ms);
    health_appended(sub->i, e);
    settle(sub, accepted, text.text);
}

static void on_verified(void *arg, enum err e, const struct problem *why)
{
    struct submission *sub = arg;
    struct ingest *i = sub->i;
    struct problem text;

    if (e == ERR_NONE) {
        i->calls_len++;
        i->queue->ops->append(i->queue, sub->ev, on_appended, sub);
        return;
    }
    if (e == ERR_CLOSED)
        problem_set(&text, e, "error: this relay is shutting down, try again later");
    else
        problem_set(&text, e, "invalid: %s", why->text);
    settle(sub, false, text.text);
}

static void submit(struct session *s, struct event *ev)
{
    struct ingest *i = s->i;
    struct submission *sub = mem_zero(1, sizeof *sub);

    sub->i = i;
    sub->s = s;
    sub->ev = ev;
    sub->charge = ev->len + SUBMISSION_OVERHEAD;
    DL_APPEND(s->under_way, sub);
    s->under_way_len++;
    s->under_way_bytes += sub->charge;
    i->under_way_len++;
    i->under_way_bytes += sub->charge;
    if (i->under_way_bytes > i->under_way_peak)
        i->under_way_peak = i->under_way_bytes;
    if (i->under_way_bytes >= i->limits.total_bytes_max)
        i->congested = true;
    verify_submit(i->verify, ev, on_verified, sub);
}

/* Anybody's heartbeat is taken, whatever the rules for events are, as it goes nowhere; but few, as
 * each is written to the queue's disk. */
static enum err check_heartbeat(struct ingest *i, struct problem *why)
{
    if (i->beat_ms != 0 && i->now_ms - i->beat_ms < HEARTBEAT_PAUSE_MS)
        return problem_set(why, ERR_INVALID, "rate-limited: one heartbeat a second");
    return ERR_NONE;
}

void intake_event(struct session *s, struct json_span event)
{
    struct ingest *i = s->i;
    struct event *ev;
    struct problem why;

    if (event_parse(event, i->max_event, &ev, &why) != ERR_NONE) {
        refuse_unreadable(s, event, why.text);
        return;
    }
    enum err e =
        heartbeat_is(ev) ? check_heartbeat(i, &why) : policy_check(&i->policy, ev, i->now_s, &why);
    bool refused = e != ERR_NONE;
    bool known = !refused && recent_has(&i->recent, ev->id, i->now_ms);
    if (!refused && !known) {
        submit(s, ev);
        return;
    }
    const char *text = known ? ANSWER_DUPLICATE : why.text;
    note_answer(i, ev, known, text);
    reply_ok(s, ev->id, known, text);
    event_unref(ev);
}

void intake_orphan(struct session *s)
{
    struct submission *sub, *next;

    DL_FOREACH_SAFE(s->under_way, sub, next)
    {
        DL_DELETE(s->under_way, sub);
        sub->s = NULL;
    }
    s->under_way_len = s->under_way_bytes = 0;
}
