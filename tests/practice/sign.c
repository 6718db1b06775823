/* `practice sign`: lines of SECRET-NUMBER, CREATED_AT, KIND, TAGS, CONTENT with tabs between →
 * signed events, a line each. */
#include "tests/practice/practice.h"

#include <stdlib.h>
#include <string.h>

static bool sign_line(char *line)
{
    char *words[5];
    uint8_t secret[32] = {0};
    struct event *ev;
    struct problem p;
    for (int i = 0; i < 5; i++) {
        words[i] = strsep(&line, i < 4 ? "\t" : "\n"); /* empty fields count */
        if (words[i] == NULL)
            return false;
    }
    uint64_t number = strtoull(words[0], NULL, 10);
    for (int i = 0; i < 8; i++)
        secret[31 - i] = (uint8_t)(number >> 8 * i);
    if (event_make(secret, strtoull(words[1], NULL, 10), (uint32_t)strtoul(words[2], NULL, 10),
                   words[3], words[4], &ev, &p) != ERR_NONE) {
        fprintf(stderr, "practice: %s\n", p.text);
        return false;
    }
    printf("%.*s\n", (int)ev->len, ev->bytes);
    event_unref(ev);
    return true;
}

int practice_sign(void)
{
    char *line = NULL;
    size_t size = 0;
    bool ok = true;
    while (ok && getline(&line, &size, stdin) > 0)
        ok = sign_line(line);
    free(line);
    return ok ? 0 : 1;
}
