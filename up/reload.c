/* SIGHUP: the configuration is read again with the options the process was started with. */
#include "up/reload.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_SIZE 1000

static bool listed(const char *const *list, const char *key)
{
    if (strncmp(key, "log.", 4) == 0)
        return true; /* every service's */
    for (; list != NULL && *list != NULL; list++) {
        size_t len = strlen(*list);
        if ((*list)[len - 1] == '.' ? strncmp(*list, key, len) == 0 : strcmp(*list, key) == 0)
            return true;
    }
    return false;
}

static void add_name(char out[NAMES_SIZE], const char *name)
{
    size_t len = strlen(out);
    if (len + strlen(name) + 2 > NAMES_SIZE)
        return;
    if (len > 0)
        out[len++] = ' ';
    memcpy(out + len, name, strlen(name) + 1);
}

/* Against what it runs with: the last reading where a key is live, else the first one. */
static void tell(const struct service *s, const struct config *now)
{
    char changed[NAMES_SIZE] = "", restart[NAMES_SIZE] = "";
    struct config_key_row key;
    for (size_t n = 0; config_key_at(n, &key); n++) {
        if (!listed(s->reads, key.name))
            continue;
        if (!listed(s->live, key.name)) {
            if (config_key_differs(&s->inv->config, now, n))
                add_name(restart, key.name);
        } else if (config_key_differs(s->config, now, n)) {
            add_name(changed, key.name);
        }
    }
    LOG(LOG_INFO, "configuration read again", LOG_S("changed", changed));
    if (restart[0] != '\0')
        LOG(LOG_WARN, "changed keys that need a restart", LOG_S("keys", restart));
}

static enum err take(struct service *s, struct config *c, struct problem *p)
{
    const struct config_options o = {.file = s->inv->config_file,
                                     .sets = s->inv->sets,
                                     .sets_len = s->inv->sets_len,
                                     .env = environ};
    enum err e = config_load(&o, c, p);
    if (e != ERR_NONE)
        return e;
    e = s->on_reload(s->arg, c, p);
    if (e != ERR_NONE)
        config_free(c);
    return e;
}

void reload(struct service *s)
{
    struct problem p = {0};
    struct config *c = mem_zero(1, sizeof *c);
    if (take(s, c, &p) != ERR_NONE) {
        LOG(LOG_ERROR, "configuration not taken, the old one stays", LOG_S("reason", p.text));
        free(c);
        return;
    }
    log_init(c->log.level, c->log.format, s->name);
    service_log_warnings(c);
    tell(s, c);
    reload_free(s);
    s->config = c;
}

void reload_free(struct service *s)
{
    if (s->config == &s->inv->config)
        return;
    struct config *c = (struct config *)(uintptr_t)s->config;
    config_free(c);
    free(c);
    s->config = &s->inv->config;
}
