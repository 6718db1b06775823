/* Which backend speaks which scheme. */
#include "common/config/config.h"
#include "queue/queue_redis.h"
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
    {"redis://", queue_redis_open},
    {"redis+unix://", queue_redis_open},
};

enum err queue_open(uv_loop_t *loop, const struct queue_options *o, struct queue **out,
                    struct problem *p)
{
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (strncmp(o->url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            return schemes[i].open(loop, o, out, p);
    if (strstr(o->url, "://") == NULL)
        return problem_set(p, ERR_INVALID,
                           "queue.url: \"%s\" is no URL; write zmq+ipc://PATH, "
                           "zmq+tcp://HOST:PORT or redis://HOST:PORT",
                           o->url);
    return problem_set(p, ERR_UNSUPPORTED,
                       "queue.url: \"%s\": this build offers zmq+ipc://PATH, zmq+tcp://HOST:PORT, "
                       "redis://HOST:PORT and redis+unix:///PATH",
                       o->url);
}

struct queue_options queue_options_of(const struct config *c)
{
    return (struct queue_options){.url = c->queue.url,
                                  .keys_dir = c->queue.keys_dir,
                                  .prefix = c->queue.prefix,
                                  .password_file = c->queue.password_file,
                                  .retention_ms = (int64_t)c->queue.retention_ms,
                                  .max_bytes = c->queue.max_bytes,
                                  .failed_max = c->queue.failed_max,
                                  .lane_max = c->queue.lane_max,
                                  .unsafe = c->queue.unsafe};
}
