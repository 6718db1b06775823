/* Between the files of the dashboard. */
#ifndef VOLLEY_PROBE_PAGE_INTERNAL_H
#define VOLLEY_PROBE_PAGE_INTERNAL_H

#include "ctl/ctl.h"
#include "ctl/verdict.h"
#include "probe/html.h"
#include "probe/page.h"

/* A number for people and for programs: <data value="12345">12k</data>. */
void put_count(FILE *out, uint64_t n);
/* "12m", or a dash when negative. */
void put_duration(FILE *out, int64_t ms);
/* The age of a moment of the queue's clock; a dash for 0. */
void put_age(FILE *out, int64_t at_ms, int64_t now_ms);
/* "47 ms", "12s". */
void put_us(FILE *out, uint64_t us);
/* A link to an action's first page, at this relay (NULL: all); `cls` NULL: none. */
void put_act(FILE *out, const struct page_look *look, const char *act, const struct definition *d,
             const char *cls);
/* `before` and the window as a field of a URL's query; nothing where it is PAGE_WINDOW. */
void put_window(FILE *out, const char *before, enum stat_window w);

/* What statistics say of one relay over a window; `r` NULL: nothing yet. */
void put_use(FILE *out, const struct relay_record *r, const struct lane_status *l,
             enum stat_window w);
void put_latency(FILE *out, const struct relay_record *r, enum stat_window w);
void put_probes(FILE *out, const struct relay_record *r, enum stat_window w, int64_t now_ms);

void page_health(const struct knowledge *k, const struct page_look *look, FILE *out);
void page_relays(const struct knowledge *k, const struct page_look *look, FILE *out);
void page_failed(const struct knowledge *k, const struct page_look *look, FILE *out);
void page_jobs(const struct knowledge *k, FILE *out);
void page_services(const struct knowledge *k, const struct page_look *look, FILE *out);

#endif
