/* The words of queue.h's enums, as people, JSON and metrics see them. */
#include "queue/queue.h"

static const char *name_of(const char *const *names, size_t count, unsigned i)
{
    return i < count ? names[i] : "?";
}

const char *row_end_name(enum row_end e)
{
    static const char *const names[ROW_END_COUNT] = {
        [ROW_SKIPPED] = "skipped",
        [ROW_FAILED] = "failed",
        [ROW_EXPIRED] = "expired",
        [ROW_PURGED] = "purged",
    };
    return name_of(names, COUNT_OF(names), (unsigned)e);
}

const char *row_class_name(enum row_class c)
{
    static const char *const names[CLASS_COUNT] = {
        [CLASS_NONE] = "-",
        [CLASS_SUPERSEDED] = "superseded",
        [CLASS_DELETED] = "deleted",
        [CLASS_OUTDATED] = "outdated",
        [CLASS_EPHEMERAL] = "ephemeral",
        [CLASS_PROTECTED] = "protected",
        [CLASS_VANISHED] = "vanished",
        [CLASS_OPERATOR] = "operator",
        [CLASS_BLOCKED] = "blocked",
        [CLASS_RESTRICTED] = "restricted",
        [CLASS_MUTE] = "mute",
        [CLASS_INVALID] = "invalid",
        [CLASS_POW] = "pow",
        [CLASS_AUTH] = "auth",
        [CLASS_REFUSED] = "refused",
        [CLASS_ERROR] = "error",
        [CLASS_TIMEOUT] = "timeout",
        [CLASS_RETENTION] = "retention",
        [CLASS_LANE_MAX] = "lane_max",
        [CLASS_RETIRED] = "retired",
        [CLASS_RELEASED] = "released",
    };
    return name_of(names, COUNT_OF(names), (unsigned)c);
}

const char *lane_hold_name(enum lane_hold h)
{
    static const char *const names[HOLD_COUNT] = {
        [HOLD_AS_DEFINED] = "defined", [HOLD_HELD] = "held", [HOLD_RELEASED] = "released"};
    return name_of(names, COUNT_OF(names), (unsigned)h);
}

const char *job_state_name(enum job_state s)
{
    static const char *const names[JOB_STATE_COUNT] = {
        [JOB_COLLECTING] = "collecting",
        [JOB_RUNNING] = "running",
        [JOB_DONE] = "done",
        [JOB_CANCELLED] = "cancelled",
    };
    return name_of(names, COUNT_OF(names), (unsigned)s);
}

const char *lane_state_name(enum lane_state s)
{
    static const char *const names[LANE_STATE_COUNT] = {
        [LANE_UNLEASED] = "unleased", [LANE_IDLE] = "idle",       [LANE_CONNECTING] = "connecting",
        [LANE_OPEN] = "open",         [LANE_BACKOFF] = "backoff", [LANE_HELD] = "held",
    };
    return name_of(names, COUNT_OF(names), (unsigned)s);
}
