/* The lane's rules, one script each (lane_script.h says what the words mean). Unless a row says
 * otherwise: nothing settled yet, window 8 to 16, ok_timeout 30 s, back-off 1 s to 60 s, 3
 * attempts, a key for AUTH, and the log's head at 0. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/lane_script.h"

#define OPEN(n) "head:" #n " peek:1 connect "

static const struct exception two_waiting[] = {
    {.pos = 3, .attempts = 1},
    {.pos = 5, .attempts = 2, .flags = EXCEPTION_SENT, .not_before_ms = SCRIPT_WALL + 10000}};
static const struct exception far_future[] = {
    {.pos = 3, .not_before_ms = SCRIPT_WALL + 1000000000}};
static const struct exception sent_twice[] = {{.pos = 3, .flags = EXCEPTION_SENT}, {.pos = 5}};
static const struct exception all_paid[] = {
    {.pos = 3, .attempts = 3, .flags = EXCEPTION_SENT | EXCEPTION_SUSPECT}};
static const struct lane_request asked[] = {{.number = 7, .pos = 2}, {.number = 9, .pos = 6}};

static const struct rule {
    const char *promise, *script;
    struct lane_grant grant;
    uint64_t head;
    uint32_t window_max, rate;
    bool no_key;
} rules[] = {
    /* ---- sending ---- */
    {"an empty lane wants nothing at all", "quiet clean state:1 lowest:1"},
    {"it looks before it connects", "head:1 peek:1 connect send:1 quiet"},
    {"what the definition filters needs no connection",
     "head:3 pass:1 pass:2 pass:3 quiet commit pos:3 ex:- rows:-"},
    {"what is skipped gets a row", "head:2 skip:1 peek:2 connect skip:2 quiet commit pos:2 "
                                   "rows:1=deleted/0,2=deleted/0"},
    {"first sends go in the order of the log, eight at first", OPEN(20) "send:1-8 quiet flying:8"},
    {"a window of OKs doubles the window",
     OPEN(60) "send:1-4 ok:1-4 window:8 send:5-12 ok:5-8 window:12 send:13-20 ok:9-20 window:16"},
    {"the window never passes the definition's", OPEN(60) "send:1-4 quiet ok:1-4 window:4",
     .grant = {.definition = {.window = 4}}},
    {"a learned window moves with the lane", OPEN(20) "send:1-12 quiet",
     .grant = {.learned = {.window = 12}}},
    {"other limits hold from the next decision on, and begun waits stay",
     "limits:4:2000 " OPEN(9) "send:1-4 quiet limits:6:2000 send:5-6 quiet limits:2:2000 ok:1-4 "
                              "quiet ok:5 send:7 quiet lost peek:6 limits:2:100 "
                              "wait:1000-2000 refuse wait:50-100 connect"},
    {"a rate of ten a second sends ten a second",
     OPEN(40) "send:1-2 wait:90-110 send:3 wait:90-110 send:4 ok:1-4 wait:90-110 send:5",
     .rate = 10000},
    {"a slow rate never bursts", OPEN(9) "send:1 wait:9900-10000 send:2 wait:9900-10000 send:3",
     .grant = {.definition = {.rate_per_1000s = 100}}, .rate = 10000},
    {"an idle link is closed after idle_close",
     OPEN(1) "send:1 ok:1 wait:300000-300000 close quiet commit"},
    {"a link is not closed for idleness while an answer is due",
     OPEN(1) "send:1 wait:30000-30000 close"},

    /* ---- answers ---- */
    {"an OK settles", OPEN(1) "send:1 ok:1 quiet dirty commit pos:1 ex:- rows:- delivered:1 clean"},
    {"what people see of the last arrival is an OK's time, and no other answer's",
     OPEN(3) "arrived:- send:1-3 +500 ok:1 arrived:500 +100 blocked:2 error:3 arrived:500 lost "
             "arrived:500"},
    {"a second OK is no answer", OPEN(1) "send:1 ok:1 ignored:1"},
    {"an OK for what was never sent is no answer", OPEN(2) "ignored:1 ignored:7 send:1"},
    {"blocked fails at once, with a row",
     OPEN(1) "send:1 blocked:1 quiet commit rows:1=blocked/1 ex:-"},
    {"replaced is skipped, as superseded",
     OPEN(1) "send:1 replaced:1 commit rows:1=superseded/1 ex:-"},
    {"error: is tried again later, and pays",
     OPEN(1) "send:1 error:1 commit pos:1 ex:1/1w wait:500-1000 send:1 error:1 wait:500-2000 "
             "send:1 ok:1 commit ex:- rows:-"},
    {"error: ends after max_attempts as failed",
     OPEN(1) "send:1 error:1 wait send:1 error:1 wait send:1 error:1 quiet commit rows:1=error/3 "
             "ex:-"},
    {"retries go before new ones, oldest first",
     OPEN(9) "send:1-8 error:5 error:2 +2000 send:2 send:5 quiet ok:1 send:9"},
    {"an event that waits does not hold up the others",
     OPEN(9) "send:1-8 error:1 send:9 ok:2-9 commit pos:9 ex:1/1w"},

    /* ---- the relay slows us down ---- */
    {"rate-limited: halves the window, pauses, pays nothing",
     OPEN(9) "send:1-8 ok:1-4 slow:5-8 window:6 quiet commit ex:5/0w,6/0w,7/0w,8/0w "
             "wait:500-1000 send:5"},
    {"one burst is one complaint", OPEN(9) "send:1-8 slow:1-8 window:4 rate:500"},
    {"the next complaint halves again",
     OPEN(9) "send:1-8 slow:1-8 wait send:1 slow:1 window:2 rate:250"},
    {"a rate that was never measured doubles until the next complaint",
     OPEN(40) "send:1-8 slow:1-8 rate:500 wait send:1 ok:1 wait send:2 ok:2 wait send:3 ok:3 wait "
              "send:4 ok:4 wait send:5 ok:5 wait send:6 ok:6 wait send:7 ok:7 rate:500 wait send:8 "
              "ok:8 rate:1000"},
    {"complaints without an OK between them do not lower where doubling ends",
     OPEN(40) "send:1-8 ok:1-7 slow:8 rate:3500 wait send:8 slow:8 rate:1750 wait send:8 slow:8 "
              "rate:875 wait send:8 ok:8 wait send:9 ok:9 wait send:10 ok:10 wait send:11 ok:11 "
              "wait send:12 ok:12 wait send:13 ok:13 wait send:14 ok:14 wait send:15 ok:15 "
              "rate:1750"},
    {"a rate that was learned moves with the lane", OPEN(9) "send:1 wait:1900-2000 send:2",
     .grant = {.learned = {.rate_per_1000s = 500}}},
    {"a learned rate recovers slowly",
     OPEN(40) "rate:8000 send:1 wait send:2 wait send:3 wait send:4 wait send:5 wait send:6 wait "
              "send:7 wait send:8 ok:1-7 rate:8000 +1000 ok:8 rate:9001",
     .grant = {.learned = {.rate_per_1000s = 8000}}},
    {"after a complaint the window grows by one a window",
     OPEN(99) "send:1-8 slow:8 window:4 ok:1-7 window:5 wait send:8 ok:8"},

    /* ---- the link ---- */
    {"connecting backs off, and pays nothing",
     "head:1 peek:1 refuse state:4 wait:500-1000 refuse wait:500-2000 refuse wait:500-4000 connect "
     "send:1 ok:1 commit ex:-"},
    {"Retry-After is obeyed", "head:1 peek:1 refuse:5000 wait:5000-5000 connect"},
    {"when tor is back the wait is cut short",
     "head:1 peek:1 refuse wait refuse wait refuse wait refuse "
     "wait refuse wait refuse retry wait:0-1000 connect"},
    {"but not below Retry-After", "head:1 peek:1 refuse:5000 retry wait:5000-5000 connect"},
    {"Retry-After is bounded by backoff_max", "head:1 peek:1 refuse:999999 wait:60000-60000"},
    {"what was in flight goes again when the link is back, oldest first",
     OPEN(9) "send:1-8 ok:3 lost peek:1 wait:500-1000 connect send:1-2 send:4-8 send:9"},
    {"losing a link with many in flight costs no attempt",
     OPEN(3) "send:1-3 lost commit pos:3 ex:1/0,2/0,3/0 stalls:1"},
    {"hanging up on an event alone costs it one", OPEN(1) "send:1 lost commit ex:1/1sw"},
    {"an event that hangs up alone each time fails",
     OPEN(1) "send:1 lost wait peek:1 wait connect quiet urgent commit ex:1/2sw send:1 lost wait "
             "peek:1 wait "
             "connect quiet commit send:1 lost quiet commit rows:1=error/3 ex:-"},
    {"an idle link that the relay closes costs nothing",
     OPEN(1) "send:1 ok:1 lost quiet commit ex:- stalls:0 head:2 peek:2 wait:400-1000 connect"},
    {"an OK over the old link is none", OPEN(2) "send:1-2 lost ignored:1"},

    /* ---- no answer ---- */
    {"silent about one while others pass: it is set aside, the link stays",
     OPEN(9) "send:1 +10000 send:2 +1000 ok:2 +19000 send:3 flying:1"},
    {"a late OK over that link still counts",
     OPEN(2) "send:1 +10000 send:2 ok:2 +20000 quiet ok:1 commit ex:- delivered:2"},
    {"passed over by later answers, it pays", OPEN(2) "send:1-2 ok:2 +30000 quiet commit ex:1/1w"},
    {"outrun only by older answers, it does not",
     OPEN(2) "send:1 +1000 send:2 ok:1 +30000 quiet commit ex:2/0w"},
    {"silence about everything closes the link and backs off",
     OPEN(3) "send:1-3 +30000 close peek:1 quiet commit ex:1/0,2/0,3/0 stalls:1 wait:500-1000 "
             "connect"},
    {"silence about an event alone costs it an attempt",
     OPEN(1) "send:1 +30000 close commit ex:1/1sw"},

    /* ---- poison ---- */
    {"after two stalls those in flight are suspects, and their neighbours pass first",
     OPEN(6) "send:1-3 lost peek:1 wait connect send:1-6 lost commit "
             "ex:1/0s,2/0s,3/0s,4/0s,5/0s,6/0s stalls:0 head:7 peek:7 wait connect send:7 quiet "
             "ok:7 quiet urgent commit ex:1/1s,2/0s,3/0s,4/0s,5/0s,6/0s send:1 quiet lost commit "
             "ex:1/1sw,2/0s,3/0s,4/0s,5/0s,6/0s"},
    {"a suspect goes alone, and only once its attempt is durable",
     OPEN(2) "send:1-2 lost peek:1 wait connect send:1-2 lost peek:1 wait connect quiet urgent "
             "begin quiet done send:1 quiet ok:1 quiet urgent commit:lost quiet urgent commit "
             "send:2 ok:2 commit ex:- rows:-"},
    {"an attempt paid ahead is given back when the link goes before it was sent",
     OPEN(2) "send:1-2 lost peek:1 wait connect send:1-2 lost peek:1 wait connect quiet commit "
             "ex:1/1s,2/0s lost commit ex:1/0s,2/0s"},
    {"progress ends the count of stalls",
     OPEN(6) "send:1-3 lost peek:1 wait connect send:1-6 ok:1 lost commit stalls:1 "
             "ex:2/0,3/0,4/0,5/0,6/0"},
    {"in flight at three hang-ups is suspect, whatever passed between",
     OPEN(6) "send:1-3 ok:1 lost peek:2 wait connect send:2-6 ok:4 lost peek:2 wait connect "
             "send:2-3 send:5-6 ok:5 lost commit ex:2/0s,3/0s,6/0"},
    {"taken over after two stalls, the first window is set aside event by event",
     "peek:1 pass:2 peek:3 peek:4 peek:5 peek:6 peek:7 peek:8 peek:9 connect send:9 quiet ok:9 "
     "quiet commit "
     "ex:1/1s,3/0s,4/0s,5/0s,6/0s,7/0s,8/0s send:1",
     .grant = {.stalls = 2}, .head = 9},
    {"… and so is what was sent without an answer",
     "wait peek:5 connect send:5 ok:5 quiet commit ex:3/1s send:3",
     .grant = {.stalls = 2, .position = 6, .exceptions = sent_twice, .exceptions_len = 2}},
    {"… but not what comes to the log later",
     "peek:1 head:9 peek:2 peek:3 peek:4 connect send:4-9 quiet", .grant = {.stalls = 2},
     .head = 3},
    {"a suspect whose attempts were all paid by dead publishers fails",
     "peek:3 connect quiet quiet commit rows:3=error/3 ex:-",
     .grant = {.position = 6, .exceptions = all_paid, .exceptions_len = 1}},
    {"eight different events answered error: are the relay's failure",
     OPEN(9) "send:1-8 error:1-7 commit "
             "ex:1/1w,2/1w,3/1w,4/1w,5/1w,6/1w,7/1w error:8 commit "
             "ex:1/0w,2/0w,3/0w,4/0w,5/0w,6/0w,7/0w,8/0w state:4 window:1 wait:500-1000"},
    {"an OK between them, and it is theirs",
     OPEN(9) "send:1-8 error:1-6 ok:7 error:8 commit "
             "ex:1/1w,2/1w,3/1w,4/1w,5/1w,6/1w,8/1w state:3 send:9"},
    {"the same event eight times is not eight events",
     OPEN(
         2) "send:1 error:1 send:2 error:2 +2000 send:1-2 error:1-2 +4000 send:1-2 error:1-2 quiet "
            "commit rows:1=error/3,2=error/3 ex:-"},
    {"while the relay fails nobody pays, until an OK",
     OPEN(20) "send:1-8 error:1-8 wait send:1 error:1 commit "
              "ex:1/0w,2/0w,3/0w,4/0w,5/0w,6/0w,7/0w,8/0w +60000 send:9 ok:9 window:8 send:1 "
              "error:1 "
              "commit ex:1/1w,2/0w,3/0w,4/0w,5/0w,6/0w,7/0w,8/0w"},

    {"… and each has its turn",
     OPEN(8) "send:1-8 error:1-8 +60000 send:1 error:1 +60000 send:2 error:2 +60000 send:3 error:3 "
             "+60000 send:4"},
    {"… but when fewer than eight are left, they pay and come to an end",
     OPEN(8) "send:1-8 error:1-8 +60000 send:1 blocked:1 send:2 error:2 commit "
             "ex:2/1w,3/0w,4/0w,5/0w,6/0w,7/0w,8/0w"},

    /* ---- AUTH ---- */
    {"auth-required: AUTH, then once more, and it pays nothing",
     OPEN(9) "send:1-2 auth?:1-2 auth quiet commit ex:1/0,2/0 authed send:1-8 ok:1-2"},
    {"asked again after AUTH went through: failed, auth",
     OPEN(1) "send:1 auth?:1 auth authed send:1 auth?:1 quiet commit rows:1=auth/1 ex:-"},
    {"sent before AUTH went through: goes again",
     OPEN(2) "send:1-2 auth?:1 auth authed auth?:2 send:1-2 ok:1-2"},
    {"AUTH refused: failed, auth", OPEN(2) "send:1-2 auth?:1 auth authno auth?:2 quiet commit "
                                           "rows:1=auth/0,2=auth/1 ex:-"},
    {"without a key auth-required: fails", OPEN(1) "send:1 auth?:1 quiet commit rows:1=auth/1",
     .no_key = true},
    {"nothing is sent while AUTH is under way", OPEN(20) "send:1-2 auth?:1 auth quiet ok:2 quiet"},
    {"a new link authenticates anew",
     OPEN(1) "send:1 auth?:1 auth lost peek:1 wait connect send:1 auth?:1 auth authed send:1"},
    {"AUTH without an answer closes the link", OPEN(1) "send:1 auth?:1 auth wait:30000-30000 close "
                                                       "commit ex:1/0 peek:1 wait:500-1000"},

    /* ---- commits ---- */
    {"what is in flight for the first time stays above the position",
     OPEN(8) "send:1-8 clean ok:1-3 commit pos:3 ex:- ok:4-8 commit pos:8 ex:-"},
    {"answers out of order make exceptions",
     OPEN(8) "send:1-8 ok:3 ok:5 commit pos:5 ex:1/0,2/0,4/0"},
    {"the position never falls",
     OPEN(8) "send:1-8 ok:8 commit pos:8 ex:1/0,2/0,3/0,4/0,5/0,6/0,7/0 "
             "ok:1-6 commit pos:8 ex:7/0"},
    {"an unanswered commit is repeated, word for word",
     OPEN(8) "send:1-8 ok:1 commit:lost seq:1 pos:1 ok:2 dirty commit seq:1 pos:1 dirty commit "
             "seq:2 "
             "pos:2 clean"},
    {"one commit at a time", OPEN(8) "send:1-8 ok:1 begin ok:2 clean done dirty"},
    {"a stale epoch ends it", OPEN(1) "send:1 ok:1 commit:stale"},

    /* ---- what the queue tells ---- */
    {"exceptions of a grant are retried when due",
     "peek:3 connect send:3 ok:3 wait:10000-10000 send:5 error:5 commit pos:6 ex:- removed:3 "
     "rows:5=error/3",
     .grant = {.position = 6, .exceptions = two_waiting, .exceptions_len = 2}},
    {"a not-before far away is clamped to backoff_max", "wait:60000-60000 peek:3",
     .grant = {.position = 6, .exceptions = far_future, .exceptions_len = 1}},
    {"requests become exceptions, and their rows go with the delivery",
     "new:2 peek:2 connect commit took:9 ex:2/0,6/0 send:2 admitted:2 send:6 ok:2 error:6 commit "
     "took:0 removed:2 ex:6/1w rows:-",
     .grant = {.position = 6, .requests = asked, .requests_len = 2}},
    {"a request that is filtered keeps its row",
     "pass:2 pass:6 quiet commit took:9 ex:- removed:- rows:-",
     .grant = {.position = 6, .requests = asked, .requests_len = 2}},
    {"a request restarts the attempts of an exception",
     OPEN(1) "send:1 error:1 request:1:1 commit took:1 ex:1/0 send:1 ok:1 commit removed:1"},
    {"a request heard twice is taken once", "request:3:2 commit took:3 ex:2/0 request:3:2 clean",
     .grant = {.position = 4}},
    {"a request for what still lies ahead is simply taken", "request:3:9 commit took:3 ex:-",
     .grant = {.position = 4}},
    {"when the floor rises, what is in flight below is waited for, and told",
     OPEN(9) "floor:0 send:1-8 floor:5 ok:1-3 commit pos:3 ex:- floored:0 ok:4-5 flying:3 dirty "
             "commit pos:5 floored:0 ok:6-8 send:9 lowest:9 commit pos:8 floored:5"},
    {"nothing below a floor is sent, and nothing above before all below is told",
     OPEN(20) "send:1-4 ok:1-2 error:3 floor:12 +60000 quiet ok:4 quiet commit ex:3/1w pos:4 "
              "floored:0 send:13-16 ok:13-16 commit pos:16 ex:- floored:12"},
    {"a lane beyond the floor goes on while it is told",
     OPEN(20) "send:1-8 error:3 floor:4 ok:1-2 ok:4-8 send:9-16 begin ex:3/1w floored:0 send:17-18 "
              "done flying:10 ok:9-18 commit ex:- floored:4 pos:18"},
    {"a floor that rises once more while the last is told waits for its own commit",
     OPEN(20) "send:1-4 ok:1-4 floor:6 begin floor:9 done quiet dirty commit floored:6 pos:6 "
              "send:10-17"},
    {"what is in flight below a floor when the link goes is given up",
     OPEN(20) "send:1-4 ok:1 floor:6 lost +60000 dirty commit floored:0 pos:4 peek:7 connect "
              "send:7"},
    {"a request for what is about to be given up waits",
     OPEN(
         20) "send:1-4 ok:1-4 floor:12 request:1:8 commit took:0 floored:0 request:1:8 send:8 ok:8 "
             "commit took:1 floored:12 removed:8"},
    {"a floor above everything moves the lane", "floor:0 floor:50 lowest:51 commit pos:50 ex:-"},
    {"a request below the floor stays, until the floor rises again",
     "floor:12 request:1:2 floor:12 commit ex:2/0 pos:12 floor:13 commit ex:-",
     .grant = {.position = 10}},
    {"a commit below the floor is told so",
     OPEN(9) "send:1-8 ok:1 commit:at:6 flying:7 ok:2-6 commit pos:6 "
             "floored:0 flying:2 lowest:7"},
    {"held: nothing is sent, what is in flight settles",
     OPEN(20) "send:1-8 hold ok:1 quiet state:5 ok:2-8 quiet unhold send:9-17 quiet"},
    {"held since it was held, whatever becomes of the link",
     OPEN(2) "send:1-2 ok:1-2 +1000 hold +5000 lost state:5 since:1000 +1000 unhold since:7000"},
    {"held from the start: nothing is even looked at", "head:5 quiet state:5",
     .grant = {.held = true}},
    {"a new definition holds for what lies above the next commit's position",
     OPEN(20) "send:1-8 ok:1 define:2:4 window:9 commit version:2 pos:8 "
              "ex:2/0,3/0,4/0,5/0,6/0,7/0,8/0 window:4 ok:2-4 quiet ok:5 send:9 commit version:2",
     .grant = {.definition_version = 1}},
    {"nothing new is sent until the new definition is durable",
     OPEN(20) "send:1-8 ok:1-4 define:2:16 urgent begin version:2 quiet ok:5-8 quiet done send:9",
     .grant = {.definition_version = 1}},
    {"a commit tells which floor was heard of", OPEN(9) "floor:3 send:4-9 ok:4 commit floored:3"},
    {"given back: it settles, closes, commits",
     OPEN(20) "send:1-8 give quiet ok:1-8 close urgent commit pos:8 ex:- drained"},
    {"drained: silence ends it too", OPEN(2) "send:1-2 drain quiet +30000 close urgent commit "
                                             "ex:1/0,2/0 drained"},
};

