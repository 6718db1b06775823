#include "common/net/torrc.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- paths ---- */

/* What needs quotes nowhere: not in a torrc, not in a URL, not in tor's events. */
static bool simple(const char *path)
{
    static const char allowed[] = "/._-+,:@~=";
    for (const char *c = path; *c != '\0'; c++) {
        bool letter =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        if (!letter && strchr(allowed, *c) == NULL)
            return false;
    }
    return true;
}

static void put_socket(char out[SOCKS_ADDRESS_SIZE], const char *dir, const char *name)
{
    (void)snprintf(out, SOCKS_ADDRESS_SIZE, "unix:%s/%s.sock", dir, name);
}

enum err tor_paths_of(const char *data_dir, struct tor_paths *out, struct problem *p)
{
    *out = (struct tor_paths){0};
    int len = snprintf(out->dir, sizeof out->dir, "%s/tor", data_dir);
    if (len < 0 || (size_t)len >= sizeof out->dir)
        return problem_set(p, ERR_INVALID,
                           "the managed tor's sockets need a shorter queue.data_dir (at most %d "
                           "bytes), or give the ports of a tor of your own (tor.socks)",
                           TOR_DIR_SIZE - 5);
    if (!simple(out->dir))
        return problem_set(p, ERR_INVALID,
                           "the managed tor can't live in %s: letters, digits and /._-+,:@~= only; "
                           "set queue.data_dir, or give the ports of a tor of your own (tor.socks)",
                           out->dir);
    (void)snprintf(out->torrc, sizeof out->torrc, "%s/torrc", out->dir);
    (void)snprintf(out->lock, sizeof out->lock, "%s/volley.lock", out->dir);
    put_socket(out->socks.any, out->dir, "any");
    put_socket(out->socks.ipv6, out->dir, "ipv6");
    put_socket(out->socks.ipv4, out->dir, "ipv4");
    put_socket(out->control, out->dir, "control");
    return ERR_NONE;
}

/* ---- what a user adds ---- */

/* Options that are volley's own, and those that would make its client a relay. */
static const char *const reserved[] = {
    "%include",
    "ControlPort",
    "ControlSocket",
    "CookieAuthentication",
    "CookieAuthFile",
    "DataDirectory",
    "DirPort",
    "DNSPort",
    "ExitRelay",
    "HashedControlPassword",
    "HTTPTunnelPort",
    "IPv6Exit",
    "NATDPort",
    "ORPort",
    "RunAsDaemon",
    "SafeSocks",
    "SocksPort",
    "SocksPolicy",
    "TransPort",
    "User",
    "__OwningControllerFD",
    "__OwningControllerProcess",
};

static enum err check_line(const char *line, size_t len, size_t number, struct problem *p)
{
    char word[64];
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < ' ' && line[i] != '\t' && line[i] != '\r')
            return problem_set(p, ERR_INVALID, "line %zu has a control character", number);
    size_t start = 0;
    while (start < len && strchr(" \t+/", line[start]) != NULL) /* +Option adds, /Option resets */
        start++;
    size_t end = start;
    while (end < len && strchr(" \t\r#\"", line[end]) == NULL)
        end++;
    if (end - start >= sizeof word)
        return problem_set(p, ERR_INVALID, "line %zu: no option of tor's is so long", number);
    memcpy(word, line + start, end - start);
    word[end - start] = '\0';
    for (size_t i = 0; i < COUNT_OF(reserved); i++)
        if (strcasecmp(word, reserved[i]) == 0)
            return problem_set(p, ERR_INVALID, "line %zu: %s is set by volley itself%s", number,
                               reserved[i], "; for another one run a tor of your own (tor.socks)");
    return ERR_NONE;
}

enum err torrc_check_extra(const char *text, size_t len, struct problem *p)
{
    if (len > TOR_EXTRA_MAX)
        return problem_set(p, ERR_TOO_BIG, "longer than %u bytes", TOR_EXTRA_MAX);
    size_t number = 1;
    for (const char *end = text + len; text < end; number++) {
        const char *eol = memchr(text, '\n', (size_t)(end - text));
        size_t line = (size_t)((eol != NULL ? eol : end) - text);
        enum err e = check_line(text, line, number, p);
        if (e != ERR_NONE)
            return e;
        if (line > 0 && text[line - 1] == '\\')
            return problem_set(p, ERR_INVALID, "line %zu goes on in the next: write it on one line",
                               number);
        text += line + 1;
    }
    return ERR_NONE;
}

/* ---- the file ---- */

/* docs/tor.md says why each of them, and why not PreferIPv6 and IPv6Exit. */
enum err torrc_write(const struct tor_paths *paths, long owner, const char *extra, struct buf *out)
{
    const struct socks_ports *s = &paths->socks;
    enum err e = buf_addf(out,
                          "# Written by volley at each start; add lines by tor.extra_file.\n"
                          "DataDirectory %s\n"
                          "ClientUseIPv6 1\n"
                          "ClientPreferIPv6ORPort 1\n"
                          "SocksPort %s\n"
                          "SocksPort %s NoIPv4Traffic IPv6Traffic\n"
                          "SocksPort %s NoIPv6Traffic\n"
                          "SafeSocks 1\n"
                          "ControlPort %s\n"
                          "CookieAuthentication 1\n"
                          "AvoidDiskWrites 1\n"
                          "Log notice stdout\n"
                          "__OwningControllerProcess %ld\n",
                          paths->dir, s->any, s->ipv6, s->ipv4, paths->control, owner);
    if (e == ERR_NONE && extra != NULL)
        e = buf_addf(out, "# From tor.extra_file:\n%s\n", extra);
    return e;
}
