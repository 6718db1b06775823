/* `practice post`: signs events and posts them to a relay over one websocket, many unanswered at a
 * time. What was not answered when the link broke is sent again, until everything is answered or
 * the time is up. Prints one JSON line. */
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/rng.h"
#include "common/net/handshake.h"
#include "common/nostr/message.h"
#include "tests/practice/practice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum state { WAITING, SENT, ACCEPTED, REFUSED };

struct item {
    struct event *ev;
    enum state state;
    uint64_t sent_ms; /* first time, CLOCK_BOOTTIME, to compare with what a relay wrote down */
    UT_hash_handle hh;
};

struct post {
    /* what was asked for */
    struct relay_url url;
    size_t count, window, pad;
    uint64_t seed, rate, deadline_ms, started_ms;
    bool mix;
    const char *out, *refused_out, *mark;
    /* how it goes */
    struct item *items, *by_id;
    size_t next, unanswered, accepted, duplicates, refused, links;
    int fd;
    struct websocket *ws;
    char last_refusal[256];
};

/* ---- events ---- */

static uint64_t nth_key(uint64_t seed, uint64_t n)
{
    struct rng r;
    rng_init(&r, seed * 1000003u + n);
    return rng_next(&r);
}

static void secret_of(uint64_t seed, uint64_t author, uint8_t out[32])
{
    memset(out, 0, 32);
    out[0] = 1;
    uint64_t a = nth_key(seed, author);
    memcpy(out + 8, &a, sizeof a);
}

/* One event in the mixed bag: every kind that a broadcaster must not lose, notes between them. */
static uint32_t mixed_kind(size_t i)
{
    static const uint32_t kinds[] = {1,     1, 7, 1,     0, 1,     6, 1, 3, 1,
                                     10002, 1, 1, 30023, 1, 20001, 1, 5, 1, 1111};
    return kinds[i % COUNT_OF(kinds)];
}

static struct event *make(const struct post *p, size_t i)
{
    uint8_t secret[32];
    char content[256], tags[128] = "[]";
    struct event *ev;
    struct problem why;
    uint32_t kind = p->mix ? mixed_kind(i) : 1;
    secret_of(p->seed, p->mix ? i / 100 : 0, secret);
    (void)snprintf(content, sizeof content, "%s %" PRIu64 "/%zu \"quoted\" \\ \t ünïcödé 🔫",
                   p->mark, p->seed, i);
    if (kind == 30023)
        (void)snprintf(tags, sizeof tags, "[[\"d\",\"article-%zu\"]]", i % 200);
    if (kind == 5)
        (void)snprintf(tags, sizeof tags, "[[\"e\",\"%064zx\"]]", i);
    char *padded = mem_new(strlen(content) + p->pad + 1);
    memcpy(padded, content, strlen(content) + 1);
    memset(padded + strlen(content), 'x', p->pad);
    padded[strlen(content) + p->pad] = '\0';
    if (event_make(secret, (uint64_t)clock_wall_s() - p->count / 1000 + i / 1000, kind, tags,
                   padded, &ev, &why) != ERR_NONE)
        die("cannot make an event: %s", why.text);
    free(padded);
    return ev;
}

/* ---- the link ---- */

