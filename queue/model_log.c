/* The log of the model: appending, looking, and the facts about versions and deletions. */
#include "queue/model_state.h"

#include "common/nostr/kinds.h"

#include <stdlib.h>
#include <string.h>

struct model_entry *model_entry(const struct model *m, uint64_t pos)
{
    return pos >= 1 && pos <= m->head ? &m->entries[pos - 1] : NULL;
}

uint64_t model_find(const struct model *m, const uint8_t id[EVENT_ID_LEN])
{
    for (uint64_t pos = 1; pos <= m->head; pos++) {
        const struct model_entry *e = &m->entries[pos - 1];
        if (!e->forgotten && memcmp(e->event->id, id, EVENT_ID_LEN) == 0)
            return pos;
    }
    return 0;
}

uint64_t model_bytes(const struct model *m)
{
    uint64_t bytes = 0;
    for (uint64_t pos = 1; pos <= m->head; pos++) {
        const struct model_entry *e = &m->entries[pos - 1];
        bytes += e->forgotten ? 0 : MODEL_ID_BYTES;
        bytes += e->kept ? e->event->len : 0;
    }
    return bytes;
}

/* ---- facts ---- */

bool model_same_address(const struct event *a, const struct event *b)
{
    return a->has_address && b->has_address &&
           memcmp(a->address, b->address, sizeof a->address) == 0;
}

static bool keeps_over(const struct event *a, const struct event *b)
{
    return event_newer(a->created_at, a->id, b->created_at, b->id);
}

/* The newest version of this event's address among positions up to `last`; 0 when it has none. */
static uint64_t newest_version(const struct model *m, const struct event *of, uint64_t last)
{
    uint64_t newest = 0;
    for (uint64_t pos = 1; pos <= last; pos++) {
        const struct event *ev = m->entries[pos - 1].event;
        if (!ev || !model_same_address(ev, of))
            continue;
        if (newest == 0 || keeps_over(ev, m->entries[newest - 1].event))
            newest = pos;
    }
    return newest;
}

struct deletion_search {
    const struct event *target;
    uint64_t deletion_time;
    bool found;
};

static void on_deletion(void *arg, const uint8_t *id, const uint8_t *address)
{
    struct deletion_search *s = arg;
    if (id && memcmp(id, s->target->id, EVENT_ID_LEN) == 0)
        s->found = true;
    if (address && s->target->has_address && s->target->created_at <= s->deletion_time &&
        memcmp(address, s->target->address, sizeof s->target->address) == 0)
        s->found = true;
}

/* Whether `deletion` asks to delete `target` and may: its own author's, and no deletion itself. */
static bool deletes(const struct event *deletion, const struct event *target)
{
    if (!deletion || !target || deletion->kind != KIND_DELETION || target->kind == KIND_DELETION)
        return false;
    if (memcmp(deletion->pubkey, target->pubkey, sizeof target->pubkey) != 0)
        return false;
    struct deletion_search s = {.target = target, .deletion_time = deletion->created_at};
    event_each_deletion(deletion, on_deletion, &s);
    return s.found;
}

static uint64_t deletion_of(const struct model *m, const struct event *target)
{
    for (uint64_t pos = 1; pos <= m->head; pos++) {
        if (deletes(m->entries[pos - 1].event, target))
            return pos;
    }
    return 0;
}

struct queue_event model_look(const struct model *m, uint64_t pos)
{
    const struct model_entry *e = model_entry(m, pos);
    struct queue_event out = {.pos = pos, .gone = GONE_TRIMMED};
    if (!e || !e->kept)
        return out;
    uint64_t newest = newest_version(m, e->event, m->head);
    out.gone = GONE_NO;
    out.accepted_ms = e->accepted_ms;
    out.event = e->event;
    out.newer = newest == pos ? 0 : newest;
    out.deleted_by = deletion_of(m, e->event);
    return out;
}

size_t model_superseded(const struct model *m, uint64_t pos, uint64_t *out, size_t max)
{
    const struct event *ev = m->entries[pos - 1].event;
    uint64_t before = newest_version(m, ev, pos - 1);
    if (m->entries[pos - 1].came_again) /* whatever it supersedes it superseded before */
        return 0;
    if (before == 0 || !keeps_over(ev, m->entries[before - 1].event))
        return 0;
    if (max > 0)
        out[0] = before;
    return 1;
}

