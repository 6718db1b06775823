/* The operators' commands, and what they share. */
#ifndef VOLLEY_CTL_CTL_H
#define VOLLEY_CTL_CTL_H

#include "ctl/command.h"
#include "ctl/text.h"
#include "queue/queue.h"

#include <cjson/cJSON.h>
#include <stdio.h>

extern const struct command command_depth, command_failed, command_replay, command_purge,
    command_hold, command_release, command_relays, command_receipt, command_send, command_check,
    command_keys, command_health;

/* One question to the queue: opens it, calls `ask`, runs until it says ask_done, closes it. Returns
 * ask_done's status; 1 with a message when the queue is out of reach. */
struct ask {
    uv_loop_t loop;
    struct queue *queue;
    const struct invocation *inv;
    int status;
    uint32_t timeout_ms; /* how long an answer may take; 0: 5 s */
    bool strict;         /* see queue_options */
    bool changes;        /* what is asked for may have happened though no answer came */
};
int ask_queue(struct ask *a, const struct invocation *inv, void (*ask)(struct ask *a));
/* From the callback: `e` is what the queue said; a line on stderr when it is an error. */
void ask_done(struct ask *a, enum err e, int status);

/* Which relay a person means: a URL in any spelling, or its configured name. */
struct relay_choice {
    const char *text; /* as typed, borrowed; NULL: all */
    char url[URL_SIZE];
};
void relay_choose(const char *text, struct relay_choice *out);
bool relay_chosen(const struct relay_choice *c, const struct definition *d);

/* Who asks, for the log and the jobs: user@host. */
void operator_name(char out[OPERATOR_SIZE]);

/* A number, or null. */
cJSON *number_or_null(bool known, double value);
/* A time of the queue's clock in Unix seconds, or null for 0. */
cJSON *time_or_null(int64_t ms);
/* A text, or null when it is empty. */
cJSON *text_or_null(const char *text);
/* One JSON object a line. Frees it. */
void print_json(cJSON *o, FILE *out);
/* The name people gave the relay, or its URL without "wss://". */
const char *relay_label(const struct definition *d);

#endif