static ssize_t io_send(void *arg, const uint8_t *data, size_t len)
{
    struct post *p = arg;
    ssize_t n = send(p->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n >= 0 ? n : errno == EAGAIN ? 0 : -1;
}

static ssize_t io_recv(void *arg, uint8_t *data, size_t len)
{
    struct post *p = arg;
    ssize_t n = recv(p->fd, data, len, MSG_DONTWAIT);
    return n > 0 ? n : n == 0 ? -2 : errno == EAGAIN ? 0 : -1;
}

static bool on_text(void *arg, const char *text, size_t len)
{
    struct post *p = arg;
    struct relay_message m;
    struct item *it = NULL;
    if (message_from_relay(text, len, &m, NULL) != ERR_NONE || m.verb != VERB_OK)
        return true;
    HASH_FIND(hh, p->by_id, m.id, EVENT_ID_LEN, it);
    if (it == NULL || it->state != SENT)
        return true;
    p->unanswered--;
    char words[256];
    json_copy(m.text, words, sizeof words);
    if (m.accepted) {
        it->state = ACCEPTED;
        p->accepted++;
        p->duplicates += strncmp(words, "duplicate:", 10) == 0;
    } else if (strncmp(words, "error:", 6) == 0) {
        it->state = WAITING; /* it says so itself: later again */
        (void)snprintf(p->last_refusal, sizeof p->last_refusal, "%s", words);
    } else {
        it->state = REFUSED;
        p->refused++;
        (void)snprintf(p->last_refusal, sizeof p->last_refusal, "%s", words);
    }
    return true;
}

static bool read_answer(struct post *p, const char *key)
{
    struct buf in;
    struct handshake_answer a;
    struct problem why;
    enum err e = ERR_AGAIN;
    buf_init(&in, 16384);
    while (e == ERR_AGAIN) {
        uint8_t bytes[1024];
        struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
        if (poll(&pfd, 1, 2000) <= 0)
            break;
        ssize_t n = recv(p->fd, bytes, sizeof bytes, 0);
        if (n <= 0 || buf_add(&in, bytes, (size_t)n) != ERR_NONE)
            break;
        e = handshake_answer((const char *)in.data, in.len, key, &a, &why);
    }
    if (e == ERR_NONE && websocket_preload(p->ws, in.data + a.len, in.len - a.len) != ERR_NONE)
        e = ERR_TOO_BIG;
    buf_fini(&in);
    return e == ERR_NONE;
}

static bool open_link(struct post *p)
{
    static const struct websocket_limits limits = {.message_max = 1u << 20, .queue_max = 64u << 20};
    const struct websocket_io io = {.send = io_send, .recv = io_recv, .on_text = on_text, .arg = p};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(p->url.port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(p->url.port)};
    bool is6 = inet_pton(AF_INET6, p->url.host, &v6.sin6_addr) == 1;
    if (!is6 &&
        inet_pton(AF_INET, strcmp(p->url.host, "localhost") == 0 ? "127.0.0.1" : p->url.host,
                  &v4.sin_addr) != 1)
        die("practice post takes loopback addresses only");
    char key[HANDSHAKE_KEY_SIZE];
    struct buf request;
    buf_init(&request, 4096);
    handshake_key(key);
    p->fd = socket(is6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    p->ws = websocket_new(WEBSOCKET_CLIENT, &io, &limits);
    p->links++;
    bool ok = connect(p->fd, is6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                      is6 ? sizeof v6 : sizeof v4) == 0 &&
              handshake_request(&request, &p->url, key, NULL) == ERR_NONE &&
              send(p->fd, request.data, request.len, MSG_NOSIGNAL) == (ssize_t)request.len &&
              read_answer(p, key);
    buf_fini(&request);
    return ok;
}

static void close_link(struct post *p)
{
    websocket_free(p->ws);
    close(p->fd);
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].state == SENT)
            p->items[i].state = WAITING;
    p->unanswered = 0;
    p->next = 0;
}

/* ---- posting ---- */

static bool over(const struct post *p)
{
    return p->accepted + p->refused == p->count || clock_boot_ms() > p->deadline_ms;
}

static void fill_window(struct post *p)
{
    struct buf text;
    buf_init(&text, EVENT_LEN_MAX + 64);
    uint64_t allowed =
        p->rate > 0 ? (clock_boot_ms() - p->started_ms) * p->rate / 1000 + 1 : p->count;
    for (; p->next < p->count && p->next < allowed && p->unanswered < p->window; p->next++) {
        struct item *it = &p->items[p->next];
        if (it->state != WAITING)
            continue;
        if (it->ev == NULL) {
            it->ev = make(p, p->next);
            HASH_ADD_KEYPTR(hh, p->by_id, it->ev->id, EVENT_ID_LEN, it);
        }
        buf_clear(&text);
        if (message_put_event(&text, "EVENT", it->ev->bytes, it->ev->len) != ERR_NONE ||
            websocket_send_text(p->ws, (const char *)text.data, text.len) != ERR_NONE)
            die("cannot queue an event");
        it->state = SENT;
        if (it->sent_ms == 0)
            it->sent_ms = clock_boot_ms();
        p->unanswered++;
    }
    if (p->next == p->count && p->unanswered == 0)
        p->next = 0; /* what was answered error: once more */
    buf_fini(&text);
}

/* One link's life. */
static void talk(struct post *p)
{
    size_t before = p->accepted;
    while (!over(p)) {
        fill_window(p);
        enum err e = websocket_flush(p->ws);
        if (e != ERR_NONE && e != ERR_AGAIN)
            return;
        struct pollfd pfd = {.fd = p->fd, .events = POLLIN | (e == ERR_AGAIN ? POLLOUT : 0)};
        poll(&pfd, 1, p->unanswered == 0 && p->next > 0 ? 1 : 100);
        if (pfd.revents & POLLIN) {
            e = websocket_read(p->ws, 1u << 20);
            if (e != ERR_NONE && e != ERR_AGAIN)
                return;
        } else if (p->unanswered == 0 && p->accepted == before) {
            usleep(20000); /* everything is refused for now */
        }
        before = p->accepted;
    }
}

