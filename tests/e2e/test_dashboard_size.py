"""A thousand relays: how long a page takes, and the probe's memory. With the release build."""
import os
import re
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, figure, main, wait_for

MEASURES = True
RELAYS = 1000


class Size(Scenario):
    def test_a_thousand_relays(self):
        v = self.volley([{"url": "ws://127.0.0.1:1/%d" % i, "name": "relay-%04d" % i} for i in range(RELAYS)], build="release", keys={"probe.interval": "10m"})
        v.start("queue")
        v.start("publisher")
        v.start("ingest")
        v.wait_lanes(120)
        probe = v.start("probe")
        url = v.probe(120)
        # Each relay has something to show: what waits, an error, statistics; some have probes.
        self.assertEqual(v.post(3)["accepted"], 3)
        wait_for("statistics of each", lambda: self.get(url + "/").count("in 24h</span>") >= RELAYS and self.get(url + "/").count("last error") >= RELAYS, 240, 1)
        took = {}
        for path in ("/", "/metrics", "/metrics/relays", "/api/depth"):
            times = []
            for _ in range(15):
                began = time.monotonic()
                text = self.get(url + path)
                times.append((time.monotonic() - began) * 1000)
            took[path] = sorted(times)[len(times) // 2]
            if path == "/":
                self.assertEqual(text.count("data-relay="), RELAYS)
        with open("/proc/%d/status" % probe.p.pid) as f:
            anon = int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1)) / 1024
        figure("1,000 relays: " + ", ".join("%s %.0f ms" % row for row in took.items()) + "; probe's RssAnon %.1f MiB" % anon)
        self.assertLess(took["/"], 100)
        self.assertLess(anon, 64)
        v.stop()

    def get(self, url):
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read().decode()


if __name__ == "__main__":
    main()
