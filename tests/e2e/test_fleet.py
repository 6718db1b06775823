"""Several publishers on one queue: they share its lanes, and whoever comes, goes, dies or sleeps, no relay notices more than a hand-over."""
import collections
import json
import os
import re
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import SEED, Process, Scenario, figure, main, wait_for

LANES = 12
SHARE_S = 5  # within so long everybody has an even share
TAKE_OVER_S = 20  # a dead one's lanes deliver again
HAND_OVER_S = 1.0  # so long a relay may see two connections
TERM_S = 10
WINDOW = 16
LOAD = 850  # events for who sleeps: longer than its lease
KEYS = {"publisher.window": WINDOW, "publisher.ok_timeout": "10s", "publisher.backoff_max": "1s", "ingest.max_per_ip": 1000}


class Links(threading.Thread):
    """Watches how many connections each relay has; keeps those that had two for longer than a hand-over."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.s = socket.create_connection(("127.0.0.1", port), 10)
        self.f = self.s.makefile("r")
        self.ended, self.looking, self.since, self.worst, self.longest = False, True, {}, [], 0.0

    def look(self):
        self.s.sendall(b"list\n")
        now = time.monotonic()
        for line in iter(self.f.readline, ".\n"):
            row = json.loads(line)
            if row["open"] < 2 or not self.looking:
                self.since.pop(row["name"], None)
                continue
            seconds = now - self.since.setdefault(row["name"], now)
            self.longest = max(self.longest, seconds)
            if seconds > HAND_OVER_S:
                self.worst.append("%s: %d for %.1f s" % (row["name"], row["open"], seconds))

    def run(self):
        while not self.ended:
            self.look()
            time.sleep(0.02)
        self.f.close()
        self.s.close()


class Fleet(Scenario):
    def start(self, behaviour="", **keys):
        self.relays = self.practice(*["r%02d:v4%s" % (i, ":0:" + behaviour if behaviour else "") for i in range(LANES)])
        self.v = self.volley(list(self.relays.urls.values()), keys=dict(KEYS, **keys))
        self.names = {url: name for name, url in self.relays.urls.items()}
        self.v.start("queue")
        self.v.start("ingest")
        self.pids = {}
        self.links = Links(self.relays.port)
        self.links.start()

    def tearDown(self):
        self.links.ended = True
        self.links.join()
        super().tearDown()

    def publisher(self, name):
        p = Process([self.v.program, "publisher", "-c", self.v.config], os.path.join(self.v.folder, name + ".log"))
        self.v.services[name] = p
        self.pids[name] = p.p.pid
        return p

    def shares(self):
        """Relay names by publisher ("p1", …; None: nobody)."""
        shares = collections.defaultdict(set)
        by_pid = {str(pid): name for name, pid in self.pids.items()}
        for url, lane in self.v.depth(check=False)[0].items():
            pid = (lane["publisher"] or "").rpartition(":")[2]
            shares[by_pid.get(pid)].add(self.names[url])
        return shares

    def wait_shares(self, expected, seconds=SHARE_S):
        """Until each has so many; how long that took."""
        began = time.monotonic()
        wait_for(lambda: "shares of %s, not %s\n%s" % (expected, dict(self.shares()), self.v.logs()), lambda: {n: len(r) for n, r in self.shares().items()} == expected, seconds)
        return time.monotonic() - began

    def post(self, count, rate, name):
        return self.v.post(count, "--seed", SEED % 1000 + len(name) * 7919 + sum(map(ord, name)), "--rate", rate, background=True, seconds=count // rate + 60, name=name)

    def doubled(self, names=None):
        """Sent again, at these relays (all)."""
        counts = self.relays.all_counts()
        return {n: counts[n]["events"] - counts[n]["unique"] for n in names or counts}

    def check_links(self):
        self.assertFalse(self.links.worst, "two connections to one relay for longer than a hand-over:\n%s\n%s" % ("\n".join(self.links.worst[:5]), self.v.logs()))

    def check_all_arrived(self, *posts):
        want = {event for post in posts for _, _, event in self.v.posted(post)}
        for name in self.relays.urls:
            self.assertFalse(want - set(self.relays.accepted(name)), "%s lacks some of %d" % (name, len(want)))

    def end(self):
        for name in self.pids:
            if self.v.services[name].alive():
                self.assertEqual(self.v.services[name].stop(), 0, self.v.services[name].log())
        self.v.stop()

    def test_lanes_are_shared_evenly_taken_over_from_the_dead_and_handed_over_by_the_leaving(self):
        self.start()
        for name in ("p1", "p2", "p3"):
            self.publisher(name)
        began = time.monotonic()
        self.wait_shares({"p1": 4, "p2": 4, "p3": 4})
        shared_s = time.monotonic() - began

        # One dies under load.
        load = self.post(1200, 60, "load")
        wait_for("every relay to get something", lambda: min(c["events"] for c in self.relays.all_counts().values()) > 30, 20)
        orphans = self.shares()["p1"]
        self.v.services["p1"].kill()
        self.v.services["p1"].wait()
        before, died = {n: self.relays.counts(n)["unique"] for n in orphans}, time.monotonic()
        wait_for(lambda: "the orphans %s to be served\n%s" % (orphans, self.v.logs()), lambda: all(self.relays.counts(n)["unique"] > before[n] for n in orphans), TAKE_OVER_S)
        taken_s = time.monotonic() - died
        self.wait_shares({"p2": 6, "p3": 6})
        load.wait(90)
        self.v.wait_drained(60)
        again = self.doubled()
        self.assertLessEqual(max(again.values()), 2 * WINDOW, "more than was not committed was sent again: %s" % again)

        # One comes.
        began = time.monotonic()
        self.publisher("p4")
        self.wait_shares({"p2": 4, "p3": 4, "p4": 4})
        joined_s = time.monotonic() - began
        self.assertEqual(self.doubled(), again, "a hand-over sent something twice")

        # One leaves under load.
        load2 = self.post(900, 60, "load2")
        wait_for("every relay to get more", lambda: min(c["unique"] for c in self.relays.all_counts().values()) > 1300, 30)
        self.assertEqual(self.v.services["p2"].stop(), 0)
        left = time.monotonic()
        self.wait_shares({"p3": 6, "p4": 6})
        left_s = time.monotonic() - left
        load2.wait(90)
        self.v.wait_drained(60)
        self.assertEqual(self.doubled(), again, "leaving sent something twice")
        self.check_all_arrived("load", "load2")
        self.check_links()
        figure("%d lanes over 3 publishers: even after %.1f s; a dead one's deliver again after %.1f s; a new one has its share after %.1f s, a leaving one's are shared %.1f s after its end; sent again after the kill: %d; longest time with two connections %.2f s"
               % (LANES, shared_s, taken_s, joined_s, left_s, sum(again.values()), self.links.longest))
        self.end()

    def sleeping(self, number):
        """One publisher sleeps past its lease and wakes up. Whether it tried to commit then."""
        name, other = "s%d" % number, "w%d" % number
        self.publisher(name)
        self.wait_shares({name: LANES}, 20)
        self.publisher(other)
        self.wait_shares({name: LANES // 2, other: LANES // 2})
        load = self.post(LOAD, 50, "load" + name)
        wait_for("a load", lambda: self.v.depth()[1]["head"] > 100 + LOAD * number, 20)
        mine, before = self.shares()[name], self.doubled()
        self.links.looking = False  # it can't close its links while it sleeps
        self.v.services[name].kill(signal.SIGSTOP)
        self.wait_shares({other: LANES}, TERM_S + 5)
        wait_for("its lanes to be up to date", lambda: all(l["depth"] < 2 * WINDOW for l in self.v.depth()[0].values()), 20)
        taken = self.doubled()
        for n in mine:
            self.assertLessEqual(taken[n] - before[n], 2 * WINDOW, "more than what was not acknowledged was sent again")
        for n in set(self.relays.urls) - mine:
            self.assertEqual(taken[n], before[n], "a lane that did not move sent something twice")
        log_len = len(self.v.services[name].log())
        self.v.services[name].kill(signal.SIGCONT)
        wait_for("its links to be closed", lambda: all(self.relays.counts(n)["open"] <= 1 for n in mine), 5)
        self.links.looking = True
        self.wait_shares({name: LANES // 2, other: LANES // 2})
        load.wait(90)
        self.v.wait_drained(60)
        self.assertEqual(self.doubled(), taken, "who woke up sent something twice")
        self.check_all_arrived("load" + name)
        said = self.v.services[name].log()[log_len:]
        self.assertRegex(said, "lease ended without renewal|lane lost")
        self.check_links()
        for n in (name, other):
            self.assertEqual(self.v.services[n].stop(), 0)
        return re.search("commit refused.*", said)

    def test_who_sleeps_past_its_lease_changes_nothing_when_it_wakes_up(self):
        self.start()
        for number in range(3):
            refused = self.sleeping(number)
            if refused:  # else it slept between two commits
                break
        self.assertTrue(refused, "no commit of it was ever refused")
        figure("woken after its lease: %s" % refused.group())
        self.end()


if __name__ == "__main__":
    main()
