/* From YAML text to raw values, by libyaml's document API. Every scalar is taken as text; what it
 * means is config_convert's. */
#include "common/config/config_internal.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct reader {
    struct config *c;
    const char *file;
    yaml_document_t doc;
    struct relay_entries *relays;
    struct problem *p;
};

static int line_of(const yaml_node_t *node)
{
    return (int)node->start_mark.line + 1;
}

static const char *scalar(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

static enum err bad(struct reader *r, const yaml_node_t *node, const char *what)
{
    return problem_set(r->p, ERR_INVALID, "%s:%d: %s", r->file, line_of(node), what);
}

static bool has_nul(const yaml_node_t *node)
{
    return strlen(scalar(node)) != node->data.scalar.length;
}

/* A scalar, or a list of scalars as one item a line. */
static enum err flat_text(struct reader *r, yaml_node_t *node, struct buf *out)
{
    if (node->type == YAML_SCALAR_NODE)
        return has_nul(node) ? bad(r, node, "a value with a NUL byte")
                             : buf_add_str(out, scalar(node));
    if (node->type != YAML_SEQUENCE_NODE)
        return bad(r, node, "expected a value or a list of values");
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top;
         i++) {
        yaml_node_t *item = yaml_document_get_node(&r->doc, *i);
        if (item->type != YAML_SCALAR_NODE || has_nul(item))
            return bad(r, item, "expected a list of plain values");
        enum err e = buf_addf(out, "%s%s", out->len > 0 ? "\n" : "", scalar(item));
        if (e != ERR_NONE)
            return e;
    }
    return ERR_NONE;
}

static enum err relay_field(struct reader *r, struct relay_entry *entry, yaml_node_pair_t *pair)
{
    yaml_node_t *key = yaml_document_get_node(&r->doc, pair->key);
    yaml_node_t *value = yaml_document_get_node(&r->doc, pair->value);
    if (key->type != YAML_SCALAR_NODE)
        return bad(r, key, "a relay's keys are plain words");
    char **field = relay_entry_field(entry, scalar(key));
    char near[96];
    if (field == NULL)
        return problem_set(r->p, ERR_INVALID, "%s:%d: unknown key '%.64s' of a relay%s", r->file,
                           line_of(key), scalar(key),
                           relay_entry_suggest(scalar(key), near, sizeof near));
    if (*field != NULL)
        return problem_set(r->p, ERR_INVALID, "%s:%d: '%s' is given twice for one relay", r->file,
                           line_of(key), scalar(key));
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX);
    enum err e = flat_text(r, value, &text);
    if (e == ERR_NONE)
        *field = mem_strdup(buf_str(&text));
    buf_fini(&text);
    return e;
}

static enum err relay_map(struct reader *r, yaml_node_t *map)
{
    struct relay_entry *entry;
    enum err e = relay_entries_add(r->relays, line_of(map), &entry, r->p);
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start;
         e == ERR_NONE && pair < map->data.mapping.pairs.top; pair++)
        e = relay_field(r, entry, pair);
    if (e == ERR_NONE && entry->url == NULL)
        e = bad(r, map, "a relay without url");
    return e;
}

/* One item of a list is one URL, whatever it contains. */
static enum err relay_word(struct reader *r, yaml_node_t *item)
{
    struct relay_entry *entry;
    if (has_nul(item))
        return bad(r, item, "a value with a NUL byte");
    enum err e = relay_entries_add(r->relays, line_of(item), &entry, r->p);
    if (e == ERR_NONE)
        entry->url = mem_strdup(scalar(item));
    return e;
}

static enum err relay_list(struct reader *r, yaml_node_t *node)
{
    if (node->type == YAML_SCALAR_NODE)
        return has_nul(node) ? bad(r, node, "a value with a NUL byte")
                             : relay_entries_add_text(r->relays, scalar(node), line_of(node), r->p);
    if (node->type != YAML_SEQUENCE_NODE)
        return bad(r, node, "relays are a list");
    enum err e = ERR_NONE;
    for (yaml_node_item_t *i = node->data.sequence.items.start;
         e == ERR_NONE && i < node->data.sequence.items.top; i++) {
        yaml_node_t *item = yaml_document_get_node(&r->doc, *i);
        if (item->type == YAML_SCALAR_NODE)
            e = relay_word(r, item);
        else if (item->type == YAML_MAPPING_NODE)
            e = relay_map(r, item);
        else
            e = bad(r, item, "a relay is a URL or a map");
    }
    return e;
}

static enum err unknown(struct reader *r, const yaml_node_t *key, const char *name)
{
    char near[96];
    return problem_set(r->p, ERR_INVALID, "%s:%d: unknown key '%.80s'%s", r->file, line_of(key),
                       name, config_suggest(name, near, sizeof near));
}

