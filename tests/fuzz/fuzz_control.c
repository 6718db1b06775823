/* Anything at all as what tor's control port says: read as lines, every line as every event. The
 * same bytes in two pieces must be the same lines; nothing outgrows its bounds. */
#include "common/net/control_auth.h"
#include "common/net/control_line.h"
#include "common/net/control_streams.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint64_t digest; /* of all lines */

static void check_text(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' && *text != '\t')
            die("a control character in a line");
}

static bool on_line(void *arg, const struct control_line *line)
{
    struct control_streams *s = arg;
    struct control_bootstrap_event b;
    struct control_stream_event stream;
    struct control_circuit_event circuit;
    struct control_methods m = {0};
    struct control_challenge challenge;
    check_text(line->text);
    if (line->status < 100 || line->status > 999)
        die("a status of %d", line->status);
    digest = digest * 31 + (uint64_t)line->status + (uint64_t)line->kind;
    for (const char *c = line->text; *c != '\0'; c++)
        digest = digest * 31 + (uint8_t)*c;
    if (control_event_bootstrap(line->text, &b) == ERR_NONE && (b.percent < 0 || b.percent > 100))
        die("%d per cent", b.percent);
    if (control_event_stream(line->text, &stream) == ERR_NONE)
        control_streams_take(s, &stream);
    if (control_event_circuit(line->text, &circuit) == ERR_NONE)
        control_streams_take_circuit(s, &circuit);
    (void)!control_methods_take(&m, line->text);
    (void)!control_challenge_parse(line->text, &challenge);
    return true;
}

static enum err run(const uint8_t *data, size_t len, size_t cut)
{
    struct control_reader r;
    struct control_path path;
    const char *why;
    struct control_streams *s = control_streams_new();
    digest = 0;
    control_reader_init(&r);
    enum err e = control_feed(&r, data, cut, on_line, s);
    if (e == ERR_NONE)
        e = control_feed(&r, data + cut, len - cut, on_line, s);
    const struct control_query q = {"u", "a", 1, NULL, 0};
    (void)!control_streams_find(s, &q, &path, &why);
    control_reader_fini(&r);
    control_streams_free(s);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    enum err whole = run(data, len, 0);
    uint64_t lines = digest;
    enum err parts = run(data, len, len > 0 ? data[len - 1] % len : 0);
    if (whole != parts || lines != digest)
        die("%s became %s in two pieces", err_name(whole), err_name(parts));
    return 0;
}
