/* The table of configuration keys, and the words it is searched by. */
#include "common/config/config_internal.h"
#include "common/config/value.h"

#include <stdio.h>
#include <string.h>

#define KEY(section, key, field, type, fallback, min, max, help)                                   \
    {                                                                                              \
        section "." key, type, offsetof(struct config, field), fallback, min, max, help            \
    }
#define MINUTE_MS UINT64_C(60000)
#define DAY_MS    (1440 * MINUTE_MS)
#define KIB       UINT64_C(1024)
#define TIB       (KIB * KIB * KIB * KIB)

const struct config_key config_keys[] = {
    KEY("ingest", "listen", ingest.listen, TYPE_LISTEN, "127.0.0.1:7787", 0, 0,
        "where clients post events; several allowed"),
    KEY("ingest", "allow_pubkeys", ingest.allow_pubkeys, TYPE_PUBKEYS, "", 0, 0,
        "whose events are taken (hex or npub); empty: anybody's, on loopback only"),
    KEY("ingest", "open", ingest.open, TYPE_BOOL, "no", 0, 0,
        "yes: with no allow_pubkeys, take anybody's events on any address"),
    KEY("ingest", "max_event", ingest.max_event, TYPE_SIZE, "128KiB", KIB, KIB *KIB,
        "largest event, in canonical bytes"),
    KEY("ingest", "max_connections", ingest.max_connections, TYPE_UINT, "10000", 1, 100000,
        "clients at a time"),
    KEY("ingest", "max_per_ip", ingest.max_per_ip, TYPE_UINT, "100", 1, 100000,
        "clients at a time from one address"),
    KEY("ingest", "min_pow", ingest.min_pow, TYPE_UINT, "0", 0, 256,
        "leading zero bits an id must have (NIP-13)"),
    KEY("ingest", "created_at_past", ingest.created_at_past_ms, TYPE_DURATION, "any", 1000,
        36500 * DAY_MS, "how old an event may be; any: no limit"),
    KEY("ingest", "created_at_future", ingest.created_at_future_ms, TYPE_DURATION, "15m", 1000,
        36500 * DAY_MS, "how far ahead of our clock an event may be"),
    KEY("queue", "url", queue.url, TYPE_TEXT, "zmq+ipc://DATA_DIR/queue.sock", 0, 0,
        "where the queue is; DATA_DIR is queue.data_dir"),
    KEY("queue", "data_dir", queue.data_dir, TYPE_TEXT, "DEFAULT", 0, 0,
        "the embedded store; mode 0700"),
    KEY("queue", "retention", queue.retention_ms, TYPE_DURATION, "7d", MINUTE_MS, 36500 * DAY_MS,
        "what is undelivered for longer expires; how long receipts and failed deliveries are kept"),
    KEY("queue", "max_bytes", queue.max_bytes, TYPE_SIZE, "8GiB", KIB *KIB, 16 * TIB,
        "events held; when full, ingest refuses"),
    KEY("queue", "failed_max", queue.failed_max, TYPE_SIZE, "1GiB", KIB *KIB, 16 * TIB,
        "bytes of failed events kept for replay"),
    KEY("queue", "lane_max", queue.lane_max, TYPE_SIZE, "half", KIB *KIB, 16 * TIB,
        "bytes that one relay may keep waiting; beyond that it gives up its oldest"),
    KEY("queue", "keys_dir", queue.keys_dir, TYPE_TEXT, "", 0, 0,
        "for zmq+tcp: the directory that 'volley keys' made"),
    KEY("queue", "prefix", queue.prefix, TYPE_TEXT, "volley", 0, 0,
        "for Redis: what the names of the queue's keys begin with"),
    KEY("queue", "password_file", queue.password_file, TYPE_TEXT, "", 0, 0,
        "for Redis: the file with its password"),
    KEY("queue", "unsafe", queue.unsafe, TYPE_BOOL, "no", 0, 0,
        "for Redis: yes: use one that may lose what it acknowledged"),
    KEY("publisher", "relays", publisher.relays, TYPE_RELAYS, "", 0, 0,
        "where events are delivered: URLs, bare hosts, or maps"),
    KEY("publisher", "relays_file", publisher.relays_file, TYPE_TEXT, "", 0, 0,
        "a JSON list of hosts to add to them, such as Haven's relays_blastr.json"),
    KEY("publisher", "route", publisher.route, TYPE_ROUTE, "tor", 0, 0,
        "tor (never touches the clear net) or direct"),
    KEY("publisher", "serve", publisher.serve, TYPE_ROUTES, "tor direct", 0, 0,
        "which routes this publisher leases lanes for"),
    KEY("publisher", "family", publisher.family, TYPE_FAMILY, "auto", 0, 0,
        "auto (IPv6 first), ipv6 or ipv4"),
    KEY("publisher", "race_delay", publisher.race_delay_ms, TYPE_DURATION, "auto", 10, MINUTE_MS,
        "the head start of IPv6; auto is 300ms direct and, over Tor, learned: 300ms to 3s"),
    KEY("publisher", "demote_after", publisher.demote_after, TYPE_UINT, "3", 1, 1000,
        "so many IPv6 failures in a row put IPv4 first"),
    KEY("publisher", "demote_for", publisher.demote_for_ms, TYPE_DURATION, "30m", 1000, DAY_MS,
        "then IPv6 is tried first again"),
    KEY("publisher", "window", publisher.window, TYPE_UINT, "256", 1, 1000,
        "most events in flight per relay"),
    KEY("publisher", "window_bytes", publisher.window_bytes, TYPE_SIZE, "256KiB", KIB,
        64 * KIB * KIB, "most bytes in flight per relay"),
    KEY("publisher", "connect_timeout", publisher.connect_timeout_ms, TYPE_DURATION, "30s", 100,
        10 * MINUTE_MS, "connect, TLS and handshake together"),
    KEY("publisher", "ok_timeout", publisher.ok_timeout_ms, TYPE_DURATION, "30s", 100,
        10 * MINUTE_MS, "how long an answer may take"),
    KEY("publisher", "idle_close", publisher.idle_close_ms, TYPE_DURATION, "5m", 100, DAY_MS,
        "a connection without work is closed after this"),
    KEY("publisher", "backoff_min", publisher.backoff_min_ms, TYPE_DURATION, "1s", 10, DAY_MS,
        "first wait after a failure"),
    KEY("publisher", "backoff_max", publisher.backoff_max_ms, TYPE_DURATION, "10m", 10, DAY_MS,
        "longest wait after a failure"),
    KEY("publisher", "max_attempts", publisher.max_attempts, TYPE_UINT, "20", 1, 1000,
        "an event answered error: so often has failed"),
    KEY("publisher", "auth_key_file", publisher.auth_key_file, TYPE_TEXT, "", 0, 0,
        "secret key (hex or nsec) for relays that ask for AUTH"),
    KEY("publisher", "ca_file", publisher.ca_file, TYPE_TEXT, "", 0, 0,
        "certificate authorities to trust instead of the system's"),
    KEY("publisher", "verbose", publisher.verbose, TYPE_BOOL, "no", 0, 0,
        "log A and AAAA results, the family used, the path through Tor"),
    KEY("tor", "socks", tor.socks, TYPE_TEXT, "managed", 0, 0,
        "managed: volley runs its own tor; or an existing one: any=HOST:PORT ipv6=HOST:PORT "
        "ipv4=HOST:PORT"),
    KEY("tor", "control", tor.control, TYPE_TEXT, "", 0, 0,
        "an existing tor's control port, HOST:PORT or unix:PATH: is it ready, which circuit"),
    KEY("tor", "control_password_file", tor.control_password_file, TYPE_TEXT, "", 0, 0,
        "the control port's password; empty: by cookie"),
    KEY("tor", "extra_file", tor.extra_file, TYPE_TEXT, "", 0, 0,
        "torrc lines added to the managed tor's, such as bridges"),
    KEY("ipv6", "test_host", ipv6.test_host, TYPE_TEXT, "", 0, 0,
        "HOST:PORT to connect to by IPv6 at start, as a test; empty: none (it would reveal the "
        "host)"),
    KEY("probe", "listen", probe.listen, TYPE_LISTEN, "127.0.0.1:7788", 0, 0,
        "dashboard, JSON and metrics; several allowed"),
    KEY("probe", "hosts", probe.hosts, TYPE_HOSTS, "", 0, 0,
        "names by which it may be asked, besides loopback's: HOST or HOST:PORT"),
    KEY("probe", "open", probe.open, TYPE_BOOL, "no", 0, 0,
        "yes: on any address, reading needs no token"),
    KEY("probe", "interval", probe.interval_ms, TYPE_DURATION, "10m", 0, DAY_MS,
        "each relay and family is tried this often; 0s: not by this one"),
    KEY("probe", "ingest", probe.ingest, TYPE_TEXT, "", 0, 0,
        "where ingest is asked how it is, HOST:PORT; empty: at ingest.listen"),
    KEY("probe", "heartbeat", probe.heartbeat_ms, TYPE_DURATION, "30s", 0, DAY_MS,
        "how often ingest is posted a heartbeat, which goes as far as a publisher; 0s: never"),
    KEY("probe", "admin_token_file", probe.admin_token_file, TYPE_TEXT, "", 0, 0,
        "a secret of at least 16 characters: its holder may replay, hold and release; empty: "
        "nobody"),
    KEY("probe", "nip66_key_file", probe.nip66_key_file, TYPE_TEXT, "", 0, 0,
        "secret key that signs what the prober found (NIP-66), for all to see; empty: not told"),
    KEY("log", "level", log.level, TYPE_LEVEL, "info", 0, 0, "debug, info, warn or error"),
    KEY("log", "format", log.format, TYPE_FORMAT, "text", 0, 0, "text, logfmt or json"),
};
const size_t config_keys_len = COUNT_OF(config_keys);

