/* `volley receipt ID`: what became of one event at each relay. */
#include "common/base/hex.h"
#include "common/nostr/nip19.h"
#include "ctl/receipt_show.h"
#include "ctl/screen.h"

#include <stdio.h>

struct receipt_ask {
    struct ask ask; /* first */
    uint8_t id[EVENT_ID_LEN];
    bool json;
};

static void on_receipt(void *arg, enum err e, const struct queue_receipt *r)
{
    struct receipt_ask *a = arg;
    char id[2 * EVENT_ID_LEN + 1];
    hex_str(id, a->id, sizeof a->id);
    if (e == ERR_NOT_FOUND) {
        ask_done(&a->ask, ERR_NONE,
                 command_fail(
                     a->ask.inv, 1,
                     "no event %s: it was never accepted, or is forgotten (queue.retention)", id));
        return;
    }
    if (e == ERR_NONE && a->json)
        receipt_json(r, stdout);
    else if (e == ERR_NONE)
        receipt_text(r, terminal_size(1, NULL), stdout);
    ask_done(&a->ask, e, e == ERR_NONE ? 0 : 1);
}

static void ask_receipt(struct ask *ask)
{
    struct receipt_ask *a = (struct receipt_ask *)ask;
    ask->queue->ops->receipt(ask->queue, a->id, on_receipt, a);
}

static int receipt_run(const struct invocation *inv)
{
    struct receipt_ask a = {.json = invocation_option(inv, "--json") != NULL};
    struct problem p;
    if (nip19_event_id(inv->arguments[0], a.id, &p) != ERR_NONE)
        return command_fail(inv, EXIT_USAGE, "%s", p.text);
    return ask_queue(&a.ask, inv, ask_receipt);
}

static const struct option_row options[] = {{"--json", NULL, "one object a line and relay"}};

const struct command command_receipt = {
    .name = "receipt",
    .arguments = "ID",
    .summary = "what became of one event at each relay",
    .details = "One line a relay: delivered, queued, retrying, skipped, failed, expired or purged, "
               "with class, attempts, family and route and the relay's words as far as known. "
               "before: an earlier failure, when it was sent again since; at most the last eight. "
               "never: before the relay's start; filtered: the relay is not sent this kind.",
    .examples = "  volley receipt note1…\n  volley receipt 64-HEX-DIGITS --json",
    .options = options,
    .options_len = COUNT_OF(options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = receipt_run,
};
