#include "ctl/statistics_show.h"

static cJSON *latency_json(const struct stat_latency *l)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "count", (double)l->count);
    cJSON_AddNumberToObject(o, "sum_us", (double)l->sum_us);
    cJSON_AddNumberToObject(o, "p50_us", (double)l->p50_us);
    cJSON_AddNumberToObject(o, "p90_us", (double)l->p90_us);
    cJSON_AddNumberToObject(o, "p99_us", (double)l->p99_us);
    return o;
}

cJSON *statistics_window_json(const struct window_statistics *w)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "attempts", w->attempts);
    cJSON_AddNumberToObject(o, "successes", w->successes);
    cJSON_AddNumberToObject(o, "uses", w->uses);
    cJSON_AddNumberToObject(o, "deliveries", w->deliveries);
    cJSON *failures = cJSON_AddObjectToObject(o, "failures");
    for (unsigned i = 0; i < STAT_FAILURE_COUNT; i++)
        if (w->failures[i] > 0)
            cJSON_AddNumberToObject(failures, stat_failure_name(i), w->failures[i]);
    cJSON *latencies = cJSON_AddObjectToObject(o, "latencies");
    for (unsigned i = 0; i < STAT_PHASE_COUNT; i++)
        if (w->phases[i].count > 0)
            cJSON_AddItemToObject(latencies, stat_phase_name(i), latency_json(&w->phases[i]));
    return o;
}

static cJSON *last_json(const struct stat_last *l)
{
    if (l->at_ms == 0)
        return cJSON_CreateNull();
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "time", time_or_null(l->at_ms));
    cJSON_AddBoolToObject(o, "ok", l->ok);
    cJSON_AddItemToObject(o, "class", text_or_null(l->ok ? "" : stat_failure_name(l->why)));
    cJSON_AddItemToObject(o, "text", text_or_null(l->ok ? "" : l->text));
    cJSON_AddItemToObject(o, "certificate_end",
                          number_or_null(l->certificate_end_s != 0, (double)l->certificate_end_s));
    cJSON_AddItemToObject(o, "address", text_or_null(l->address));
    cJSON_AddItemToObject(o, "software", text_or_null(l->software));
    return o;
}

cJSON *statistics_json(const struct path_statistics *paths, size_t len)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < len; i++) {
        const struct path_statistics *s = &paths[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "source", stat_source_name(s->source));
        cJSON_AddStringToObject(o, "route", route_name(s->route));
        cJSON_AddItemToObject(o, "family",
                              s->family != FAMILY_NONE ? cJSON_CreateString(family_name(s->family))
                                                       : cJSON_CreateNull());
        cJSON_AddNumberToObject(o, "streak", s->streak);
        cJSON_AddItemToObject(o, "last_success", time_or_null(s->last_success_ms));
        cJSON_AddItemToObject(o, "last_failure", time_or_null(s->last_failure_ms));
        cJSON_AddItemToObject(o, "last", last_json(&s->last));
        for (int w = 0; w < STAT_WINDOW_COUNT; w++)
            cJSON_AddItemToObject(o, stat_window_name((enum stat_window)w),
                                  statistics_window_json(&s->windows[w]));
        cJSON_AddItemToArray(list, o);
    }
    return list;
}
