/* `practice relays`: starts them, prints their URLs, then obeys lines on the control port. */
#include "tests/practice/practice.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 1024

struct master {
    uv_loop_t loop;
    struct practice_relay relays[RELAYS_MAX];
    size_t len;
    uv_tcp_t control;
};

/* One client of the control port. */
struct talk {
    uv_tcp_t tcp;
    struct master *m;
    char line[LINE_SIZE];
    size_t len;
};

static struct practice_relay *find(struct master *m, const char *name, size_t len)
{
    for (size_t i = 0; i < m->len; i++)
        if (strlen(m->relays[i].name) == len && strncmp(m->relays[i].name, name, len) == 0)
            return &m->relays[i];
    return NULL;
}

static enum err put_counts(struct practice_relay *r, struct buf *out)
{
    char url[128];
    if (r->record != NULL)
        fflush(r->record);
    practice_relay_url(r, url, sizeof url);
    return buf_addf(
        out,
        "{\"name\":\"%s\",\"url\":\"%s\",\"stance\":\"%s\",\"connections_ipv4\":%" PRIu64
        ",\"connections_ipv6\":%" PRIu64 ",\"open\":%" PRIu64 ",\"open_max\":%" PRIu64
        ",\"links_max\":%" PRIu64 ",\"events\":%" PRIu64 ",\"accepted\":%" PRIu64
        ",\"unique\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"auths\":%" PRIu64 ",\"bad\":%" PRIu64
        ",\"reads\":%" PRIu64 ",\"documents\":%" PRIu64 "}\n",
        r->name, url, stance_name(r->stance), r->connections[0], r->connections[1], r->open,
        r->open_max, r->links_max, r->events, r->accepted, r->unique, r->refused, r->auths, r->bad,
        r->reads, r->documents);
}

static enum err obey(struct master *m, const char *line, struct buf *out)
{
    size_t verb = strcspn(line, " ");
    const char *name = line + verb + strspn(line + verb, " ");
    size_t name_len = strcspn(name, " ");
    struct practice_relay *r = find(m, name, name_len);
    struct behaviour b;
    struct problem p;
    enum err e = ERR_NONE;
    if (strncmp(line, "list", verb) == 0) {
        for (size_t i = 0; i < m->len && e == ERR_NONE; i++)
            e = put_counts(&m->relays[i], out);
        return e != ERR_NONE ? e : buf_add_str(out, ".\n");
    }
    if (r == NULL)
        return buf_add_str(out, "error: no such relay\n");
    if (strncmp(line, "counts", verb) == 0)
        return put_counts(r, out);
    if (strncmp(line, "cut", verb) == 0) {
        practice_clients_close(r);
        return buf_add_str(out, "ok\n");
    }
    if (strncmp(line, "set", verb) != 0)
        return buf_add_str(out, "error: set, counts, cut or list\n");
    if (behaviour_parse(name + name_len, &b, &p) != ERR_NONE)
        return buf_addf(out, "error: %s\n", p.text);
    practice_relay_set(r, &b);
    return buf_add_str(out, "ok\n");
}

static void on_talk_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    struct talk *t = handle->data;
    (void)hint;
    *out = uv_buf_init(t->line + t->len, (unsigned)(sizeof t->line - t->len - 1));
}

