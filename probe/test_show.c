/* What a test came to: a table of tries, then what the publisher would use; or JSON. */
#include "ctl/table.h"
#include "probe/test.h"
#include "probe/would.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool test_reached(const struct test_relay *r)
{
    for (size_t i = 0; i < r->acts_len; i++)
        if (act_good(&r->results[i]))
            return true;
    return false;
}

static void would_of(const struct test_view *v, const struct test_relay *r, struct would *out)
{
    const struct config *c = v->config;
    bool own_route = r->route == r->definition.route; /* else the tries tell nothing of it */
    const struct would_facts f = {.url = &r->url,
                                  .route = r->definition.route,
                                  .mode = r->definition.family,
                                  .socks = v->socks,
                                  .race_delay_ms = (uint32_t)c->publisher.race_delay_ms,
                                  .demote_after = (uint32_t)c->publisher.demote_after,
                                  .demote_for_ms = c->publisher.demote_for_ms,
                                  .learned = r->has_lane ? &r->learned : NULL,
                                  .acts = r->results,
                                  .acts_len = own_route ? r->acts_len : 0,
                                  .now_ms = v->now_ms};
    would_use(&f, out);
}

/* ---- the table ---- */

enum {
    C_RELAY,
    C_FAMILY,
    C_RESULT,
    C_DNS,
    C_CONNECT,
    C_TLS,
    C_WS,
    C_READ,
    C_NIP11,
    C_CERT,
    C_COUNT
};

static const struct table_column columns[C_COUNT] = {
    [C_RELAY] = {.head = "RELAY"},
    [C_FAMILY] = {.head = "FAMILY"},
    [C_RESULT] = {.head = "RESULT", .colours = true},
    [C_DNS] = {.head = "DNS", .right = true, .drop = 2},
    [C_CONNECT] = {.head = "CONNECT", .right = true},
    [C_TLS] = {.head = "TLS", .right = true},
    [C_WS] = {.head = "WS", .right = true},
    [C_READ] = {.head = "READ", .right = true},
    [C_NIP11] = {.head = "NIP-11", .right = true, .drop = 3},
    [C_CERT] = {.head = "CERT", .right = true, .drop = 1},
};

static const char *family_word(enum family f)
{
    return f == FAMILY_NONE ? "unknown" : family_name(f);
}

/* Milliseconds; a phase that was not reached took none. */
static void put_ms(char out[24], uint64_t us)
{
    if (us == 0)
        (void)snprintf(out, 24, "-");
    else if (us < 1000)
        (void)snprintf(out, 24, "<1");
    else
        (void)snprintf(out, 24, "%" PRIu64, us / 1000);
}

static int64_t days_left(const struct act_result *a, int64_t now_ms)
{
    return (a->try.certificate_end_s - now_ms / 1000) / 86400;
}

static void add_row(struct table *t, const struct test_view *v, const struct test_relay *r,
                    const struct act_result *a)
{
    char label[URL_SIZE], cells[C_COUNT][24], note[sizeof a->try.text + 8] = "";
    const char *list[C_COUNT];
    bool ok = act_good(a);
    (void)clean_text(relay_label(&r->definition), label, sizeof label);
    for (size_t i = 0; i < C_COUNT; i++)
        list[i] = cells[i];
    list[C_RELAY] = label;
    list[C_FAMILY] = family_word(a->try.family);
    list[C_RESULT] = act_verdict(a);
    put_ms(cells[C_DNS], a->try.dns_us);
    put_ms(cells[C_CONNECT], a->try.connect_us);
    put_ms(cells[C_TLS], a->try.tls_us);
    put_ms(cells[C_WS], a->try.websocket_us);
    put_ms(cells[C_READ], a->read.answered ? a->read.us : 0);
    put_ms(cells[C_NIP11], a->told ? a->nip11_us : 0);
    if (a->asked && !a->told)
        list[C_NIP11] = "none";
    (void)snprintf(cells[C_CERT], sizeof cells[0], "-");
    if (a->try.certificate_end_s != 0)
        (void)snprintf(cells[C_CERT], sizeof cells[0], "%" PRId64 "d", days_left(a, v->now_ms));
    if (!ok)
        (void)clean_text(a->peeked ? a->read.text : a->try.text, note, sizeof note);
    table_add(t, list, note[0] != '\0' ? note : NULL, ok ? COLOUR_GREEN : COLOUR_RED);
}