int config_find(const char *name)
{
    for (size_t i = 0; i < config_keys_len; i++)
        if (strcmp(config_keys[i].name, name) == 0)
            return (int)i;
    return -1;
}

const char *config_suggest(const char *name, char *out, size_t size)
{
    const char *names[COUNT_OF(config_keys)];
    for (size_t i = 0; i < config_keys_len; i++)
        names[i] = config_keys[i].name;
    const char *near = value_nearest(name, names, config_keys_len);
    (void)snprintf(out, size, near != NULL ? " (did you mean %s?)" : "%s",
                   near != NULL ? near : "");
    return out;
}

bool config_key_at(size_t n, struct config_key_row *out)
{
    static const char *const kinds[] = {[TYPE_TEXT] = "text",
                                        [TYPE_UINT] = "number",
                                        [TYPE_SIZE] = "size",
                                        [TYPE_DURATION] = "duration",
                                        [TYPE_BOOL] = "yes|no",
                                        [TYPE_LISTEN] = "addresses",
                                        [TYPE_PUBKEYS] = "keys",
                                        [TYPE_RELAYS] = "relays",
                                        [TYPE_ROUTE] = "tor|direct",
                                        [TYPE_ROUTES] = "routes",
                                        [TYPE_FAMILY] = "auto|ipv6|ipv4",
                                        [TYPE_LEVEL] = "level",
                                        [TYPE_FORMAT] = "format",
                                        [TYPE_HOSTS] = "hosts"};
    if (n >= config_keys_len)
        return false;
    const struct config_key *key = &config_keys[n];
    *out = (struct config_key_row){
        .name = key->name, .kind = kinds[key->type], .fallback = key->fallback, .help = key->help};
    if (strcmp(key->fallback, "DEFAULT") == 0)
        out->fallback = "$XDG_DATA_HOME/volley, ~/.local/share/volley, or /var/lib/volley for root";
    return true;
}
