/* Loading: default, file, environment, --set; then everything is converted and checked as a whole.
 */
#include "common/config/config.h"

#include "common/config/config_internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char system_file[] = "/etc/volley/volley.yaml";
static const char own_file[] = "./volley.yaml";

void config_source_set(struct config *c, int row, const char *where, const char *text, size_t len)
{
    struct config_source *s = &c->sources[row];
    free(s->text);
    s->text = mem_strndup(text, len);
    (void)snprintf(s->where, sizeof s->where, "%s", where);
}

/* A file in the folder one happens to stand in counts only when it is one's own, or root's. */
static const char *choose_file(void)
{
    struct stat st;
    if (stat(own_file, &st) == 0 && (st.st_uid == geteuid() || st.st_uid == 0))
        return own_file;
    return stat(system_file, &st) == 0 ? system_file : NULL;
}

static enum err read_file(const char *path, struct buf *out, struct problem *p)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return problem_set(p, ERR_INVALID, "%s: %s", path, strerror(errno));
    enum err e = ERR_NONE;
    ssize_t n = 0;
    do {
        e = buf_reserve(out, 16384);
        if (e != ERR_NONE) {
            e = problem_set(p, ERR_INVALID, "%s: larger than %u bytes", path, CONFIG_FILE_MAX);
            break;
        }
        n = read(fd, out->data + out->len, 16384);
        if (n < 0)
            e = problem_set(p, ERR_INVALID, "%s: %s", path, strerror(errno));
        else
            out->len += (size_t)n;
    } while (n > 0);
    close(fd);
    return e;
}

/* VOLLEY_SECTION_KEY → section.key; the section is the first word. */
static int row_of_variable(const char *name, char out[96])
{
    size_t len = 0;
    bool dotted = false;
    for (const char *s = name + strlen("VOLLEY_"); *s != '\0' && len + 1 < 96; s++) {
        out[len++] = *s == '_' && !dotted ? '.' : (char)tolower((unsigned char)*s);
        dotted |= *s == '_';
    }
    out[len] = '\0';
    return config_find(out);
}

static enum err read_env(struct config *c, char *const *env, struct problem *p)
{
    for (; env != NULL && *env != NULL; env++) {
        const char *eq = strchr(*env, '=');
        if (strncmp(*env, "VOLLEY_", 7) != 0 || eq == NULL)
            continue;
        char name[80], key[96], near[96];
        (void)snprintf(name, sizeof name, "%.*s", (int)(eq - *env), *env);
        int row = row_of_variable(name, key);
        if (row < 0)
            return problem_set(p, ERR_INVALID, "%s: no such configuration variable%s", name,
                               config_suggest(key, near, sizeof near));
        config_source_set(c, row, name, eq + 1, strlen(eq + 1));
    }
    return ERR_NONE;
}

static enum err read_sets(struct config *c, const struct config_options *o, struct problem *p)
{
    for (size_t i = 0; i < o->sets_len; i++) {
        const char *eq = strchr(o->sets[i], '=');
        char name[96], near[96];
        if (eq == NULL)
            return problem_set(p, ERR_INVALID, "--set %.80s: expected section.key=value",
                               o->sets[i]);
        (void)snprintf(name, sizeof name, "%.*s", (int)(eq - o->sets[i]), o->sets[i]);
        int row = config_find(name);
        if (row < 0)
            return problem_set(p, ERR_INVALID, "--set %s: no such key%s", name,
                               config_suggest(name, near, sizeof near));
        config_source_set(c, row, "--set", eq + 1, strlen(eq + 1));
    }
    return ERR_NONE;
}

static enum err load_file(struct config *c, const struct config_options *o,
                          struct relay_entries *relays, struct problem *p)
{
    const char *path = o->file != NULL ? o->file : choose_file();
    if (path == NULL)
        return ERR_NONE;
    if (strlen(path) >= sizeof c->file)
        return problem_set(p, ERR_INVALID, "the configuration file's path is too long");
    memcpy(c->file, path, strlen(path) + 1);
    relays->file = c->file;
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX + 16384);
    enum err e = read_file(path, &text, p);
    if (e == ERR_NONE)
        e = config_read_yaml(c, path, buf_str(&text), text.len, relays, p);
    buf_fini(&text);
    return e;
}

/* $XDG_DATA_HOME/volley, $HOME/.local/share/volley; /var/lib/volley for root, who has no home to
 * speak of in a container. */
static void default_data_dir(struct config *c, char *const *env)
{
    const char *xdg = NULL, *home = NULL;
    for (; env != NULL && *env != NULL; env++) {
        if (strncmp(*env, "XDG_DATA_HOME=/", 15) == 0)
            xdg = *env + 14;
        if (strncmp(*env, "HOME=/", 6) == 0)
            home = *env + 5;
    }
    char *out = c->queue.data_dir;
    size_t size = sizeof c->queue.data_dir;
    if (xdg != NULL)
        (void)snprintf(out, size, "%s/volley", xdg);
    else if (home != NULL && geteuid() != 0)
        (void)snprintf(out, size, "%s/.local/share/volley", home);
    else
        (void)snprintf(out, size, "/var/lib/volley");
}

