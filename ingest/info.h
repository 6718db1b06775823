/* The relay's NIP-11 document. */
#ifndef VOLLEY_INGEST_INFO_H
#define VOLLEY_INGEST_INFO_H

#include "ingest/ingest.h"

/* JSON, allocated; free() it. `message_max` is the longest frame taken, in bytes. */
char *info_new(const struct ingest_options *o, size_t message_max);

#endif
