/* The managed tor's directory on disk: made, locked, the torrc written. Below tor.c. */
#ifndef VOLLEY_NET_TOR_FILES_H
#define VOLLEY_NET_TOR_FILES_H

#include "common/net/torrc.h"

/* Makes the directory (mode 0700), takes its lock and writes the torrc with the lines of
 * `extra_file` (empty: none), owned by `owner`. *lock_fd is then the caller's: to be inherited by
 * tor, so that the lock is free only when nobody of them lives. `p` says what is wrong. */
MUST_USE enum err tor_files_prepare(const struct tor_paths *at, const char *extra_file, long owner,
                                    int *lock_fd, struct problem *p);

#endif
