/* Start9's properties (StartOS 0.3.5, version 2): a YAML document of strings that its page shows.
 */
#ifndef VOLLEY_PROBE_PROPERTIES_H
#define VOLLEY_PROBE_PROPERTIES_H

#include "probe/knowledge.h"

#include <stdio.h>

#define PROPERTIES_TYPE "application/yaml"

/* Where our services listen, each list ended by NULL. */
struct property_links {
    const char *const *ingest, *const *probe;
};
void properties_yaml(const struct knowledge *k, const struct property_links *links, FILE *out);

#endif
