/* An array in order of positions. New events are appended at its end and most are answered in about
 * that order, so settling only marks an entry, and the marked ones are squeezed out when the array
 * is full: nothing is moved for an OK. Finding one is a binary search. */
#include "publisher/lane_internal.h"

#include <stdlib.h>
#include <string.h>

/* The first entry at or above `pos`, settled or not. */
static uint32_t lower_bound(const struct lane *l, uint64_t pos)
{
    uint32_t low = l->first, high = l->end;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (l->items[mid].pos < pos)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct item *items_find(struct lane *l, uint64_t pos)
{
    uint32_t i = lower_bound(l, pos);
    if (i == l->end || l->items[i].pos != pos || l->items[i].state == ITEM_SETTLED)
        return NULL;
    return &l->items[i];
}

static void squeeze(struct lane *l)
{
    uint32_t to = 0;
    for (uint32_t i = l->first; i < l->end; i++)
        if (l->items[i].state != ITEM_SETTLED)
            l->items[to++] = l->items[i];
    l->first = 0;
    l->end = to;
}

static void make_room(struct lane *l)
{
    if (l->end < l->cap)
        return;
    squeeze(l);
    if (l->end <= l->cap / 2 && l->cap > 0)
        return;
    l->cap = l->cap == 0 ? 16 : l->cap * 2;
    l->items = mem_grow(l->items, l->cap * sizeof *l->items);
}

struct item *items_add(struct lane *l, uint64_t pos)
{
    make_room(l);
    uint32_t i = lower_bound(l, pos);
    if (i == l->end || l->items[i].pos != pos) {
        memmove(&l->items[i + 1], &l->items[i], (l->end - i) * sizeof *l->items);
        l->end++;
    }
    l->items[i] = (struct item){.pos = pos, .state = ITEM_WAITING};
    l->live++;
    return &l->items[i];
}

/* Takes it out of the counts of its state. */
static void leave(struct lane *l, struct item *it)
{
    if (it->state == ITEM_FLYING) {
        l->flying--;
        l->flying_bytes -= it->len;
    } else if (it->state == ITEM_AUTH) {
        l->authing--;
    }
}

void items_settle(struct lane *l, struct item *it)
{
    leave(l, it);
    it->state = ITEM_SETTLED;
    l->live--;
    while (l->first < l->end && l->items[l->first].state == ITEM_SETTLED)
        l->first++;
    if (l->first == l->end)
        l->first = l->end = 0;
}

void item_wait(struct lane *l, struct item *it, uint64_t due_ms)
{
    leave(l, it);
    it->state = ITEM_WAITING;
    it->due_ms = due_ms;
    if (due_ms < l->due_ms)
        l->due_ms = due_ms;
}

void item_auth(struct lane *l, struct item *it)
{
    leave(l, it);
    it->state = ITEM_AUTH;
    l->authing++;
}

void item_fly(struct lane *l, struct item *it, size_t len, uint64_t now_ms)
{
    leave(l, it);
    it->state = ITEM_FLYING;
    it->len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
    it->sent_ms = now_ms;
    if (it->first_ms == 0)
        it->first_ms = now_ms;
    it->sent_no = ++l->sent_no;
    it->answers = l->answers;
    it->family = (uint8_t)l->family;
    it->route = (uint8_t)l->route;
    it->flags = (uint8_t)((it->flags & ~ITEM_REQUEST) | ITEM_SENT | ITEM_AWAITED);
    if (l->flying == 0 || now_ms < l->oldest_ms)
        l->oldest_ms = now_ms;
    l->flying++;
    l->flying_bytes += it->len;
}

struct due items_due(struct lane *l, uint64_t now_ms)
{
    struct due d = {0};
    if (l->due_ms > now_ms)
        return d;
    uint64_t soonest = LANE_NEVER;
    for (struct item *it = items_begin(l); it != NULL; it = items_after(l, it)) {
        if (it->state != ITEM_WAITING || commit_given_up(l, it->pos))
            continue;
        if (it->due_ms > now_ms)
            soonest = it->due_ms < soonest ? it->due_ms : soonest;
        else if (it->flags & ITEM_SUSPECT)
            d.suspect = d.suspect == NULL ? it : d.suspect;
        else if (d.plain == NULL || it->sent_no < d.plain->sent_no)
            d.plain = it;
        if (d.plain != NULL && !l->failing)
            break;
    }
    if (d.plain == NULL && d.suspect == NULL)
        l->due_ms = soonest;
    return d;
}

struct item *items_begin(const struct lane *l)
{
    return l->first < l->end ? &l->items[l->first] : NULL;
}

struct item *items_after(const struct lane *l, const struct item *it)
{
    for (uint32_t i = (uint32_t)(it - l->items) + 1; i < l->end; i++)
        if (l->items[i].state != ITEM_SETTLED)
            return &l->items[i];
    return NULL;
}
