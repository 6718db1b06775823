/* Pages in man(7)'s macros. Text goes through put(), which keeps roff from reading anything into
 * it; macros are written as they are. */
#include "ctl/manual.h"

#include <errno.h>
#include <string.h>

/* A line of text, or words of one: backslashes and hyphens are meant as they stand, and a dot at
 * its beginning is no macro. */
static void put(FILE *out, const char *text)
{
    bool begins = true;
    for (; *text != '\0'; text++) {
        if (begins && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        begins = *text == '\n';
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void head(FILE *out, const char *title, int section, const char *name, const char *summary)
{
    fputs(".\\\" Written by the program itself: volley --man DIR\n", out);
    fprintf(out, ".TH \"%s\" %d \"\" \"volley %s\" \"volley\"\n.SH NAME\n", title, section,
            VERSION);
    put(out, name);
    fputs(" \\- ", out);
    put(out, summary);
    fputc('\n', out);
}

/* ".TP", a bold tag with an italic value, the text. */
static void item(FILE *out, const char *tag, const char *gap, const char *value, const char *text)
{
    fputs(".TP\n\\fB", out);
    put(out, tag);
    fprintf(out, "\\fR%s\\fI", gap);
    put(out, value != NULL ? value : "");
    fputs("\\fR\n", out);
    put(out, text);
    fputc('\n', out);
}

static void put_options(FILE *out, const struct option_row *rows, size_t len)
{
    for (size_t i = 0; i < len; i++)
        item(out, rows[i].name, option_gap(&rows[i]), rows[i].value, rows[i].help);
}

static void put_exit_status(FILE *out)
{
    fputs(".SH EXIT STATUS\n", out);
    item(out, "0", "", NULL, "success");
    item(out, "1", "", NULL, "failure");
    item(out, "2", "", NULL, "wrong usage or configuration");
}

static void command_page(FILE *out, const struct command *cmd)
{
    char name[64];
    (void)snprintf(name, sizeof name, "volley-%s", cmd->name);
    head(out, name, 1, name, cmd->summary);
    fprintf(out, ".SH SYNOPSIS\n\\fBvolley %s\\fR [\\fIOPTIONS\\fR] ", cmd->name);
    put(out, cmd->arguments);
    fputc('\n', out);
    if (cmd->details != NULL) {
        fputs(".SH DESCRIPTION\n", out);
        put(out, cmd->details);
        fputc('\n', out);
    }
    fputs(".SH OPTIONS\n", out);
    put_options(out, cmd->options, cmd->options_len);
    put_options(out, command_common_options, command_common_options_len);
    fputs(".SH EXAMPLES\n.nf\n", out);
    put(out, cmd->examples);
    fputs("\n.fi\n", out);
    put_exit_status(out);
    fputs(".SH SEE ALSO\n.BR volley (1),\n.BR volley.yaml (5)\n", out);
}

static void put_files(FILE *out)
{
    fputs(".SH FILES\n", out);
    item(out, "./volley.yaml", "", NULL, "the configuration, if you or root own it");
    item(out, "/etc/volley/volley.yaml", "", NULL, "the configuration otherwise");
    fputs(".SH ENVIRONMENT\n", out);
    item(out, "VOLLEY_SECTION_KEY", "", NULL,
         "any key of the configuration, such as VOLLEY_INGEST_LISTEN");
    item(out, "NO_COLOR", "", NULL, "when set and not empty: no colours");
}

static void main_page(FILE *out, const struct command *const *table, size_t len)
{
    head(out, "volley", 1, "volley", "a durable broadcaster for Nostr");
    fputs(".SH SYNOPSIS\n\\fBvolley\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n", out);
    put(out, "Post a signed event once; volley keeps it on disk and delivers it to every relay, "
             "patiently, IPv6 first, over Tor or directly, and says what arrived where.\n");
    fputs(".SH COMMANDS\n", out);
    for (size_t i = 0; i < len; i++)
        item(out, table[i]->name, " ", table[i]->arguments, table[i]->summary);
    put_files(out);
    put_exit_status(out);
    fputs(".SH SEE ALSO\n", out);
    for (size_t i = 0; i < len; i++)
        fprintf(out, ".BR volley\\-%s (1),\n", table[i]->name);
    fputs(".BR volley.yaml (5)\n", out);
}

static void config_page(FILE *out)
{
    struct config_key_row key;
    char section[32] = "";
    head(out, "volley.yaml", 5, "volley.yaml", "the configuration of volley");
    fputs(".SH DESCRIPTION\n", out);
    put(out, "YAML: sections with keys. Each key can also be given by the environment "
             "(VOLLEY_SECTION_KEY) or by --set section.key=value; the later of file, environment "
             "and --set wins. Durations are written 300ms 5s 10m 2h 7d, sizes 64KiB 8GiB, rates "
             "10/s. An unknown key is an error. 'volley check --print' shows every key, its value "
             "and where it came from.\n");
    for (size_t i = 0; config_key_at(i, &key); i++) {
        size_t dot = strcspn(key.name, ".");
        if (strlen(section) != dot || strncmp(section, key.name, dot) != 0) {
            (void)snprintf(section, sizeof section, "%.*s", (int)dot, key.name);
            fprintf(out, ".SH SECTION %s\n", section);
        }
        char text[512];
        (void)snprintf(text, sizeof text, "%s (default: %s)", key.help,
                       key.fallback[0] != '\0' ? key.fallback : "empty");
        item(out, key.name + dot + 1, " ", key.kind, text);
    }
    fputs(".SH RELAYS\n", out);
    put(out, "A relay is a URL, a bare host (then wss://), or a map with the keys url, name, "
             "route, family, window, rate, kinds, except_kinds, private, backfill, hold and "
             "auth_key_file. Relays listed under the key blastr-relays at the top level and in "
             "publisher.relays_file are added.\n");
    fputs(".SH SEE ALSO\n.BR volley (1)\n", out);
}

static int finish(FILE *out, const char *path)
{
    bool bad = ferror(out) != 0;
    if (fclose(out) == 0 && !bad)
        return 0;
    fprintf(stderr, "volley: %s could not be written\n", path);
    return 1;
}

static FILE *begin(const char *dir, const char *name, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/%s", dir, name);
    FILE *out = fopen(path, "we");
    if (out == NULL)
        fprintf(stderr, "volley: %s: %s\n", path, strerror(errno));
    return out;
}

int manual_write(const struct command *const *table, size_t len, const char *dir)
{
    char path[4096], name[64];
    FILE *out = begin(dir, "volley.1", path, sizeof path);
    if (out == NULL)
        return 1;
    main_page(out, table, len);
    int status = finish(out, path);
    for (size_t i = 0; i < len && status == 0; i++) {
        (void)snprintf(name, sizeof name, "volley-%s.1", table[i]->name);
        out = begin(dir, name, path, sizeof path);
        if (out == NULL)
            return 1;
        command_page(out, table[i]);
        status = finish(out, path);
    }
    if (status != 0 || (out = begin(dir, "volley.yaml.5", path, sizeof path)) == NULL)
        return 1;
    config_page(out);
    return finish(out, path);
}

/* ---- completion ---- */

static void put_names(FILE *out, const struct option_row *rows, size_t len)
{
    for (size_t i = 0; i < len; i++)
        fprintf(out, " %s", rows[i].name);
}

static void put_option_cases(FILE *out, const struct command *const *table, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        fprintf(out, "    %s) options=\"", table[i]->name);
        put_names(out, table[i]->options, table[i]->options_len);
        bool files = strstr(table[i]->arguments, "FILE") != NULL ||
                     strstr(table[i]->arguments, "DIR") != NULL;
        fprintf(out, "\"; files=%s; words=\"%s\" ;;\n", files ? "yes" : "",
                table[i]->words != NULL ? table[i]->words : "");
    }
}

void completion_print(const struct command *const *table, size_t len, FILE *out)
{
    struct config_key_row key;
    fputs("# bash completion for volley; written by the program itself: volley --completion\n"
          "_volley() {\n"
          "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "  local options files words\n"
          "  COMPREPLY=()\n"
          "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "    COMPREPLY=($(compgen -W \"--help --version",
          out);
    for (size_t i = 0; i < len; i++)
        fprintf(out, " %s", table[i]->name);
    fputs("\" -- \"$cur\"))\n    return\n  fi\n"
          "  case $prev in\n"
          "    -c) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
          "    --set)\n      compopt -o nospace 2>/dev/null\n"
          "      COMPREPLY=($(compgen -S = -W \"",
          out);
    for (size_t i = 0; config_key_at(i, &key); i++)
        fprintf(out, "%s%s", i > 0 ? " " : "", key.name);
    fputs("\" -- \"$cur\"))\n      return ;;\n  esac\n  case ${COMP_WORDS[1]} in\n", out);
    put_option_cases(out, table, len);
    fputs("    *) return ;;\n  esac\n"
          "  case $cur in\n"
          "    -*) COMPREPLY=($(compgen -W \"$options",
          out);
    put_names(out, command_common_options, command_common_options_len);
    fputs("\" -- \"$cur\")) ;;\n"
          "    *) COMPREPLY=($(compgen ${files:+-f} -W \"$words\" -- \"$cur\")) ;;\n"
          "  esac\n"
          "}\n"
          "complete -o filenames -F _volley volley\n",
          out);
}
