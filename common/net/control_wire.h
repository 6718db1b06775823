/* The connection to tor's control port: an address, bytes out, lines in. Below control.c. */
#ifndef VOLLEY_NET_CONTROL_WIRE_H
#define VOLLEY_NET_CONTROL_WIRE_H

#include "common/net/control_line.h"

#include <uv.h>

struct control_wire;
struct control_wire_calls {
    void (*on_open)(void *arg);
    void (*on_line)(void *arg, const struct control_line *line);
    /* It never opened, or is over, `text` says why; it is closed by itself. Not after
     * control_wire_close. */
    void (*on_end)(void *arg, const char *text);
    void (*on_closed)(void *arg); /* the loop has let go of it: always the last */
};

/* Any of the calls may close it. The address is one that control_address_check likes. NULL: it is
 * over already, on_end was called and on_closed will be. */
struct control_wire *control_wire_open(uv_loop_t *loop, const char *address,
                                       const struct control_wire_calls *calls, void *arg);
/* Copied; failures come by on_end. */
void control_wire_send(struct control_wire *w, const char *text, size_t len);
void control_wire_close(struct control_wire *w);

#endif
