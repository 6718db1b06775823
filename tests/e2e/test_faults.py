"""Bad relays harm themselves alone."""
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import SEED, Scenario, figure, main, wait_for

MEASURES = True  # times: run alone

GOOD = ["good1:v4", "good2:v6", "good3:dual", "good4:v4"]
RATE, COUNT, PAIRS = 200, 1200, 5
PAIRS_MAX = 11  # when the machine was busy with something else
DOWN_SECONDS = 20
BAD = {
    "down": "down",
    "hole": "blackhole",
    "silent": "silent",
    "cutter": "cut_before=100",
    "limited": "rate=%d" % (RATE // 2),
    "auth": "auth",
}
KEYS = {
    "publisher.backoff_min": "500ms",
    "publisher.backoff_max": "2s",
    "publisher.ok_timeout": "5s",
    "publisher.connect_timeout": "3s",
}


class Faults(Scenario):
    def key_file(self):
        path = os.path.join(self.folder, "auth.key")
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
            f.write("%064x\n" % 7)
        return path

    def round(self, number, bad):
        """One run; the latencies in ms of the good relays, and the pipeline for further looks."""
        specs = GOOD + ["%s:v4:0:%s" % (name, how) for name, how in BAD.items() if bad]
        relays = self.practice(*specs, build="release")
        folder = os.path.join(self.folder, "round%d" % number)
        os.mkdir(folder)
        relays_folder, self.folder = self.folder, folder
        v = self.volley(list(relays.urls.values()), build="release", keys=dict(KEYS, **{"publisher.auth_key_file": self.key_file()}))
        self.folder = relays_folder
        v.up()
        post = v.post(COUNT, "--seed", SEED % 1000 + number, "--rate", RATE, background=True)
        post.wait(90)
        v.wait_drained(60, [relays.urls[g.split(":")[0]] for g in GOOD])
        sent = {event: ms for _, ms, event in v.posted()}
        self.assertEqual(len(sent), COUNT)
        latencies = []
        for g in GOOD:
            rows = [r for r in relays.records(g.split(":")[0]) if r[4] in sent]
            self.assertEqual(len(rows), COUNT)
            latencies += [r[0] - sent[r[4]] for r in rows]
        return latencies, relays, v, sent

    def p99(self, latencies):
        return statistics.quantiles(latencies, n=100)[98]

    def test_bad_relays_do_not_slow_the_others_and_lose_nothing_they_can_take(self):
        alone, among = [], []
        # Milliseconds are counted whole, at both ends.
        slowed = lambda: statistics.median(among) > 2 * statistics.median(alone) + 1
        for number in range(PAIRS_MAX):
            if number >= PAIRS and not slowed():
                break
            latencies, relays, v, _ = self.round(2 * number, bad=False)
            alone.append(self.p99(latencies))
            v.stop()
            relays.stop()
            for name in relays.urls:
                os.unlink(os.path.join(self.folder, name + ".tsv"))
            began = time.monotonic()
            latencies, relays, v, sent = self.round(2 * number + 1, bad=True)
            among.append(self.p99(latencies))
            if number == PAIRS - 1:
                time.sleep(max(0, DOWN_SECONDS - (time.monotonic() - began)))
                self.recover(relays, v, sent)
            v.stop()
            relays.stop()
            for name in relays.urls:
                os.unlink(os.path.join(self.folder, name + ".tsv"))
        a, b = statistics.median(alone), statistics.median(among)
        figure("p99 from posting to a good relay: %.0f ms alone %s, %.0f ms among six bad ones %s" % (a, alone, b, among))
        self.assertFalse(slowed(), "the good relays are slowed")

    def recover(self, relays, v, sent):
        """Whatever was wrong is mended: everything arrives."""
        for name in BAD:
            relays.set(name, "auth" if name == "auth" else "ok")
        v.wait_drained(90)
        for name in relays.urls:
            self.assertFalse(set(sent) - set(relays.accepted(name)), "lost at relay " + name)
        self.assertGreater(relays.counts("auth")["auths"], 0)
        lanes, _ = v.depth()
        self.assertEqual([l["failed"] for l in lanes.values()], [0] * len(lanes))

    def test_an_event_that_makes_the_relay_hang_up_ends_as_failed_alone(self):
        relays = self.practice("a:v4:0:hangup_on=practice 77/33 ")
        v = self.volley(list(relays.urls.values()), keys=dict(KEYS, **{"publisher.max_attempts": 3, "publisher.backoff_min": "50ms"}))
        v.up()
        v.post(100, "--seed", 77)
        v.wait_drained(90)
        posted = v.posted()
        poison = posted[33]
        self.assertIn("practice 77/33 ", poison[2])
        self.assertEqual(set(relays.accepted("a")), {e for _, _, e in posted} - {poison[2]})
        row = v.receipt(poison[0])[relays.urls["a"]]
        self.assertEqual(row["result"], "failed")
        self.assertEqual(v.depth()[0][relays.urls["a"]]["failed"], 1)
        v.stop()

    def test_refusals_are_failed_with_class_and_text(self):
        relays = self.practice("a:v4", "b:v4")
        v = self.volley(list(relays.urls.values()))
        v.up()
        cases = [("blocked: not you", "blocked"), ("invalid: too old", "invalid"), ("pow: 20 bits wanted", "pow"), ("restricted: members only", "restricted"), ("mute: nobody listens", "mute"), ("go away", "refused")]
        for n, (text, cls) in enumerate(cases):
            relays.set("a", "refuse=" + text)
            v.post(1, "--seed", 100 + n)
            v.wait_drained()
            row = v.receipt(v.posted()[0][0])
            self.assertEqual((row[relays.urls["a"]]["result"], row[relays.urls["a"]]["class"], row[relays.urls["a"]]["reason"]), ("failed", cls, text))
            self.assertEqual(row[relays.urls["b"]]["result"], "delivered")
        v.stop()

    def test_odd_relays_are_survived(self):
        """Garbage, wrong ids, huge frames, links cut after the OK, a relay that does not read, HTTP statuses."""
        relays = self.practice("garbage:v4:0:garbage", "wrong:v4:0:wrong_id", "cutafter:v4:0:cut_after=10", "huge:v4:0:huge", "noread:v4:0:noread", "http:v4:0:http=503", "mute:v4:0:mute", "dup:v4:0:duplicate")
        v = self.volley(list(relays.urls.values()), keys=KEYS)
        v.up()
        v.post(200, "--seed", 9)
        sane = [relays.urls[n] for n in ("garbage", "wrong", "cutafter", "dup")]
        v.wait_drained(60, sane)
        posted = {e for _, _, e in v.posted()}
        for name in ("garbage", "wrong", "cutafter", "dup"):
            self.assertEqual(set(relays.accepted(name)), posted, name)
        for name in ("huge", "noread", "http", "mute"):
            relays.set(name, "ok")
            relays.cut(name)
        v.wait_drained(60)
        for name in relays.urls:
            self.assertEqual(set(relays.accepted(name)), posted, name)
        v.stop()


if __name__ == "__main__":
    main()
