"""Route tor means Tor: nothing leaves but to tor's ports, no name is asked for, whatever happens.

The targets and the name server can be reached from volley's namespace, so that a leak would arrive; nft counts every packet.
TorScenario.tearDown looks at the counters after every test; here they are put to the hardest.
"""
import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tor"))
from harness import figure, main, wait_for
from tornet import TARGETS, TorScenario

# What would mislead libcurl, and any other library that looks there.
MISLEADING = {
    "NO_PROXY": "*", "no_proxy": "*",
    "ALL_PROXY": "socks5://198.51.100.1:1080", "all_proxy": "socks5://198.51.100.1:1080",
    "HTTP_PROXY": "http://198.51.100.1:3128", "http_proxy": "http://198.51.100.1:3128", "https_proxy": "http://198.51.100.1:3128",
}


class Leaks(TorScenario):
    def tell(self, what):
        c = self.assert_no_leak()
        figure("%s: %d packets to tor's ports, %d by tor itself; %d by another way, %d DNS queries" % (what, c["socks"], c["tor"], c["leaked"], c["dns"]))
        return c

    def look(self, v):
        """The operator's commands that could touch the network, with the same environment."""
        check = v.run("check")
        self.assertNotEqual(check.returncode, 2, check.stderr)
        v.run("check", "--print")
        test = v.run("test", "--json")
        self.assertIn(test.returncode, (0, 1), test.stderr)
        self.assertGreaterEqual(len(test.stdout.splitlines()), len(v.depth()[0]), "every relay was tried")
        return check

    def test_the_counters_see_a_leak_when_there_is_one(self):
        self.leaks = True
        relays = self.practice("dual:dual:4003")
        v = self.volley(["ws://dual.test:4003"], build="release", keys={"publisher.route": "direct"})
        v.up()
        v.post(5, "--seed", 1)
        v.wait_drained(30)
        c = self.net.counters()
        self.assertEqual(len(relays.accepted("dual")), 5, "what leaks arrives")
        self.assertGreater(c["leaked"], 5)
        self.assertGreaterEqual(c["dns"], 2)
        self.assertEqual(c["socks"], 0)
        self.assertIn("2001:db8:70::3", self.net.leaked_to())
        self.assertTrue(any("dual.test" in line for line in self.net.dns_log()[self.dns_before:]))
        v.stop()
        self.net.reset_counters()
        with self.net.socket("pub", kind=socket.SOCK_DGRAM) as s:
            s.sendto(b"?", ("203.0.113.9", 53))
        c = self.net.counters()
        self.assertEqual((c["leaked"], c["dns"]), (1, 1), "a single packet counts")

    def test_not_with_an_environment_that_names_other_proxies(self):
        relays, urls = self.all_targets()
        v = self.volley(list(urls.values()), build="release")
        v.env = MISLEADING
        v.up()
        v.post(50, "--seed", 2)
        self.look(v)
        v.wait_drained(60)
        for name in TARGETS:
            self.assert_arrived(relays, name, [e for _, _, e in v.posted()])
        v.stop()
        self.tell("NO_PROXY and ALL_PROXY set, publisher, check and test")

    def test_not_while_tor_is_stopped_and_started(self):
        relays, urls = self.all_targets()
        v = self.volley(list(urls.values()), build="release", keys={"publisher.connect_timeout": "5s"})
        v.env = MISLEADING
        v.up()
        post = v.post(300, "--seed", 3, "--rate", 60, background=True)
        wait_for("the first events", lambda: relays.counts("dual")["accepted"] > 20, 30)
        self.net.signal("c", signal.SIGTERM)
        wait_for("deliveries to stop", lambda: all(l["state"] != "open" for l in v.depth()[0].values()), 20)
        self.look(v)
        c = self.assert_no_leak()
        time.sleep(1)  # attempts go on meanwhile, and every one of them is to tor's ports
        self.assertGreater(self.net.counters()["socks"], c["socks"], "it keeps trying")
        self.net.start("c")
        post.wait(60)
        self.assertEqual(post.stop(), 0)
        v.wait_drained(60)
        for name in TARGETS:
            self.assert_arrived(relays, name, [e for _, _, e in v.posted()])
        v.stop()
        self.tell("tor stopped and started in the middle")

    def test_not_to_literal_addresses(self):
        relays = self.practice("a:v4:4801", "b:v6:4802", "c:v4:4803", "d:v6:4804")
        urls = {"a": "ws://198.51.100.1:4801", "b": "ws://[2001:db8:70::2]:4802", "dead4": "ws://203.0.113.7:4803", "dead6": "ws://[2001:db8:dead::7]:4804"}
        v = self.volley(list(urls.values()), build="release", keys={"publisher.connect_timeout": "2s"})
        v.env = MISLEADING
        v.up()
        v.post(30, "--seed", 4)
        self.look(v)
        v.wait_drained(60, [urls["a"], urls["b"]])
        for name, family in (("a", "ipv4"), ("b", "ipv6")):
            self.assert_arrived(relays, name, [e for _, _, e in v.posted()])
            self.assertEqual(v.lane(urls[name])["family"], family)
        for name in ("dead4", "dead6"):
            wait_for("the reason", lambda: v.lane(urls[name])["last_error"], 20)
        self.assertEqual(relays.counts("c")["connections_ipv4"] + relays.counts("d")["connections_ipv6"], 0)
        v.stop()
        self.tell("literal addresses of both families, two of them dead")

    def test_not_for_names_with_ipv6_only(self):
        relays = self.practice("a:v6:4901", "b:v6:4902", "c:v6:4903")
        urls = {"a": "ws://v6only.test:4901", "wrong": {"url": "ws://v6only.test:4902", "family": "ipv4"}, "nobody": "ws://nobody.test:4903"}
        v = self.volley(list(urls.values()), build="release")
        v.env = MISLEADING
        v.up()
        v.post(30, "--seed", 5)
        v.wait_drained(60, [urls["a"]])
        self.assert_arrived(relays, "a", [e for _, _, e in v.posted()])
        for url in (urls["wrong"]["url"], urls["nobody"]):
            wait_for("the reason", lambda: v.lane(url)["last_error"], 20)
        self.assertEqual(relays.counts("b")["connections_ipv6"], 0, "family ipv4 never takes the other")
        self.look(v)  # which tries both families, as it is asked to
        v.stop()
        self.tell("names with an AAAA only, and one that does not exist")

    def test_an_address_of_ones_own_is_refused_with_an_explanation(self):
        v = self.volley(["ws://dual.test:4003"], build="release")
        for own in ("ws://127.0.0.1:4003", "ws://localhost:4003", "ws://[::1]:4003", "ws://192.168.1.5", "ws://10.70.0.1:9050", "ws://[fd70:b::1]:4003", "ws://[fe80::1]:4003"):
            r = v.run("check", "--set", "publisher.relays=" + own)
            self.assertEqual(r.returncode, 2, own)
            self.assertIn("route: direct", r.stderr + r.stdout, "and how to mend it")
        self.assert_no_leak()

    def test_not_with_a_tor_of_volleys_own(self):
        """Managed: tor is volley's child, here in the same namespace. What it sends to Tor's relays is its own business."""
        relays, urls = self.all_targets()
        self.net.allow_relays(True)
        self.addCleanup(self.net.allow_relays, False)
        v = self.volley(list(urls.values()), keys={"tor.socks": "managed", "tor.extra_file": os.path.join(self.net.dir, "network.torrc")})
        v.env = MISLEADING
        v.up()
        v.post(50, "--seed", 6)
        v.wait_drained(90)
        for name in TARGETS:
            self.assert_arrived(relays, name, [e for _, _, e in v.posted()])
            if TARGETS[name][1] != "onion":
                self.assertEqual({r[2] for r in relays.records(name)}, {TARGETS[name][1]}, name)
        self.assertEqual({u: l["family"] for u, l in v.depth()[0].items()}, {urls[n]: f for n, (_, f) in TARGETS.items()})
        self.look(v)
        v.stop()
        c = self.tell("managed tor, publisher, check and test")
        self.assertGreater(c["tor"], 100, "it was the tor in there that delivered")
        self.assertEqual(c["socks"], 0)


if __name__ == "__main__":
    main()