static void run_rule(void **state)
{
    const struct rule *r = *state;
    struct lane_limits limits = {.window_max = r->window_max != 0 ? r->window_max : 16,
                                 .window_bytes = 10000,
                                 .rate_per_1000s = r->rate,
                                 .ok_timeout_ms = 30000,
                                 .idle_close_ms = 300000,
                                 .backoff_min_ms = 1000,
                                 .backoff_max_ms = 60000,
                                 .max_attempts = 3,
                                 .can_auth = !r->no_key,
                                 .demote_after = 3,
                                 .demote_for_ms = 1800000};
    struct script s = {.name = r->promise, .now_ms = 1000000, .held = r->grant.held};
    struct lane_grant g = r->grant;
    g.lane = 1;
    g.epoch = 1;
    s.lane = lane_new(&g, &limits, r->head, 1, SCRIPT_WALL - (int64_t)s.now_ms, s.now_ms);
    run_script(&s, r->script);
    lane_free(s.lane);
}

/* ---- what a script can't say ---- */

static struct lane *plain_lane(struct lane_limits limits, uint64_t head)
{
    static const struct lane_grant g = {.lane = 1, .epoch = 1};
    limits.ok_timeout_ms = limits.idle_close_ms = 30000;
    limits.backoff_min_ms = 1000;
    limits.backoff_max_ms = 60000;
    limits.max_attempts = 3;
    return lane_new(&g, &limits, head, 1, 0, 1000);
}

