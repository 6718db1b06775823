/* Between check.c and check_tor.c: one line for each thing that was looked at. */
#ifndef VOLLEY_CTL_CHECK_H
#define VOLLEY_CTL_CHECK_H

#include "ctl/ctl.h"

enum check_level { CHECK_OK, CHECK_WARNING, CHECK_ERROR };

struct check {
    struct ask ask; /* first */
    int status;
};

void check_say(struct check *k, enum check_level level, const char *fmt, ...) PRINTF(3, 4);

/* Do tor's ports answer, and is it bootstrapped? No byte goes elsewhere. */
void check_tor(struct check *k, const struct config *c);
/* The same in one word, for a health check: ERR_NONE when all ports of tor.socks answer and, where
 * tor.control is set, tor is bootstrapped. Whether a relay needs it is not asked. */
MUST_USE enum err check_tor_ready(const struct config *c, struct problem *p);

#endif
