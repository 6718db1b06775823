/* What the queue keeps of reaching one relay, as JSON. */
#ifndef VOLLEY_CTL_STATISTICS_SHOW_H
#define VOLLEY_CTL_STATISTICS_SHOW_H

#include "ctl/ctl.h"

/* An array: one object for each source, route and family, with all windows. The caller's. */
cJSON *statistics_json(const struct path_statistics *paths, size_t len);
/* One window of it. */
cJSON *statistics_window_json(const struct window_statistics *w);

#endif
