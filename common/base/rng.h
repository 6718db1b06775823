/* Random numbers. `rng_secure` for what an attacker must not guess; `struct rng` for jitter and
 * simulations, seeded, so that a run can be repeated (xoshiro256**, Blackman and Vigna, public
 * domain). */
#ifndef VOLLEY_BASE_RNG_H
#define VOLLEY_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Fills `out` from the kernel (getrandom). Never fails; waits at early boot. */
void rng_secure(void *out, size_t len);

struct rng {
    uint64_t s[4];
};
void rng_init(struct rng *r, uint64_t seed);
/* Seeded from the kernel. */
void rng_init_secure(struct rng *r);
uint64_t rng_next(struct rng *r);
/* Even over 0 … below-1; 0 when `below` is 0. */
uint64_t rng_below(struct rng *r, uint64_t below);

#endif
