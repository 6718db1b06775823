"""The line people search for."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, main, wait_for


class Blasted(Scenario):
    def lines(self, v):
        return [line for line in v.services["up"].log().splitlines() if "🔫 blasted" in line]

    def test_when_an_event_has_settled_at_every_relay(self):
        relays = self.practice("a:v4", "b:v6", "c:v4:0:refuse=blocked: no")
        v = self.volley(list(relays.urls.values()))
        v.up()
        v.post(1, "--seed", 1)
        event_id = v.posted()[0][0]
        wait_for("the line", lambda: self.lines(v), 10)
        self.assertRegex(self.lines(v)[0], r"🔫 blasted %s to 2 of 3 relays in \d+\.\ds \(1 failed\)$" % event_id)
        v.stop()

    def test_at_most_one_line_a_second_with_a_count(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        v.up()
        began = time.monotonic()
        v.post(800, "--seed", 2, "--rate", 200)
        v.wait_drained()
        time.sleep(1.5)
        seconds = time.monotonic() - began
        lines = self.lines(v)
        self.assertTrue(2 <= len(lines) <= seconds + 1, lines)
        counted = len(lines) + sum(int(n) for n in re.findall(r", and (\d+) other", "\n".join(lines)))
        self.assertEqual(counted, 800, lines)
        v.stop()

    def test_with_one_relay_dead_after_60_seconds(self):
        relays = self.practice("a:v4", "b:v4:0:down", "c:v4:0:refuse=blocked: no")
        v = self.volley(list(relays.urls.values()))
        v.up()
        v.post(1, "--seed", 3)
        event_id = v.posted()[0][0]
        time.sleep(20)
        self.assertEqual(self.lines(v), [])
        wait_for("the line", lambda: self.lines(v), 60)
        self.assertRegex(self.lines(v)[0], r"🔫 blasted %s to 1 of 3 relays \(1 failed, 1 waiting\)$" % event_id)
        v.stop()


if __name__ == "__main__":
    main()