size_t model_deleted(const struct model *m, uint64_t pos, uint64_t *out, size_t max)
{
    size_t len = 0;
    for (uint64_t older = 1; older < pos; older++) {
        if (m->entries[older - 1].forgotten ||
            !deletes(m->entries[pos - 1].event, m->entries[older - 1].event))
            continue;
        if (len < max)
            out[len] = older;
        len++;
    }
    return len;
}

/* ---- appending ---- */

/* Somebody sent it again, and means it: it goes once more to the lanes where it failed. */
static void append_again(struct model *m, uint64_t pos, struct event *ev, int64_t now_ms,
                         struct append_result *r)
{
    struct model_entry *e = model_entry(m, pos);
    *r = (struct append_result){.pos = pos, .duplicate = true};
    if (e->requeued_ms != 0 && now_ms - e->requeued_ms < MODEL_REQUEUE_PAUSE_MS)
        return;
    for (size_t i = 0; i < m->lanes_len; i++)
        r->requeued += model_requeue(m, &m->lanes[i], pos);
    if (r->requeued == 0)
        return;
    e->requeued_ms = now_ms;
    if (!e->kept) { /* its bytes were gone, and here they are again */
        event_unref(e->event);
        e->event = event_ref(ev);
        e->kept = true;
    }
}

static enum err refuse(struct model *m, const struct event *ev, int64_t now_ms, struct problem *why)
{
    bool any = false;
    for (size_t i = 0; i < m->lanes_len; i++) {
        const struct model_lane *l = &m->lanes[i];
        any = any || !l->retired;
        if (!l->retired && definition_allows(&model_newest(l)->definition, ev->kind))
            goto wanted;
    }
    if (!any)
        return problem_set(why, ERR_NO_LANES, "no relay is configured");
    return problem_set(why, ERR_FILTERED, "no relay takes events of kind %u", ev->kind);
wanted:
    model_make_room(m, ev->len + MODEL_ID_BYTES, now_ms);
    if (model_bytes(m) + ev->len + MODEL_ID_BYTES > m->max_bytes)
        return problem_set(why, ERR_FULL, "the queue is full, try again later");
    return ERR_NONE;
}

/* It was here before and is forgotten: that one is no other version. */
static bool drop_former_self(struct model *m, const struct event *ev)
{
    bool any = false;
    for (uint64_t pos = 1; pos <= m->head; pos++) {
        struct model_entry *e = &m->entries[pos - 1];
        if (!e->event || memcmp(e->event->id, ev->id, EVENT_ID_LEN) != 0)
            continue;
        event_unref(e->event);
        e->event = NULL;
        any = true;
    }
    return any;
}

static void append_heartbeat(struct model *m, struct event *ev, int64_t now_ms,
                             struct append_result *r)
{
    bool again = m->beat && memcmp(m->beat->id, ev->id, EVENT_ID_LEN) == 0;
    *r = (struct append_result){.duplicate = again};
    if (again)
        return;
    heartbeat_next(&m->heartbeat, now_ms);
    event_unref(m->beat);
    m->beat = event_ref(ev);
    m->news++;
}

enum err model_append(struct model *m, struct event *ev, int64_t now_ms, struct append_result *r,
                      struct problem *why)
{
    if (heartbeat_is(ev)) {
        append_heartbeat(m, ev, now_ms, r);
        return ERR_NONE;
    }
    uint64_t known = model_find(m, ev->id);
    if (known) {
        append_again(m, known, ev, now_ms, r);
        return ERR_NONE;
    }
    enum err e = refuse(m, ev, now_ms, why);
    if (e != ERR_NONE)
        return e;
    bool came_again = drop_former_self(m, ev);
    m->entries = mem_grow(m->entries, (m->head + 1) * sizeof *m->entries);
    m->entries[m->head++] = (struct model_entry){
        .event = event_ref(ev), .accepted_ms = now_ms, .kept = true, .came_again = came_again};
    *r = (struct append_result){.pos = m->head};
    return ERR_NONE;
}
