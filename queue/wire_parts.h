/* The pieces that requests and replies share. For wire*.c only. */
#ifndef VOLLEY_QUEUE_WIRE_PARTS_H
#define VOLLEY_QUEUE_WIRE_PARTS_H

#include "queue/wire.h"

void wire_put_head(struct pack *p, unsigned type, uint64_t number);
/* ERR_VERSION and ERR_UNSUPPORTED as wire_get_request; a type without `flag` is none. */
MUST_USE enum err wire_get_head(struct unpack *u, unsigned flag, enum wire_type *type,
                                uint64_t *number);

/* A value below `count`, or bad. */
unsigned wire_enum(struct unpack *u, unsigned count);
/* 0 or 1, or bad. */
bool wire_bool(struct unpack *u);
/* A count of things of at least `each` bytes (see unpack_count), and room for them in the arena. */
void *wire_array(struct unpack *u, struct wire_arena *a, size_t each, uint32_t max, size_t size,
                 size_t *len);
/* A copy of a text in the arena: NULL when empty. */
const char *wire_text(struct unpack *u, struct wire_arena *a, size_t max);

#define WIRE_DEFINITION_MIN 24u
#define WIRE_EXCEPTION_LEN  24u
#define WIRE_REQUEST_LEN    16u
#define WIRE_PATH_LEN       66u
#define WIRE_ROW_MIN        44u
#define WIRE_EVENT_MIN      37u
void wire_put_exceptions(struct pack *p, const struct exception *e, size_t len);
const struct exception *wire_get_exceptions(struct unpack *u, struct wire_arena *a, size_t *len);
void wire_put_lane_requests(struct pack *p, const struct lane_request *r, size_t len);
const struct lane_request *wire_get_lane_requests(struct unpack *u, struct wire_arena *a,
                                                  size_t *len);
void wire_put_paths(struct pack *p, const struct path_stat *s, size_t len);
const struct path_stat *wire_get_paths(struct unpack *u, struct wire_arena *a, size_t *len);
void wire_put_row(struct pack *p, const struct row *r);
void wire_get_row(struct unpack *u, struct row *r);
void wire_put_learned(struct pack *p, const struct learned *l);
void wire_get_learned(struct unpack *u, struct learned *l);
void wire_put_live(struct pack *p, const struct lane_live *l);
void wire_get_live(struct unpack *u, struct lane_live *l);
/* Earlier failures of one event at one lane: at most HISTORY_MAX. */
void wire_put_history(struct pack *p, const struct row *r, size_t len);
const struct row *wire_get_history(struct unpack *u, struct wire_arena *a, size_t *len);
void wire_put_event(struct pack *p, const struct queue_event *e);
void wire_get_event(struct unpack *u, struct wire_arena *a, struct queue_event *e);
/* An event's canonical bytes alone; the arena's. NULL: they are none. */
struct event *wire_get_bytes_of_event(struct unpack *u, struct wire_arena *a);

/* What operators ask and are answered: wire_operate.c. */
void wire_put_hold_call(struct pack *p, const struct hold_call *c);
void wire_get_hold_call(struct unpack *u, struct hold_call *c);
void wire_put_failed_call(struct pack *p, const struct failed_call *c);
void wire_get_failed_call(struct unpack *u, struct wire_arena *a, struct failed_call *c);
void wire_put_registry(struct pack *p, const struct queue_registry *r);
void wire_get_registry(struct unpack *u, struct wire_arena *a, struct queue_registry *r);
void wire_put_failed_page(struct pack *p, const struct failed_page *f);
void wire_get_failed_page(struct unpack *u, struct wire_arena *a, struct failed_page *f);
void wire_put_jobs(struct pack *p, const struct replay_job *jobs, size_t len);
const struct replay_job *wire_get_jobs(struct unpack *u, struct wire_arena *a, size_t *len);

/* Statistics, and who leads: wire_statistics.c. */
void wire_put_observe_call(struct pack *p, const struct observe_call *c);
void wire_get_observe_call(struct unpack *u, struct wire_arena *a, struct observe_call *c);
void wire_put_observe_result(struct pack *p, const struct observe_result *r);
void wire_get_observe_result(struct unpack *u, struct observe_result *r);
void wire_put_statistics_page(struct pack *p, const struct statistics_page *s);
void wire_get_statistics_page(struct unpack *u, struct wire_arena *a, struct statistics_page *s);
void wire_put_lead_call(struct pack *p, const struct lead_call *c);
void wire_get_lead_call(struct unpack *u, struct lead_call *c);
void wire_put_lead_result(struct pack *p, const struct lead_result *r);
void wire_get_lead_result(struct unpack *u, struct lead_result *r);

#endif
