/* Statistics of 1,000 relays, three paths each, in the store: what a batch costs, what all of them
 * cost to read, and what they take on disk. */
#include "common/base/clock.h"
#include "queue/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RELAYS  1000u
#define PATHS   3u
#define ROUNDS  40u
#define STEP_MS (4 * 3600 * 1000)

static int64_t now_ms = 1800000000000;
static uint64_t boot_ms = 1000000;

static void need(enum err e, const char *what)
{
    if (e != ERR_NONE)
        die("%s: %s", what, err_name(e));
}

static void define(struct store *s)
{
    struct definition *defs = mem_zero(RELAYS, sizeof *defs);
    struct define_result r;
    struct problem p;
    for (unsigned i = 0; i < RELAYS; i++) {
        defs[i].window = 8;
        (void)snprintf(defs[i].url, sizeof defs[i].url, "wss://relay%u.example", i);
    }
    const struct define_call c = {.defs = defs, .len = RELAYS};
    need(store_begin(s), "begin");
    need(store_define(s, &c, now_ms, &r, &p), "define");
    need(store_commit(s), "commit");
    free(defs);
}

static void fill(struct observation *o, unsigned n, unsigned round)
{
    *o = (struct observation){.lane = n / PATHS + 1,
                              .family = (enum family)(FAMILY_IPV6 + n % PATHS),
                              .streak = 10,
                              .counts = {.attempts = 10, .successes = 10, .deliveries = 100}};
    for (unsigned i = 0; i < 100; i++)
        stat_histogram_add(&o->counts.phases[STAT_DELIVERED],
                           20000 + 7919 * (n + i + round) % 400000);
    for (unsigned p = 0; p < STAT_DELIVERED; p++)
        stat_histogram_add(&o->counts.phases[p], 10000 + 104729 * (n + p + round) % 300000);
}

/* One round of all paths; returns µs. */
static uint64_t observe(struct store *s, unsigned round)
{
    struct observation *list = mem_zero(OBSERVATIONS_MAX, sizeof *list);
    struct observe_call c = {.list = list};
    struct observe_result r;
    uint64_t us = 0;
    for (unsigned n = 0; n < RELAYS * PATHS;) {
        for (c.len = 0; c.len < OBSERVATIONS_MAX && n < RELAYS * PATHS; n++)
            fill(&list[c.len++], n, round);
        uint64_t began_us = clock_boot_us();
        need(store_begin(s), "begin");
        need(store_observe(s, &c, now_ms, boot_ms, &r), "observe");
        need(store_commit(s), "commit");
        us += clock_boot_us() - began_us;
    }
    free(list);
    return us;
}

static uint64_t read_all(struct store *s)
{
    struct statistics_page p;
    struct statistics_call c = {.after = 0};
    uint64_t began_us = clock_boot_us();
    do {
        need(store_statistics(s, &c, now_ms, boot_ms, &p), "statistics");
        c.after = p.next;
    } while (p.next != 0);
    return clock_boot_us() - began_us;
}

int main(void)
{
    char dir[] = "/tmp/volley-bench-XXXXXX", path[64];
    const struct store_options o = {.dir = dir, .retention_ms = 1000, .max_bytes = 1u << 30};
    struct store *s;
    struct problem p;
    struct stat st;
    uint64_t us = 0;
    if (mkdtemp(dir) == NULL)
        die("no folder");
    need(store_open(&o, now_ms, &s, &p), "open");
    define(s);
    for (unsigned round = 0; round < ROUNDS; round++) {
        us = observe(s, round);
        now_ms += STEP_MS;
        boot_ms += STEP_MS;
    }
    unsigned calls = (RELAYS * PATHS + OBSERVATIONS_MAX - 1) / OBSERVATIONS_MAX;
    printf("observe: %u paths in %llu ms, %llu us a path, durable, in %u calls\n", RELAYS * PATHS,
           (unsigned long long)us / 1000, (unsigned long long)us / (RELAYS * PATHS), calls);
    us = read_all(s);
    printf("statistics: all of %u relays in %llu ms, pages of %u\n", RELAYS,
           (unsigned long long)us / 1000, STATISTICS_LANES_MAX);
    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    if (stat(path, &st) == 0)
        printf("on disk: %lld MiB\n", (long long)st.st_blocks * 512 >> 20);
    store_close(s);
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock", "reserve"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}
