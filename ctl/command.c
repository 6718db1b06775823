#include "ctl/command.h"

#include "common/config/value.h"
#include "ctl/manual.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct option_row command_common_options[] = {
    {"-c", "FILE",
     "configuration (default ./volley.yaml if yours or root's, then /etc/volley/volley.yaml)"},
    {"--set", "section.key=value", "one configuration value; may be repeated"},
    {"--help", NULL, "this text"},
    {"--version", NULL, "the version"},
};
const size_t command_common_options_len = COUNT_OF(command_common_options);

const char *invocation_option(const struct invocation *inv, const char *name)
{
    for (size_t i = 0; i < inv->command->options_len; i++)
        if (strcmp(inv->command->options[i].name, name) == 0)
            return inv->given[i];
    return NULL;
}

int command_fail(const struct invocation *inv, int status, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "volley %s: %s\n", inv->command->name, text);
    return status;
}

bool option_is_flag(const struct option_row *row)
{
    return row->value == NULL || row->value[0] == '[';
}

const char *option_gap(const struct option_row *row)
{
    return option_is_flag(row) ? "" : " ";
}

#define HELP_WIDTH 79u

/* Words in lines of at most HELP_WIDTH columns; the first begins at column `at`, the others are
 * indented by as much. */
static void print_wrapped(FILE *out, const char *text, size_t at)
{
    size_t column = at;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        bool begins = column == at;
        if (!begins && column + 1 + len > HELP_WIDTH) {
            fprintf(out, "\n%*s", (int)at, "");
            column = at;
            begins = true;
        }
        fprintf(out, "%s%.*s", begins ? "" : " ", (int)len, text);
        column += len + !begins;
        text += len + strspn(text + len, " ");
    }
    fputc('\n', out);
}

static void print_options(const struct option_row *rows, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s%s%s", rows[i].name, option_gap(&rows[i]),
                       rows[i].value != NULL ? rows[i].value : "");
        printf("  %-24s ", left);
        print_wrapped(stdout, rows[i].help, 27);
    }
}

static void print_help(const struct command *cmd)
{
    printf("volley %s: %s\n\nusage: volley %s [OPTIONS]%s%s\n\n", cmd->name, cmd->summary,
           cmd->name, cmd->arguments[0] != '\0' ? " " : "", cmd->arguments);
    print_options(cmd->options, cmd->options_len);
    print_options(command_common_options, command_common_options_len);
    if (cmd->details != NULL) {
        putchar('\n');
        print_wrapped(stdout, cmd->details, 0);
    }
    printf("\nexamples:\n%s\n", cmd->examples);
}

static void print_commands(const struct command *const *table, size_t len, FILE *out)
{
    fprintf(out, "volley: a durable broadcaster for Nostr: post once, it reaches every relay\n\n"
                 "usage: volley COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < len; i++) {
        fprintf(out, "  %-10s ", table[i]->name);
        print_wrapped(out, table[i]->summary, 13);
    }
    fprintf(out, "\n'volley COMMAND --help' says more, with examples.\n");
}

