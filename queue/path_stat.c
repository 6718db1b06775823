#include "queue/queue.h"

void path_stat_add(struct path_stat *total, const struct path_stat *delta)
{
    total->attempts += delta->attempts;
    total->successes += delta->successes;
    total->failures += delta->failures;
    total->connect_us += delta->connect_us;
    total->tls_us += delta->tls_us;
    total->websocket_us += delta->websocket_us;
    if (delta->last_success_ms > total->last_success_ms)
        total->last_success_ms = delta->last_success_ms;
    if (delta->last_failure_ms > total->last_failure_ms)
        total->last_failure_ms = delta->last_failure_ms;
}
