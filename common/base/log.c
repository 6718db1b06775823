#include "common/base/log.h"

#include "common/base/buf.h"
#include "common/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LEN 4096

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

/* A push that fails is a line that grew too long: it is cut there, as the caller can't mend it. */
static void put(struct buf *b, const char *s)
{
    if (buf_add_str(b, s) != ERR_NONE)
        b->max = b->len;
}

static void put_escaped(struct buf *b, const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        char text[8] = {*s, '\0'};
        if (c == '"' || c == '\\')
            (void)snprintf(text, sizeof text, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            (void)snprintf(text, sizeof text, "\\u%04x", c);
        put(b, text);
    }
}

static bool plain(const char *s)
{
    for (const char *at = s; *at != '\0'; at++)
        if ((unsigned char)*at <= 0x20 || *at == 0x7f || strchr("\"\\=", *at) != NULL)
            return false;
    return *s != '\0';
}

static void put_value(struct buf *b, const struct log_fact *f)
{
    char number[32];
    if (f->s == NULL) {
        (void)snprintf(number, sizeof number, "%" PRId64, f->i);
        put(b, number);
    } else if (form != LOG_JSON && plain(f->s)) {
        put(b, f->s);
    } else {
        put(b, "\"");
        put_escaped(b, f->s);
        put(b, "\"");
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
    buf_init(&b, LINE_MAX_LEN);
    put_head(&b, level, message);
    for (size_t i = 0; i < facts_len; i++) {
        put(&b, form == LOG_JSON ? ",\"" : " ");
        put(&b, facts[i].name);
        put(&b, form == LOG_JSON ? "\":" : "=");
        put_value(&b, &facts[i]);
    }
    b.max = LINE_MAX_LEN + 2;
    put(&b, form == LOG_JSON ? "}\n" : "\n");
    ssize_t n;
    do
        n = write(STDERR_FILENO, b.data, b.len);
    while (n < 0 && errno == EINTR);
    buf_fini(&b);
}
