#include "probe/would.h"

#include "common/net/race.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct act_result *act_of(const struct would_facts *f, enum family family)
{
    for (size_t i = 0; i < f->acts_len; i++)
        if (f->acts[i].try.family == family && f->acts[i].try.started)
            return &f->acts[i];
    return NULL;
}

static bool works(const struct act_result *a)
{
    return a != NULL && a->try.err == ERR_NONE;
}

static uint64_t took_ms(const struct act_result *a)
{
    const struct link_try *t = &a->try;
    return (t->dns_us + t->connect_us + t->tls_us + t->websocket_us) / 1000;
}

static const char *upper(enum family f)
{
    return f == FAMILY_IPV6 ? "IPv6" : "IPv4";
}

static void add_words(struct would *out, const char *words)
{
    size_t len = strlen(out->why);
    (void)snprintf(out->why + len, sizeof out->why - len, "; %s", words);
}

/* One way only: an address, an onion service, one port, a mode. */
static void no_race(const struct would_facts *f, enum family only, const char *why,
                    struct would *out)
{
    out->first = only;
    out->connects = works(act_of(f, only));
    out->family = out->connects || f->acts_len == 0 ? only : FAMILY_NONE;
    (void)snprintf(out->why, sizeof out->why, "%s", why);
    if (f->acts_len > 0 && !out->connects)
        add_words(out, "it failed just now");
}

static void first_words(const struct would_facts *f, bool demoted, struct would *out)
{
    const struct learned *k = f->learned;
    if (demoted) {
        int64_t left_min = (k->demoted_until_ms - f->now_ms + 59999) / 60000;
        (void)snprintf(out->why, sizeof out->why,
                       "IPv4 first: it won %" PRIu32 " times in a row; IPv6 again in %" PRId64 "m",
                       k->ipv6_failures, left_min);
        return;
    }
    int len = snprintf(out->why, sizeof out->why, "IPv6 first, IPv4 after %" PRIu32 " ms",
                       out->head_start_ms);
    char *rest = out->why + len;
    size_t size = sizeof out->why - (size_t)len;
    if (f->race_delay_ms != 0)
        (void)snprintf(rest, size, " (publisher.race_delay)");
    else if (f->route == ROUTE_TOR && k != NULL && k->ipv6_connect_ms != 0)
        (void)snprintf(rest, size, ": IPv6 lately took %" PRIu32 " ms", k->ipv6_connect_ms);
    else if (f->route == ROUTE_TOR && k != NULL)
        (void)snprintf(rest, size, ": nothing learned yet");
}

/* Who would have won, by the times of just now. */
static void predict(const struct would_facts *f, struct would *out)
{
    enum family second = out->first == FAMILY_IPV6 ? FAMILY_IPV4 : FAMILY_IPV6;
    const struct act_result *a = act_of(f, out->first), *b = act_of(f, second);
    char words[64];
    if (f->acts_len == 0)
        return;
    uint32_t beaten = f->learned != NULL ? f->learned->ipv6_failures : 0;
    uint32_t grace_ms = out->first == FAMILY_IPV6 ? race_grace_ms(f->route, beaten) : 0;
    bool late = works(a) && works(b) && took_ms(a) > out->head_start_ms + took_ms(b) + grace_ms;
    out->connects = works(a) || works(b);
    out->family = works(a) && !late ? out->first : works(b) ? second : FAMILY_NONE;
    if (!out->connects)
        add_words(out, "both failed just now");
    if (out->family == out->first || !out->connects)
        return;
    (void)snprintf(words, sizeof words, "%s %s just now", upper(out->first),
                   late ? "was too slow" : "failed");
    add_words(out, words);
}

void would_use(const struct would_facts *f, struct would *out)
{
    static const char *const alone[MODE_COUNT] = {
        [MODE_IPV6] = "IPv6 alone, as configured", [MODE_IPV4] = "IPv4 alone, as configured"};
    enum family_mode modes[2];
    *out = (struct would){.family = FAMILY_NONE};
    if (f->url->is_onion) {
        no_race(f, FAMILY_ONION, "an onion service", out);
    } else if (f->url->is_literal) {
        bool ipv6 = strchr(f->url->host, ':') != NULL;
        no_race(f, ipv6 ? FAMILY_IPV6 : FAMILY_IPV4, "the address says so", out);
    } else if (act_families(f->url, f->route, f->socks, modes) == 1) {
        no_race(f, FAMILY_NONE, "not known: tor.socks names one port for both families", out);
    } else if (f->mode != MODE_AUTO) {
        no_race(f, f->mode == MODE_IPV6 ? FAMILY_IPV6 : FAMILY_IPV4, alone[f->mode], out);
    } else {
        const struct learned *k = f->learned;
        bool demoted = k != NULL && race_demoted(k->demoted_until_ms, f->now_ms, f->demote_after,
                                                 f->demote_for_ms);
        uint32_t known_ms = k != NULL && !demoted ? k->ipv6_connect_ms : 0;
        out->first = demoted ? FAMILY_IPV4 : FAMILY_IPV6;
        out->head_start_ms =
            f->race_delay_ms != 0 ? f->race_delay_ms : race_head_start_ms(f->route, known_ms);
        first_words(f, demoted, out);
        predict(f, out);
    }
}
