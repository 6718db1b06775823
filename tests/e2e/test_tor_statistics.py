"""Statistics over a private Tor network: deliveries and probes, each family for itself, as the relays saw it.

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


if __name__ == "__main__":
    main()
