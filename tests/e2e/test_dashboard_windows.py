"""The dashboard's statistics over an hour, a day and a week, in a real headless Chromium: those of /api, and kept by every way
through the page. What is old was counted by a queue whose clocks were set back: its wall clock by a preloaded library, its boot clock
by a time namespace of its own."""
import json
import os
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from dashboard import DashboardScenario
from harness import ROOT, Process, main, wait_for

CLOCK = os.path.join(ROOT, "build", "release", "clock.so")
WINDOWS = ("1h", "24h", "7d")
# Each connection carries one event, so that each phase is seen in the attempts.
KEYS = {"publisher.window": 1, "publisher.backoff_min": "10ms", "publisher.backoff_max": "50ms", "probe.interval": "10m"}


def told(us):
    """As the page says it."""
    return "%.1f ms" % (us / 1e3) if us < 10000 else "%.0f ms" % (us / 1e3)


class Windows(DashboardScenario):
    def queue(self, v, ago_s):
        """A queue whose clocks are so far back: both, so that time has passed for it, rather than jumped, when it starts later."""
        env, clock = {}, os.path.join(v.folder, "clock")
        if ago_s:
            with open(clock, "wb") as f:
                f.write(struct.pack("<Q", int((time.time() - ago_s) * 1e6)))
            env = {"LD_PRELOAD": CLOCK, "CLOCK_FILE": clock}
        v.services["queue"] = Process(["unshare", "--time", "--fork", "--kill-child", "--boottime", str(30 * 86400 - ago_s), v.program, "queue", "-c", v.config],
                                      os.path.join(v.folder, "queue.log"), env=env)
        wait_for(lambda: "the queue\n" + v.logs(), lambda: v.run("depth", "--json").returncode == 0, 20)

    def counted(self, v, count, ago_s):
        """So many events are delivered, so long ago by the queue's clocks."""
        self.queue(v, ago_s)
        for service in ("publisher", "ingest"):
            v.start(service)
        v.wait_lanes()
        v.post(count, "--seed", ago_s, name="ago%d" % ago_s)
        v.wait_drained()
        for service in ("ingest", "publisher"):  # the publisher tells what it counted
            v.services.pop(service).stop()
        outer = v.services.pop("queue")  # unshare, which takes no signal, and ends as its child does
        with open("/proc/%d/task/%d/children" % (outer.p.pid, outer.p.pid)) as f:
            os.kill(int(f.read()), signal.SIGTERM)
        self.assertEqual(outer.wait(), 0)

    def expected(self, url, window):
        """What the page is to show of each relay, made of /api."""
        rows = {}
        for row in map(json.loads, self.get(url + "/api/relays")[1].splitlines()):
            if "relay" not in row:
                continue
            paths = [(s, s[window]) for s in row["statistics"]]
            deliveries = [(s, w) for s, w in paths if s["source"] == "delivery"]
            use = lambda f: "%d/%d" % tuple(sum(w[k] for s, w in deliveries if s["family"] == f) for k in ("successes", "attempts"))
            best = max((w["latencies"]["delivery"] for s, w in deliveries if "delivery" in w["latencies"]), key=lambda l: l["count"], default=None)
            rows[row["relay"]] = {
                "use": "v6 %s, v4 %s in %s" % (use("ipv6"), use("ipv4"), window),
                "latency": "%s / %s" % (told(best["p50_us"]), told(best["p99_us"])) if best else "–",
                "probes": ["%s: %d of %d in %s" % (s["family"], w["successes"], w["attempts"], window) for s, w in paths if s["source"] == "probe"],
            }
        return rows

    def shown(self, b):
        return b.run(r"""
            const rows = {};
            for (const tr of document.querySelectorAll('tr[data-relay]'))
                rows[tr.dataset.relay] = { use: tr.querySelector('.bars .note').textContent, latency: tr.querySelector('.latency').textContent,
                    probes: [...tr.querySelectorAll('.probes li')].map(li => li.textContent.replace(/^probe, (\S+) by .* (\d+ of \d+ in \S+)$/, '$1: $2')) };
            return rows;
        """)

    def chosen(self, b):
        """Which window the page says it shows, wherever it says so."""
        return b.run("""
            const text = [...document.querySelectorAll('.relays caption, .relays thead th')].map(e => e.textContent).join(' ');
            return [[...document.querySelectorAll('.windows [aria-current=true]')].map(e => e.textContent), [...new Set(text.match(/\\b(1h|24h|7d)\\b/g))]];
        """)

    def test_each_window_has_its_own_numbers_and_they_are_those_of_the_api(self):
        if subprocess.run(["unshare", "--time", "--fork", "true"], capture_output=True).returncode != 0:
            self.skipTest("no time namespace can be made here")
        practice = self.practice("dual:dual:0:cut_after=1", "refused6:refused6:0:cut_after=1", "dead:v4:0:down")
        v = self.volley(list(practice.urls.values())[:2], build="release", keys=KEYS)
        self.counted(v, 7, 5 * 86400)
        self.counted(v, 5, 20 * 3600)
        v.relays = list(practice.urls.values())
        v.write_config()
        self.queue(v, 0)
        for service in ("publisher", "ingest", "probe"):
            v.start(service)
        url = v.probe()
        v.post(3, "--seed", 1)
        v.wait_drained(30, v.relays[:2])
        b = self.browser()
        seen = {}
        for window in WINDOWS:
            b.open(url + "/?window=" + window)
            self.assertEqual(self.chosen(b), [[window], [window]])

            def same():
                want = self.expected(url, window)
                seen[window] = self.shown(b)
                return seen[window] == want and all(row["probes"] for row in want.values()) and want == self.expected(url, window)

            wait_for(lambda: "the page to show the API's numbers: %s, not %s" % (self.shown(b), self.expected(url, window)), same, 60, 0.5)
        deliveries = {w: {r["relay"]: sum(s[w]["deliveries"] for s in r["statistics"]) for r in map(json.loads, self.get(url + "/api/relays")[1].splitlines()) if "relay" in r} for w in WINDOWS}
        for relay in v.relays[:2]:
            self.assertEqual([deliveries[w][relay] for w in WINDOWS], [3, 8, 15])
            self.assertEqual(len({seen[w][relay]["use"].rsplit(" in ")[0] for w in WINDOWS}), 3, "each window its own numbers: %s" % seen)
        self.assertEqual(self.get(url + "/api/relays")[1].count('"statistics":['), 3)

    def test_the_choice_is_kept_by_every_way_through_the_page(self):
        practice, v, url = self.pipeline(["fine:v4", "no:v4"], {"no": "refuse=blocked: no"})
        v.post(4)
        v.wait_drained()
        b = self.browser()
        b.open(url)
        self.assertEqual(self.chosen(b), [["24h"], ["24h"]])
        b.click(".windows a:nth-of-type(1)")
        wait_for("the hour's page", lambda: self.chosen(b) == [["1h"], ["1h"]], 30)
        self.assertTrue(b.url().endswith("/?window=1h#relays"), b.url())
        b.run("window.untouched = true")
        fine = lambda: b.run("return document.querySelector('tr[data-relay=\"%s\"] .delivered data').value" % practice.urls["fine"])
        v.post(6, name="more")
        wait_for("the page to move by itself", lambda: fine() == "10", 60, 0.3)
        wait_for("its statistics to move", lambda: self.shown(b) == self.expected(url, "1h"), 60, 0.5)
        self.assertEqual((b.run("return window.untouched"), self.chosen(b)), (True, [["1h"], ["1h"]]))
        # Through an action's page and back; through a receipt's.
        b.open(url + "/?window=7d")
        b.click(".relays .act")
        self.says(b, "Nothing more would be sent")
        self.assertEqual(b.run("return document.querySelector('form [name=window]').value"), "7d")
        b.type("#token", "not the token at all")
        b.click("button")
        self.says(b, "not the admin token")
        b.click("header a")
        wait_for("the page again", lambda: self.chosen(b)[0] == ["7d"], 30)
        b.type("#receipt-id", v.posted()[0][0])
        b.click(".receipt button")
        self.says(b, "event " + v.posted()[0][0])
        b.click("header a")
        wait_for("the page again", lambda: self.chosen(b)[0] == ["7d"], 30)
        # Without the script: it loads itself anew at its own address.
        self.assertIn('<meta http-equiv="refresh" content="5">', self.get(url + "/?window=7d")[1])
        for path in ("/", "/sections", "/act", "/receipt"):
            status, text, _ = self.get(url + path + "?window=2h")
            self.assertEqual((status, "window: 1h, 24h or 7d." in text), (400, True), (path, text))
        self.assertEqual(self.get(url + "/?window=<script>")[0], 400)
        self.assertNotIn("<script>", self.get(url + "/?window=<script>")[1])


if __name__ == "__main__":
    main()
