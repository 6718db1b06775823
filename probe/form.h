/* Fields of a form, or of a URL's query: application/x-www-form-urlencoded. Pure. */
#ifndef VOLLEY_PROBE_FORM_H
#define VOLLEY_PROBE_FORM_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* The first field of this name, decoded and terminated; empty where there is none. False, and `out`
 * is empty: there is one, but it is badly encoded, has a zero byte in it, or does not fit. */
MUST_USE bool form_get(const char *form, size_t len, const char *name, char *out, size_t size);

#endif
