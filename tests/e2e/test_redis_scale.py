"""Scaling pays: where the processor limits, three publishers deliver at least 2.5 times what one does.

Relays 400 ms away with a window of 16 take 40 events a second each. 24 of them are no load: one publisher with a tenth of a core reaches the 960/s they
take, which is shown first. So the comparison is made with 480 of them, a thirtieth of a core for each publisher, and publishers built with sanitizers.
"""
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from harness import ROOT, SEED, Process, Scenario, figure, main, wait_for

MEASURES = True  # rates: run alone

FEW, MANY, EVENTS, PAD = 24, 480, 1200, 200
AWAY_MS, WINDOW = 400, 16
PRACTICE = 240  # relays of one process
WARM_S, COUNT_S = 4, 8
PERIOD_US = 100000
EACH = WINDOW * 1000 / AWAY_MS  # what a relay takes in a second


class Share:
    """A control group whose processes share a part of a core."""

    ROOTS = ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup")

    def __init__(self, name, part):
        self.path, quota = None, PERIOD_US // part
        for root in self.ROOTS:
            for limit, text in (("cpu.cfs_quota_us", str(quota)), ("cpu.max", "%d %d" % (quota, PERIOD_US))):
                path = os.path.join(root, name)
                try:
                    os.makedirs(path, exist_ok=True)
                    if os.path.exists(os.path.join(path, limit)):
                        if limit == "cpu.cfs_quota_us":
                            self.write(path, "cpu.cfs_period_us", str(PERIOD_US))
                        self.write(path, limit, text)
                        self.path = path
                        return
                    os.rmdir(path)
                except OSError:
                    continue
        raise unittest.SkipTest("no control group can be made here (needs root and the cpu controller)")

    def write(self, path, name, text):
        with open(os.path.join(path, name), "w") as f:
            f.write(text)

    def add(self, pid):
        self.write(self.path, "cgroup.procs", str(pid))

    def stop(self):
        def gone():
            try:
                os.rmdir(self.path)
                return True
            except OSError:
                return False

        wait_for("the control group to be empty", gone, 10)


class Scale(Scenario):
    def rate(self, lanes, publishers, build, part, number):
        """Deliveries a second of so many publishers, each with 1/part of a core, on a backlog of so many relays."""
        specs = ["r%03d:v4:0:slow=%d" % (i, AWAY_MS) for i in range(lanes)]
        practices = [self.practice(*specs[i : i + PRACTICE], build="release") for i in range(0, lanes, PRACTICE)]
        urls = [url for p in practices for url in p.urls.values()]
        v = self.volley(urls, build="release", backend="redis", keys={"publisher.window": WINDOW})
        v.start("queue")
        self.assertEqual(v.run("relays", "apply").returncode, 0)
        v.start("ingest")
        self.assertEqual(v.post(EVENTS, "--seed", SEED % 1000 + number, "--pad", PAD, seconds=120)["accepted"], EVENTS)
        groups = []
        for n in range(publishers):
            group = Share("volley-scale-%d-%d-%d" % (os.getpid(), number, n), part)
            groups.append(group)
            self.addCleanup(group.stop)
            name = "publisher%d" % n
            p = Process([os.path.join(ROOT, "build", build, "volley"), "publisher", "-c", v.config], os.path.join(v.folder, name + ".log"))
            v.services[name] = p
            group.add(p.p.pid)

        def shared():
            owners = [l["publisher"] for l in v.depth()[0].values()]
            return all(owners) and {owners.count(o) for o in owners} == {lanes // publishers} and len(set(owners)) == publishers

        wait_for(lambda: "the lanes to be shared\n" + v.logs(), shared, 60)
        time.sleep(WARM_S)
        count = lambda: sum(c["unique"] for p in practices for c in p.all_counts().values())
        before, began = count(), time.monotonic()
        time.sleep(COUNT_S)
        done, took = count() - before, time.monotonic() - began
        self.assertTrue(all(l["depth"] > 0 for l in v.depth()[0].values()), "the backlog lasted")
        for n in range(publishers):
            v.services["publisher%d" % n].kill(signal.SIGKILL)
            v.services["publisher%d" % n].wait()
        v.stop()
        for p in practices:
            p.stop()
            for name in p.urls:
                os.unlink(os.path.join(self.folder, name + ".tsv"))
        return done / took

    def test_three_publishers_deliver_two_and_a_half_times_what_one_does(self):
        Share("volley-scale-%d" % os.getpid(), 10).stop()  # skips where that can't be
        few = self.rate(FEW, 1, "release", 10, 0)
        figure("%d relays %d ms away, window %d: one publisher with a tenth of a core delivers %.0f/s of the %.0f/s they take" % (FEW, AWAY_MS, WINDOW, few, FEW * EACH))
        one, three = self.rate(MANY, 1, "asan", 30, 1), self.rate(MANY, 3, "asan", 30, 2)
        figure("%d relays, with sanitizers and a thirtieth of a core for each: one publisher delivers %.0f/s, three %.0f/s: %.2f times" % (MANY, one, three, three / one))
        self.assertGreater(few, FEW * EACH / 2)
        self.assertGreaterEqual(three, 2.5 * one)


if __name__ == "__main__":
    main()
