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
/* A link to an action's first page; `cls` NULL: none. */
void put_act(FILE *out, const char *act, const char *url, const char *cls);

void page_relays(const struct knowledge *k, const struct page_look *look, FILE *out);
void page_failed(const struct knowledge *k, const struct page_look *look, FILE *out);
void page_jobs(const struct knowledge *k, FILE *out);
void page_services(const struct knowledge *k, const struct page_look *look, FILE *out);

#endif
