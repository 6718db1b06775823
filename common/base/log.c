#include "common/base/log.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_LEN_MAX  4096
#define VALUE_LEN_MAX 1024
/* Room that is kept for the end of a line: "…", a quote, a brace and the newline. */
#define TAIL_LEN 8
/* A fact is begun only when there is room for its punctuation and a number. */
#define FACT_LEN_MIN 32

static enum log_level least = LOG_INFO;
static enum log_format form = LOG_TEXT;
static char service_name[32];

static const char *const upper[] = {"DEBUG", "INFO", "WARN", "ERROR"};
static const char *const lower[] = {"debug", "info", "warn", "error"};

void log_init(enum log_level level, enum log_format format, const char *service)
{
    least = level;
    form = format;
    (void)snprintf(service_name, sizeof service_name, "%s", service);
}

bool log_on(enum log_level level)
{
    return level >= least;
}

static bool fits(const struct buf *b, size_t len)
{
    return b->len + len + TAIL_LEN <= LINE_LEN_MAX;
}

static void put_bytes(struct buf *b, const char *s, size_t len)
{
    if (buf_add(b, s, len) != ERR_NONE)
        die("a log line outgrew its limit");
}

/* A piece that does not fit is left out, as the caller can't mend it. */
static void put(struct buf *b, const char *s)
{
    if (fits(b, strlen(s)))
        put_bytes(b, s, strlen(s));
}

/* One character of a value, made harmless: `*taken` is what it was in `s`, the result what to
 * write. Controls (C1 too: terminals obey them) become \u00xx, what is not UTF-8 becomes U+FFFD. */
static const char *escape(const char *s, const char *end, char text[8], size_t *taken)
{
    unsigned char c = (unsigned char)*s;
    *taken = utf8_len(s, end);
    if (*taken == 0) {
        *taken = 1;
        return "\xef\xbf\xbd";
    }
    if (c == '"' || c == '\\')
        (void)snprintf(text, 8, "\\%c", c);
    else if (c < 0x20 || c == 0x7f)
        (void)snprintf(text, 8, "\\u%04x", c);
    else if (c == 0xc2 && (unsigned char)s[1] < 0xa0)
        (void)snprintf(text, 8, "\\u%04x", (unsigned char)s[1]);
    else
        (void)snprintf(text, 8, "%.*s", (int)*taken, s);
    return text;
}

/* What is too long ends in "…": in a value of its own length, or at the end of the line. */
static void put_escaped(struct buf *b, const char *s)
{
    const char *end = s + strlen(s);
    size_t start = b->len, taken;
    for (; s < end; s += taken) {
        char text[8];
        const char *out = escape(s, end, text, &taken);
        if (!fits(b, strlen(out)) || b->len - start + strlen(out) > VALUE_LEN_MAX) {
            put_bytes(b, "…", strlen("…"));
            return;
        }
        put_bytes(b, out, strlen(out));
    }
}

/* Needs no quotes: short printable ASCII without what quotes are for. */
static bool plain(const char *s)
{
    const char *at = s;
    for (; *at != '\0' && at - s <= VALUE_LEN_MAX; at++)
        if (*at <= ' ' || *at >= 0x7f || strchr("\"\\=", *at) != NULL)
            return false;
    return at > s && at - s <= VALUE_LEN_MAX;
}

static void put_value(struct buf *b, const struct log_fact *f)
{
    char number[32];
    if (f->s == NULL) {
        (void)snprintf(number, sizeof number, "%" PRId64, f->i);
        put(b, number);
    } else if (form != LOG_JSON && plain(f->s) && fits(b, strlen(f->s))) {
        put(b, f->s);
    } else {
        put_bytes(b, "\"", 1);
        put_escaped(b, f->s);
        put_bytes(b, "\"", 1);
    }
}

static void put_time(struct buf *b)
{
    int64_t ms = clock_wall_ms();
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    char text[48], out[64];
    gmtime_r(&s, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out, sizeof out, "%s.%03dZ", text, (int)(ms % 1000));
    put(b, out);
}

static void put_head(struct buf *b, enum log_level level, const char *message)
{
    switch (form) {
    case LOG_TEXT:
        put(b, "[");
        put(b, upper[level]);
        put(b, "] ");
        put(b, message);
        break;
    case LOG_LOGFMT:
        put(b, "time=");
        put_time(b);
        put(b, " level=");
        put(b, lower[level]);
        put(b, " service=");
        put(b, service_name);
        put(b, " msg=");
        put_value(b, &(struct log_fact){.s = message});
        break;
    case LOG_JSON:
        put(b, "{\"time\":\"");
        put_time(b);
        put(b, "\",\"level\":\"");
        put(b, lower[level]);
        put(b, "\",\"service\":\"");
        put_escaped(b, service_name);
        put(b, "\",\"msg\":");
        put_value(b, &(struct log_fact){.s = message});
        break;
    }
}

void log_write(enum log_level level, const char *message, const struct log_fact *facts,
               size_t facts_len)
{
    struct buf b;
    buf_init(&b, LINE_LEN_MAX);
    put_head(&b, level, message);
    for (size_t i = 0; i < facts_len && fits(&b, strlen(facts[i].name) + FACT_LEN_MIN); i++) {
        put(&b, form == LOG_JSON ? ",\"" : " ");
        put(&b, facts[i].name);
        put(&b, form == LOG_JSON ? "\":" : "=");
        put_value(&b, &facts[i]);
    }
    if (form == LOG_JSON)
        put_bytes(&b, "}", 1);
    put_bytes(&b, "\n", 1);
    ssize_t n;
    do
        n = write(STDERR_FILENO, b.data, b.len);
    while (n < 0 && errno == EINTR);
    buf_fini(&b);
}
