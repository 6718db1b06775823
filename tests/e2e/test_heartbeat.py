"""Heartbeats: an event that goes the whole path, from ingest's websocket to a publisher's commit, and no further. What
stops on the way is seen, and told by name."""
import json
import os
import re
import signal
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, figure, main, wait_for

NAMES = ("a", "b")


class Heartbeat(Scenario):
    def pipeline(self, relays=NAMES, **keys):
        practice = self.practice(*["%s:v4" % n for n in relays]) if relays else None
        v = self.volley([practice.urls[n] for n in relays] if relays else [], keys=dict({"probe.heartbeat": "1s"}, **keys))
        return practice, v

    def start(self, v, *services):
        """A process each."""
        ready = len(re.findall("probe ready", v.services["probe"].log())) if "probe" in v.services else 0
        for service in services or ("queue", "ingest", "publisher", "probe"):
            v.start(service)
        wait_for(lambda: "the probe\n" + v.logs(), lambda: len(re.findall("probe ready", v.services["probe"].log())) > ready, 60)
        v.page = v.probe()

    def get(self, v, path="/metrics"):
        with urllib.request.urlopen(v.page + path, timeout=30) as answer:
            return answer.read().decode()

    def metric(self, v, name):
        found = re.findall(r"^%s ([0-9.]+)$" % re.escape(name), self.get(v), re.M)
        return float(found[0]) if found else None

    def beat(self, v, service):
        return self.metric(v, 'volley_heartbeat_timestamp_seconds{service="%s"}' % service)

    def age(self, v, service):
        return time.time() - (self.beat(v, service) or 0)

    def wait_fresh(self, v, *services, seconds=60):
        for service in services:
            wait_for("%s to be fresh, in %s" % (service, self.get(v)), lambda s=service: self.age(v, s) < 10, seconds, 0.3)

    def test_it_goes_all_the_way_and_no_further(self):
        practice, v = self.pipeline()
        self.start(v)
        self.wait_fresh(v, "ingest", "publisher")
        wait_for("lanes", lambda: all(l["state"] != "unleased" for l in v.depth()[0].values()), 30)
        accepted = 'volley_ingest_events_total{result="accepted"}'
        connections = practice.all_counts()
        total, first = v.depth()[1], self.beat(v, "publisher")
        wait_for("three more heartbeats", lambda: self.beat(v, "publisher") > first + 5, 60, 0.5)
        after = v.depth()[1]
        self.assertEqual([after[k] for k in ("head", "events", "bytes", "depth", "failed")], [total[k] for k in ("head", "events", "bytes", "depth", "failed")])
        for name in (accepted, 'volley_ingest_events_total{result="duplicate"}', 'volley_ingest_events_total{result="refused"}', 'volley_ingest_events_total{result="error"}', 'volley_deliveries_total{outcome="delivered"}', "volley_queue_waiting", "volley_queue_events", "volley_delivery_seconds_count"):
            self.assertEqual(self.metric(v, name), 0, name)
        self.assertEqual(practice.all_counts(), connections)  # no relay saw anything
        self.assertLess(time.time() - after["heartbeat_delivered"], 20)
        self.assertIn("heartbeat: the last one went through in", self.get(v, "/"))
        self.assertNotIn("blasted", v.logs())
        v.post(10)
        v.wait_drained()
        for name in NAMES:
            self.assertEqual({json.loads(text)["kind"] for text in practice.accepted(name)}, {1})
        wait_for("ten to be counted", lambda: self.metric(v, accepted) == 10, 60, 0.3)
        v.stop()

    def test_what_stops_is_told_by_name(self):
        _, v = self.pipeline()
        self.start(v)
        self.wait_fresh(v, "ingest", "publisher")
        # The publisher stands still: ingest's go on, and nobody takes them.
        v.services["publisher"].p.send_signal(signal.SIGSTOP)
        wait_for("the publisher's heartbeat to stay behind", lambda: self.beat(v, "ingest") > self.beat(v, "publisher") + 4, 60, 0.3)
        self.assertIn("and no publisher has taken it", self.get(v, "/"))
        self.assertLess(self.age(v, "ingest"), 10)
        v.services["publisher"].p.send_signal(signal.SIGCONT)
        self.wait_fresh(v, "publisher")
        # Ingest is gone: none comes in, and the log says so once.
        v.services["ingest"].kill()
        wait_for("the log to say so", lambda: "ingest does not take heartbeats" in v.services["probe"].log(), 60, 0.5)
        gone = self.beat(v, "ingest")
        time.sleep(5)
        self.assertEqual(self.beat(v, "ingest"), gone)
        self.assertEqual(v.services["probe"].log().count("ingest does not take heartbeats"), 1)
        self.assertIn("refused", re.findall(r"ingest does not take heartbeats.*", v.services["probe"].log())[0])
        v.start("ingest")
        self.wait_fresh(v, "ingest", "publisher")
        self.assertIn("ingest takes heartbeats again", v.services["probe"].log())
        # The queue is gone, and comes back: so do they.
        if v.backend != "redis":
            v.services["queue"].kill()
            wait_for("the queue to be missed", lambda: "volley_queue_up 0" in self.get(v), 60, 0.5)
            v.start("queue")
            self.wait_fresh(v, "ingest", "publisher")
        v.stop()

    def test_without_relays_the_path_is_there_all_the_same(self):
        _, v = self.pipeline(relays=())
        self.start(v)
        self.wait_fresh(v, "ingest", "publisher")
        self.assertEqual(v.depth()[0], {})
        v.stop()

    def test_whoever_may_not_post_events_does_not_stop_them(self):
        """An allow list, proof of work and times are for events."""
        _, v = self.pipeline(**{"ingest.allow_pubkeys": "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e", "ingest.min_pow": "24", "ingest.created_at_past": "1h"})
        self.start(v)
        self.wait_fresh(v, "ingest", "publisher")
        v.stop()

    def test_off_means_none(self):
        _, v = self.pipeline(**{"probe.heartbeat": "0s"})
        self.start(v)
        wait_for("ingest to be seen", lambda: self.beat(v, "ingest"), 60, 0.3)
        wait_for("the publisher to be seen", lambda: self.beat(v, "publisher"), 60, 0.3)
        time.sleep(3)
        self.assertIsNone(v.depth()[1]["heartbeat_accepted"])
        self.assertNotIn("heartbeat:", self.get(v, "/"))
        # On by SIGHUP, and off again.
        v.keys["probe.heartbeat"] = "1s"
        v.write_config()
        v.services["probe"].p.send_signal(signal.SIGHUP)
        wait_for("heartbeats", lambda: v.depth()[1]["heartbeat_delivered"], 60, 0.5)
        v.stop()

    def test_they_survive_kills_of_everything(self):
        _, v = self.pipeline()
        self.start(v)
        self.wait_fresh(v, "ingest", "publisher")
        before = v.depth()[1]
        for service in ("publisher", "ingest", "queue", "probe"):
            v.services[service].kill()
        v.start("queue")
        after = v.depth()[1]
        self.assertGreaterEqual(after["heartbeat_accepted"], before["heartbeat_accepted"])
        self.assertGreaterEqual(after["heartbeat_delivered"], before["heartbeat_delivered"])
        self.start(v, "ingest", "publisher", "probe")
        self.wait_fresh(v, "ingest", "publisher")
        v.stop()

    def test_how_long_one_takes(self):
        _, v = self.pipeline()
        self.start(v)
        self.wait_fresh(v, "ingest", "publisher")
        took = []
        for _ in range(3):
            last = self.beat(v, "publisher")
            wait_for("the next", lambda: self.beat(v, "publisher") > last, 60, 0.2)
            took.append(self.beat(v, "publisher") - self.beat(v, "ingest"))
        self.assertLess(min(took), 1)
        figure("a heartbeat: from ingest's append to a publisher's commit %.0f ms (sanitizer build)" % (1000 * min(took)))
        v.stop()


if __name__ == "__main__":
    main()
