"""Statistics: each cell says what happened, as the practice relays counted it themselves; nothing is lost by restarts."""
import json
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import ROOT, Process, Scenario, main, tunnel, wait_for

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
        v.start_all()
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
        v.start_all()
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



class Door:
    """Opens a port on ::1 that leads to the same one on 127.0.0.1: a relay whose IPv6 came to life."""

    def __init__(self, port):
        self.port, self.came = port, 0
        self.s = socket.create_server(("::1", port), family=socket.AF_INET6)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.s.accept()
                far = socket.create_connection(("127.0.0.1", self.port), 10)
            except OSError:
                return
            self.came += 1
            threading.Thread(target=self.serve, args=(near, far), daemon=True).start()

    def serve(self, near, far):
        with near, far:
            tunnel(near, far)

    def stop(self):
        self.s.close()


class Choice(Scenario):
    def test_what_probes_find_gives_ipv6_its_turn_back(self):
        relays = self.practice("a:v4")
        port = int(relays.urls["a"].rsplit(":", 1)[1])
        url = "ws://localhost:%d" % port
        v = self.volley([url], keys={"publisher.demote_after": 1, "publisher.demote_for": "1h", "publisher.idle_close": "500ms", "probe.interval": "2s"})
        v.up()
        v.post(1, "--seed", 1)
        v.wait_drained()
        first = json.loads(v.run("test", "--json").stdout)
        self.assertEqual((first["first"], first["would_use"]), ("ipv4", "ipv4"), "nobody listens on IPv6: it lost its turn")
        door = Door(port)
        self.started.append(door)
        # The publisher asks what probers found once a minute.
        wait_for(lambda: "IPv6 to have its turn again\n" + v.logs(), lambda: "IPv6 goes first again: a probe reached it" in v.services["up"].log(), 120, 0.3)
        again = json.loads(v.run("test", "--json").stdout)
        self.assertEqual((again["first"], again["would_use"]), ("ipv6", "ipv6"))
        v.post(1, "--seed", 2, name="more")
        v.wait_drained()
        wait_for("the delivery by IPv6", lambda: v.statistics("delivery").get((url, "ipv6"), {}).get("1h", {}).get("deliveries") == 1, 30, 0.3)
        self.assertGreater(door.came, 2)
        v.stop()