static const struct command *find(const struct command *const *table, size_t len, const char *name)
{
    for (size_t i = 0; i < len; i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

static int unknown_command(const struct command *const *table, size_t len, const char *name)
{
    const char *names[64];
    for (size_t i = 0; i < len && i < COUNT_OF(names); i++)
        names[i] = table[i]->name;
    const char *near = value_nearest(name, names, len);
    fprintf(stderr,
            near != NULL ? "volley: no command '%s' (did you mean %s?)\n"
                         : "volley: no command '%s'; 'volley --help' lists them\n",
            name, near);
    return EXIT_USAGE;
}

/* One option of ours or of the command's. Returns how many words it took, 0 when it is none, -1
 * when it is wrong. */
static int take_option(struct invocation *inv, char **words, int left)
{
    const char *word = words[0];
    if (strcmp(word, "--child-of") == 0 && left > 1) {
        inv->parent = strtol(words[1], NULL, 10);
        return 2;
    }
    if (strcmp(word, "-c") == 0 || strcmp(word, "--set") == 0) {
        if (left < 2 || inv->sets_len == SETS_MAX)
            return command_fail(inv, -1, left < 2 ? "%s needs a value" : "%s is given too often",
                                word);
        if (word[1] == 'c')
            inv->config_file = words[1];
        else
            inv->sets[inv->sets_len++] = words[1];
        return 2;
    }
    for (size_t i = 0; i < inv->command->options_len; i++) {
        const struct option_row *row = &inv->command->options[i];
        size_t len = strlen(row->name);
        if (strncmp(word, row->name, len) != 0 || (word[len] != '\0' && word[len] != '='))
            continue;
        if (row->value == NULL && word[len] == '=')
            return command_fail(inv, -1, "%s takes no value", row->name);
        if (row->value != NULL && inv->given[i] != NULL)
            return command_fail(inv, -1, "%s is given twice", row->name);
        if (word[len] == '=' || option_is_flag(row)) {
            inv->given[i] = word[len] == '=' ? word + len + 1 : "";
            return 1;
        }
        if (left < 2)
            return command_fail(inv, -1, "%s needs a value (%s)", row->name, row->value);
        inv->given[i] = words[1];
        return 2;
    }
    return 0;
}

static int unknown_option(const struct invocation *inv, const char *word)
{
    const char *names[OPTIONS_MAX + 8], *near;
    char name[64];
    size_t len = 0;
    for (size_t i = 0; i < inv->command->options_len; i++)
        names[len++] = inv->command->options[i].name;
    for (size_t i = 0; i < command_common_options_len; i++)
        names[len++] = command_common_options[i].name;
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    near = value_nearest(name, names, len);
    if (near != NULL)
        return command_fail(inv, EXIT_USAGE, "unknown option '%s' (did you mean %s?)", name, near);
    return command_fail(inv, EXIT_USAGE, "unknown option '%s'; 'volley %s --help' lists them", word,
                        inv->command->name);
}

/* The first argument, where only certain words are known. */
static int check_word(const struct invocation *inv)
{
    enum { WORDS_MAX = 8 };
    char text[128], *save = NULL;
    const char *words[WORDS_MAX], *given, *near;
    size_t len = 0;
    if (inv->command->words == NULL || inv->arguments_len == 0)
        return 0;
    given = inv->arguments[0];
    (void)snprintf(text, sizeof text, "%s", inv->command->words);
    for (char *w = strtok_r(text, " ", &save); w != NULL && len < WORDS_MAX;
         w = strtok_r(NULL, " ", &save)) {
        if (strcmp(w, given) == 0)
            return 0;
        words[len++] = w;
    }
    near = value_nearest(given, words, len);
    if (near != NULL)
        return command_fail(inv, EXIT_USAGE, "'%s' is not known (did you mean %s?)", given, near);
    return command_fail(inv, EXIT_USAGE, "'%s' is not known; 'volley %s' takes: %s", given,
                        inv->command->name, inv->command->words);
}

static int parse(struct invocation *inv, int argc, char **argv)
{
    bool options_end = false;
    for (int i = 0; i < argc;) {
        bool option = !options_end && argv[i][0] == '-' && argv[i][1] != '\0';
        if (option && strcmp(argv[i], "--") == 0) {
            options_end = true;
            i++;
            continue;
        }
        int took = option ? take_option(inv, argv + i, argc - i) : 0;
        if (took < 0)
            return EXIT_USAGE;
        if (option && took == 0)
            return unknown_option(inv, argv[i]);
        if (!option)
            inv->arguments[inv->arguments_len++] = argv[i];
        i += option ? took : 1;
    }
    int len = inv->arguments_len;
    if (len < inv->command->arguments_min)
        return command_fail(inv, EXIT_USAGE, "what is missing: %s; see 'volley %s --help'",
                            inv->command->arguments, inv->command->name);
    if (len > inv->command->arguments_max)
        return command_fail(inv, EXIT_USAGE, "one argument too many: '%s'",
                            inv->arguments[inv->command->arguments_max]);
    return check_word(inv);
}

/* A reader that has seen enough (… | head) is no failure and nothing to talk about; a full disk is.
 */
static int finish_output(const struct invocation *inv, int status)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0)
        return status;
    return command_fail(inv, 1, "the output could not be written");
}

static int load_and_run(struct invocation *inv, char *const *env)
{
    struct problem p;
    const struct config_options o = {
        .file = inv->config_file, .sets = inv->sets, .sets_len = inv->sets_len, .env = env};
    if (config_load(&o, &inv->config, &p) != ERR_NONE)
        return command_fail(inv, EXIT_USAGE, "%s", p.text);
    log_init(inv->config.log.level, inv->config.log.format, inv->command->name);
    int status = inv->command->run(inv);
    config_free(&inv->config);
    return finish_output(inv, status);
}

int command_main(const struct command *const *table, size_t len, int argc, char **argv,
                 char *const *env)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_commands(table, len, argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("volley " VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--man") == 0 && argc == 3)
        return manual_write(table, len, argv[2]);
    if (strcmp(argv[1], "--completion") == 0) {
        completion_print(table, len, stdout);
        return 0;
    }
    const struct command *cmd = find(table, len, argv[1]);
    if (cmd == NULL)
        return unknown_command(table, len, argv[1]);
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(cmd);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("volley " VERSION);
            return 0;
        }
    }
    struct invocation inv = {
        .command = cmd, .program = argv[0], .arguments = mem_zero((size_t)argc, sizeof(char *))};
    int status = parse(&inv, argc - 2, argv + 2);
    if (status == 0)
        status = load_and_run(&inv, env);
    free(inv.arguments);
    return status;
}
