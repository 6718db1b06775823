/* One handle of libcurl's on the dialer's loop: what dial.c (a connection) and fetch.c (a request)
 * share. The way it goes is set here alone, for both. Only these and dialer.c include this: above
 * them nobody knows libcurl. */
#ifndef VOLLEY_NET_TRANSFER_H
#define VOLLEY_NET_TRANSFER_H

#include "common/net/dial.h"

#include <curl/curl.h>

struct dialer {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    char *ca_file, *user_agent; /* NULL: none */
    size_t handles;             /* of the loop, not yet closed */
    bool closing;
    void (*free_fn)(void *arg);
    void *free_arg;
};

struct transfer_way {
    enum route route;
    enum family family;             /* ROUTE_DIRECT: which addresses of the name */
    const char *socks, *socks_user; /* ROUTE_TOR: as in struct dial_request */
};

struct transfer {
    struct dialer *dialer;
    CURL *easy;
    /* libcurl's verdict, once. May end the transfer. */
    void (*done)(struct transfer *t, CURLcode code);
    char problem[CURL_ERROR_SIZE];
};

/* Our libcurl knows every option that is set. */
#define TRANSFER_SET(t, option, value)                                                             \
    do {                                                                                           \
        if (curl_easy_setopt((t)->easy, option, value) != CURLE_OK)                                \
            die("libcurl refuses " #option);                                                       \
    } while (0)

/* http or https to the relay's host and port, this way and no other; `done` is the caller's to set.
 * Then the options of its own, then transfer_start. */
void transfer_init(struct transfer *t, struct dialer *d, const struct relay_url *u,
                   const char *path, const struct transfer_way *w);
void transfer_start(struct transfer *t);
/* In whatever state, started or not. */
void transfer_end(struct transfer *t);

#endif
