/* What every service of ours is: one process, one loop, SIGTERM and SIGINT drain it, SIGPIPE is
 * ignored. */
#ifndef VOLLEY_UP_SERVICE_H
#define VOLLEY_UP_SERVICE_H

#include "ctl/command.h"

#include <uv.h>

struct service {
    const char *name;
    uv_loop_t loop;
    uv_signal_t term, intr, hup;
    void (*on_stop)(void *arg);          /* drain; calls service_done in the end. Called once */
    void (*on_second_signal)(void *arg); /* while stopping; NULL: ignored */
    void *arg;
    bool stopping;
    int status;
};

/* Prepares loop and signals. With inv->parent the process ends when its supervisor does. */
void service_init(struct service *s, const struct invocation *inv, void (*on_stop)(void *arg),
                  void *arg);
/* Runs until service_done, then frees the loop. Returns the exit status. */
int service_run(struct service *s);
/* It could not begin: ends the loop without a turn of work. Returns `status`. */
int service_abandon(struct service *s, int status);
/* Everything of the service's own is closed: the loop may end. */
void service_done(void *service);

/* The services, as commands. */
extern const struct command command_queue, command_ingest, command_publisher, command_up;

#endif
