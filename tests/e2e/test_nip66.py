"""What the prober found, told to the world (NIP-66): signed events that come to the relays as any other.

Relays on loopback and private addresses are never told of, so those that are live in a private Tor network, under names.
As in every test there, nothing leaves volley's namespace but to tor's ports (TorScenario.tearDown).
"""
import hashlib
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tor"))
from harness import Scenario, main, wait_for
from tornet import TorScenario

SECRET = "0" * 63 + "7"
PUBKEY = "5cbdf0646e5db4eaa398f365f2ea7a0e3d419b7e0330e39ce92bddedcac4f9bc"


def key_file(folder):
    path = os.path.join(folder, "monitor.key")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
        f.write(SECRET + "\n")
    return path


def tags(event, name):
    return [t[1:] for t in event["tags"] if t[0] == name]


def told(practice, name):
    return [json.loads(text) for text in practice.accepted(name)]


class Told(TorScenario):
    def assert_event(self, e):
        """Its id is that of its content, its author the monitor; the signature the relay has checked."""
        text = json.dumps([0, e["pubkey"], e["created_at"], e["kind"], e["tags"], e["content"]], separators=(",", ":"), ensure_ascii=False)
        self.assertEqual(e["id"], hashlib.sha256(text.encode()).hexdigest())
        self.assertEqual((e["pubkey"], e["content"]), (PUBKEY, ""))

    def test_with_a_key_the_relays_that_can_be_reached_are_told_of(self):
        relays = self.practice("--verify", "v4only:v4:4001", "v6only:v6:4002", "dual:dual:4003", build="asan")
        urls = {name: "ws://%s.test:%d" % (name, relays.ports[name]) for name in ("v4only", "v6only", "dual")}
        gone = "ws://v4only.test:4009"  # nobody listens
        v = self.volley(list(urls.values()) + [gone], keys={"probe.interval": "10s", "publisher.connect_timeout": "15s"})
        v.up()
        probed = lambda: {u for (u, _), r in v.statistics("probe").items() if r["1h"]["successes"] >= 1} >= set(urls.values())
        wait_for(lambda: "first probes\n" + v.logs(), probed, 120, 0.5)
        self.assertEqual([told(relays, n) for n in urls], [[], [], []], "without a key")
        v.keys["probe.nip66_key_file"] = key_file(v.folder)
        v.write_config()
        v.services["up"].kill(signal.SIGHUP)
        want = {urls["v4only"] + "/": {"ipv4"}, urls["v6only"] + "/": {"ipv6"}, urls["dual"] + "/": {"ipv6", "ipv4"}}

        def latest(name):
            """By relay the families that the newest event says, as this relay has them."""
            newest = {}
            for e in sorted((e for e in told(relays, name) if e["kind"] == 30166), key=lambda e: e["created_at"]):
                newest[tags(e, "d")[0][0]] = {label[0] for label in tags(e, "l")}
            return newest

        # A circuit may fail: then a family is told of when it is tried again.
        wait_for(lambda: "all to be told of everywhere: %s\n%s" % ({n: latest(n) for n in urls}, v.logs()), lambda: all(latest(n) == want for n in urls), 150, 0.5)
        for name in urls:
            events = told(relays, name)
            self.assertEqual({e["kind"] for e in events}, {10166, 30166})
            for e in events:
                self.assert_event(e)
            monitor = next(e for e in events if e["kind"] == 10166)
            self.assertEqual(tags(monitor, "frequency"), [["3610"]])
            self.assertEqual([c[0] for c in tags(monitor, "c")], ["open", "read", "nip11"])
            for e in (e for e in events if e["kind"] == 30166):
                self.assertEqual(tags(e, "n"), [["clearnet"]])
                self.assertEqual(tags(e, "L"), [["volley.family"]])
                self.assertGreaterEqual(int(tags(e, "rtt-open")[0][0]), 1)
                self.assertGreaterEqual(int(tags(e, "rtt-read")[0][0]), 1)
            self.assertNotIn(gone + "/", [tags(e, "d")[0][0] for e in events if e["kind"] == 30166])
        self.restarted(v, relays, urls)
        v.stop()

    def restarted(self, v, relays, urls):
        """Who comes after tells nothing again that did not change, but in the relay's next hour."""
        lanes = {row["relay"]: row["lane"] for row in map(json.loads, v.run("relays", "--json").stdout.splitlines()) if "relay" in row}
        hour = lambda url, e: (e["created_at"] + lanes[url] * 2654435761 % 2**32 % 3600) // 3600
        before = {n: len(told(relays, n)) for n in urls}
        v.services["up"].stop()
        v.up()
        done = {k: r["1h"]["attempts"] for k, r in v.statistics("probe").items() if k[0] in urls.values() and r["streak"] > 0}  # the dead are tried less often
        wait_for(lambda: "three more probes of each\n" + v.logs(), lambda: all(v.statistics("probe")[k]["1h"]["attempts"] >= n + 3 for k, n in done.items()), 120, 0.5)
        for name in urls:
            events = told(relays, name)
            last = {}
            for i, e in enumerate(sorted((e for e in events if e["kind"] == 30166), key=lambda e: e["created_at"])):
                d, what = tags(e, "d")[0][0], [t for t in e["tags"] if not t[0].startswith("rtt-")]
                if d in last:
                    self.assertNotEqual((what, hour(d.rstrip("/"), e)), last[d], "told twice: %s\n%s" % (e, v.logs()))
                last[d] = (what, hour(d.rstrip("/"), e))
            self.assertLessEqual(len([e for e in events[before[name]:] if e["kind"] == 10166]), 1)


class Private(Scenario):
    def probed(self, practice, v, seconds=60):
        url = practice.urls["a"]
        wait_for(lambda: "two probes\n" + v.logs(), lambda: any(u == url and r["1h"]["successes"] >= 2 for (u, _), r in v.statistics("probe").items()), seconds)

    def test_a_relay_on_loopback_is_never_told_of(self):
        relays = self.practice("a:v4", build="asan")
        v = self.volley([relays.urls["a"]], keys={"probe.interval": "1s"})
        v.keys["probe.nip66_key_file"] = key_file(v.folder)
        v.write_config()
        v.up()
        self.probed(relays, v)
        self.assertEqual(relays.accepted("a"), [])
        self.assertEqual(v.depth()[1]["head"], 0)
        v.stop()

    def test_check_says_whose_key_it_is(self):
        v = self.volley([])
        v.keys["probe.nip66_key_file"] = key_file(v.folder)
        for allowed, level in ((None, "ok"), (PUBKEY, "warning")):
            if allowed:
                v.keys["ingest.allow_pubkeys"] = [allowed]
            v.write_config()
            lines = [line for line in v.run("check").stdout.splitlines() if "probe.nip66_key_file" in line]
            self.assertEqual(len(lines), 1, lines)
            self.assertTrue(lines[0].startswith(level + " "), lines)
            self.assertNotIn(SECRET, lines[0])
        with open(v.keys["probe.nip66_key_file"], "w") as f:
            f.write("no key\n")
        r = v.run("check")
        self.assertIn("error    probe.nip66_key_file: ", r.stdout)
        self.assertEqual(r.returncode, 1)


if __name__ == "__main__":
    main()
