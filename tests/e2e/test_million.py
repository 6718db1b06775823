"""Very many events wait for one dead relay, and ten thousand deliveries failed: operators are answered at once, and the queue's memory stays as it was.

100,000 events; VOLLEY_EVENTS=1000000 for `make test-long`. All of them signed, verified and queued as any other.
"""
import json
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import SEED, Scenario, clean_env, figure, main, wait_for

MEASURES = True  # times: run alone

EVENTS = int(os.environ.pop("VOLLEY_EVENTS", "100000"))
FAILED = 10000
BATCH = 45000
ANSWER_MS = 100
LOOKS = 9
ANONYMOUS_MIB = 64  # of the queue's process, however many events it has on disk


class Million(Scenario):
    def milliseconds(self, *args):
        """How long the command takes as people see it, from its start to its end: the median, and its output."""
        times = []
        for _ in range(LOOKS):
            began = time.monotonic()
            r = subprocess.run([self.v.program, args[0], "-c", self.v.config] + list(args[1:]), capture_output=True, text=True, timeout=60, env=clean_env(), stdin=subprocess.DEVNULL)
            times.append(1000 * (time.monotonic() - began))
            self.assertEqual(r.returncode, 0, r.stderr)
        return statistics.median(times), r.stdout

    def rss_anon(self):
        with open("/proc/%d/status" % self.v.services["queue"].p.pid) as f:
            return int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1)) / 1024

    def test_a_long_backlog_and_many_failures_cost_operators_and_memory_nothing(self):
        relays = self.practice("dead:v4:0:down", "picky:v4", build="release")
        dead, picky = relays.urls["dead"], relays.urls["picky"]
        self.v = v = self.volley([dead, picky], build="release", keys={"publisher.backoff_max": "1s"})
        v.start_all()
        relays.set("picky", "refuse=blocked: not from you")
        self.assertEqual(v.post(FAILED, "--seed", SEED % 1000, seconds=120)["accepted"], FAILED)
        wait_for("all to be refused", lambda: v.depth()[0][picky]["failed"] == FAILED, 60)
        relays.set("picky", "ok")
        began, posted, seed = time.monotonic(), FAILED, SEED % 1000
        highest = self.rss_anon()
        while posted < EVENTS:
            count, seed = min(BATCH, EVENTS - posted), seed + 1000
            self.assertEqual(v.post(count, "--seed", seed, seconds=300)["accepted"], count)
            posted += count
            highest = max(highest, self.rss_anon())
        took_s = time.monotonic() - began
        v.wait_drained(300, [picky])
        lanes, total = v.depth()
        self.assertEqual((lanes[dead]["depth"], total["events"], lanes[picky]["failed"]), (EVENTS, EVENTS, FAILED))
        anonymous = self.rss_anon()
        depth_ms, _ = self.milliseconds("depth", "--json")
        failed_ms, out = self.milliseconds("failed", "--json", "--limit", "100")
        rows = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([row["class"] for row in rows if "class" in row], 100 * ["blocked"])
        one_ms, _ = self.milliseconds("failed", "--json", "--limit", "100", "--relay", picky, "--class", "blocked")
        count_ms, counted = self.milliseconds("failed", "--count")
        self.assertRegex(counted, "blocked.*10,?000")
        figure("%d events for a dead relay, %d failed rows (posted in %.0f s): depth %.0f ms, failed (first page) %.0f ms, of one relay and class %.0f ms, counting all %.0f ms; RssAnon of the queue %.1f MiB, at most %.1f while they came" % (EVENTS, FAILED, took_s, depth_ms, failed_ms, one_ms, count_ms, anonymous, highest))
        self.assertLess(depth_ms, ANSWER_MS)
        self.assertLess(failed_ms, ANSWER_MS)
        self.assertLess(highest, ANONYMOUS_MIB)
        v.stop()


if __name__ == "__main__":
    main()
