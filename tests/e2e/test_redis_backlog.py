"""A long backlog for one dead relay among eleven, in Redis: appending goes on as fast as without it, memory is bounded, and the lane drains when the relay is back.

100,000 events; VOLLEY_EVENTS=1000000 for `make test-long`.
"""
import os
import re
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import SEED, Scenario, figure, main, wait_for

MEASURES = True  # times: run alone

EVENTS = int(os.environ.pop("VOLLEY_EVENTS", "100000"))
BATCH, BLOCK, ROUNDS, TRIES = 20000, 4000, 5, 3
PUBLISHER_MIB = 96


class Backlog(Scenario):
    def pipeline(self, dead):
        sub = os.path.join(self.folder, "with" if dead else "without")
        os.mkdir(sub)
        outer, self.folder = self.folder, sub
        relays = self.practice(*["r%d:v4" % i for i in range(10)], "last:v4" + (":0:down" if dead else ""), build="release")
        v = self.volley(list(relays.urls.values()), build="release", backend="redis", keys={"publisher.backoff_max": "1s"})
        self.folder = outer
        v.start_all()
        return relays, v

    def post(self, v, count):
        """Accepted events a second; then all but the dead relay have them."""
        self.seed += 1000
        result = v.post(count, "--seed", self.seed, seconds=600)
        self.assertEqual(result["accepted"], count, result)
        return 1000 * count / max(1, result["milliseconds"])

    def drained(self, v, but=()):
        v.wait_drained(300, [url for url in v.relays if url not in but])

    def rss_anon(self, v, service):
        with open("/proc/%d/status" % v.services[service].p.pid) as f:
            return int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1)) / 1024

    def compare(self):
        """The ratio of appending with and without the backlog, in turns."""
        with_it, without = [], []
        for _ in range(ROUNDS):
            with_it.append(self.post(self.v, BLOCK))
            self.drained(self.v, [self.dead])
            without.append(self.post(self.w, BLOCK))
            self.drained(self.w)
        self.posted += ROUNDS * BLOCK
        return statistics.median(with_it), statistics.median(without)

    def test_appending_stays_as_fast_and_the_lane_drains_when_its_relay_is_back(self):
        self.seed, self.posted = SEED % 1000, 0
        relays, self.v = self.pipeline(True)
        _, self.w = self.pipeline(False)
        v, self.dead = self.v, relays.urls["last"]
        while self.posted < EVENTS:
            count = min(BATCH, EVENTS - self.posted)
            self.post(v, count)
            self.posted += count
        self.drained(v, [self.dead])
        memory = int(re.search(r"used_memory:(\d+)", v.redis("INFO", "memory")).group(1)) / (1 << 20)
        publisher = self.rss_anon(v, "publisher")
        for n in range(TRIES):
            fast, plain = self.compare()
            if fast >= 0.9 * plain:
                break
        figure("%d events for a dead relay: %.0f/s accepted, %.0f/s with an empty queue: %.2f (%d tries); Redis uses %.0f MiB, the publisher %.1f MiB" % (self.posted, fast, plain, fast / plain, n + 1, memory, publisher))
        self.assertGreaterEqual(fast, 0.9 * plain)
        self.assertLess(publisher, PUBLISHER_MIB)
        self.assertEqual(v.depth()[0][self.dead]["depth"], self.posted)

        relays.set("last", "ok")
        count = lambda: relays.counts("last")["unique"]
        wait_for("the relay to be reached", lambda: count() > 1000, 60)
        began, before = time.monotonic(), count()
        wait_for("the lane to drain", lambda: count() == self.posted, 60 + self.posted / 500, 0.2)
        rate = (self.posted - before) / (time.monotonic() - began)
        figure("back again it drains at %.0f/s; events were accepted at %.0f/s, for eleven relays" % (rate, fast))
        self.assertGreater(rate, fast / 2, "at full speed")
        v.wait_drained(60)
        self.assertLess(self.rss_anon(v, "publisher"), PUBLISHER_MIB)
        v.stop()
        self.w.stop()


if __name__ == "__main__":
    main()
