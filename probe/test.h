/* `volley test`: each relay once, by each family, over its own route; and what the publisher would
 * use there now. */
#ifndef VOLLEY_PROBE_TEST_H
#define VOLLEY_PROBE_TEST_H

#include "ctl/ctl.h"
#include "probe/act.h"

extern const struct command command_test;

/* One relay's test. */
struct test_relay {
    struct definition definition; /* of the configuration, or made for a URL that is not in it */
    struct relay_url url;
    enum route route; /* by which it is tested: the definition's, unless another was typed */
    enum family_mode modes[2];
    struct act *acts[2]; /* under way; NULL */
    struct act_result results[2];
    size_t acts_len, done;
    bool has_lane; /* the queue has it; then: */
    struct learned learned;
    enum family connected; /* FAMILY_NONE: not now */
};

/* All that is shown. */
struct test_view {
    const struct config *config;
    const struct socks_ports *socks; /* NULL: none */
    const struct test_relay *relays;
    size_t len;
    bool queue_answered;
    int64_t now_ms; /* the queue's wall clock, or ours */
};
bool test_reached(const struct test_relay *r);
/* `width` of the terminal; 0: as wide as it gets. */
void test_table(const struct test_view *v, size_t width, bool colours, FILE *out);
/* One relay a line. */
void test_json(const struct test_view *v, FILE *out);

#endif
