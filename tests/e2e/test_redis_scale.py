"""Scaling pays: three publishers that may each use a tenth of a core deliver at least 2.5 times what one of them does."""
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from harness import SEED, Process, Scenario, figure, main, wait_for

MEASURES = True  # rates: run alone

LANES, EVENTS, PAD = 24, 1200, 1000
AWAY_MS, WINDOW = 400, 16
WARM_S, COUNT_S = 4, 8
PERIOD_US = 20000


class Tenth:
    """A control group whose processes share a tenth of a core; as many of them as there are publishers."""

    ROOTS = ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup")

    def __init__(self, name):
        self.path = None
        for root in self.ROOTS:
            for limit, text in (("cpu.cfs_quota_us", str(PERIOD_US // 10)), ("cpu.max", "%d %d" % (PERIOD_US // 10, PERIOD_US))):
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
    def rate(self, publishers, number):
        """Deliveries a second of so many publishers on a backlog."""
        relays = self.practice(*["r%02d:v4:0:slow=%d" % (i, AWAY_MS) for i in range(LANES)], build="release")
        v = self.volley(list(relays.urls.values()), build="release", backend="redis", keys={"publisher.window": WINDOW})
        v.start("queue")
        self.assertEqual(v.run("relays", "apply").returncode, 0)
        v.start("ingest")
        self.assertEqual(v.post(EVENTS, "--seed", SEED % 1000 + number, "--pad", PAD, seconds=120)["accepted"], EVENTS)
        groups = []
        for n in range(publishers):
            group = Tenth("volley-scale-%d-%d-%d" % (os.getpid(), number, n))
            groups.append(group)
            self.addCleanup(group.stop)
            name = "publisher%d" % n
            p = Process([v.program, "publisher", "-c", v.config], os.path.join(v.folder, name + ".log"))
            v.services[name] = p
            group.add(p.p.pid)

        def shared():
            lanes = v.depth()[0].values()
            owners = [l["publisher"] for l in lanes]
            return all(owners) and {owners.count(o) for o in owners} == {LANES // publishers} and len(set(owners)) == publishers

        wait_for(lambda: "the lanes to be shared\n" + v.logs(), shared, 60)
        time.sleep(WARM_S)
        count = lambda: sum(c["unique"] for c in relays.all_counts().values())
        before, began = count(), time.monotonic()
        time.sleep(COUNT_S)
        done, took = count() - before, time.monotonic() - began
        self.assertTrue(all(l["depth"] > 0 for l in v.depth()[0].values()), "the backlog lasted")
        for n in range(publishers):
            v.services["publisher%d" % n].kill(signal.SIGKILL)
            v.services["publisher%d" % n].wait()
        v.stop()
        relays.stop()
        for name in relays.urls:
            os.unlink(os.path.join(self.folder, name + ".tsv"))
        return done / took

    def test_three_publishers_of_a_tenth_of_a_core_deliver_two_and_a_half_times_what_one_does(self):
        Tenth("volley-scale-%d" % os.getpid()).stop()  # skips where that can't be
        one, three = self.rate(1, 0), self.rate(3, 1)
        figure("%d relays %d ms away, window %d, a tenth of a core for each publisher: one delivers %.0f/s, three %.0f/s: %.2f times" % (LANES, AWAY_MS, WINDOW, one, three, three / one))
        self.assertGreaterEqual(three, 2.5 * one)


if __name__ == "__main__":
    main()
