"""Statistics: each cell says what happened, as the practice relays counted it themselves; nothing is lost by restarts."""
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, main, wait_for

# Each connection carries one event: a relay that hangs up after each answer.
ONE_EACH = {"publisher.window": 1, "publisher.backoff_min": "10ms", "publisher.backoff_max": "50ms"}


def family_counts(counts):
    return {"ipv6": counts["connections_ipv6"], "ipv4": counts["connections_ipv4"]}


class Delivery(Scenario):
    def told(self, v, condition):
        """The deliveries' statistics, once they say so."""
        def look():
            rows = v.statistics("delivery")
            return rows if condition(rows) else None

        return wait_for(lambda: "statistics, which are %s\n%s" % (v.statistics("delivery"), v.logs()), look, 40, 0.3)

    def test_connections_and_deliveries_are_counted_by_family(self):
        stances = ("dual", "v4", "v6", "refused6", "refused4")
        relays = self.practice(*["%s:%s:0:cut_after=1" % (s, s) for s in stances])
        urls = relays.urls
        v = self.volley(list(urls.values()), keys=ONE_EACH)
        v.up()
        v.post(20, "--seed", 1)
        v.wait_drained()
        v.stop()  # the publisher tells what is left
        v.start("queue")
        rows = v.statistics("delivery")
        for name in stances:
            counts = relays.counts(name)
            mine = {f: rows[(urls[name], f)] for f in ("ipv6", "ipv4") if (urls[name], f) in rows}
            self.assertEqual(sum(r["1h"]["deliveries"] for r in mine.values()), counts["accepted"], name)
            for family, connections in family_counts(counts).items():
                day = mine[family]["24h"] if family in mine else {"attempts": 0, "successes": 0, "uses": 0, "failures": {}}
                if name == "refused" + family[-1]:
                    # IPv4 is never begun where IPv6 is there at once.
                    self.assertEqual((connections, day["successes"], set(day["failures"])), (0, 0, {"refused"} if day["attempts"] else set()), name)
                    self.assertEqual(day["attempts"], day["failures"].get("refused", 0), name)
                    if family == "ipv6":
                        self.assertEqual((day["attempts"] > 0, mine[family]["streak"]), (True, -day["attempts"]), name)
                else:
                    # Who lost a race may have connected or not.
                    self.assertLessEqual(day["successes"], connections, "%s %s" % (name, family))
                    self.assertGreaterEqual(day["attempts"], connections, "%s %s" % (name, family))
                    self.assertEqual(day["failures"], {})
                self.assertLessEqual(day["uses"], day["successes"])
                if day["successes"]:
                    latencies = day["latencies"]
                    self.assertEqual((latencies["connect"]["count"], latencies["websocket"]["count"]), (day["successes"],) * 2)
                    self.assertNotIn("tls", latencies)
                    self.assertEqual(latencies["delivery"]["count"], day["deliveries"])
                    self.assertLessEqual(latencies["delivery"]["p50_us"], latencies["delivery"]["p99_us"])
                    self.assertGreater(mine[family]["streak"], 0)
        self.assertEqual({f for (_, f) in rows}, {"ipv6", "ipv4"})
        self.assertEqual({r["route"] for r in rows.values()}, {"direct"})
        v.stop()

    def test_faults_have_their_classes(self):
        faults = {"http": "http=503", "mute": "mute", "down": "down", "good": "ok"}
        relays = self.practice(*["%s:v4:0:%s" % f for f in faults.items()])
        urls = relays.urls
        v = self.volley(list(urls.values()), keys={"publisher.connect_timeout": "1s", "publisher.backoff_min": "50ms", "publisher.backoff_max": "200ms"})
        v.up()
        v.post(3, "--seed", 2)
        classes = {"http": "http", "mute": "timeout", "down": "refused", "good": None}
        rows = self.told(v, lambda rows: all((urls[n], "ipv4") in rows for n in faults) and rows[(urls["good"], "ipv4")]["1h"]["deliveries"] == 3)
        for name, cls in classes.items():
            row = rows[(urls[name], "ipv4")]
            self.assertEqual(set(row["1h"]["failures"]), {cls} if cls else set(), name)
            self.assertEqual(row["last_why"], cls or "")
            if cls:
                self.assertEqual((row["1h"]["successes"], row["1h"]["deliveries"], row["last_success_ms"]), (0, 0, 0))
                self.assertEqual(row["streak"], -row["1h"]["attempts"])
        v.stop()

    def test_nothing_is_forgotten_when_processes_are_killed(self):
        relays = self.practice("a:v4")
        url = relays.urls["a"]
        v = self.volley([url])
        v.start_all()
        v.post(10, "--seed", 3)
        v.wait_drained()
        self.told(v, lambda rows: rows.get((url, "ipv4"), {}).get("1h", {}).get("deliveries") == 10)
        before = v.statistics("delivery")
        for name in ("publisher", "queue"):
            v.services[name].kill(signal.SIGKILL)
            v.services[name].wait()
        v.start("queue")
        self.assertEqual(v.statistics("delivery"), before)
        v.start("publisher")
        v.wait_lanes()
        v.post(5, "--seed", 4, name="more")
        v.wait_drained()
        rows = self.told(v, lambda rows: rows[(url, "ipv4")]["1h"]["deliveries"] == 15)
        self.assertEqual(rows[(url, "ipv4")]["1h"]["attempts"], relays.counts("a")["connections_ipv4"])
        v.stop()


if __name__ == "__main__":
    main()
