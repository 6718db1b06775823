/* volley's configuration: one table of keys (config_keys.c), filled from default, file, environment
 * and --set, in this order.
 *
 * Everything about a key stands in its row: name, type, default, bounds, help. `volley check
 * --print`, the errors and the tests read the same table. Unknown keys and VOLLEY_ variables, bad
 * values and duplicates are errors that name file and line (or the variable), and the nearest known
 * name. */
#ifndef VOLLEY_CONFIG_CONFIG_H
#define VOLLEY_CONFIG_CONFIG_H

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/net/definition.h"

#define CONFIG_FILE_MAX   (1024u * 1024u)
#define CONFIG_LISTEN_MAX 8
#define CONFIG_RELAYS_MAX 10000u
#define CONFIG_TEXT_SIZE  512

struct config_listen {
    char address[CONFIG_LISTEN_MAX][80];
    size_t len;
};
struct config_pubkeys {
    uint8_t (*keys)[32]; /* owned */
    size_t len;
};
#define CONFIG_HOSTS_MAX 16
/* Host headers: "volley.example" (on any port) or "volley.example:7788". */
struct config_hosts {
    char host[CONFIG_HOSTS_MAX][256];
    size_t len;
};
struct config_relays {
    struct definition *defs; /* owned */
    size_t len;
};

struct config {
    struct {
        struct config_listen listen;
        struct config_pubkeys allow_pubkeys;
        bool open;
        uint64_t max_event, max_connections, max_per_ip, min_pow;
        uint64_t created_at_past_ms, created_at_future_ms;
    } ingest;
    struct {
        char url[CONFIG_TEXT_SIZE], data_dir[CONFIG_TEXT_SIZE];
        uint64_t retention_ms, max_bytes, failed_max;
        uint64_t lane_max; /* 0: half of max_bytes */
        char keys_dir[CONFIG_TEXT_SIZE];
        char prefix[CONFIG_TEXT_SIZE], password_file[CONFIG_TEXT_SIZE]; /* on Redis */
        bool unsafe;
    } queue;
    struct {
        struct config_relays relays;
        enum route route;
        enum family_mode family;
        uint64_t race_delay_ms; /* 0: auto */
        uint64_t demote_after, demote_for_ms, window, window_bytes;
        uint64_t connect_timeout_ms, ok_timeout_ms, idle_close_ms;
        uint64_t backoff_min_ms, backoff_max_ms, max_attempts;
        uint32_t serve; /* bits: 1 << enum route */
        char auth_key_file[CONFIG_TEXT_SIZE], ca_file[CONFIG_TEXT_SIZE];
        char relays_file[CONFIG_TEXT_SIZE]; /* read into `relays` */
        bool verbose;
    } publisher;
    struct {
        char socks[CONFIG_TEXT_SIZE]; /* "managed", or any=… ipv6=… ipv4=… */
        char control[CONFIG_TEXT_SIZE], control_password_file[CONFIG_TEXT_SIZE];
        char extra_file[CONFIG_TEXT_SIZE];
    } tor;
    struct {
        char test_host[CONFIG_TEXT_SIZE];
    } ipv6;
    struct {
        struct config_listen listen;
        struct config_hosts hosts;
        bool open;
        uint64_t interval_ms;
        char ingest[CONFIG_TEXT_SIZE]; /* "": the first of ingest.listen */
        uint64_t heartbeat_ms;
        char admin_token_file[CONFIG_TEXT_SIZE];
        char nip66_key_file[CONFIG_TEXT_SIZE];
    } probe;
    struct {
        enum log_level level;
        enum log_format format;
    } log;
    struct config_source *sources; /* where each key came from, by row; owned */
    char file[CONFIG_TEXT_SIZE];   /* the file that was read; empty: none */
    struct buf warnings;           /* one line each: duplicates merged, … */
};

struct config_options {
    const char *file; /* -c; NULL: ./volley.yaml if ours or root's, then /etc/volley/volley.yaml,
                         then none */
    const char *const *sets; /* section.key=value */
    size_t sets_len;
    char *const *env; /* environ, or a test's */
};

/* ERR_INVALID: `p` says what, where and how to mend it. On any error nothing need be freed. */
MUST_USE enum err config_load(const struct config_options *o, struct config *out,
                              struct problem *p);
void config_free(struct config *c);

/* One line a key: "section.key = value   # where it came from". */
MUST_USE enum err config_print(const struct config *c, struct buf *out);

/* What the manual says of a key. `kind` is a word for its values ("duration", "yes|no"). */
struct config_key_row {
    const char *name, *kind, *fallback, *help;
};
/* The n-th key; false beyond the last. */
bool config_key_at(size_t n, struct config_key_row *out);

/* Whether the n-th key, or what follows from it, is not the same in both. */
bool config_key_differs(const struct config *a, const struct config *b, size_t n);

/* How many of the relays go by this route. */
size_t config_route_len(const struct config *c, enum route route);
/* Whether any relay needs tor and none but the managed one is configured. */
bool config_needs_managed_tor(const struct config *c);

#endif
