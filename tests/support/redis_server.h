/* A redis-server of a test's own: on a unix socket in a new directory, with a configuration that
 * keeps what it acknowledges, and a wall clock that only moves when the test says so (or the
 * machine's). One program may have several; those that are left are ended with it. */
#ifndef VOLLEY_TESTS_SUPPORT_REDIS_SERVER_H
#define VOLLEY_TESTS_SUPPORT_REDIS_SERVER_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct redis_server {
    char dir[160], socket[200], url[240];
    pid_t pid;                   /* 0: not running */
    redisContext *to;            /* a connection of the test's own; NULL when it is not running */
    volatile uint64_t *clock_us; /* NULL: the machine's clock */
};

/* Whether this machine has one. */
bool redis_server_exists(void);
/* Starts it, with more lines for its configuration ("maxmemory 10mb\n…"; NULL for none). `clock`:
 * its wall clock is given by redis_server_set_clock. Ends the program when it can't. */
void redis_server_start(struct redis_server *s, bool clock, const char *config);
/* kill -9 and the same again, on the same data. */
void redis_server_restart(struct redis_server *s);
void redis_server_kill(struct redis_server *s);
/* On the same directory, after a kill. */
void redis_server_again(struct redis_server *s);
/* Ends it and removes its directory. */
void redis_server_stop(struct redis_server *s);
void redis_server_set_clock(struct redis_server *s, int64_t wall_ms);
/* A command of the test's own; its answer, to be freed with freeReplyObject. Ends the program when
 * there is none, or an error. */
redisReply *redis_server_do(struct redis_server *s, const char *format, ...);
/* The same, with the answer not looked at. */
void redis_server_tell(struct redis_server *s, const char *format, ...);

#endif
