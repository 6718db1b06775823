#include "queue/lead.h"

#include <stdio.h>
#include <string.h>

static bool is_nobody(const struct leader *l)
{
    static const uint8_t nobody[PUBLISHER_ID_LEN];
    return memcmp(l->id, nobody, sizeof nobody) == 0;
}

static void take(struct leader *l, const struct lead_call *c)
{
    l->epoch++;
    memcpy(l->id, c->id, sizeof l->id);
    (void)snprintf(l->name, sizeof l->name, "%s", c->name);
}

static void give_up(struct leader *l)
{
    memset(l->id, 0, sizeof l->id);
    l->name[0] = '\0';
    l->until_boot_ms = 0;
}

/* The leader itself, or its seat when that is free. Where the term is not known, whoever asks first
 * begins it for the leader. */
static bool lead(struct leader *l, const struct lead_call *c, uint64_t boot_ms)
{
    bool own = !is_nobody(l) && memcmp(l->id, c->id, sizeof l->id) == 0;
    if (c->leaving) {
        if (own)
            give_up(l);
        return own;
    }
    if (!is_nobody(l) && l->until_boot_ms == 0)
        l->until_boot_ms = boot_ms + LEAD_TERM_MS;
    bool over = is_nobody(l) || boot_ms >= l->until_boot_ms;
    if (!own && !over)
        return false;
    if (!own)
        take(l, c);
    l->until_boot_ms = boot_ms + LEAD_TERM_MS;
    return !own;
}

bool lead_ask(struct leader *l, const struct lead_call *c, uint64_t boot_ms,
              struct lead_result *out)
{
    bool changed = lead(l, c, boot_ms);
    *out = (struct lead_result){.epoch = l->epoch};
    out->leads = !is_nobody(l) && memcmp(l->id, c->id, sizeof l->id) == 0;
    (void)snprintf(out->leader, sizeof out->leader, "%s", l->name);
    return changed;
}

bool lead_is_current(const struct leader *l, uint64_t epoch)
{
    return epoch != 0 && epoch == l->epoch;
}
