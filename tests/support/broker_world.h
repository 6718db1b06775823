/* A broker with its store in a directory of its own, two clients, and a clock in a variable, all on
 * one loop. For tests of what lies between queue and store. */
#ifndef VOLLEY_TESTS_SUPPORT_BROKER_WORLD_H
#define VOLLEY_TESTS_SUPPORT_BROKER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/broker.h"
#include "queue/endpoint.h"
#include "tests/support/ask.h"
#include "tests/support/curve_dir.h"
#include "tests/support/make_event.h"
#include "tests/support/spin.h"

#define WORLD_CLIENTS 2

struct world {
    char dir[128], url[256];
    const char *keys_dir; /* by tcp: `dir`; else NULL */
    struct curve_pair server, client;
    struct endpoint at;
    uv_loop_t loop;
    int64_t wall_ms;
    uint64_t boot_ms;
    struct broker_clock clock;
    struct broker *broker;
    struct queue *q[WORLD_CLIENTS];
    bool closed;
    uint64_t wanted; /* what the world_await_… wait for */
    /* what a client that follows was told */
    uint64_t head, tails, last_pos;
    /* what became of world_append_notes' events */
    unsigned answered, duplicates, unknown, failed;
};

/* A test's setup and teardown: the state is a struct world. */
int world_begin(void **state);
int world_end(void **state);
/* The same by zmq+tcp on 127.0.0.1, the keys in w->dir. */
int world_begin_tcp(void **state);
#define WORLD_TCP_TEST(f) cmocka_unit_test_setup_teardown(f, world_begin_tcp, world_end)
#define WORLD_TEST(f)     cmocka_unit_test_setup_teardown(f, world_begin, world_end)

struct broker_options world_options(struct world *w);
void world_start_broker(struct world *w);
void world_stop_broker(struct world *w);

/* Another client of this broker, its keys in `keys_dir`. */
struct queue *world_open(struct world *w, const char *keys_dir, uint32_t timeout_ms);
/* Removes the directory and the files in it. */
void world_remove(const char *path);

/* Puts so many relays in force, as the first list. */
void world_define(struct world *w, unsigned count);
/* Appends note `number`, which must be taken. */
struct append_result world_append_note(struct world *w, int client, unsigned number);
/* Appends notes from … to in one turn, and waits for nothing. */
void world_append_notes(struct world *w, int client, unsigned from, unsigned to);
void world_await_answers(struct world *w, unsigned count);
uint64_t world_head_of(struct world *w, int client);
/* Follows, and waits for the first beat. */
void world_follow(struct world *w, int client);
void world_await_head(struct world *w, uint64_t head);
void world_await_tail(struct world *w, uint64_t pos);
/* A lease call of the publisher that is this client; the caller frees the answer. */
void world_lease(struct world *w, int client, struct lease_held *held, size_t len,
                 struct answer *a);

#endif
