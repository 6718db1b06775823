/* clients.allow: the public keys that may connect, one a line: `KEY name`. What begins with # is a
 * comment. Read anew when the file changed, so that adding a key needs no restart. */
#ifndef VOLLEY_QUEUE_ALLOW_H
#define VOLLEY_QUEUE_ALLOW_H

#include "queue/curve.h"

#include <stdbool.h>

#define ALLOW_KEYS_MAX  10000u
#define ALLOW_FILE_MAX  (2u * 1024 * 1024)
#define ALLOW_NAME_SIZE 64

struct allow;

/* Reads DIR/clients.allow. ERR_INVALID when it is not there, others may write it, or a line is no
 * key; `p` says which line. */
MUST_USE enum err allow_new(const char *dir, struct allow **out, struct problem *p);
/* NULL is fine. */
void allow_free(struct allow *a);

/* Whether this key may connect now; its name, the list's until the next call, or NULL. A list that
 * can't be read lets nobody in; one with a line that is no key lets in who stands on the other
 * lines. The log says so once, for each change of the file. */
bool allow_has(struct allow *a, const uint8_t key[CURVE_KEY_LEN], const char **name);

#endif