static void open_link(struct lane *l)
{
    assert_int_equal(lane_want(l, 1000).kind, WANT_PEEK);
    lane_sendable(l, 1);
    assert_int_equal(lane_want(l, 1000).kind, WANT_CONNECT);
    lane_connecting(l, 1000);
    lane_connected(l, FAMILY_IPV4, ROUTE_DIRECT, 1000);
}

static void commit_now(struct lane *l, struct lane_commit *c)
{
    lane_commit_begin(l, c);
    struct lane_committed r = {.status = COMMIT_DONE, .position = c->position};
    assert_true(lane_commit_end(l, &r));
}

static void bytes_in_flight_are_bounded_but_one_event_always_goes(void **state)
{
    (void)state;
    struct lane *l = plain_lane((struct lane_limits){.window_max = 100, .window_bytes = 1000}, 9);
    open_link(l);
    assert_int_equal(lane_want(l, 1000).kind, WANT_SEND);
    lane_sent(l, 1, 5000, 1000);
    assert_int_equal(lane_want(l, 1000).kind, WANT_NOTHING);
    struct outcome ok = {.kind = OUTCOME_DELIVERED};
    assert_true(lane_answer(l, 1, &ok, 1001));
    lane_sent(l, 2, 999, 1001);
    assert_int_equal(lane_want(l, 1001).kind, WANT_SEND);
    lane_sent(l, 3, 1, 1001);
    assert_int_equal(lane_want(l, 1001).kind, WANT_NOTHING);
    lane_free(l);
}