static enum err one_key(struct reader *r, const char *section, yaml_node_pair_t *pair)
{
    yaml_node_t *key = yaml_document_get_node(&r->doc, pair->key);
    yaml_node_t *value = yaml_document_get_node(&r->doc, pair->value);
    if (key->type != YAML_SCALAR_NODE)
        return bad(r, key, "keys are plain words");
    char name[160];
    (void)snprintf(name, sizeof name, "%.64s.%.80s", section, scalar(key));
    int row = config_find(name);
    if (row < 0)
        return unknown(r, key, name);
    if (r->c->sources[row].text != NULL)
        return problem_set(r->p, ERR_INVALID, "%s:%d: '%s' is given twice", r->file, line_of(key),
                           name);
    char where[CONFIG_TEXT_SIZE];
    (void)snprintf(where, sizeof where, "%.480s:%d", r->file, line_of(value));
    if (config_keys[row].type == TYPE_RELAYS) {
        config_source_set(r->c, row, where, "", 0);
        return relay_list(r, value);
    }
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX);
    enum err e = flat_text(r, value, &text);
    if (e == ERR_NONE)
        config_source_set(r->c, row, where, buf_str(&text), text.len);
    buf_fini(&text);
    return e;
}

static enum err section(struct reader *r, yaml_node_pair_t *pair)
{
    yaml_node_t *key = yaml_document_get_node(&r->doc, pair->key);
    yaml_node_t *value = yaml_document_get_node(&r->doc, pair->value);
    if (key->type != YAML_SCALAR_NODE)
        return bad(r, key, "keys are plain words");
    const char *name = scalar(key);
    if (strcmp(name, "blastr-relays") == 0)
        return relay_list(r, value);
    bool known = false;
    for (size_t i = 0; i < config_keys_len; i++)
        known |= strncmp(config_keys[i].name, name, strlen(name)) == 0 &&
                 config_keys[i].name[strlen(name)] == '.';
    if (!known)
        return unknown(r, key, name);
    if (value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0)
        return ERR_NONE; /* a section with nothing in it */
    if (value->type != YAML_MAPPING_NODE)
        return bad(r, value, "a section is a map of keys");
    enum err e = ERR_NONE;
    for (yaml_node_pair_t *k = value->data.mapping.pairs.start;
         e == ERR_NONE && k < value->data.mapping.pairs.top; k++)
        e = one_key(r, name, k);
    return e;
}

static enum err same_twice(struct reader *r, yaml_node_t *root)
{
    yaml_node_pair_t *start = root->data.mapping.pairs.start, *top = root->data.mapping.pairs.top;
    for (yaml_node_pair_t *a = start; a < top; a++)
        for (yaml_node_pair_t *b = start; b < a; b++) {
            yaml_node_t *x = yaml_document_get_node(&r->doc, a->key),
                        *y = yaml_document_get_node(&r->doc, b->key);
            if (x->type == YAML_SCALAR_NODE && y->type == YAML_SCALAR_NODE &&
                strcmp(scalar(x), scalar(y)) == 0)
                return bad(r, x, "this section is given twice");
        }
    return ERR_NONE;
}

static enum err document(struct reader *r)
{
    yaml_node_t *root = yaml_document_get_root_node(&r->doc);
    if (root == NULL || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
        return ERR_NONE; /* empty, or comments only */
    if (root->type != YAML_MAPPING_NODE)
        return bad(r, root, "expected sections such as 'publisher:'");
    if (root->data.mapping.pairs.top - root->data.mapping.pairs.start > 100)
        return bad(r, root, "too many sections");
    enum err e = same_twice(r, root);
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         e == ERR_NONE && pair < root->data.mapping.pairs.top; pair++)
        e = section(r, pair);
    return e;
}

enum err config_read_yaml(struct config *c, const char *file, const char *text, size_t len,
                          struct relay_entries *relays, struct problem *p)
{
    struct reader r = {.c = c, .file = file, .relays = relays, .p = p};
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0)
        die("out of memory (YAML parser)");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    enum err e;
    if (yaml_parser_load(&parser, &r.doc) == 0) {
        e = problem_set(p, ERR_INVALID, "%s:%zu: not YAML: %s", file, parser.problem_mark.line + 1,
                        parser.problem != NULL ? parser.problem : "unreadable");
    } else {
        e = document(&r);
        yaml_document_delete(&r.doc);
    }
    if (e == ERR_TOO_BIG)
        e = problem_set(p, ERR_INVALID, "%s: a value is too long", file);
    yaml_parser_delete(&parser);
    return e;
}
