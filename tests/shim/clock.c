/* A preloaded wall clock, for a redis-server or a queue in tests: CLOCK_FILE names a file of eight
 * bytes, the microseconds since 1970 (little endian), mapped and read at each look. Zero, or no
 * file: the real clock. The other clocks (monotonic, boot) stay real: the server's own timers run
 * on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static const volatile uint64_t *set_us;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CLOCK_FILE");
    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *set_us, PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
        set_us = at;
    close(fd);
}

/* False: nothing is set. */
static int is_set(struct timespec *ts)
{
    uint64_t us = set_us != NULL ? *set_us : 0;
    ts->tv_sec = (time_t)(us / 1000000);
    ts->tv_nsec = (long)(us % 1000000) * 1000;
    return us != 0;
}

int clock_gettime(clockid_t which, struct timespec *ts)
{
    if ((which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) && is_set(ts))
        return 0;
    if (real_clock_gettime == NULL) /* somebody's constructor is earlier than ours */
        *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    return real_clock_gettime(which, ts);
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;
    (void)zone;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return rc;
}

time_t time(time_t *out)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    if (out != NULL)
        *out = ts.tv_sec;
    return ts.tv_sec;
}
