/* Who a process is to the queue, while it lives: an id of its own, and a name for people. */
#ifndef VOLLEY_QUEUE_IDENTITY_H
#define VOLLEY_QUEUE_IDENTITY_H

#include "queue/terms.h"

/* A random id, and "host:pid". */
void identity_make(uint8_t id[PUBLISHER_ID_LEN], char name[PUBLISHER_NAME_SIZE]);

#endif
