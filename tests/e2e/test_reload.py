"""SIGHUP: a changed configuration takes force with the least disturbance, a wrong one not at all."""
import json
import os
import re
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import SEED, Process, Scenario, figure, main, post_one, sign, wait_for

NOW = int(time.time())


class Reload(Scenario):
    def hup(self, v, *services):
        """Tells the services that their configuration changed; until each of them said what it makes of it."""
        before = {s: self.readings(v, s) for s in services}
        for s in services:
            v.services[s].kill(signal.SIGHUP)
        for s in services:
            wait_for(lambda: "%s to read again\n%s" % (s, v.services[s].log()), lambda: self.readings(v, s) > before[s], 20)

    def readings(self, v, service):
        return len(re.findall("configuration (read again|not taken)", v.services[service].log()))

    def rewrite(self, v, relays=None, **keys):
        if relays is not None:
            v.relays = relays
        v.keys.update({k.replace("__", "."): value for k, value in keys.items()})
        v.write_config()

    def connections(self, relays, *names):
        return {n: relays.counts(n)["connections_ipv4"] for n in names}

    def lanes(self, v):
        return {url: lane for url, lane in v.depth()[0].items() if not lane.get("retired")}

    # ---- the relay list

    def test_relays_come_and_go_under_load_and_the_others_do_not_notice(self):
        relays = self.practice("a:v4", "b:v4", "dead:v4:0:down", "late:v4", "filled:v4")
        url = relays.urls
        v = self.volley([url["a"], url["b"], url["dead"]])
        v.start_all()
        load = v.post(1500, "--seed", SEED % 1000, "--rate", 150, background=True)
        wait_for("a load", lambda: relays.counts("a")["events"] > 150, 20)
        links = self.connections(relays, "a")

        # Added: one at the head, one at the oldest event that is kept (the dead relay needs them all).
        began = time.monotonic()
        self.rewrite(v, relays=[url["a"], url["b"], url["dead"], url["late"], {"url": url["filled"], "backfill": "yes"}])
        self.hup(v, "publisher", "ingest")
        wait_for("the new relays to get events", lambda: min(relays.counts(n)["events"] for n in ("late", "filled")) > 0, 20)
        added_s = time.monotonic() - began

        # Removed.
        self.rewrite(v, relays=[url["a"], url["dead"], url["late"], {"url": url["filled"], "backfill": "yes"}])
        self.hup(v, "publisher")
        wait_for("the removed relay's link to end", lambda: relays.counts("b")["open"] == 0, 20)
        at_b = relays.counts("b")["events"]
        load.wait(60)
        rest = [url[n] for n in ("a", "late", "filled")]
        v.wait_drained(60, rest)
        posted = [event for _, _, event in v.posted()]
        self.assertEqual(len(posted), 1500)
        self.assertEqual(relays.accepted("a"), posted)
        self.assertEqual(relays.accepted("filled"), posted, "backfill gets everything that is kept, in order")
        late = relays.accepted("late")
        self.assertLess(len(late), len(posted))
        self.assertEqual(late, posted[len(posted) - len(late) :], "a new relay begins at the head")
        self.assertEqual(relays.counts("b")["events"], at_b, "a removed relay gets nothing more")
        self.assertNotIn(url["b"], self.lanes(v))

        # Added again: from the head on. Its old lane's receipts stay.
        self.rewrite(v, relays=[url["a"], url["b"], url["dead"], url["late"], url["filled"]])
        self.hup(v, "publisher")
        wait_for("its lane", lambda: url["b"] in self.lanes(v), 20)
        again = sign(*[(7, NOW, 1, [], "again %d" % i) for i in range(20)])
        c = v.client()
        for event in again:
            self.assertTrue(c.post(event)[0])
        v.wait_drained(30, rest + [url["b"]])
        self.assertEqual(relays.accepted("b")[-20:], again)
        self.assertEqual(relays.counts("b")["unique"], at_b + 20)
        self.assertEqual(self.connections(relays, "a"), links, "an unchanged relay was connected to anew")
        figure("a relay added under load gets its first event %.2f s after SIGHUP" % added_s)
        v.stop()

    def test_up_begins_without_relays_and_takes_them_later(self):
        relays = self.practice("a:v4")
        v = self.volley([])
        v.start("up")
        event = sign((7, NOW, 1, [], "soon"))[0]
        c = v.client()
        ok, why = c.post(event)
        self.assertFalse(ok)
        self.assertRegex(why, "no relay")
        self.rewrite(v, relays=[relays.urls["a"]])
        self.hup(v, "up")
        wait_for("the lane\n" + v.logs(), lambda: len(v.depth(check=False)[0]) == 1, 20)
        wait_for("the event to be taken", lambda: post_one(v.ingest_port, event)[0], 20)
        v.wait_drained(20)
        self.assertEqual(relays.accepted("a"), [event])
        v.stop()

    def test_a_wrong_file_keeps_the_old_list_and_says_where_it_is_wrong(self):
        relays = self.practice("a:v4", "b:v4")
        v = self.volley([relays.urls["a"]])
        v.start_all()
        v.post(20, "--seed", SEED % 1000)
        v.wait_drained()
        with open(v.config) as f:
            good = f.read()
        wrong = {
            "    - %s\n    - [oh dear\n" % relays.urls["a"]: "volley.yaml:[0-9]+: ",
            "    - %s\n  windov: 3\n" % relays.urls["b"]: "volley.yaml:[0-9]+: .*windov.*did you mean publisher.window",
            "    - { url: %s, rate: fast }\n" % relays.urls["b"]: "volley.yaml:[0-9]+: .*fast",
            "    - { url: wss://a.onion, route: direct }\n": "volley.yaml:[0-9]+: ",
            "    - { url: 'wss://192.168.0.7', route: tor }\n": "route: direct",
        }
        for text, pattern in wrong.items():
            with open(v.config, "w") as f:
                f.write(re.sub("  relays:\n(    .*\n)*", lambda m: "  relays:\n" + text, good))
            before = len(v.services["publisher"].log())
            self.hup(v, "publisher", "ingest", "queue")
            said = [line for line in v.services["publisher"].log()[before:].splitlines() if "not taken" in line]
            self.assertEqual(len(said), 1, said)
            self.assertRegex(said[0], "the old one stays.*(%s)" % pattern)
        os.unlink(v.config)
        self.hup(v, "publisher")
        self.assertRegex(v.services["publisher"].log().splitlines()[-1], "not taken.*volley.yaml.*No such file")
        with open(v.config, "w") as f:
            f.write(good)
        v.post(20, "--seed", SEED % 1000 + 1)
        v.wait_drained()
        self.assertEqual(relays.counts("a")["unique"], 40)
        self.assertEqual(relays.counts("a")["connections_ipv4"], 1)
        self.assertEqual(relays.counts("b")["connections_ipv4"], 0)
        v.stop()

    def test_a_stale_container_that_starts_again_changes_nothing(self):
        relays = self.practice("a:v4", "b:v4")
        v = self.volley([relays.urls["a"]])
        v.start_all()
        stale = os.path.join(v.folder, "stale.yaml")
        shutil.copy(v.config, stale)
        self.rewrite(v, relays=list(relays.urls.values()))
        self.hup(v, "publisher")
        wait_for("both lanes", lambda: len(self.lanes(v)) == 2, 20)
        p = v.services["stale"] = Process([v.program, "publisher", "-c", stale], os.path.join(v.folder, "stale.log"))
        wait_for(lambda: "a word about it\n" + p.log(), lambda: "volley relays apply" in p.log(), 20)
        said = [line for line in p.log().splitlines() if "volley relays apply" in line]
        self.assertEqual(len(said), 1)
        self.assertTrue(said[0].startswith("[WARN]"), said[0])
        wait_for("it to work all the same", lambda: len({l["publisher"] for l in self.lanes(v).values()}) == 2, 20)
        p.kill(signal.SIGHUP)  # its file is as it was: nobody means anything by it
        wait_for(lambda: "its second reading\n" + p.log(), lambda: p.log().count("volley relays apply") == 2, 20)
        self.assertEqual(len(self.lanes(v)), 2)
        v.post(20, "--seed", SEED % 1000)
        v.wait_drained()
        self.assertEqual([relays.counts(n)["unique"] for n in ("a", "b")], [20, 20])

        # A list that changed under a running process is meant, also one that was in force long ago.
        self.rewrite(v, relays=[relays.urls["a"]])
        self.hup(v, "publisher")
        wait_for("one lane", lambda: len(self.lanes(v)) == 1, 20)
        self.assertEqual(p.stop(), 0)
        v.stop()

    # ---- other keys

    def test_limits_of_ingest_queue_and_log_change_and_the_rest_is_named(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        v.start_all()
        events = sign((7, NOW, 1, [], "one"), (7, NOW, 1, [], "two"), (8, NOW, 1, [], "three"), (7, NOW, 1, [], "four"))
        c = v.client()
        self.assertTrue(c.post(events[0])[0])
        seven = json.loads(events[0])["pubkey"]
        self.rewrite(v, ingest__allow_pubkeys=seven, ingest__max_connections=5000, queue__max_bytes="16MiB", publisher__ca_file="/etc/ssl/certs/ca-certificates.crt", publisher__ok_timeout="7s", log__level="debug")
        self.hup(v, "ingest", "queue", "publisher")
        self.assertTrue(c.post(events[1])[0], "the connection stays")
        ok, why = c.post(events[2])
        self.assertFalse(ok)
        self.assertRegex(why, "^restricted: ")
        self.assertEqual(v.depth()[1]["max_bytes"], 16 << 20)
        for service, changed, restart in (
            ("ingest", "ingest.allow_pubkeys", "ingest.max_connections"),
            ("queue", "queue.max_bytes", None),
            ("publisher", "publisher.ok_timeout", "publisher.ca_file"),
        ):
            log = v.services[service].log()
            self.assertRegex(log, "configuration read again changed=.*%s.*log.level" % re.escape(changed))
            said = re.findall("changed keys that need a restart keys=(.*)", log)
            self.assertEqual(said, [restart] if restart else [], service)
        self.assertTrue(c.post(events[3])[0])
        wait_for("a line of debug", lambda: "[DEBUG] answer" in v.services["publisher"].log(), 20)
        # Back again: what needed a restart does not any more.
        self.rewrite(v, ingest__max_connections=10000, log__level="info")
        self.hup(v, "ingest")
        self.assertEqual(len(re.findall("need a restart", v.services["ingest"].log())), 1)
        v.wait_drained()
        v.stop()


if __name__ == "__main__":
    main()