static void with_many_uncommitted_rows_it_waits_for_the_commit(void **state)
{
    (void)state;
    struct lane *l = plain_lane((struct lane_limits){.window_max = 8, .window_bytes = 1000}, 2000);
    struct lane_commit c;
    for (uint64_t pos = 1; pos <= 2 * LANE_ROWS_MAX; pos++) {
        struct want w = lane_want(l, 1000);
        if (w.kind == WANT_NOTHING) {
            assert_int_equal(pos, LANE_ROWS_MAX + 1);
            assert_true(lane_urgent(l));
            commit_now(l, &c);
            w = lane_want(l, 1000);
        }
        assert_int_equal(w.kind, WANT_PEEK);
        assert_int_equal(w.pos, pos);
        lane_skip(l, pos, CLASS_OUTDATED, 1000);
    }
    lane_free(l);
}

static void with_1024_exceptions_it_reads_no_further(void **state)
{
    (void)state;
    struct lane *l =
        plain_lane((struct lane_limits){.window_max = 4096, .window_bytes = 1000000}, 9000);
    open_link(l);
    struct outcome no = {.kind = OUTCOME_SLOW}, ok = {.kind = OUTCOME_DELIVERED};
    uint64_t now = 1000, last = 0;
    l->window = 4096;
    for (struct want w; (w = lane_want(l, now)).kind == WANT_SEND; last = w.pos)
        lane_sent(l, w.pos, 10, now);
    assert_int_equal(last, QUEUE_EXCEPTIONS_MAX);
    assert_true(lane_answer(l, 7, &no, now)); /* waits: still an exception */
    assert_int_equal(lane_want(l, now).kind, WANT_NOTHING);
    struct lane_commit c;
    lane_commit_begin(l, &c);
    assert_int_equal(c.position, 7);
    assert_int_equal(c.exceptions_len, 7);
    assert_true(lane_answer(l, 1, &ok, now));
    now += 60000; /* past the pause and the rate; the others are silent, but one was answered */
    assert_int_equal(lane_want(l, now).kind, WANT_SEND);
    lane_free(l);
}

