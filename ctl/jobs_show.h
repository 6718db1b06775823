/* Replay jobs, as JSON lines or as a table. */
#ifndef VOLLEY_CTL_JOBS_SHOW_H
#define VOLLEY_CTL_JOBS_SHOW_H

#include "ctl/ctl.h"
#include "ctl/table.h"

/* One job as an object of its own. */
cJSON *jobs_object(const struct replay_job *j);
void jobs_table(const struct replay_job *jobs, size_t len, int64_t now_ms,
                const struct table_look *look, FILE *out);
/* "job 3 is cancelled: 400 of 1000 delivered", and on a second line what became of the others. */
void jobs_line(const struct replay_job *j, FILE *out);
/* NULL: no such job. */
const struct replay_job *jobs_find(const struct replay_job *jobs, size_t len, uint64_t number);

#endif
