/* The clocks. Only this file reads them.
 *
 * Deciders never ask for the time: it is handed to them. A loop turn reads `clock_boot_ms` once and
 * hands it down; the lease alone is checked with a fresh reading before each write to a relay. */
#ifndef VOLLEY_BASE_CLOCK_H
#define VOLLEY_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since boot, suspend included (CLOCK_BOOTTIME). Never falls, survives changes of the
 * wall clock. */
uint64_t clock_boot_ms(void);
/* The same in microseconds, for measuring phases. */
uint64_t clock_boot_us(void);
/* Milliseconds and seconds since 1970, for what people and Nostr read. May jump. */
int64_t clock_wall_ms(void);
int64_t clock_wall_s(void);

#endif
