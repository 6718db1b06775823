/* The scanner: what it takes, cJSON must take too; and every string in it has one canonical form,
 * which means the same and stays as it is. */
#include "common/nostr/json.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise, const char *what)
{
    if (!promise)
        die("broken promise: %s", what);
}

static void try_string(struct json_span raw)
{
    char *canon = mem_new(raw.len), *again = mem_new(raw.len), copy[16];
    struct json_span one = {canon, (size_t)(json_canon(canon, raw) - canon)};
    require(one.len <= raw.len, "a canonical form is not longer");
    struct json_span two = {again, (size_t)(json_canon(again, one) - again)};
    require(one.len == two.len && memcmp(canon, again, one.len) == 0, "a canonical form stays");
    require(json_same(raw, one) && json_same(one, raw), "a canonical form means the same");
    require(json_chars(raw) == json_chars(one), "a canonical form has as many characters");
    struct buf plain, quoted;
    buf_init(&plain, raw.len);
    buf_init(&quoted, raw.len + 2);
    require(json_unescape(raw, &plain) == ERR_NONE, "a plain form is not longer");
    require(json_equals(raw, buf_str(&plain)), "a string equals its plain form");
    require(json_put_string(&quoted, buf_str(&plain), plain.len) == ERR_NONE &&
                quoted.len == one.len + 2 && memcmp(quoted.data + 1, canon, one.len) == 0,
            "a plain form is written in the canonical form");
    json_copy(raw, copy, sizeof copy);
    require(strlen(copy) <= plain.len && memcmp(copy, buf_str(&plain), strlen(copy)) == 0,
            "a copy is the beginning");
    buf_fini(&plain);
    buf_fini(&quoted);
    free(canon);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct problem p = {0};
    struct json_cur c;
    struct json_span raw;
    if (json_check(text, size, 1u << 20, &p) == ERR_NONE) {
        cJSON *tree = cJSON_ParseWithLength(text, size);
        require(tree != NULL, "cJSON takes what the scanner takes");
        cJSON_Delete(tree);
    } else {
        require(p.text[0] != '\0', "a refusal has a reason");
    }
    json_begin(&c, text, size);
    if (json_string(&c, &raw) == ERR_NONE)
        try_string(raw);
    return 0;
}