/* A line that fits. Clean text. */
static void line(const char *text, size_t width, FILE *out)
{
    char cut[1024];
    fprintf(out, "%s\n", text_cut(text, width > 0 ? width : sizeof cut, cut, sizeof cut));
}

static const struct act_result *document_of(const struct test_relay *r)
{
    for (size_t i = 0; i < r->acts_len; i++)
        if (r->results[i].told)
            return &r->results[i];
    return NULL;
}

#define LABEL_WIDTH 28u

static void would_lines(const struct test_view *v, const struct test_relay *r, size_t width,
                        FILE *out)
{
    struct would w;
    char label[URL_SIZE], short_label[URL_SIZE], limits[200] = "", text[1024];
    would_of(v, r, &w);
    (void)clean_text(relay_label(&r->definition), label, sizeof label);
    (void)text_cut(label, width > 0 ? LABEL_WIDTH : sizeof label, short_label, sizeof short_label);
    const char *family = w.family != FAMILY_NONE ? family_name(w.family)
                         : w.connects            ? "unknown"
                                                 : "none";
    if (r->route != r->definition.route)
        family = route_name(r->definition.route);
    (void)snprintf(text, sizeof text, "  %s: %s (%s)%s%s", short_label, family, w.why,
                   r->connected != FAMILY_NONE ? "; connected over " : "",
                   r->connected != FAMILY_NONE ? family_name(r->connected) : "");
    line(text, width, out);
    const struct act_result *a = document_of(r);
    if (a != NULL)
        nip11_limits(&a->nip11, limits, sizeof limits);
    if (limits[0] != '\0') {
        (void)snprintf(text, sizeof text, "    limits: %s", limits);
        line(text, width, out);
    }
}

void test_table(const struct test_view *v, size_t width, bool colours, FILE *out)
{
    struct table t;
    const struct table_look look = {.width = width, .colours = colours};
    table_init(&t, columns, C_COUNT);
    for (size_t i = 0; i < v->len; i++)
        for (size_t a = 0; a < v->relays[i].acts_len; a++)
            add_row(&t, v, &v->relays[i], &v->relays[i].results[a]);
    (void)table_print(&t, &look, out);
    table_fini(&t);
    fprintf(out, "\nWhat the publisher would use now:\n");
    for (size_t i = 0; i < v->len; i++)
        would_lines(v, &v->relays[i], width, out);
    if (!v->queue_answered)
        line("The queue does not answer: what was learned about the relays is not known here.",
             width, out);
}

/* ---- JSON ---- */

static cJSON *ms_or_null(uint64_t us)
{
    return us == 0 ? cJSON_CreateNull() : cJSON_CreateNumber((double)us / 1000.0);
}

static cJSON *family_or_null(enum family f)
{
    return f == FAMILY_NONE ? cJSON_CreateNull() : cJSON_CreateString(family_name(f));
}

static void add_phases(cJSON *o, const struct test_view *v, const struct act_result *a)
{
    const struct link_try *t = &a->try;
    cJSON_AddItemToObject(o, "address", text_or_null(t->address));
    cJSON_AddItemToObject(o, "socks_port", text_or_null(t->via));
    cJSON_AddItemToObject(o, "dns_ms", ms_or_null(t->dns_us));
    cJSON_AddItemToObject(o, "connect_ms", ms_or_null(t->connect_us));
    cJSON_AddItemToObject(o, "tls_ms", ms_or_null(t->tls_us));
    cJSON_AddItemToObject(o, "websocket_ms", ms_or_null(t->websocket_us));
    cJSON_AddItemToObject(o, "read_ms", ms_or_null(a->read.answered ? a->read.us : 0));
    cJSON_AddItemToObject(o, "read_error", text_or_null(a->read.answered ? "" : a->read.text));
    cJSON_AddItemToObject(o, "nip11_ms", ms_or_null(a->told ? a->nip11_us : 0));
    cJSON_AddItemToObject(o, "nip11_error", text_or_null(a->nip11_text));
    cJSON_AddItemToObject(
        o, "certificate_days",
        number_or_null(t->certificate_end_s != 0, (double)days_left(a, v->now_ms)));
}

/* Why it is no relay that can be used; "" when it is one. */
static const char *failure_of(const struct act_result *a)
{
    if (a->try.err != ERR_NONE)
        return link_why_name(a->try.why);
    if (a->peeked && a->read.answered)
        return "";
    return a->read.timed_out ? link_why_name(LINK_WHY_TIMEOUT) : "not_a_relay";
}

