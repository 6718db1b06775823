#include "common/net/names.h"

#include "common/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct names {
    uv_getaddrinfo_t ipv6, ipv4;
    int waiting;
    uint64_t start_us;
    struct names_result result;
    names_fn *fn; /* NULL: cancelled */
    void *arg;
};

static void note(struct names_family *f, int status, const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        if (f->len < NAMES_MAX &&
            uv_ip_name(a->ai_addr, f->addresses[f->len], sizeof f->addresses[0]) != 0)
            continue;
        f->len++;
    }
    if (f->len == 0)
        (void)snprintf(f->why, sizeof f->why, "%s",
                       status != 0 ? uv_strerror(status) : "no address");
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct names *n = request->data;
    struct names_family *f = request == &n->ipv6 ? &n->result.ipv6 : &n->result.ipv4;
    f->us = clock_boot_us() - n->start_us;
    f->why[0] = '\0';
    note(f, status, list);
    uv_freeaddrinfo(list);
    if (--n->waiting > 0)
        return;
    if (n->fn != NULL)
        n->fn(n->arg, &n->result);
    free(n);
}

static int ask(uv_loop_t *loop, struct names *n, uv_getaddrinfo_t *request, int family,
               const char *host)
{
    const struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    request->data = n;
    int e = uv_getaddrinfo(loop, request, on_answer, host, NULL, &hints);
    n->waiting += e == 0;
    return e;
}

struct names *names_look(uv_loop_t *loop, enum route route, const char *host, names_fn *fn,
                         void *arg)
{
    if (route != ROUTE_DIRECT)
        die("names: asked for %s by a route that must not", host);
    struct names *n = mem_zero(1, sizeof *n);
    n->fn = fn;
    n->arg = arg;
    n->start_us = clock_boot_us();
    int e = ask(loop, n, &n->ipv6, AF_INET6, host);
    if (e != 0) {
        free(n);
        return NULL;
    }
    note(&n->result.ipv4, ask(loop, n, &n->ipv4, AF_INET, host), NULL);
    return n;
}

void names_cancel(struct names *n)
{
    if (n == NULL)
        return;
    n->fn = NULL;
    (void)uv_cancel((uv_req_t *)&n->ipv6);
    (void)uv_cancel((uv_req_t *)&n->ipv4);
}
