/* What volley's command line is made of: one row a command, one row an option. Parsing, --help and
 * the man pages read the rows. */
#ifndef VOLLEY_CTL_COMMAND_H
#define VOLLEY_CTL_COMMAND_H

#include "common/config/config.h"

#define EXIT_USAGE 2 /* wrong usage or configuration */

#define OPTIONS_MAX 20
#define SETS_MAX    64

struct option_row {
    const char *name;  /* "--json" */
    const char *value; /* "FILE": in the next word or after "="; "[=2s]": only after "=", and may be
                          left out; NULL: takes none */
    const char *help;
};
/* Whether the next word is not its value. */
bool option_is_flag(const struct option_row *row);
/* What stands between name and value when they are shown: " " or "". */
const char *option_gap(const struct option_row *row);

/* Those every command has. */
extern const struct option_row command_common_options[];
extern const size_t command_common_options_len;

struct invocation;

struct command {
    const char *name;
    const char *arguments; /* "ID", "" */
    const char *words;     /* what the first argument may be, with spaces between; NULL: anything */
    const char *summary;   /* one line */
    const char *details;   /* what more there is to say, in sentences; NULL: nothing */
    const char *examples;  /* lines, each after two spaces */
    const struct option_row *options;
    size_t options_len;
    int arguments_min, arguments_max;
    int (*run)(const struct invocation *inv); /* the exit status */
};

/* One command as it was typed, with its configuration loaded. */
struct invocation {
    const struct command *command;
    const char *program; /* argv[0] */
    struct config config;
    const char *config_file; /* -c, or NULL */
    const char *sets[SETS_MAX];
    size_t sets_len;
    const char *given[OPTIONS_MAX]; /* by the command's option rows: the value, or "" for a flag;
                                       NULL: not given. A value is given once at most */
    char **arguments;
    int arguments_len;
    long parent; /* --child-of: the supervisor's process id; 0 */
};

/* The option's value ("" for a flag), or NULL when it was not given. */
const char *invocation_option(const struct invocation *inv, const char *name);

/* Runs the command line against a table of commands. Returns the exit status. Two words are for
 * packaging alone: --man DIR writes the manual, --completion prints bash's. */
int command_main(const struct command *const *table, size_t len, int argc, char **argv,
                 char *const *env);

/* Prints "volley COMMAND: …" on stderr; returns `status`, so that a command can end with it. */
int command_fail(const struct invocation *inv, int status, const char *fmt, ...) PRINTF(3, 4);

#endif
