"""Full disk, full queue, a relay that waits for too much: ingest refuses what it can't keep, what was accepted arrives or has a named end."""
import json
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from harness import SEED, Client, Process, Scenario, clean_env, figure, main, sign, wait_for

MIB = 1 << 20
STARTED_S = 4  # a service of `up` that ends earlier counts as one that can't start
DISK = 48 * MIB
NOW = int(time.time())
KEYS = {"publisher.backoff_min": "200ms", "publisher.backoff_max": "1s"}


def can_mount():
    return subprocess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True).returncode == 0


class Full(Scenario):
    def start(self, **keys):
        self.relays = self.practice("a:v4", "b:v4:0:down")
        self.v = self.volley(list(self.relays.urls.values()), keys=dict(KEYS, **keys))
        self.a, self.b = self.relays.urls["a"], self.relays.urls["b"]

    def on_small_disk(self, service):
        """The service, with its data on a file system of its own that only it sees."""
        if not can_mount():
            raise unittest.SkipTest("no tmpfs can be mounted here (needs root or user namespaces: unshare -rm)")
        os.mkdir(self.v.data, 0o700)
        script = 'mount -t tmpfs -o size=%d,mode=0700 tmpfs "$1" && exec "$2" "$3" -c "$4"' % DISK
        p = Process(["unshare", "-rm", "sh", "-c", script, "sh", self.v.data, self.v.program, service, self.v.config], os.path.join(self.v.folder, service + ".log"))
        self.v.services[service] = p
        self.disk = "/proc/%d/root%s" % (p.p.pid, self.v.data)
        self.filler = os.path.join(self.disk, "filler")

    def fill(self, leave):
        """Somebody else fills the disk up to so many bytes."""
        with open(self.filler, "ab") as f:
            while True:
                s = os.statvfs(self.disk)
                more = s.f_bavail * s.f_frsize - leave
                if more <= 0:
                    return
                try:
                    f.write(b"x" * min(more, MIB))
                    f.flush()
                except OSError:
                    return

    def free(self):
        s = os.statvfs(self.disk)
        return s.f_bavail * s.f_frsize

    def post(self, count, name, pad=2000, seconds=90):
        return self.v.post(count, "--seed", SEED % 1000 + sum(map(ord, name)), "--pad", pad, background=True, seconds=seconds, name=name)

    def accepted(self, *posts):
        return [event for p in posts for _, _, event in self.v.posted(p)]

    def check_all_arrived(self, *posts):
        want = self.accepted(*posts)
        for name in self.relays.urls:
            got = self.relays.accepted(name)
            self.assertFalse(set(want) - set(got), "%s lacks %d of %d that were accepted" % (name, len(set(want) - set(got)), len(want)))

    def depth_of(self, url):
        return self.v.depth()[0][url]["depth"]

    # ---- the disk

    def test_a_full_disk_refuses_events_and_lets_deliveries_settle(self):
        self.start(**{"queue.url": "zmq+ipc://%s/queue.sock" % self.folder})
        self.on_small_disk("queue")
        self.v.start("publisher")
        self.v.start("ingest")
        self.v.wait_lanes()
        first = self.post(300, "first")
        first.wait(60)
        self.v.wait_drained(30, [self.a])
        self.fill(leave=2 * MIB)
        ok, why = Client(self.v.ingest_port).post(sign((7, NOW, 1, [], "too much"))[0])
        self.assertFalse(ok)
        self.assertRegex(why, "^error: the disk is full")
        for command in (("replay", "--all"), ("purge", "--all", "--yes")):
            r = self.v.run(*command)
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertRegex(r.stderr, "^volley %s: the disk of the queue is full: [^\n]*\n$" % command[0])
        refused = self.post(300, "refused")  # tries again as long as it is told error:
        self.assertEqual(self.depth_of(self.b), 300)
        self.relays.set("b", "ok")
        self.v.wait_drained(30)
        self.assertEqual(self.relays.accepted("b"), self.accepted("first"), "what waited is delivered, in order")
        lane = self.v.depth()[0][self.b]
        self.assertEqual((lane["delivered"], lane["depth"]), (300, 0), "and settled")
        self.assertLess(self.free(), 4 * MIB, "the disk was full all the time")
        self.assertTrue(refused.alive())
        os.unlink(self.filler)
        self.assertEqual(refused.wait(60), 0, refused.log())
        self.v.wait_drained(30)
        self.check_all_arrived("first", "refused")
        self.assertEqual(len(self.accepted("first", "refused")), 600)
        self.v.stop()

    def test_a_disk_without_a_single_free_byte_loses_nothing_accepted(self):
        self.start(**{"queue.url": "zmq+ipc://%s/queue.sock" % self.folder})
        self.on_small_disk("up")
        began = time.monotonic()
        self.v.wait_listening()
        self.v.wait_lanes()
        first = self.post(300, "first")
        first.wait(60)
        during = self.post(4000, "during", pad=4000, seconds=120)
        wait_for("a load", lambda: self.relays.counts("a")["unique"] > 600, 30)
        time.sleep(max(0, began + STARTED_S - time.monotonic()))
        self.fill(leave=0)
        began = time.monotonic()
        self.relays.set("b", "ok")
        try:
            self.v.wait_drained(15)
            settled = "what was accepted settled %.1f s later, the disk full" % (time.monotonic() - began)
        except AssertionError:
            settled = "what was accepted settled when there was room again"
        self.assertTrue(during.alive() or during.wait() == 0)
        os.unlink(self.filler)
        during.wait(120)
        self.v.wait_drained(60)
        self.check_all_arrived("first", "during")
        self.assertGreater(len(self.accepted("during")), 600)
        late = sign((7, NOW, 1, [], "after it"))[0]
        wait_for("events to be taken again", lambda: Client(self.v.ingest_port).post(late)[0], 20)
        figure("filled to the last byte: %s; the queue was started %d times; %d accepted in all, none lost" % (settled, self.v.services["up"].log().count("queue ready"), len(self.accepted("first", "during"))))
        self.v.stop()

    # ---- the queue

    def test_a_full_queue_refuses_events_and_lets_deliveries_settle(self):
        self.start(**{"queue.max_bytes": "1MiB", "queue.lane_max": "1MiB"})
        self.v.start_all()
        post = self.post(800, "post")  # 1.8 MB; the dead relay needs all of it
        probes = iter(sign(*[(7, NOW, 1, [], "probe %d" % i + 3000 * "x") for i in range(300)]))
        c = Client(self.v.ingest_port)

        def refused():
            ok, why = c.post(next(probes))
            return not ok and why

        self.assertRegex(wait_for("the queue to be full", refused, 30, 0.1), "^error: queue is full")
        self.assertEqual(self.v.health(), 503)
        self.v.wait_drained(30, [self.a])  # the others get what was accepted
        self.assertTrue(post.alive())
        depth, total = self.v.depth()
        self.assertEqual(depth[self.b]["expired"], 0)
        self.assertLessEqual(total["bytes"], total["max_bytes"])
        self.relays.set("b", "ok")
        self.assertEqual(post.wait(60), 0, post.log())
        self.v.wait_drained(30)
        self.check_all_arrived("post")
        self.assertEqual(len(self.accepted("post")), 800)
        self.v.stop()

    def test_a_dead_relay_gives_up_its_oldest_and_nobody_else_notices(self):
        self.start(**{"queue.max_bytes": "8MiB", "queue.lane_max": "1MiB"})
        self.v.start_all()
        result = self.v.post(2000, "--seed", SEED % 1000, "--pad", 2000)  # 4.5 MB
        self.assertEqual((result["accepted"], result["refused"], result["links"]), (2000, 0, 1), "ingest notices nothing")
        self.v.wait_drained(30, [self.a])
        self.assertEqual(self.relays.accepted("a"), self.accepted("post"), "the others get everything, in order")

        def given_up():
            lane = self.v.depth()[0][self.b]
            return lane["depth"] * self.size <= MIB and lane

        self.size = 128 + min(len(event.encode()) for event in self.accepted("post"))
        lane = wait_for(lambda: "the dead relay to give up its oldest: %s" % self.v.depth()[0][self.b], given_up, 20)
        self.assertEqual(lane["expired"] + lane["depth"], 2000)
        self.assertGreater(lane["depth"] * self.size, MIB // 2, "no more than it must")
        ids = [i for i, _, _ in self.v.posted()]
        for i in (ids[0], ids[lane["expired"] // 2]):
            row = self.v.receipt(i)[self.b]
            self.assertEqual((row["result"], row["class"]), ("expired", "lane_max"))
            self.assertEqual(self.v.receipt(i)[self.a]["result"], "delivered")
        self.assertIn(self.v.receipt(ids[-1])[self.b]["result"], ("queued", "retrying"))
        left = lane["depth"]
        self.relays.set("b", "ok")
        self.v.wait_drained(30)
        lane = self.v.depth()[0][self.b]
        got, posted = self.relays.accepted("b"), self.accepted("post")
        self.assertEqual(got[-left:], posted[-left:], "what was left arrives in order")
        # The publisher may hear of what is given up while it sends it: what it sent is delivered, and not expired.
        earlier = [posted.index(event) for event in got[:-left]]
        self.assertEqual(earlier, sorted(set(earlier)), "and so does what was sent before that was known, once")
        self.assertEqual(lane["expired"] + len(got), 2000, "every event has an end")
        for n in (0, 2000 - left - 1, *earlier[:1], *earlier[-1:]):
            row = self.v.receipt(ids[n])[self.b]
            self.assertEqual(row["result"], "delivered" if n in earlier else "expired", row)
        self.v.stop()


if __name__ == "__main__":
    main()
