/* Two queues. `waiting` holds single jobs, first in, first out. verify_push cuts batches off its
 * front and gives them to the pool; `running` holds these in the same order. Batches may finish in
 * any order, but only the front of `running` is delivered: a batch takes two milliseconds at most,
 * so waiting for an older one costs little.
 *
 * The batch size follows the load: few jobs are spread over the threads for latency, many travel 64
 * a trip, which makes the hand-over between threads (about 10 µs) cheap. */
#include "ingest/verify.h"

#include <stdlib.h>

#define BATCH_MIN   4u /* smaller ones are not worth the trip to another thread */
#define THREADS_MAX 4u /* libuv's pool by default */

struct job {
    struct event *ev;
    verify_fn *fn;
    void *arg;
    struct job *next;
};

struct batch {
    uv_work_t work;
    struct verify *v;
    struct batch *next;
    bool done;
    size_t len;
    struct job *jobs[VERIFY_BATCH_MAX];
    enum err errs[VERIFY_BATCH_MAX];
    struct problem whys[VERIFY_BATCH_MAX]; /* written for bad events only */
};

struct verify {
    uv_loop_t *loop;
    struct job *waiting, *waiting_last;
    size_t waiting_len;
    struct batch *running, *running_last;
    size_t running_len, running_max;
    bool delivering, closed;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

struct verify *verify_new(uv_loop_t *loop)
{
    struct verify *v = mem_zero(1, sizeof *v);
    unsigned threads = uv_available_parallelism();

    v->loop = loop;
    /* Twice as many batches as threads: the next one is there when a thread gets free. */
    v->running_max = 2 * (threads < THREADS_MAX ? threads : THREADS_MAX);
    return v;
}

void verify_submit(struct verify *v, struct event *ev, verify_fn *fn, void *arg)
{
    struct job *j = mem_zero(1, sizeof *j);

    j->ev = event_ref(ev);
    j->fn = fn;
    j->arg = arg;
    if (v->waiting_last != NULL)
        v->waiting_last->next = j;
    else
        v->waiting = j;
    v->waiting_last = j;
    v->waiting_len++;
}

static struct job *take_job(struct verify *v)
{
    struct job *j = v->waiting;

    v->waiting = j->next;
    if (v->waiting == NULL)
        v->waiting_last = NULL;
    v->waiting_len--;
    return j;
}

static void finish_job(struct job *j, enum err e, const struct problem *why)
{
    j->fn(j->arg, e, why);
    event_unref(j->ev);
    free(j);
}

/* On a thread of the pool: reads events, touches nothing else. */
static void work(uv_work_t *req)
{
    struct batch *b = req->data;

    for (size_t n = 0; n < b->len; n++)
        b->errs[n] = event_verify(b->jobs[n]->ev, &b->whys[n]);
}

static void free_when_closed(struct verify *v)
{
    if (!v->closed || v->running != NULL || v->delivering)
        return;
    v->on_closed(v->closed_arg);
    free(v);
}

static void after_work(uv_work_t *req, int status)
{
    struct batch *done = req->data;
    struct verify *v = done->v;

    (void)status; /* nothing is ever cancelled */
    done->done = true;
    v->delivering = true;
    while (v->running != NULL && v->running->done) {
        struct batch *b = v->running;
        v->running = b->next;
        if (v->running == NULL)
            v->running_last = NULL;
        v->running_len--;
        for (size_t n = 0; n < b->len; n++)
            finish_job(b->jobs[n], b->errs[n], &b->whys[n]);
        free(b);
    }
    v->delivering = false;
    verify_push(v);
    free_when_closed(v);
}

static void start_batch(struct verify *v, size_t len)
{
    struct batch *b = mem_new(sizeof *b);

    b->v = v;
    b->next = NULL;
    b->done = false;
    b->len = len;
    for (size_t n = 0; n < len; n++) {
        b->jobs[n] = take_job(v);
        b->whys[n].text[0] = '\0';
    }
    if (v->running_last != NULL)
        v->running_last->next = b;
    else
        v->running = b;
    v->running_last = b;
    v->running_len++;
    b->work.data = b;
    if (uv_queue_work(v->loop, &b->work, work, after_work) != 0)
        die("uv_queue_work refused a valid request");
}

void verify_push(struct verify *v)
{
    while (v->waiting_len > 0 && v->running_len < v->running_max) {
        size_t slots = v->running_max - v->running_len;
        size_t len = (v->waiting_len + slots - 1) / slots;
        if (len < BATCH_MIN)
            len = BATCH_MIN;
        if (len > VERIFY_BATCH_MAX)
            len = VERIFY_BATCH_MAX;
        start_batch(v, len < v->waiting_len ? len : v->waiting_len);
    }
}

void verify_close(struct verify *v, void (*fn)(void *arg), void *arg)
{
    v->closed = true;
    v->on_closed = fn;
    v->closed_arg = arg;
    while (v->waiting != NULL)
        finish_job(take_job(v), ERR_CLOSED, &(struct problem){.text = "closed"});
    free_when_closed(v);
}
