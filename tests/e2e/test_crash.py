"""kill -9 of any process at any moment: what got OK true settles at every relay."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import SEED, Scenario, figure, main, wait_for

RELAYS = ["a:v4", "b:dual", "c:v6"]


class Crash(Scenario):
    def start(self):
        relays = self.practice(*RELAYS)
        # A publisher that is gone is noticed when its lease ends; retries must not take minutes here.
        v = self.volley(list(relays.urls.values()), keys={"publisher.backoff_max": "1s", "publisher.ok_timeout": "5s"})
        v.start_all()
        return relays, v

    def settle_and_compare(self, relays, v, post, resent_ok=True):
        post.wait(120)
        ids = v.posted()
        self.assertGreater(len(ids), 0, "nothing was accepted: " + post.log())
        v.wait_drained(90)
        want = {event for _, _, event in ids}
        for name in relays.urls:
            got = relays.accepted(name)
            missing = want - set(got)
            self.assertFalse(missing, "relay %s: %d acknowledged events never arrived" % (name, len(missing)))
            if not resent_ok:
                self.assertEqual(len(got), len(set(got)))
        return ids

    def killed(self, victims, kills, seed):
        rng = random.Random(seed)
        relays, v = self.start()
        post = v.post(3000, "--seed", seed % 100000, "--rate", 400, background=True, seconds=110)
        for _ in range(kills):
            time.sleep(rng.uniform(0.2, 1.5))
            for service in victims(rng):
                v.services[service].kill()
                v.services[service].wait()
                v.start(service, wait=False)
        ids = self.settle_and_compare(relays, v, post)
        sent = sum(relays.counts(n)["accepted"] for n in relays.urls)
        figure("%d acknowledged, %d sent to %d relays (%d again after a kill)" % (len(ids), sent, len(RELAYS), sent - len(ids) * len(RELAYS)))
        v.stop()

    def test_queue_killed_under_load(self):
        self.killed(lambda rng: ["queue"], 4, SEED)

    def test_publisher_killed_under_load(self):
        self.killed(lambda rng: ["publisher"], 2, SEED + 1)

    def test_ingest_killed_under_load(self):
        self.killed(lambda rng: ["ingest"], 4, SEED + 2)

    def test_a_random_one_killed_under_load(self):
        self.killed(lambda rng: [rng.choice(["queue", "publisher", "ingest"])], 5, SEED + 3)

    def test_all_killed_at_once_under_load(self):
        self.killed(lambda rng: ["queue", "publisher", "ingest"], 2, SEED + 4)

    def test_without_faults_no_relay_sees_an_event_twice(self):
        relays, v = self.start()
        post = v.post(1500, "--seed", SEED % 1000, "--rate", 500, background=True)
        self.settle_and_compare(relays, v, post, resent_ok=False)
        v.stop()

    def test_up_starts_a_killed_service_again(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        v.up()
        v.post(100, "--seed", 1)
        with open("/proc/%d/task/%d/children" % ((v.services["up"].p.pid,) * 2)) as f:
            children = [int(pid) for pid in f.read().split()]
        self.assertEqual(len(children), 3 if v.backend == "redis" else 4)
        for pid in children:
            os.kill(pid, 9)
        wait_for("ingest to take events again", lambda: v.health() == 200, 30)
        self.assertEqual(v.post(100, "--seed", 2)["accepted"], 100)
        v.wait_drained()
        self.assertEqual(len(set(relays.accepted("a"))), 200)
        v.stop()


if __name__ == "__main__":
    main()
