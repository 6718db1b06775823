/* CURVE keys in a directory, as `volley keys` makes them, and two free ports side by side. For
 * tests of zmq+tcp. */
#ifndef VOLLEY_TESTS_SUPPORT_CURVE_DIR_H
#define VOLLEY_TESTS_SUPPORT_CURVE_DIR_H

#include "queue/curve.h"

#include <sys/types.h>

/* server.key, server.pub, client.key, client.pub, and clients.allow with the client's line. */
void curve_dir_fill(const char *dir, struct curve_pair *server, struct curve_pair *client);
/* client.key and server.pub: what a client's own directory has. */
void curve_dir_fill_client(const char *dir, const struct curve_pair *client, const char *server);
/* Writes DIR/NAME anew. */
void curve_dir_write(const char *dir, const char *name, mode_t mode, const char *text);
/* clients.allow with these lines ("" is fine). */
void curve_dir_allow(const char *dir, const char *lines);

/* A port of 127.0.0.1 that is free, as is the next one. */
unsigned curve_dir_port(void);

#endif