class Probes(Scenario):
    """The prober, as often as told, in processes of its own."""

    def prober(self, v, interval_ms, name="prober"):
        p = Process([os.path.join(ROOT, "build", v.build, "practice"), "probe", v.queue_url, str(interval_ms)], os.path.join(v.folder, name + ".log"))
        v.services[name] = p
        return p

    def queue(self, urls, **options):
        """A queue alone, with these relays; nobody delivers."""
        v = self.volley(urls, **options)
        v.start("queue")
        r = v.run("relays", "apply")
        self.assertEqual(r.returncode, 0, r.stderr)
        if v.backend == "redis":
            v.start("ingest")  # somebody has to keep house, or no term ends
        return v

    def probes(self, v, condition, seconds=40):
        def look():
            rows = v.statistics("probe")
            return rows if condition(rows) else None

        return wait_for(lambda: "probes, which are %s\n%s" % (v.statistics("probe"), v.logs()), look, seconds, 0.2)

    def test_each_cell_says_what_the_relay_saw(self):
        specs = {
            # name: (stance, manners, what the prober finds over IPv6, over IPv4)
            "dual": ("dual", "ok", "ok", "ok"),
            "v4": ("v4", "document", None, "ok"),
            "v6": ("v6", "ok", "ok", None),
            "dead6": ("dead6", "ok", "timeout", "ok"),
            "refused6": ("refused6", "ok", "refused", "ok"),
            "refused4": ("refused4", "ok", "ok", "refused"),
            "http": ("v4", "http=503", None, "http"),
            "mute": ("v4", "mute", None, "timeout"),
            "silent": ("v4", "silent", None, "timeout"),
            "garbage": ("v4", "garbage", None, "ok"),
            "auth": ("v4", "auth", None, "ok"),
            "down": ("v4", "down", None, "refused"),
            "blackhole": ("v4", "blackhole", None, "timeout"),
        }
        relays = self.practice(*["%s:%s:0:%s" % (n, s[0], s[1]) for n, s in specs.items()])
        urls = relays.urls
        v = self.queue(list(urls.values()))
        p = self.prober(v, 2000)
        cells = {(urls[n], f): found for n, s in specs.items() for f, found in (("ipv6", s[2]), ("ipv4", s[3])) if found}
        self.probes(v, lambda rows: set(rows) == set(cells) and all(r["total_attempts"] >= 2 for (u, f), r in rows.items() if cells[(u, f)] == "ok"), 60)
        self.assertEqual(p.stop(), 0)
        rows = v.statistics("probe")
        for cell, found in cells.items():
            row, hour = rows[cell], rows[cell]["1h"]
            tried = hour["successes"] + sum(hour["failures"].values())
            self.assertEqual(hour["attempts"], tried, "%s: every attempt ended" % (cell,))
            self.assertEqual((set(hour["failures"]), hour["deliveries"]), (set() if found == "ok" else {found}, 0), cell)
            self.assertEqual(row["streak"], tried if found == "ok" else -tried, cell)
            self.assertEqual((row["24h"]["attempts"], row["7d"]["attempts"], row["route"]), (tried, tried, "direct"))
            if found == "ok":
                self.assertEqual((hour["latencies"]["connect"]["count"], hour["latencies"]["read"]["count"]), (tried, tried))
        for name in specs:
            counts = relays.counts(name)
            self.assertEqual((counts["events"], counts["bad"]), (0, 0), "%s: nothing was written" % name)
            reads = sum(rows[(urls[name], f)]["1h"]["attempts"] for f in ("ipv6", "ipv4") if cells.get((urls[name], f)) == "ok")
            if specs[name][1] in ("ok", "document", "garbage", "auth"):
                # The last one may have been given up with the prober.
                self.assertIn(counts["reads"] - reads, (0, 1, 2), name)
            for family in ("ipv6", "ipv4"):
                found = cells.get((urls[name], family))
                attempts = rows[(urls[name], family)]["1h"]["attempts"] if found else 0
                # Who opened a websocket is asked for its document, too, by a connection of its own; a dead port sees nobody.
                opened = found == "ok" or (name == "silent" and family == "ipv4")
                dead = found is None or found == "refused" or name == "blackhole" or (name, family) == ("dead6", "ipv6")
                expected = 0 if dead else attempts * (2 if opened else 1)
                self.assertIn(counts["connections_" + family] - expected, (0,) if dead else (0, 1, 2), (name, family))
        seen = relays.counts("v4")
        row = rows[(urls["v4"], "ipv4")]
        self.assertEqual((row["software"], row["address"]), ("volley practice", "127.0.0.1"))
        self.assertIn(seen["documents"] - row["1h"]["latencies"]["nip11"]["count"], (0, 1))
        v.stop()

    def test_a_prober_killed_and_started_again_loses_nothing_and_probes_nothing_twice(self):
        relays = self.practice("a:v4", "b:v4", "c:v4:0:down")
        v = self.queue(list(relays.urls.values()))
        p = self.prober(v, 600000)
        before = self.probes(v, lambda rows: len(rows) == 3)
        p.kill(signal.SIGKILL)
        p.wait()
        self.assertEqual(v.statistics("probe"), before)
        v.services["queue"].kill(signal.SIGKILL)
        v.services["queue"].wait()
        v.start("queue")
        self.assertEqual(v.statistics("probe"), before)
        self.prober(v, 600000, "again")
        v.relays.append(self.extra())
        v.write_config()
        self.assertEqual(v.run("relays", "apply").returncode, 0)
        # The one before may lead for its term; a new relay tells that this one does.
        after = self.probes(v, lambda rows: len(rows) == 4, 90)
        self.assertEqual({k: r["total_attempts"] for k, r in after.items() if k in before}, {k: 1 for k in before})
        self.assertEqual([relays.counts(n)["reads"] for n in ("a", "b")], [1, 1])
        self.assertEqual(v.services["again"].stop(), 0)
        v.stop()

    def extra(self):
        return self.practice("late:v4").urls["late"]

    def test_two_probers_do_not_probe_twice(self):
        relays = self.practice(*["r%d:v4" % i for i in range(6)])
        v = self.queue(list(relays.urls.values()))
        one, two = self.prober(v, 2000, "one"), self.prober(v, 2000, "two")
        self.probes(v, lambda rows: len(rows) == 6 and all(r["total_attempts"] >= 3 for r in rows.values()))
        leads = ["probing relays" in p.log() for p in (one, two)]
        self.assertEqual(sum(leads), 1, "one of them acts")
        first, second = (one, two) if leads[0] else (two, one)
        self.assertEqual(second.log().count("probed"), 0)
        self.assertEqual(first.stop(), 0)
        rows = v.statistics("probe")
        self.probes(v, lambda later: all(later[k]["total_attempts"] > rows[k]["total_attempts"] for k in rows))
        self.assertEqual(second.stop(), 0)
        rows = v.statistics("probe")
        for name, url in relays.urls.items():
            self.assertIn(relays.counts(name)["reads"] - rows[(url, "ipv4")]["total_attempts"], (0, 1, 2), name)
        v.stop()

    def test_a_prober_that_was_frozen_wakes_up_to_another_one(self):
        relays = self.practice(*["r%d:v4" % i for i in range(6)])
        v = self.queue(list(relays.urls.values()))
        one = self.prober(v, 2000, "one")
        self.probes(v, lambda rows: len(rows) == 6)
        two = self.prober(v, 2000, "two")
        one.kill(signal.SIGSTOP)
        before = one.log().count("probed")
        try:
            wait_for("the other one to act", lambda: two.log().count("probed") >= 6, 60, 0.2)
        finally:
            one.kill(signal.SIGCONT)
        wait_for(lambda: "the first to notice: " + one.log(), lambda: "probing pauses" in one.log() or "another prober leads" in one.log(), 20, 0.2)
        time.sleep(4)  # two intervals
        self.assertLessEqual(one.log().count("probed") - before, 1, "but for what had ended while it was frozen")
        self.assertEqual((one.stop(), two.stop()), (0, 0))
        rows = v.statistics("probe")
        for name, url in relays.urls.items():
            # An act that was under way in the one that froze, or when the other ended, is nobody's.
            self.assertIn(relays.counts(name)["reads"] - rows[(url, "ipv4")]["total_attempts"], (0, 1, 2), name)
        v.stop()

    def test_a_prober_that_can_not_renew_its_lead_pauses(self):
        relays = self.practice("a:v4", "b:v4")
        v = self.queue(list(relays.urls.values()))
        p = self.prober(v, 1000)
        self.probes(v, lambda rows: len(rows) == 2)
        v.services["queue"].kill(signal.SIGSTOP)
        try:
            # Another one might lead when the term is over: it stops before that.
            wait_for(lambda: "it to pause: " + p.log(), lambda: "the lead was not renewed" in p.log(), 30, 0.2)
            paused = [relays.counts(n)["reads"] for n in relays.urls]
            time.sleep(4)
            self.assertEqual([relays.counts(n)["reads"] for n in relays.urls], paused)
        finally:
            v.services["queue"].kill(signal.SIGCONT)
        wait_for("it to go on", lambda: all(relays.counts(n)["reads"] > paused[i] for i, n in enumerate(relays.urls)), 30, 0.2)
        self.assertEqual(p.stop(), 0)
        rows = v.statistics("probe")
        for name, url in relays.urls.items():
            self.assertIn(relays.counts(name)["reads"] - rows[(url, "ipv4")]["total_attempts"], (0, 1, 2), name)
        v.stop()

    def test_volley_up_probes_as_often_as_told(self):
        relays = self.practice("a:dual", "b:v4:0:down")
        v = self.volley(list(relays.urls.values()), keys={"probe.interval": "2s"})
        v.up()
        rows = self.probes(v, lambda rows: len(rows) == 3 and all(r["total_attempts"] >= 2 for (u, f), r in rows.items() if u == relays.urls["a"]))
        self.assertEqual({f: r["last_ok"] for (u, f), r in rows.items() if u == relays.urls["a"]}, {"ipv6": True, "ipv4": True})
        self.assertEqual(rows[(relays.urls["b"], "ipv4")]["last_why"], "refused")
        v.keys["probe.interval"] = "0s"
        v.write_config()
        v.services["up"].kill(signal.SIGHUP)
        stopped = wait_for("the prober to stop", lambda: self.quiet(relays, "a"), 30)
        self.assertGreater(stopped, 1)
        v.stop()

    def quiet(self, relays, name):
        """How often it was read from, when that has not grown for longer than the interval; else None."""
        before = relays.counts(name)["reads"]
        time.sleep(5)
        return before if relays.counts(name)["reads"] == before else None


if __name__ == "__main__":
    main()