static void send_all(struct talk *t, struct buf *out)
{
    int fd;
    uv_fileno((uv_handle_t *)&t->tcp, &fd);
    uv_stream_set_blocking((uv_stream_t *)&t->tcp, 1);
    uv_buf_t b = uv_buf_init((char *)out->data, (unsigned)out->len);
    while (b.len > 0) {
        int n = uv_try_write((uv_stream_t *)&t->tcp, &b, 1);
        if (n < 0)
            return;
        b.base += n;
        b.len -= (size_t)n;
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *unused)
{
    struct talk *t = stream->data;
    (void)unused;
    if (n < 0 || t->len + (size_t)n >= sizeof t->line - 1) {
        uv_close((uv_handle_t *)&t->tcp, on_talk_closed);
        return;
    }
    t->len += (size_t)n;
    t->line[t->len] = '\0';
    for (char *eol; (eol = strchr(t->line, '\n')) != NULL;) {
        struct buf out;
        buf_init(&out, 1u << 20);
        *eol = '\0';
        if (obey(t->m, t->line, &out) != ERR_NONE)
            die("the answer is too long");
        send_all(t, &out);
        buf_fini(&out);
        t->len -= (size_t)(eol + 1 - t->line);
        memmove(t->line, eol + 1, t->len + 1);
    }
}

static void on_talk(uv_stream_t *server, int status)
{
    struct master *m = server->data;
    struct talk *t = mem_zero(1, sizeof *t);
    t->m = m;
    uv_tcp_init(&m->loop, &t->tcp);
    t->tcp.data = t;
    if (status != 0 || uv_accept(server, (uv_stream_t *)&t->tcp) != 0)
        uv_close((uv_handle_t *)&t->tcp, on_talk_closed);
    else
        uv_read_start((uv_stream_t *)&t->tcp, on_alloc, on_read);
}

static int open_control(struct master *m)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = sizeof at;
    uv_tcp_init(&m->loop, &m->control);
    m->control.data = m;
    if (uv_tcp_bind(&m->control, (struct sockaddr *)&at, 0) != 0 ||
        uv_listen((uv_stream_t *)&m->control, 8, on_talk) != 0)
        return -1;
    uv_tcp_getsockname(&m->control, (struct sockaddr *)&at, &len);
    return ntohs(at.sin_port);
}

/* NAME:STANCE[:PORT][:BEHAVIOUR] */
static int add(struct master *m, char *spec, const char *record_dir, bool verify, bool anywhere)
{
    char *save = NULL, *name = strtok_r(spec, ":", &save), *stance = strtok_r(NULL, ":", &save),
         *port = strtok_r(NULL, ":", &save);
    struct practice_relay *r = &m->relays[m->len];
    struct problem p;
    struct behaviour b;
    int at = -1;
    for (int i = 0; stance != NULL && i < STANCE_COUNT; i++)
        if (strcmp(stance, stance_name((enum stance)i)) == 0)
            at = i;
    if (at < 0 || m->len == RELAYS_MAX) {
        fprintf(stderr,
                "practice: '%s': expected NAME:STANCE[:PORT[:BEHAVIOUR]] with a stance of v4 v6 "
                "dual dead6 refused6 refused4\n",
                name);
        return -1;
    }
    if (practice_relay_start(r, &m->loop, name, (enum stance)at,
                             (uint16_t)(port != NULL ? strtoul(port, NULL, 10) : 0), anywhere,
                             record_dir, &p) != ERR_NONE ||
        behaviour_parse(save != NULL ? save : "", &b, &p) != ERR_NONE) {
        fprintf(stderr, "practice: %s\n", p.text);
        return -1;
    }
    r->verify = verify;
    practice_relay_set(r, &b);
    m->len++;
    return 0;
}

int practice_relays(int argc, char **argv)
{
    static struct master m;
    const char *record_dir = "";
    bool verify = false, anywhere = false;
    signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&m.loop) != 0)
        die("cannot make an event loop");
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--record") == 0 && i + 1 < argc)
            record_dir = argv[++i];
        else if (strcmp(argv[i], "--verify") == 0)
            verify = true;
        else if (strcmp(argv[i], "--anywhere") == 0)
            anywhere = true;
        else if (add(&m, argv[i], record_dir, verify, anywhere) != 0)
            return 2;
    }
    int port = open_control(&m);
    if (port < 0) {
        fprintf(stderr, "practice: no control port\n");
        return 1;
    }
    for (size_t i = 0; i < m.len; i++) {
        char url[128];
        practice_relay_url(&m.relays[i], url, sizeof url);
        printf("relay %s %s\n", m.relays[i].name, url);
    }
    printf("control %d\n", port);
    fflush(stdout);
    uv_run(&m.loop, UV_RUN_DEFAULT); /* until it is killed */
    return 0;
}
