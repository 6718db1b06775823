"""A signed event goes in once and reaches every relay: once, byte for byte, in log order."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, figure, main


class Delivery(Scenario):
    def test_5000_events_reach_10_relays_once_byte_for_byte_in_log_order(self):
        relays = self.practice(*["r%d:%s" % (i, "dual" if i % 2 else "v4") for i in range(10)])
        v = self.volley(list(relays.urls.values()))
        v.up()
        summary = v.post(5000, "--seed", 11, "--pad", 200, seconds=120)
        self.assertEqual((summary["accepted"], summary["duplicates"]), (5000, 0), summary)
        v.wait_drained(120)
        posted = [event for _, _, event in v.posted()]
        for name in relays.urls:
            self.assertEqual(relays.accepted(name), posted, "relay %s: not the same bytes in the same order, once each" % name)
            counts = relays.counts(name)
            self.assertEqual(counts["open_max"], 1, "never two connections to one relay")
        lanes, total = v.depth()
        self.assertEqual([(l["delivered"], l["failed"], l["skipped"]) for l in lanes.values()], [(5000, 0, 0)] * 10)
        self.assertEqual(total["depth"], 0)
        figure("5,000 events accepted in %d ms (sanitizers on)" % summary["milliseconds"])
        v.stop()

    def test_the_same_event_again_is_a_duplicate_and_is_not_sent_again(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        v.up()
        v.post(20, "--seed", 5)
        v.wait_drained()
        again = v.post(20, "--seed", 5, "--window", 1)
        if again["duplicates"] != 20:  # a new second makes new events; the clock moved between the two
            again = v.post(20, "--seed", 5)
        v.wait_drained()
        accepted = relays.accepted("a")
        self.assertEqual(len(accepted), len(set(accepted)))
        v.stop()

    def test_extra_fields_and_spaces_do_not_travel(self):
        relays = self.practice("a:v4", verify=True)
        v = self.volley(list(relays.urls.values()))
        v.up()
        v.post(1, "--seed", 6)
        v.wait_drained()
        event = relays.accepted("a")[0]
        self.assertEqual(list(json.loads(event)), ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"])
        self.assertEqual(event, json.dumps(json.loads(event), separators=(",", ":"), ensure_ascii=False))
        v.stop()


if __name__ == "__main__":
    main()
