/* Between the files of this folder: the table of keys and the raw values on their way from a source
 * to `struct config`. */
#ifndef VOLLEY_CONFIG_INTERNAL_H
#define VOLLEY_CONFIG_INTERNAL_H

#include "common/config/config.h"

enum config_type {
    TYPE_TEXT,     /* char[CONFIG_TEXT_SIZE] */
    TYPE_UINT,     /* uint64_t within min … max */
    TYPE_SIZE,     /* uint64_t bytes within min … max */
    TYPE_DURATION, /* uint64_t ms within min … max; "auto" or "any" is 0 where the default says so
                    */
    TYPE_BOOL,
    TYPE_LISTEN,
    TYPE_PUBKEYS,
    TYPE_RELAYS,
    TYPE_ROUTE,
    TYPE_ROUTES,
    TYPE_FAMILY,
    TYPE_LEVEL,
    TYPE_FORMAT,
    TYPE_HOSTS
};

struct config_key {
    const char *name; /* "ingest.listen" */
    enum config_type type;
    size_t offset; /* in struct config */
    const char *fallback;
    uint64_t min, max;
    const char *help;
};
extern const struct config_key config_keys[];
extern const size_t config_keys_len;

/* The row of "section.key", or -1. */
int config_find(const char *name);
/* " (did you mean ingest.listen?)" or "". */
const char *config_suggest(const char *name, char *out, size_t size);

/* Where a value stands: "volley.yaml:12", "VOLLEY_INGEST_LISTEN", "--set", "default". */
struct config_source {
    char where[CONFIG_TEXT_SIZE];
    char *text; /* as written (lists: one item a line); owned */
};

/* Converts the text of one row into `c`. `src->where` opens the error. */
MUST_USE enum err config_convert(struct config *c, int row, const struct config_source *src,
                                 struct problem *p);

/* Reads the file's text: every scalar key lands in c->sources; relays that are maps in `relays`. */
struct relay_entry {
    const char *file; /* where it stands: the entries' `file` of then */
    int line;         /* 0: not in a file */
    char *url, *name, *route, *family, *window, *rate, *kinds, *except_kinds, *is_private,
        *backfill, *hold, *auth_key_file; /* owned, NULL when not given */
};
struct relay_entries {
    struct relay_entry *list;
    size_t len;
    const char *file; /* of what is added next; outlives the entries */
};
void relay_entries_free(struct relay_entries *e);
MUST_USE enum err relay_entries_add(struct relay_entries *e, int line, struct relay_entry **out,
                                    struct problem *p);
/* Adds one entry per word of a list (commas, spaces, line ends). */
MUST_USE enum err relay_entries_add_text(struct relay_entries *e, const char *text, int line,
                                         struct problem *p);
/* The entry's field of this name, or NULL. */
char **relay_entry_field(struct relay_entry *e, const char *name);
const char *relay_entry_suggest(const char *name, char *out, size_t size);

MUST_USE enum err config_read_yaml(struct config *c, const char *file, const char *text, size_t len,
                                   struct relay_entries *relays, struct problem *p);
/* Adds what a JSON file lists: an array of hosts or URLs, nothing else in it. Errors name file and
 * line. */
MUST_USE enum err relay_entries_add_json(struct relay_entries *e, const char *text, size_t len,
                                         struct problem *p);
/* Entries → definitions: URLs normalized, defaults filled in, duplicates merged with a warning. */
MUST_USE enum err config_make_relays(struct config *c, const struct relay_entries *e,
                                     struct problem *p);

void config_source_set(struct config *c, int row, const char *where, const char *text, size_t len);

#endif
