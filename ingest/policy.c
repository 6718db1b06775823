#include "ingest/policy.h"

#include "common/nostr/kinds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

void policy_init(struct policy *p, const uint8_t (*allow)[32], size_t allow_len)
{
    *p = (struct policy){.allow_len = allow_len};
    if (allow_len == 0)
        return;
    p->allow = mem_zero(allow_len, sizeof p->allow[0]);
    memcpy(p->allow, allow, allow_len * sizeof p->allow[0]);
    qsort(p->allow, allow_len, sizeof p->allow[0], compare_keys);
}

void policy_fini(struct policy *p)
{
    free(p->allow);
    *p = (struct policy){0};
}

static bool author_allowed(const struct policy *p, const struct event *ev)
{
    return p->allow_len == 0 ||
           bsearch(ev->pubkey, p->allow, p->allow_len, sizeof p->allow[0], compare_keys) != NULL;
}

/* created_at is at most EVENT_TIME_MAX, so the sums below can't overflow. */
static enum err check_time(const struct policy *p, const struct event *ev, int64_t now_s,
                           struct problem *why)
{
    int64_t created_at = (int64_t)ev->created_at;

    if (ev->expiration != 0 && ev->expiration <= (uint64_t)(now_s < 0 ? 0 : now_s))
        return problem_set(why, ERR_INVALID, "invalid: the event has expired (NIP-40)");
    if (p->future_s > 0 && created_at - now_s > p->future_s)
        return problem_set(why, ERR_INVALID,
                           "invalid: created_at is more than %" PRId64 " s in the future",
                           p->future_s);
    if (p->past_s > 0 && now_s - created_at > p->past_s)
        return problem_set(why, ERR_INVALID,
                           "invalid: created_at is more than %" PRId64 " s in the past", p->past_s);
    return ERR_NONE;
}

enum err policy_check(const struct policy *p, const struct event *ev, int64_t now_s,
                      struct problem *why)
{
    if (kind_never(ev->kind))
        return problem_set(why, ERR_INVALID,
                           "invalid: kind %" PRIu32 " is for AUTH messages and is never broadcast",
                           ev->kind);
    if (!author_allowed(p, ev))
        return problem_set(why, ERR_INVALID,
                           "restricted: this author is not on the list of this relay");
    /* A relay must refuse these unless their author has authenticated, which ingest can't ask for;
     * so no "auth-required:", which would send clients around in circles. */
    if (ev->is_protected)
        return problem_set(why, ERR_INVALID,
                           "blocked: protected events (NIP-70) are not broadcast");
    if (check_time(p, ev, now_s, why) != ERR_NONE)
        return ERR_INVALID;
    unsigned difficulty = event_difficulty(ev->id);
    if (difficulty < p->min_pow)
        return problem_set(why, ERR_INVALID, "pow: difficulty %u is less than %" PRIu32 " (NIP-13)",
                           difficulty, p->min_pow);
    return ERR_NONE;
}