/* What follows from several keys together. */
static enum err settle(struct config *c, char *const *env, struct problem *p)
{
    if (strcmp(c->queue.data_dir, "DEFAULT") == 0)
        default_data_dir(c, env);
    if (c->queue.data_dir[0] != '/')
        return problem_set(p, ERR_INVALID, "%s: queue.data_dir: '%s' must begin with /",
                           c->sources[config_find("queue.data_dir")].where, c->queue.data_dir);
    const char *mark = strstr(c->queue.url, "DATA_DIR");
    if (mark != NULL) {
        char full[2 * CONFIG_TEXT_SIZE];
        (void)snprintf(full, sizeof full, "%.*s%s%s", (int)(mark - c->queue.url), c->queue.url,
                       c->queue.data_dir, mark + strlen("DATA_DIR"));
        if (strlen(full) >= sizeof c->queue.url)
            return problem_set(p, ERR_INVALID, "queue.url: too long with queue.data_dir in it");
        memcpy(c->queue.url, full, strlen(full) + 1);
    }
    if (c->publisher.backoff_min_ms > c->publisher.backoff_max_ms)
        return problem_set(p, ERR_INVALID,
                           "publisher.backoff_min is larger than publisher.backoff_max");
    return ERR_NONE;
}

static enum err add_relays_file(struct config *c, struct relay_entries *relays, struct problem *p)
{
    struct buf text;
    struct problem why;
    buf_init(&text, CONFIG_FILE_MAX + 16384);
    relays->file = c->publisher.relays_file;
    enum err e = read_file(relays->file, &text, &why);
    if (e == ERR_NONE)
        e = relay_entries_add_json(relays, buf_str(&text), text.len, p);
    else
        problem_set(p, e, "%s: publisher.relays_file: %s",
                    c->sources[config_find("publisher.relays_file")].where, why.text);
    buf_fini(&text);
    return e;
}

static enum err convert_all(struct config *c, struct relay_entries *relays, char *const *env,
                            struct problem *p)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; i < config_keys_len && e == ERR_NONE; i++) {
        if (c->sources[i].text == NULL)
            config_source_set(c, (int)i, "default", config_keys[i].fallback,
                              strlen(config_keys[i].fallback));
        e = config_convert(c, (int)i, &c->sources[i], p);
    }
    if (e == ERR_NONE)
        e = settle(c, env, p);
    if (e != ERR_NONE)
        return e;
    const struct config_source *src = &c->sources[config_find("publisher.relays")];
    /* The environment's or --set's list replaces the file's. An empty variable is one that was not
     * filled in; --set publisher.relays= is meant. */
    if (src->text[0] != '\0' || strcmp(src->where, "--set") == 0) {
        relay_entries_free(relays);
        relays->file = src->where;
        e = relay_entries_add_text(relays, src->text, 0, p);
    }
    if (e == ERR_NONE && c->publisher.relays_file[0] != '\0')
        e = add_relays_file(c, relays, p);
    return e != ERR_NONE ? e : config_make_relays(c, relays, p);
}

enum err config_load(const struct config_options *o, struct config *out, struct problem *p)
{
    *out = (struct config){0};
    out->sources = mem_zero(config_keys_len, sizeof *out->sources);
    buf_init(&out->warnings, 65536);
    struct relay_entries relays = {0};
    enum err e = load_file(out, o, &relays, p);
    if (e == ERR_NONE)
        e = read_env(out, o->env, p);
    if (e == ERR_NONE)
        e = read_sets(out, o, p);
    if (e == ERR_NONE)
        e = convert_all(out, &relays, o->env, p);
    relay_entries_free(&relays);
    if (e != ERR_NONE)
        config_free(out);
    return e;
}

void config_free(struct config *c)
{
    for (size_t i = 0; c->sources != NULL && i < config_keys_len; i++)
        free(c->sources[i].text);
    free(c->sources);
    free(c->ingest.allow_pubkeys.keys);
    free(c->publisher.relays.defs);
    buf_fini(&c->warnings);
    *c = (struct config){0};
}

/* Lists are kept one item a line; here they are shown with commas. */
static enum err put_value(struct buf *out, const char *text)
{
    enum err e = ERR_NONE;
    for (; *text != '\0' && e == ERR_NONE; text++)
        e = *text == '\n' ? buf_add_str(out, ", ") : buf_add_char(out, *text);
    return e;
}

enum err config_print(const struct config *c, struct buf *out)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; i < config_keys_len && e == ERR_NONE; i++) {
        const struct config_key *key = &config_keys[i];
        const char *text = c->sources[i].text;
        if (strcmp(key->name, "queue.url") == 0)
            text = c->queue.url;
        if (strcmp(key->name, "queue.data_dir") == 0)
            text = c->queue.data_dir;
        e = buf_addf(out, "%s = ", key->name);
        if (e == ERR_NONE && key->type == TYPE_RELAYS)
            e = buf_addf(out, "%zu relays", c->publisher.relays.len);
        else if (e == ERR_NONE)
            e = put_value(out, text);
        if (e == ERR_NONE)
            e = buf_addf(out, "   # %s\n", c->sources[i].where);
    }
    for (size_t i = 0; i < c->publisher.relays.len && e == ERR_NONE; i++) {
        const struct definition *d = &c->publisher.relays.defs[i];
        e = buf_addf(out, "relay %s route=%s family=%s window=%u%s%s%s%s\n", d->url,
                     route_name(d->route), family_mode_name(d->family), d->window,
                     d->name[0] != '\0' ? " name=" : "", d->name, d->is_private ? " private" : "",
                     d->hold ? " hold" : "");
    }
    return e;
}

size_t config_route_len(const struct config *c, enum route route)
{
    size_t len = 0;
    for (size_t i = 0; i < c->publisher.relays.len; i++)
        len += c->publisher.relays.defs[i].route == route;
    return len;
}

bool config_needs_managed_tor(const struct config *c)
{
    return config_route_len(c, ROUTE_TOR) > 0 && strcmp(c->tor.socks, "managed") == 0;
}
