/* Files that hold secrets: whether others may look into them, and what is in them. */
#ifndef VOLLEY_BASE_SECRET_H
#define VOLLEY_BASE_SECRET_H

#include "common/base/err.h"

#include <stdbool.h>

/* Whether this process runs in a container: there a secret's file keeps the mode it has on the
 * host, and others than the container's own can't reach it. */
bool secret_in_container(void);

/* The text of a small file, at most size-1 bytes, without the white space around it. A file that
 * others may read is refused, unless `may_be_readable`. ERR_NOT_FOUND, ERR_INVALID (others can read
 * it, too long, no file), ERR_IO; `p` says which file and how to mend it, never what is in it.
 * Whoever has read it wipes `out` (explicit_bzero). */
MUST_USE enum err secret_read(const char *path, bool may_be_readable, char *out, size_t size,
                              struct problem *p);

#endif
