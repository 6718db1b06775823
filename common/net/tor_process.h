/* One run of the tor program: started, its output line by line, its end. Below tor.c. */
#ifndef VOLLEY_NET_TOR_PROCESS_H
#define VOLLEY_NET_TOR_PROCESS_H

#include "common/base/err.h"

#include <uv.h>

#define TOR_LINE_SIZE 1024

struct tor_process;
struct tor_process_calls {
    void (*on_line)(void *arg, const char *line); /* of stdout and stderr, cut at TOR_LINE_SIZE */
    void (*on_end)(void *arg, int64_t status, int number); /* by exit status or signal */
    void (*on_closed)(void *arg); /* the loop has let go of it, also when it never started: last */
};

/* Runs `args` (found by PATH) detached from our terminal, whose Ctrl-C is ours to handle. It
 * inherits `lock_fd` and no other descriptor. 0, or libuv's error: then only on_closed comes. */
MUST_USE int tor_process_start(uv_loop_t *loop, char *const *args, int lock_fd,
                               const struct tor_process_calls *calls, void *arg,
                               struct tor_process **out);
/* Until on_end. */
void tor_process_signal(struct tor_process *x, int number);
int tor_process_id(const struct tor_process *x);

#endif
