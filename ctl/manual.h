/* The manual pages and the shell's completion, written from the tables that parse the command line
 * and the configuration: they can't say anything else than the program does. */
#ifndef VOLLEY_CTL_MANUAL_H
#define VOLLEY_CTL_MANUAL_H

#include "ctl/command.h"

#include <stdio.h>

/* volley.1, volley-COMMAND.1 and volley.yaml.5 into an existing folder. Returns an exit status;
 * says on stderr what went wrong. */
int manual_write(const struct command *const *table, size_t len, const char *dir);
/* A bash completion script on `out`. */
void completion_print(const struct command *const *table, size_t len, FILE *out);

#endif
