"""Statistics in a private Tor network, through it and directly: deliveries and probes, each family for itself, as the relays saw it.

As in every test there, nothing leaves volley's namespace but to tor's ports (TorScenario.tearDown).
"""
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tor"))
from harness import main, wait_for
from tornet import TARGETS, TorScenario

# What a probe finds by each family; None: that is not tried. By SOCKS the exit's reasons can't be told apart.
FOUND = {
    "v4only": {"ipv6": False, "ipv4": True},
    "v6only": {"ipv6": True, "ipv4": False},
    "dual": {"ipv6": True, "ipv4": True},
    "deadv6": {"ipv6": False, "ipv4": True},
    "badv6": {"ipv6": False, "ipv4": True},
    "deadv4": {"ipv6": True, "ipv4": False},
    "onion": {"onion": True},
}


class Statistics(TorScenario):
    def test_probes_and_deliveries_are_counted_by_family(self):
        relays, urls = self.all_targets()
        v = self.volley(list(urls.values()), keys={"probe.interval": "10s", "publisher.connect_timeout": "15s"})
        v.up()
        v.post(10, "--seed", 1)
        v.wait_drained(90)

        def both():
            probed, delivered = v.statistics("probe"), v.statistics("delivery")
            cells = {(urls[n], f) for n, found in FOUND.items() for f in found}
            good = [(urls[n], f) for n, found in FOUND.items() for f, ok in found.items() if ok]
            arrived = all(sum(r["1h"]["deliveries"] for (u, _), r in delivered.items() if u == url) == 10 for url in urls.values())
            # A circuit may fail: each path that works is good once.
            done = set(probed) == cells and all(probed[c]["1h"]["successes"] >= 1 for c in good)
            return (probed, delivered) if arrived and done else None

        probed, delivered = wait_for(lambda: "probes and deliveries: %s\n%s" % (v.statistics("probe"), v.logs()), both, 120, 0.5)
        for name, found in FOUND.items():
            for family, ok in found.items():
                row = probed[(urls[name], family)]
                hour = row["1h"]
                self.assertEqual((row["route"], row["source"], hour["deliveries"]), ("tor", "probe", 0))
                self.assertEqual(hour["attempts"], hour["successes"] + sum(hour["failures"].values()), "%s %s" % (name, family))
                if ok:
                    latencies = hour["latencies"]
                    self.assertEqual((latencies["connect"]["count"], latencies["read"]["count"]), (hour["successes"],) * 2)
                    self.assertNotIn("dns", latencies, "no name is asked for here")
                    self.assertEqual(row["address"], "", "tor does not tell it")
                else:
                    self.assertEqual(hour["successes"], 0, "%s %s" % (name, family))
                    self.assertLessEqual(set(hour["failures"]), {"unreachable", "timeout"}, "%s %s" % (name, family))
        for name, (_, family) in TARGETS.items():
            mine = {f: r["1h"] for (u, f), r in delivered.items() if u == urls[name]}
            seen = {"onion"} if name == "onion" else {r[2] for r in relays.records(name)}
            self.assertEqual({f for f, r in mine.items() if r["deliveries"]}, seen, "%s: by the family that the relay saw" % name)
            self.assertLessEqual(seen, {f for f, r in mine.items() if r["uses"]}, name)
        v.stop()


# Directly, with names in DNS: what a probe finds by each family. A try by IPv4 never asks for AAAA.
DIRECTLY = {
    "v4only": {"ipv6": "no_address", "ipv4": "ok"},
    "v6only": {"ipv6": "ok", "ipv4": "no_address"},
    "dual": {"ipv6": "ok", "ipv4": "ok"},
    "deadv6": {"ipv6": "timeout", "ipv4": "ok"},
    "badv6": {"ipv6": "unreachable", "ipv4": "ok"},
    "deadv4": {"ipv6": "ok", "ipv4": "timeout"},
}


class Directly(TorScenario):
    leaks = True  # on purpose: these relays have route direct

    def asked(self, name):
        """How often the name server was asked for this name's addresses, by family."""
        lines = self.net.dns_log()[self.dns_before:]
        return {family: sum("query[%s] %s.test " % (kind, name) in line for line in lines) for family, kind in (("ipv6", "AAAA"), ("ipv4", "A"))}

    def all_twice(self, rows, cells):
        return set(rows) == set(cells) and all(r["total_attempts"] >= 2 for r in rows.values())

    def test_a_and_aaaa_are_asked_for_apart_and_each_failure_has_its_class(self):
        relays, urls = self.all_targets()
        v = self.volley([urls[n] for n in DIRECTLY], keys={"publisher.route": "direct", "tor.socks": None, "probe.interval": "3s", "publisher.connect_timeout": "1s"})
        v.start("queue")
        self.assertEqual(v.run("relays", "apply").returncode, 0)
        probe = v.start("probe")
        cells = {(urls[n], f): (n, found) for n, by in DIRECTLY.items() for f, found in by.items()}
        wait_for(lambda: "each cell: %s\n%s" % (v.statistics("probe"), v.logs()), lambda: self.all_twice(v.statistics("probe"), cells), 90, 0.5)
        self.assertEqual(probe.stop(), 0)
        rows = v.statistics("probe")
        for cell, (name, found) in cells.items():
            row, hour = rows[cell], rows[cell]["1h"]
            self.assertEqual((row["route"], hour["attempts"]), ("direct", hour["successes"] + sum(hour["failures"].values())), cell)
            self.assertEqual((set(hour["failures"]), row["last_why"]), (set(), "") if found == "ok" else ({found}, found), cell)
            if found == "ok":
                self.assertEqual({hour["latencies"][p]["count"] for p in ("dns", "connect", "websocket", "read")}, {hour["successes"]}, cell)
        for name, by in DIRECTLY.items():
            self.assertEqual(relays.records(name), [], "%s: nothing was written" % name)
            asked = self.asked(name)
            for family, found in by.items():
                attempts = rows[(urls[name], family)]["1h"]["attempts"]
                # A second time for the document of one that answered; the last may have been given up with the prober.
                each = 2 if found == "ok" else 1
                self.assertGreaterEqual(asked[family], attempts, "%s %s" % (name, family))
                # Who asks for AAAA is answered for A, too (libcurl 7.88 does so), and does not use it.
                others = asked["ipv6"] if family == "ipv4" else 0
                self.assertLessEqual(asked[family], each * attempts + 2 + others, "%s %s: no more than its own" % (name, family))
            reads = sum(rows[(urls[name], f)]["1h"]["successes"] for f in by)
            self.assertIn(relays.counts(name)["reads"] - reads, (0, 1, 2), name)
        v.stop()


if __name__ == "__main__":
    main()
