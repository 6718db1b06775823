/* A walk over all failed deliveries that a filter means, page by page. A page whose answer was lost
 * is asked for again, with the same mark and token, a bounded number of times. */
#ifndef VOLLEY_CTL_PAGING_H
#define VOLLEY_CTL_PAGING_H

#include "queue/queue.h"

#define PAGING_REPEATS_MAX 8u
#define PAGING_AGAIN_MS    500u

struct paging {
    struct queue *queue;
    struct failed_call call; /* of the next page; on_page may change its limit */
    /* A page came; lent. False: that is enough. */
    bool (*on_page)(void *arg, const struct failed_page *p);
    /* Once, last: all came, or enough did (ERR_NONE), or it ended with an error. */
    void (*on_end)(void *arg, enum err e);
    void *arg;
    uv_timer_t again;
    unsigned repeats; /* of this page */
    bool repeated;    /* some page was asked for again after it may have been answered: what a
                         change counted the first time is not counted again */
};

/* `call`: the first page's, `after` all zero. What its filter points to must live until on_end. */
void paging_begin(struct paging *w, uv_loop_t *loop, struct queue *queue,
                  const struct failed_call *call);

#endif
