#include "queue/redis_checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES_PERCENT 60u

/* The value of "name:value" on a line of its own; "" when there is none. */
static void info_field(const char *info, size_t len, const char *name, char *out, size_t size)
{
    const char *end = info + len;
    size_t name_len = strlen(name);
    out[0] = '\0';
    for (const char *line = info; line < end;) {
        const char *eol = memchr(line, '\n', (size_t)(end - line));
        const char *stop = eol != NULL ? eol : end;
        size_t line_len = (size_t)(stop - line);
        if (line_len > name_len && memcmp(line, name, name_len) == 0 && line[name_len] == ':') {
            const char *value = line + name_len + 1;
            size_t value_len = (size_t)(stop - value);
            while (value_len > 0 && value[value_len - 1] == '\r')
                value_len--;
            (void)snprintf(out, size, "%.*s", (int)value_len, value);
            return;
        }
        line = stop + 1;
    }
}

void redis_said_info(struct redis_said *s, const char *info, size_t len)
{
    char value[64];
    info_field(info, len, "redis_version", value, sizeof value);
    s->version = (unsigned)strtoul(value, NULL, 10);
    info_field(info, len, "redis_mode", value, sizeof value);
    s->cluster = strcmp(value, "cluster") == 0;
    info_field(info, len, "role", value, sizeof value);
    s->replica = strcmp(value, "slave") == 0;
    info_field(info, len, "run_id", s->run_id, sizeof s->run_id);
    info_field(info, len, "master_replid", s->replication_id, sizeof s->replication_id);
}

void redis_said_config(struct redis_said *s, const char *name, const char *value)
{
    const struct {
        const char *name;
        char *to;
        size_t size;
    } texts[] = {
        {"appendonly", s->appendonly, sizeof s->appendonly},
        {"appendfsync", s->appendfsync, sizeof s->appendfsync},
        {"no-appendfsync-on-rewrite", s->no_fsync_on_rewrite, sizeof s->no_fsync_on_rewrite},
        {"maxmemory-policy", s->policy, sizeof s->policy}};
    s->config_known = true;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (strcmp(name, texts[i].name) == 0)
            (void)snprintf(texts[i].to, texts[i].size, "%s", value);
    if (strcmp(name, "maxmemory") == 0)
        s->maxmemory = strtoull(value, NULL, 10);
}

enum err redis_check_usable(const struct redis_said *s, struct problem *p)
{
    if (s->version < REDIS_VERSION_MIN)
        return problem_set(p, ERR_UNSUPPORTED, "Redis %u or later is needed; this one is %u",
                           REDIS_VERSION_MIN, s->version);
    if (s->run_id[0] == '\0' || s->replication_id[0] == '\0')
        return problem_set(p, ERR_UNSUPPORTED,
                           "Redis does not tell its run id: INFO must be allowed");
    if (s->cluster)
        return problem_set(p, ERR_UNSUPPORTED,
                           "this Redis is part of a cluster; volley needs one of its own, or a "
                           "primary with replicas");
    if (s->replica)
        return problem_set(p, ERR_UNSUPPORTED,
                           "this Redis is a replica; queue.url must name the primary");
    return ERR_NONE;
}

static void add(struct problem *list, bool bad, const char *line)
{
    size_t len = strlen(list->text);
    if (bad)
        (void)snprintf(list->text + len, sizeof list->text - len, "%s\"%s\"", len > 0 ? ", " : "",
                       line);
}

enum err redis_check_safe(const struct redis_said *s, uint64_t max_bytes, struct problem *p)
{
    struct problem lines = {0};
    char memory[64];
    uint64_t least = max_bytes / MAX_BYTES_PERCENT * 100 + 100;
    if (!s->config_known)
        return problem_set(p, ERR_INVALID,
                           "volley can't see whether this Redis keeps what it acknowledges: allow "
                           "it CONFIG GET (ACL: +config|get), or set queue.unsafe = yes (Redis "
                           "said: %s)",
                           s->config_error);
    add(&lines, strcmp(s->appendonly, "yes") != 0, "appendonly yes");
    add(&lines, strcmp(s->appendfsync, "always") != 0, "appendfsync always");
    add(&lines, strcmp(s->no_fsync_on_rewrite, "no") != 0, "no-appendfsync-on-rewrite no");
    add(&lines, strcmp(s->policy, "noeviction") != 0, "maxmemory-policy noeviction");
    (void)snprintf(memory, sizeof memory, "maxmemory %" PRIu64, least);
    bool tight = max_bytes > 0 && s->maxmemory > 0 && s->maxmemory < least;
    add(&lines, tight, memory);
    if (lines.text[0] == '\0')
        return ERR_NONE;
    return problem_set(p, ERR_INVALID,
                       "this Redis may lose or refuse what it must keep: put into redis.conf %s%s; "
                       "or set queue.unsafe = yes",
                       lines.text, tight ? " (or lower queue.max_bytes below 60 % of it)" : "");
}
