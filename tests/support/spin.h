/* Runs a loop until something has come true. For tests. */
#ifndef VOLLEY_TESTS_SUPPORT_SPIN_H
#define VOLLEY_TESTS_SUPPORT_SPIN_H

#include <stdbool.h>
#include <uv.h>

/* Ends the program, naming `what`, when `done` is not true within 20 seconds. */
void spin_until(uv_loop_t *loop, bool (*done)(void *arg), void *arg, const char *what);
/* Turns the loop so many times without waiting for anything. */
void spin_turns(uv_loop_t *loop, unsigned turns);
/* Runs the loop until none of its handles is left, and closes it. */
void spin_out(uv_loop_t *loop);

#endif