static void path_statistics_travel_once(void **state)
{
    (void)state;
    struct lane *l = plain_lane((struct lane_limits){.window_max = 8}, 0);
    struct path_stat v4 = {
        .family = FAMILY_IPV4, .route = ROUTE_DIRECT, .attempts = 1, .successes = 1, .tls_us = 7};
    struct lane_commit c;
    lane_count_path(l, &v4);
    lane_count_path(l, &v4);
    lane_commit_begin(l, &c);
    assert_int_equal(c.paths_len, 1);
    assert_int_equal(c.paths[0].attempts, 2);
    assert_int_equal(c.paths[0].tls_us, 14);
    lane_count_path(l, &v4);
    assert_true(lane_commit_end(l, NULL));
    lane_commit_begin(l, &c);
    assert_int_equal(c.paths[0].attempts, 2);
    struct lane_committed r = {.status = COMMIT_REPEATED};
    assert_true(lane_commit_end(l, &r));
    lane_commit_begin(l, &c);
    assert_int_equal(c.paths[0].attempts, 1);
    lane_free(l);
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(bytes_in_flight_are_bounded_but_one_event_always_goes),
        cmocka_unit_test(with_many_uncommitted_rows_it_waits_for_the_commit),
        cmocka_unit_test(with_1024_exceptions_it_reads_no_further),
        cmocka_unit_test(path_statistics_travel_once),
    };
    static struct CMUnitTest tests[COUNT_OF(rules) + COUNT_OF(others)];
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        tests[i] = (struct CMUnitTest){.name = rules[i].promise,
                                       .test_func = run_rule,
                                       .initial_state = (void *)(uintptr_t)&rules[i]};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        tests[COUNT_OF(rules) + i] = others[i];
    return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
