#include "common/base/rng.h"

#include "common/base/err.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void rng_secure(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno != EINTR)
            die("getrandom: %s", strerror(errno));
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
}

/* splitmix64: spreads one seed over the whole state. */
void rng_init(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

void rng_init_secure(struct rng *r)
{
    uint64_t seed;
    rng_secure(&seed, sizeof seed);
    rng_init(r, seed);
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t below)
{
    return below == 0 ? 0 : (uint64_t)(((unsigned __int128)rng_next(r) * below) >> 64);
}
