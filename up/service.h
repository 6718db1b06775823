/* What every service of ours is: one process, one loop, SIGTERM and SIGINT drain it, SIGHUP makes
 * it read its configuration again, SIGPIPE is ignored.
 *
 * A reading that is wrong changes nothing and is told in one line. Of a right one the service takes
 * the keys it can change while it runs (`live`); those among `reads` that are not, are named as
 * needing a restart. */
#ifndef VOLLEY_UP_SERVICE_H
#define VOLLEY_UP_SERVICE_H

#include "ctl/command.h"

#include <uv.h>

struct service {
    const char *name;
    uv_loop_t loop;
    uv_signal_t term, intr, hup;
    const struct invocation *inv;        /* how it was started, and with which configuration */
    const struct config *config;         /* as it was read last */
    void (*on_stop)(void *arg);          /* drain; calls service_done in the end. Called once */
    void (*on_second_signal)(void *arg); /* while stopping; NULL: ignored */
    /* Another configuration, which is valid as such: takes it, or says why not and changes nothing.
     * `c` stays until the next one. Not while stopping. */
    enum err (*on_reload)(void *arg, const struct config *c, struct problem *p);
    const char *const *reads, *const
                                  *live; /* names, or "section." for all of a section; NULL ends */
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
/* What the configuration's reading warned of, a line each. */
void service_log_warnings(const struct config *c);

/* The services, as commands. */
extern const struct command command_queue, command_ingest, command_publisher, command_probe,
    command_up;

#endif
