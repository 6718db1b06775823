/* Which backend speaks which scheme. */
#include "queue/queue_zmq.h"

#include <string.h>

struct scheme {
    const char *prefix;
    enum err (*open)(uv_loop_t *loop, const struct queue_options *o, struct queue **out,
                     struct problem *p);
};
static const struct scheme schemes[] = {
    {"zmq+ipc://", queue_zmq_open},
    {"zmq+tcp://", queue_zmq_open},
};

enum err queue_open(uv_loop_t *loop, const struct queue_options *o, struct queue **out,
                    struct problem *p)
{
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (strncmp(o->url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            return schemes[i].open(loop, o, out, p);
    if (strstr(o->url, "://") == NULL)
        return problem_set(p, ERR_INVALID,
                           "queue.url: \"%s\" is no URL; write zmq+ipc://PATH or "
                           "zmq+tcp://HOST:PORT",
                           o->url);
    return problem_set(
        p, ERR_UNSUPPORTED,
        "queue.url: \"%s\": this build offers zmq+ipc://PATH and zmq+tcp://HOST:PORT", o->url);
}
