/* Where a Redis is reached:
 *
 *     redis://HOST[:PORT][/DB]       HOST is an address, an IPv6 address in brackets, or a name
 *     redis+unix:///PATH[/DB]        a unix socket; a last part of digits only is the database
 *
 * Port 6379 and database 0 when not given. No password in it: queue.password_file. */
#ifndef VOLLEY_QUEUE_REDIS_ADDRESS_H
#define VOLLEY_QUEUE_REDIS_ADDRESS_H

#include "common/base/err.h"

#include <stdbool.h>

#define REDIS_HOST_SIZE 254
#define REDIS_PATH_SIZE 108

struct redis_address {
    bool is_unix;
    bool is_name; /* HOST must be resolved */
    char host[REDIS_HOST_SIZE];
    char path[REDIS_PATH_SIZE];
    unsigned port, db;
};

/* Whether the URL is one of Redis at all. */
bool redis_address_is(const char *url);
/* ERR_INVALID: `p` says what and how to mend it. */
MUST_USE enum err redis_address_parse(const char *url, struct redis_address *out,
                                      struct problem *p);

#endif