static cJSON *act_json(const struct test_view *v, const struct act_result *a)
{
    const struct link_try *t = &a->try;
    cJSON *o = cJSON_CreateObject();
    bool ok = act_good(a);
    cJSON_AddItemToObject(o, "family", family_or_null(t->family));
    cJSON_AddBoolToObject(o, "ok", ok);
    cJSON_AddItemToObject(o, "failure", text_or_null(failure_of(a)));
    cJSON_AddItemToObject(o, "reason", text_or_null(ok ? "" : a->peeked ? a->read.text : t->text));
    cJSON_AddItemToObject(o, "http_status", number_or_null(t->http_status != 0, t->http_status));
    add_phases(o, v, a);
    return o;
}

static cJSON *flag_or_null(int flag)
{
    return flag == NIP11_UNKNOWN ? cJSON_CreateNull() : cJSON_CreateBool(flag);
}

static cJSON *document_json(const struct test_relay *r)
{
    const struct act_result *a = document_of(r);
    if (a == NULL)
        return cJSON_CreateNull();
    const struct nip11 *n = &a->nip11;
    const struct {
        const char *key;
        int64_t n;
    } numbers[] = {{"max_message_length", n->max_message_length},
                   {"max_content_length", n->max_content_length},
                   {"max_event_tags", n->max_event_tags},
                   {"min_pow_difficulty", n->min_pow_difficulty},
                   {"created_at_lower_limit", n->created_at_lower_limit},
                   {"created_at_upper_limit", n->created_at_upper_limit}};
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "name", text_or_null(n->name));
    cJSON_AddItemToObject(o, "software", text_or_null(n->software));
    cJSON_AddItemToObject(o, "version", text_or_null(n->version));
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        cJSON_AddItemToObject(o, numbers[i].key,
                              number_or_null(numbers[i].n != NIP11_UNKNOWN, (double)numbers[i].n));
    cJSON_AddItemToObject(o, "auth_required", flag_or_null(n->auth_required));
    cJSON_AddItemToObject(o, "payment_required", flag_or_null(n->payment_required));
    cJSON_AddItemToObject(o, "restricted_writes", flag_or_null(n->restricted_writes));
    return o;
}

static cJSON *learned_json(const struct test_relay *r)
{
    const struct learned *k = &r->learned;
    if (!r->has_lane)
        return cJSON_CreateNull();
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "family", family_or_null(k->family));
    cJSON_AddNumberToObject(o, "ipv6_failures", k->ipv6_failures);
    cJSON_AddItemToObject(o, "ipv6_connect_ms",
                          number_or_null(k->ipv6_connect_ms != 0, k->ipv6_connect_ms));
    cJSON_AddItemToObject(
        o, "ipv4_first_until",
        number_or_null(k->demoted_until_ms != 0, (double)(k->demoted_until_ms / 1000)));
    return o;
}

static void relay_json(const struct test_view *v, const struct test_relay *r, FILE *out)
{
    struct would w;
    cJSON *o = cJSON_CreateObject();
    would_of(v, r, &w);
    cJSON_AddStringToObject(o, "relay", r->url.text);
    cJSON_AddItemToObject(o, "name", text_or_null(r->definition.name));
    cJSON_AddStringToObject(o, "route", route_name(r->route));
    cJSON_AddBoolToObject(o, "reached", test_reached(r));
    cJSON *acts = cJSON_AddArrayToObject(o, "families");
    for (size_t i = 0; i < r->acts_len; i++)
        cJSON_AddItemToArray(acts, act_json(v, &r->results[i]));
    cJSON_AddItemToObject(o, "nip11", document_json(r));
    cJSON_AddStringToObject(o, "publisher_route", route_name(r->definition.route));
    cJSON_AddItemToObject(o, "would_use", family_or_null(w.family));
    cJSON_AddItemToObject(o, "first", family_or_null(w.first));
    cJSON_AddItemToObject(o, "head_start_ms",
                          number_or_null(w.head_start_ms != 0, w.head_start_ms));
    cJSON_AddStringToObject(o, "why", w.why);
    cJSON_AddItemToObject(o, "connected", family_or_null(r->connected));
    cJSON_AddItemToObject(o, "learned", learned_json(r));
    print_json(o, out);
}

void test_json(const struct test_view *v, FILE *out)
{
    for (size_t i = 0; i < v->len; i++)
        relay_json(v, &v->relays[i], out);
}
