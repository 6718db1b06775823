/* The managed tor's files and its configuration. Pure. Everything of it lives in DATA_DIR/tor:
 * tor's state, its torrc, the three SOCKS sockets, the control socket. */
#ifndef VOLLEY_NET_TORRC_H
#define VOLLEY_NET_TORRC_H

#include "common/net/link.h"

#define TOR_DIR_SIZE  95 /* so that each socket's path fits in a sockaddr_un */
#define TOR_EXTRA_MAX (64u * 1024u)

struct tor_paths {
    char dir[TOR_DIR_SIZE]; /* absolute */
    char torrc[TOR_DIR_SIZE + 17];
    char lock[TOR_DIR_SIZE + 17];
    struct socks_ports socks;         /* "unix:PATH" */
    char control[SOCKS_ADDRESS_SIZE]; /* "unix:PATH" */
};
/* ERR_INVALID: the directory's path is too long for sockets, or has characters that a torrc or a
 * proxy's address can't hold. `data_dir` begins with /. */
MUST_USE enum err tor_paths_of(const char *data_dir, struct tor_paths *out, struct problem *p);

/* Lines of tor.extra_file: ERR_INVALID with the line's number when one would undo what volley
 * promises or needs (other SOCKS ports, its control port, a relay of our own). Whether tor
 * understands the rest is asked of tor. */
MUST_USE enum err torrc_check_extra(const char *text, size_t len, struct problem *p);

/* The whole torrc. `owner` is the process whose end tor does not survive. `extra` may be NULL. */
MUST_USE enum err torrc_write(const struct tor_paths *paths, long owner, const char *extra,
                              struct buf *out);

#endif
