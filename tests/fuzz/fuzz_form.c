/* Anything at all as a form, or as a URL's query. It must never be read beyond its end; what comes
 * out is terminated and has no zero byte, and nothing comes out with a verdict of false. */
#include "probe/form.h"

#include "common/base/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const names[] = {"relay", "class", "token", "limit", ""};
    char *form = mem_new(len == 0 ? 1 : len); /* of just this length, so that a byte more is seen */
    if (len > 0)
        memcpy(form, data, len);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char out[32];
        memset(out, 'x', sizeof out);
        bool found = form_get(form, len, names[i], out, sizeof out);
        size_t end = strnlen(out, sizeof out);
        if (end == sizeof out || (!found && end > 0))
            die("not terminated, or something of nothing");
    }
    free(form);
    return 0;
}
