/* Log lines on stderr: events, not prose. One line per decision: a stable message and its facts.
 *
 *     LOG(LOG_INFO, "lane opened", LOG_S("relay", url), LOG_I("ms", took));
 *
 * Text:   [INFO] lane opened relay=wss://r.example ms=12
 * Values from outside are escaped, so that a relay's text can't forge a line. Never a secret, never
 * a client's address above debug. From any thread; a line is one write. */
#ifndef VOLLEY_BASE_LOG_H
#define VOLLEY_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_LOGFMT, LOG_JSON };

/* Before the first line and before any thread. `service` names the process ("publisher") and is a
 * fact of every line but text's; copied, at most 31 bytes. */
void log_init(enum log_level level, enum log_format format, const char *service);
bool log_on(enum log_level level);

struct log_fact {
    const char *name;
    const char *s; /* a string, or NULL: then the number counts */
    int64_t i;
};
#define LOG_S(n, v) ((struct log_fact){.name = (n), .s = (v)})
#define LOG_I(n, v) ((struct log_fact){.name = (n), .i = (int64_t)(v)})

void log_write(enum log_level level, const char *message, const struct log_fact *facts,
               size_t facts_len);

#define LOG(level, message, ...)                                                                   \
    do {                                                                                           \
        if (log_on(level)) {                                                                       \
            const struct log_fact log_facts_[] = {{0}, ##__VA_ARGS__};                             \
            log_write((level), (message), log_facts_ + 1, COUNT_OF(log_facts_) - 1);               \
        }                                                                                          \
    } while (0)

#endif
