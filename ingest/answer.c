#include "ingest/answer.h"

#include <inttypes.h>
#include <string.h>

/* What is said when the queue gave no words of its own. */
static const struct refusal {
    enum err e;
    const char *prefix, *text;
} refusals[] = {
    {ERR_NO_LANES, "error", "no relays are configured yet, so nothing can be promised"},
    {ERR_FILTERED, "blocked", "no relay would take this event"},
    {ERR_FULL, "error", "the queue is full, try again later"},
    {ERR_NO_SPACE, "error", "the queue's disk is full"},
    {ERR_CLOSED, "error", "the queue is out of reach, try again later"},
    {ERR_TIMEOUT, "error", "the queue is out of reach, try again later"},
    {ERR_UNKNOWN, "error", "outcome unknown, send again"},
};

static const struct refusal *find_refusal(enum err e)
{
    for (size_t n = 0; n < COUNT_OF(refusals); n++)
        if (refusals[n].e == e)
            return &refusals[n];
    return NULL;
}

static void accepted(const struct append_result *r, struct problem *text)
{
    text->text[0] = '\0';
    if (r->duplicate && r->requeued > 0)
        problem_set(text, ERR_NONE, ANSWER_DUPLICATE ", queued again for %" PRIu32 " relay%s",
                    r->requeued, r->requeued == 1 ? "" : "s");
    else if (r->duplicate)
        problem_set(text, ERR_NONE, ANSWER_DUPLICATE);
}

bool answer_append(enum err e, const struct append_result *r, const char *why, struct problem *text)
{
    if (e == ERR_NONE) {
        accepted(r, text);
        return true;
    }
    const struct refusal *f = find_refusal(e);
    const char *prefix = f != NULL ? f->prefix : "error";

    /* Clients look for "send again"; a backend's own words must not replace it. */
    if (why == NULL || why[0] == '\0' || e == ERR_UNKNOWN)
        why = f != NULL ? f->text : err_name(e);
    size_t len = strlen(prefix);
    if (strncmp(why, prefix, len) == 0 && why[len] == ':')
        problem_set(text, ERR_NONE, "%s", why);
    else
        problem_set(text, ERR_NONE, "%s: %s", prefix, why);
    return false;
}
