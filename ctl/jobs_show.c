#include "ctl/jobs_show.h"

#include <inttypes.h>

cJSON *jobs_object(const struct replay_job *j)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "job", number_or_null(j->number != 0, (double)j->number));
    cJSON_AddStringToObject(o, "state", job_state_name(j->state));
    cJSON_AddNumberToObject(o, "total", (double)j->total);
    cJSON_AddNumberToObject(o, "waiting", (double)j->waiting);
    cJSON_AddNumberToObject(o, "asked", (double)j->asked);
    cJSON_AddNumberToObject(o, "delivered", (double)j->delivered);
    cJSON_AddNumberToObject(o, "failed", (double)j->failed);
    cJSON_AddNumberToObject(o, "dropped", (double)j->dropped);
    cJSON_AddItemToObject(o, "rate",
                          number_or_null(j->rate_per_1000s != 0, j->rate_per_1000s / 1000.0));
    cJSON_AddItemToObject(o, "made", time_or_null(j->made_ms));
    cJSON_AddItemToObject(o, "ended", time_or_null(j->ended_ms));
    cJSON_AddStringToObject(o, "filter", j->text);
    cJSON_AddStringToObject(o, "by", j->by);
    return o;
}

enum {
    C_JOB,
    C_STATE,
    C_TOTAL,
    C_WAITING,
    C_ASKED,
    C_DELIVERED,
    C_FAILED,
    C_DROPPED,
    C_RATE,
    C_SINCE,
    C_COUNT
};

static const struct table_column columns[C_COUNT] = {
    [C_JOB] = {.head = "JOB"},
    [C_STATE] = {.head = "STATE", .colours = true},
    [C_TOTAL] = {.head = "TOTAL", .right = true},
    [C_WAITING] = {.head = "WAITING", .right = true},
    [C_ASKED] = {.head = "ASKED", .right = true},
    [C_DELIVERED] = {.head = "DELIVERED", .right = true},
    [C_FAILED] = {.head = "FAILED", .right = true},
    [C_DROPPED] = {.head = "DROPPED", .right = true},
    [C_RATE] = {.head = "RATE", .right = true, .drop = 1},
    [C_SINCE] = {.head = "SINCE", .right = true, .drop = 2},
};

static void add_job(struct table *t, const struct replay_job *j, int64_t now_ms)
{
    static const enum colour colours[JOB_STATE_COUNT] = {[JOB_COLLECTING] = COLOUR_YELLOW,
                                                         [JOB_RUNNING] = COLOUR_GREEN,
                                                         [JOB_CANCELLED] = COLOUR_DIM};
    int64_t since_ms = j->ended_ms != 0 ? j->ended_ms : j->made_ms;
    char text[C_COUNT][24], note[FILTER_TEXT_SIZE + OPERATOR_SIZE + 8], words[FILTER_TEXT_SIZE];
    char by[OPERATOR_SIZE];
    const char *cells[C_COUNT];
    const uint64_t numbers[C_COUNT] = {
        [C_TOTAL] = j->total,   [C_WAITING] = j->waiting,     [C_ASKED] = j->asked,
        [C_FAILED] = j->failed, [C_DELIVERED] = j->delivered, [C_DROPPED] = j->dropped};
    for (int c = C_TOTAL; c <= C_DROPPED; c++)
        (void)short_count(numbers[c], text[c]);
    (void)snprintf(text[C_JOB], sizeof text[C_JOB], "%" PRIu64, j->number);
    (void)snprintf(text[C_STATE], sizeof text[C_STATE], "%s", job_state_name(j->state));
    if (j->rate_per_1000s != 0)
        (void)short_rate(j->rate_per_1000s, text[C_RATE]);
    else
        (void)snprintf(text[C_RATE], sizeof text[C_RATE], "-");
    (void)short_duration(since_ms < now_ms ? now_ms - since_ms : 0, text[C_SINCE]);
    for (int c = 0; c < C_COUNT; c++)
        cells[c] = text[c];
    (void)snprintf(note, sizeof note, "by %s: %s", clean_text(j->by, by, sizeof by),
                   clean_text(j->text, words, sizeof words));
    table_add(t, cells, note, colours[j->state < JOB_STATE_COUNT ? j->state : JOB_DONE]);
}

void jobs_table(const struct replay_job *jobs, size_t len, int64_t now_ms,
                const struct table_look *look, FILE *out)
{
    struct table t;
    if (len == 0) {
        fputs("no replay jobs\n", out);
        return;
    }
    table_init(&t, columns, C_COUNT);
    for (size_t i = 0; i < len; i++)
        add_job(&t, &jobs[i], now_ms);
    (void)table_print(&t, look, out);
    table_fini(&t);
}

void jobs_line(const struct replay_job *j, FILE *out)
{
    const struct {
        uint64_t count;
        const char *words;
    } parts[] = {
        {j->failed, "failed again"}, {j->dropped, "dropped"}, {j->waiting + j->asked, "under way"}};
    const char *before = "\n  ";
    fprintf(out, "job %" PRIu64 " is %s: %" PRIu64 " of %" PRIu64 " delivered", j->number,
            job_state_name(j->state), j->delivered, j->total);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (parts[i].count == 0)
            continue;
        fprintf(out, "%s%" PRIu64 " %s", before, parts[i].count, parts[i].words);
        before = ", ";
    }
    fputc('\n', out);
}

const struct replay_job *jobs_find(const struct replay_job *jobs, size_t len, uint64_t number)
{
    for (size_t i = 0; i < len; i++)
        if (jobs[i].number == number)
            return &jobs[i];
    return NULL;
}
