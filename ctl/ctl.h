/* The operators' commands, and what they share. */
#ifndef VOLLEY_CTL_CTL_H
#define VOLLEY_CTL_CTL_H

#include "ctl/command.h"
#include "queue/queue.h"

#include <cjson/cJSON.h>

extern const struct command command_depth, command_receipt, command_check;

/* One question to the queue: opens it, calls `ask`, runs until it says ask_done, closes it. Returns
 * ask_done's status; 1 with a message when the queue is out of reach. */
struct ask {
    uv_loop_t loop;
    struct queue *queue;
    const struct invocation *inv;
    int status;
};
int ask_queue(struct ask *a, const struct invocation *inv, void (*ask)(struct ask *a));
/* From the callback: `e` is what the queue said; a line on stderr when it is an error. */
void ask_done(struct ask *a, enum err e, int status);

/* One JSON object a line. Frees it. */
void print_json(cJSON *o);
/* "3s" "12m" "2h" "5d": how long, in one unit; "-" when negative. */
const char *short_duration(int64_t ms, char out[16]);
/* The name people gave the relay, or its URL without "wss://". */
const char *relay_label(const struct definition *d);
/* Makes text from outside safe for a terminal: control characters become '?'. At most `size`-1
 * bytes, cut at a character's end. */
const char *clean_text(const char *s, char *out, size_t size);

#endif
