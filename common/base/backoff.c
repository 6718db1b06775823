#include "common/base/backoff.h"

uint64_t backoff_ms(uint32_t failures, uint64_t min_ms, uint64_t max_ms, struct rng *rng)
{
    uint64_t ceiling = min_ms;
    for (uint32_t i = 1; i < failures && ceiling > 0 && ceiling < max_ms; i++)
        ceiling = ceiling > max_ms / 2 ? max_ms : ceiling * 2;
    if (ceiling > max_ms)
        ceiling = max_ms;
    uint64_t least = min_ms / 2 < ceiling ? min_ms / 2 : ceiling;
    return least + rng_below(rng, ceiling - least + 1);
}
