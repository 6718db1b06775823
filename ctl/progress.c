#include "ctl/progress.h"

#include "ctl/screen.h"
#include "ctl/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void progress_init(struct progress *p, uint64_t now_ms)
{
    *p = (struct progress){.on = terminal_size(2, NULL) > 0, .began_ms = now_ms};
}

#define BAR_MAX 40u

void progress_text(char *out, size_t size, size_t width, uint64_t done, uint64_t total,
                   uint64_t count, uint64_t ms)
{
    char text[128], line[128], rate[16], left[16], bar[BAR_MAX + 1];
    (void)short_rate(ms > 0 ? count * 1000000u / ms : 0, rate);
    if (total == 0) {
        (void)snprintf(text, sizeof text, "%" PRIu64 " events, %s/s", count, rate);
    } else {
        if (done > total)
            done = total; /* the file grew */
        size_t bar_len = width > 60 + BAR_MAX ? BAR_MAX : width > 70 ? width - 60 : 10;
        size_t full = (size_t)((double)done / (double)total * (double)bar_len);
        memset(bar, '.', bar_len);
        memset(bar, '#', full);
        bar[bar_len] = '\0';
        int64_t left_ms =
            done == 0 ? -1 : (int64_t)((double)ms * (double)(total - done) / (double)done);
        (void)snprintf(text, sizeof text, "[%s] %3u%%  %" PRIu64 " events, %s/s, %s left", bar,
                       (unsigned)((double)done / (double)total * 100.0), count, rate,
                       short_duration(left_ms, left));
    }
    (void)snprintf(out, size, "%s", text_cut(text, width, line, sizeof line));
}

void progress_draw(struct progress *p, uint64_t done, uint64_t total, uint64_t count,
                   uint64_t now_ms)
{
    char text[128];
    size_t width = terminal_size(2, NULL);
    if (!p->on || width < 2)
        return;
    progress_text(text, sizeof text, width - 1, done, total, count, now_ms - p->began_ms);
    fprintf(stderr, "\r%s\033[K", text);
    p->visible = true;
}

void progress_clear(struct progress *p)
{
    if (p->visible)
        fputs("\r\033[K", stderr);
    p->visible = false;
}