static void write_ids(const struct post *p, const char *path, enum state state)
{
    FILE *f = path != NULL ? fopen(path, "we") : NULL;
    char id[65];
    for (size_t i = 0; f != NULL && i < p->count; i++)
        if (p->items[i].state == state)
            fprintf(f, "%s\t%u\t%" PRIu64 "\t%.*s\n", hex_str(id, p->items[i].ev->id, 32),
                    p->items[i].ev->kind, p->items[i].sent_ms, (int)p->items[i].ev->len,
                    p->items[i].ev->bytes);
    if (f != NULL)
        fclose(f);
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

static int usage(void)
{
    fprintf(stderr,
            "usage: practice post URL [--count N] [--seed N] [--mix] [--window N] [--pad BYTES] "
            "[--rate N] [--seconds N] [--mark TEXT] [--out FILE] [--refused FILE]\n");
    return 2;
}

static int read_options(struct post *p, int argc, char **argv, uint64_t *seconds)
{
    struct problem why;
    if (argc < 1 || relay_url_parse(argv[0], &p->url, &why) != ERR_NONE)
        return usage();
    for (int i = 1; i < argc; i++) {
        const char *o = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(o, "--mix") == 0) {
            p->mix = true;
            continue;
        }
        if (strcmp(o, "--count") == 0)
            p->count = number(v);
        else if (strcmp(o, "--seed") == 0)
            p->seed = number(v);
        else if (strcmp(o, "--window") == 0)
            p->window = number(v);
        else if (strcmp(o, "--pad") == 0)
            p->pad = number(v);
        else if (strcmp(o, "--rate") == 0)
            p->rate = number(v);
        else if (strcmp(o, "--seconds") == 0)
            *seconds = number(v);
        else if (strcmp(o, "--mark") == 0)
            p->mark = v;
        else if (strcmp(o, "--out") == 0)
            p->out = v;
        else if (strcmp(o, "--refused") == 0)
            p->refused_out = v;
        else
            return usage();
        i++;
    }
    return 0;
}

int practice_author(int argc, char **argv)
{
    const struct post p = {.count = 1, .seed = argc > 0 ? number(argv[0]) : 1, .mark = ""};
    struct event *ev = make(&p, 0);
    char key[65];
    hex_str(key, ev->pubkey, sizeof ev->pubkey);
    puts(key);
    event_unref(ev);
    return 0;
}

int practice_post(int argc, char **argv)
{
    struct post p = {.count = 1, .window = 256, .seed = 1, .mark = "practice"};
    uint64_t seconds = 60;
    signal(SIGPIPE, SIG_IGN);
    int status = read_options(&p, argc, argv, &seconds);
    if (status != 0)
        return status;
    p.items = mem_zero(p.count, sizeof *p.items);
    for (size_t i = 0; p.rate == 0 && i < p.count; i++) { /* signed before the clock starts */
        p.items[i].ev = make(&p, i);
        HASH_ADD_KEYPTR(hh, p.by_id, p.items[i].ev->id, EVENT_ID_LEN, &p.items[i]);
    }
    p.started_ms = clock_boot_ms();
    p.deadline_ms = p.started_ms + 1000 * seconds;
    while (!over(&p)) {
        if (open_link(&p))
            talk(&p);
        close_link(&p);
        if (!over(&p))
            usleep(50000);
    }
    uint64_t took_ms = clock_boot_ms() - p.started_ms;
    write_ids(&p, p.out, ACCEPTED);
    write_ids(&p, p.refused_out, REFUSED);
    printf("{\"posted\":%zu,\"accepted\":%zu,\"duplicates\":%zu,\"refused\":%zu,\"unanswered\":%zu,"
           "\"links\":%zu,\"milliseconds\":%" PRIu64 ",\"last_refusal\":",
           p.count, p.accepted, p.duplicates, p.refused, p.count - p.accepted - p.refused, p.links,
           took_ms);
    struct buf quoted;
    buf_init(&quoted, 4096);
    if (json_put_string(&quoted, p.last_refusal, strlen(p.last_refusal)) == ERR_NONE)
        printf("%s}\n", buf_str(&quoted));
    buf_fini(&quoted);
    HASH_CLEAR(hh, p.by_id);
    for (size_t i = 0; i < p.count; i++)
        event_unref(p.items[i].ev);
    free(p.items);
    return p.accepted == p.count ? 0 : 1;
}
