#include "probe/heart.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/net/race.h"
#include "probe/peek.h"
#include "queue/heartbeat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS   5000u /* to connect; and for the OK, which waits for the disk */
#define PAUSE_MS     2000u /* until the next: what the queue says is as old at most */
#define TELL_FROM    3u    /* failures in a row */
#define ADDRESS_SIZE 160

struct heart {
    uv_loop_t *loop;
    struct dialer *dialer;
    char ingest[ADDRESS_SIZE];
    uint64_t interval_ms;
    uint8_t secret[32];
    uint64_t next_ms;    /* not before, on the boot clock */
    struct event *event; /* under way, with one of: */
    struct link_open *opening;
    struct peek *posting;
    unsigned failures; /* in a row */
};

/* `trouble` NULL: it was taken. Told is what lasts: one that comes while ingest starts is no news.
 */
static void end(struct heart *h, const char *trouble)
{
    event_unref(h->event);
    h->event = NULL;
    h->next_ms = clock_boot_ms() + PAUSE_MS;
    if (trouble != NULL && ++h->failures == TELL_FROM)
        LOG(LOG_WARN, "ingest does not take heartbeats", LOG_S("ingest", h->ingest),
            LOG_S("reason", trouble));
    if (trouble != NULL)
        return;
    if (h->failures >= TELL_FROM)
        LOG(LOG_INFO, "ingest takes heartbeats again");
    h->failures = 0;
}

static void on_posted(void *arg, const struct peek_result *r)
{
    struct heart *h = arg;
    h->posting = NULL;
    /* Somebody else's was just taken: it does as well. */
    bool taken = r->accepted || strncmp(r->text, "rate-limited:", 13) == 0;
    end(h, taken ? NULL : r->text);
}

static const char *reason(const struct link_result *r)
{
    return r->tries_len > 0 ? r->tries[r->tries_len - 1].text : err_name(r->err);
}

static void on_open(void *arg, const struct link_result *r)
{
    struct heart *h = arg;
    h->opening = NULL;
    if (r->err != ERR_NONE)
        end(h, reason(r));
    else
        h->posting =
            peek_post(h->loop, r->link, r->extra, r->extra_len, h->event, TIMEOUT_MS, on_posted, h);
}

static void post(struct heart *h)
{
    char text[ADDRESS_SIZE + 8];
    struct problem p = {0};
    struct link_request r = {.route = ROUTE_DIRECT,
                             .mode = MODE_AUTO,
                             .race_delay_ms = RACE_DELAY_MIN_MS,
                             .timeout_ms = TIMEOUT_MS};
    (void)snprintf(text, sizeof text, "ws://%s", h->ingest);
    enum err e = relay_url_parse(text, &r.url, &p);
    if (e == ERR_NONE)
        e = heartbeat_make(h->secret, (uint64_t)clock_wall_s(), &h->event, &p);
    if (e == ERR_NONE)
        h->opening = link_open(h->dialer, &r, on_open, h);
    else
        end(h, p.text);
}

uint64_t heart_every_ms(const struct heart *h)
{
    return h->ingest[0] != '\0' ? h->interval_ms : 0;
}

void heart_look(struct heart *h, const struct heartbeat *seen, int64_t now_ms)
{
    /* One that is younger than none can be was made before the clock was set. */
    int64_t age_ms = now_ms - seen->accepted_ms;
    bool due =
        seen->number == 0 || age_ms >= (int64_t)h->interval_ms || age_ms < -(int64_t)PAUSE_MS;
    if (heart_every_ms(h) > 0 && h->event == NULL && due && clock_boot_ms() >= h->next_ms)
        post(h);
}

struct heart *heart_new(uv_loop_t *loop, struct dialer *dialer, const struct heart_settings *s)
{
    struct heart *h = mem_zero(1, sizeof *h);
    uint8_t key[32];
    h->loop = loop;
    h->dialer = dialer;
    do { /* hardly any number is none */
        rng_secure(h->secret, sizeof h->secret);
    } while (event_pubkey(h->secret, key) != ERR_NONE);
    heart_set(h, s);
    return h;
}

void heart_set(struct heart *h, const struct heart_settings *s)
{
    (void)snprintf(h->ingest, sizeof h->ingest, "%s", s->ingest);
    h->interval_ms = s->interval_ms;
}

void heart_free(struct heart *h)
{
    if (h == NULL)
        return;
    if (h->opening != NULL)
        link_cancel(h->opening);
    peek_cancel(h->posting);
    event_unref(h->event);
    explicit_bzero(h->secret, sizeof h->secret);
    free(h);
}
