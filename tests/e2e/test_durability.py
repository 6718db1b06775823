"""OK true means durable: shown with a shim between the broker and the disk (tests/shim/durable.c)."""
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import ROOT, SEED, Scenario, figure, main, post_one, sign, wait_for

SHIM = os.path.join(ROOT, "build/release/shim.so")
NOW = int(time.time())


def play_back(undo, data):
    """What a power cut may leave: every write since the last sync is gone."""
    with open(undo, "rb") as f:
        log = f.read()
    records, at = [], 0
    while at + 32 <= len(log):
        offset, length, size, had = struct.unpack_from("<4Q", log, at)
        if at + 32 + length > len(log):
            break  # killed while remembering: that write did not happen
        records.append((offset, size, log[at + 32 : at + 32 + had]))
        at += 32 + length
    with open(data, "r+b") as f:
        for offset, size, old in reversed(records):
            f.seek(offset)
            f.write(old)
            f.truncate(size)
    open(undo, "wb").close()
    return len(records)


class Durability(Scenario):
    def start(self):
        self.relays = self.practice("a:v4", "b:v6", build="release")
        v = self.volley(list(self.relays.urls.values()), build="release", keys={"publisher.backoff_max": "1s", "publisher.ok_timeout": "5s"})
        self.control, self.undo = os.path.join(self.folder, "control"), os.path.join(self.folder, "undo")
        self.say("ok")
        self.shim = {"LD_PRELOAD": SHIM, "SHIM_CONTROL": self.control, "SHIM_UNDO": self.undo}
        v.start("queue", env=self.shim)
        v.start("publisher")
        v.start("ingest")
        v.wait_lanes()
        return v

    def say(self, word):
        with open(self.control + ".new", "w") as f:
            f.write(word)
        os.rename(self.control + ".new", self.control)

    def events(self, n, first=0):
        return sign(*[(7, NOW, 1, [], "event %d" % (first + i)) for i in range(n)], build="release")

    def test_no_ok_leaves_before_its_commit_was_durable(self):
        v = self.start()
        c = v.client()
        for n, what in enumerate(("data", "meta")):
            self.say("block-" + what)
            c.send('["EVENT",%s]' % self.events(1, n)[0])
            with self.assertRaises(OSError, msg="an OK came while the %s write was not on disk" % what):
                print("came:", c.receive(1.5))
            self.say("ok")
            c.f.close()
            c.f = c.s.makefile("rb")
            self.assertEqual(c.receive(10)[2], True)
        v.stop()

    def test_an_io_error_ends_the_broker_and_acknowledges_nothing(self):
        for n, what in enumerate(("data", "meta")):
            v = self.start()
            c = v.client()
            self.assertTrue(c.post(self.events(1, 10 * n)[0])[0])
            v.wait_drained()
            self.say("eio-" + what)
            c.send('["EVENT",%s]' % self.events(1, 10 * n + 1)[0])
            status = v.services["queue"].wait(20)
            self.assertNotEqual(status, 0, "the broker must not go on")
            answer = c.receive(30)
            self.assertEqual((answer[0], answer[2]), ("OK", False), answer)
            self.assertTrue(answer[3].startswith("error: "), answer)
            self.say("ok")
            v.start("queue", env=self.shim)
            wait_for("the queue to be back", lambda: v.health() == 200, 20)
            self.assertTrue(post_one(v.ingest_port, self.events(1, 10 * n + 2)[0])[0])
            v.wait_drained()
            v.stop()

    def test_a_kill_that_throws_away_all_unsynced_writes_loses_nothing_acknowledged(self):
        v = self.start()
        rng = random.Random(SEED)
        undone = 0
        post = v.post(6000, "--seed", SEED % 1000, "--rate", 600, background=True, seconds=110)
        for _ in range(6):
            time.sleep(rng.uniform(0.3, 1.2))
            self.say(rng.choice(["ok", "block-data", "block-meta"]))  # a kill in the middle of a commit
            time.sleep(rng.uniform(0.01, 0.2))
            v.services["queue"].kill()
            v.services["queue"].wait()
            undone += play_back(self.undo, os.path.join(v.data, "data.mdb"))
            self.say("ok")
            v.start("queue", env=self.shim, wait=False)
        post.wait(120)
        v.wait_drained(90)
        want = {event for _, _, event in v.posted()}
        for name in self.relays.urls:
            self.assertFalse(want - set(self.relays.accepted(name)), "acknowledged events were lost at relay " + name)
        figure("%d acknowledged; 6 power cuts threw away %d unsynced writes; none lost" % (len(want), undone))
        self.assertGreater(len(want), 1000)
        v.stop()


if __name__ == "__main__":
    main()
