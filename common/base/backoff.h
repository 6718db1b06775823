/* Exponential backoff with jitter: a random wait up to a ceiling that doubles with each failure,
 * from min_ms up to max_ms. Pure. */
#ifndef VOLLEY_BASE_BACKOFF_H
#define VOLLEY_BASE_BACKOFF_H

#include "common/base/rng.h"

/* How long to wait after `failures` failures in a row (1 is the first). Never less than min_ms/2,
 * so that a jitter of nearly zero does not become a busy loop; never more than max_ms. */
uint64_t backoff_ms(uint32_t failures, uint64_t min_ms, uint64_t max_ms, struct rng *rng);

#endif
