/* The log's line for each change that an operator makes: who, what, and what came of it. What
 * changes nothing leaves none. The broker writes them; in Redis, where no process of ours stands
 * between, whoever asks does. */
#ifndef VOLLEY_QUEUE_AUDIT_H
#define VOLLEY_QUEUE_AUDIT_H

#include "queue/operate.h"

void audit_define(const struct define_call *c, const struct define_result *r);
void audit_hold(const struct hold_call *c, const struct hold_result *r);
/* A job that was made whole, page by page: `deliveries` of it are to be sent. */
void audit_replay(const struct failed_call *c, uint64_t job, uint64_t deliveries);
/* One page. */
void audit_purge(const struct failed_call *c, const struct failed_page *f);
void audit_cancel(uint64_t job, const char *by);

#endif
