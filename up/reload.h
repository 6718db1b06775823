/* What service.c does on SIGHUP; see struct service. */
#ifndef VOLLEY_UP_RELOAD_H
#define VOLLEY_UP_RELOAD_H

#include "up/service.h"

void reload(struct service *s);
/* Forgets the last reading; the first one is its invocation's. */
void reload_free(struct service *s);

#endif
