/* What each test of link.c needs: a loop, a dialer, one request at a time and what came of it.
 * Linked only into cmocka programs: its checks are cmocka's. */
#ifndef VOLLEY_TESTS_LINK_RIG_H
#define VOLLEY_TESTS_LINK_RIG_H

#include "common/net/link.h"

struct link_rig {
    uv_loop_t loop;
    struct dialer *dialer;
    struct link_request request;
    struct socks_ports ports;
    struct link_open *opening; /* NULL: over */
    struct link_result result; /* its `extra` is the copy below */
    char extra[256];
    uint64_t took_ms;
    int told, fds;
};

/* `ca_file` may be NULL. */
void link_rig_init(struct link_rig *r, const char *ca_file);
/* Closes all; fails unless the loop is then empty and no descriptor is left. */
void link_rig_fini(struct link_rig *r);
/* Fills `request`: route direct, mode auto, race_delay 300 ms, timeout 5 s. */
void link_rig_ask(struct link_rig *r, const char *format, ...) PRINTF(2, 3);
/* Opens and turns the loop until it is told. The link stays in `result`, until link_rig_hang_up. */
enum err link_rig_run(struct link_rig *r);
void link_rig_hang_up(struct link_rig *r);
/* Turns the loop for so long. */
void link_rig_turn(struct link_rig *r, uint64_t ms);
/* The link's descriptor becomes readable, or the test fails after 5 s. */
void link_rig_wait_readable(struct link_rig *r);
/* Sends a masked text and reads its echo. */
void link_rig_echo(struct link_rig *r);
/* Open descriptors of this process. */
int count_fds(void);

#endif
