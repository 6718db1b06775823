/* Anything at all as what a relay tells of itself. Texts are terminated; what was refused has a
 * reason in words. */
#include "probe/nip11.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct nip11 n;
    struct problem p = {""};
    char limits[256];
    char *text = mem_new(len == 0 ? 1 : len);
    if (len > 0)
        memcpy(text, data, len);
    memset(&n, 'x', sizeof n);
    if (nip11_parse(text, len, &n, &p) != ERR_NONE) {
        if (p.text[0] == '\0')
            die("refused without a word");
    } else {
        if (memchr(n.name, '\0', sizeof n.name) == NULL ||
            memchr(n.software, '\0', sizeof n.software) == NULL ||
            memchr(n.version, '\0', sizeof n.version) == NULL)
            die("a text without an end");
        nip11_limits(&n, limits, sizeof limits);
    }
    free(text);
    return 0;
}
