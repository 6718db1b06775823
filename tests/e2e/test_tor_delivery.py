"""Delivery over a private Tor network: every kind of relay is reached, the family is known, circuits are kept apart.

Every test here also proves that nothing left volley's namespace but to tor's ports (TorScenario.tearDown).
"""
import collections
import os
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tor"))
from harness import clean_env, figure, main, wait_for
from tornet import TARGETS, TorScenario

# A relay that hangs up after each answer, and a publisher that sends one event at a time: each event is a connection.
HANG_UP = "cut_after=1"
ONE_AT_A_TIME = {"publisher.window": 1, "publisher.backoff_min": "10ms", "publisher.backoff_max": "20ms"}


def family_of(address):
    return "ipv6" if ":" in address else "ipv4"


class Delivery(TorScenario):
    def deliver_to_all(self, count=100, build="asan", **options):
        relays, urls = self.all_targets()
        v = self.volley(list(urls.values()), build=build, **options)
        v.up()
        v.post(count, "--seed", 1)
        v.wait_drained(90)
        events = [e for _, _, e in v.posted()]
        self.assertEqual(len(events), count)
        lanes = v.depth()[0]
        for name, (_, family) in TARGETS.items():
            self.assert_arrived(relays, name, events)
            lane = lanes[urls[name]]
            if name == "dual" and any(p["family"] == "ipv6" and p["failures"] for p in lane["paths"]):
                family = "ipv4"  # a circuit may fail; then the other family is right
            self.assertEqual((lane["route"], lane["family"]), ("tor", family), name)
            if family != "onion":
                self.assertEqual({r[2] for r in relays.records(name)}, {family}, "%s: the family recorded is the one the relay saw" % name)
        v.stop()

    def test_every_event_arrives_at_every_kind_of_relay(self):
        self.deliver_to_all()

    def test_unix_sockets_will_do_when_the_publisher_has_no_network_at_all(self):
        self.net.link(up=False)
        try:
            self.deliver_to_all(count=20, keys={"tor.socks": self.net.ports(unix=True)})
            self.assertEqual(self.net.counters()["socks"], 0)
        finally:
            self.net.link()

    def test_a_host_without_ipv6_delivers_to_a_relay_that_has_nothing_else(self):
        self.net.link(ipv6=False)
        try:
            with open("/proc/%d/net/if_inet6" % self.net.pid("pub")) as f:
                self.assertEqual(f.read(), "", "the namespace has no IPv6")
            self.deliver_to_all(count=20)
        finally:
            self.net.link()

    def test_the_family_recorded_is_the_one_the_relay_saw_in_100_of_100(self):
        relays = self.practice("auto:dual:4101:" + HANG_UP, "six:dual:4102:" + HANG_UP, "four:dual:4103:" + HANG_UP, "mixed:dual:4104:" + HANG_UP)
        # The fourth refuses every other connection over IPv6, so that both families take part in one series.
        self.net.run("core", "nft", "add rule inet dead in ip6 daddr 2001:db8:70::3 tcp dport 4104 tcp flags & (syn | ack) == syn numgen inc mod 2 == 0 reject with tcp reset")
        urls = {name: "ws://dual.test:%d" % relays.ports[name] for name in relays.ports}
        mode = {"auto": "auto", "six": "ipv6", "four": "ipv4", "mixed": "auto"}
        v = self.volley([{"url": url, "family": mode[name]} for name, url in urls.items()], build="release", keys=ONE_AT_A_TIME)
        control = self.net.control()
        v.up()
        control.watch("STREAM")
        v.post(110, "--seed", 2)
        v.wait_drained(90)
        used = collections.defaultdict(collections.Counter)  # by port: what the exits connected to, as tor tells it
        for _, target, address in control.streams():
            if address is not None:
                used[int(target.rsplit(":", 1)[1])][family_of(address)] += 1
        control.close()
        lanes = v.depth()[0]
        for name, url in urls.items():
            recorded = [line["family"] for line in v.said("relay connected", relay=url)]
            seen = {}
            for _, connection, family, _, _ in relays.records(name):
                seen[connection] = family
            seen = [seen[c] for c in sorted(seen)]
            self.assertGreaterEqual(len(seen), 100)
            self.assertEqual(recorded[:len(seen)], seen, name)
            counted = {p["family"]: p["successes"] for p in lanes[url]["paths"] if p["successes"]}
            self.assertEqual(counted, dict(collections.Counter(recorded)), "the statistics say the same")
            port = relays.ports[name]
            figure("family recorded and seen by the %s relay agree in %d of %d connections (%s; exits' own word: %s)" % (name, sum(a == b for a, b in zip(recorded, seen)), len(seen), dict(collections.Counter(seen)), dict(used[port])))
            if mode[name] != "auto":
                self.assertEqual((set(seen), set(used[port])), ({mode[name]}, {mode[name]}))
            if name == "mixed":
                self.assertEqual(set(seen), {"ipv6", "ipv4"})
        v.stop()

    def test_two_relays_never_share_a_circuit_and_one_relays_connections_do(self):
        # Eight relays, two to a host name, so that only the relay can be what tells them apart.
        names = ["r%d" % i for i in range(8)]
        relays = self.practice(*["%s:dual:%d:%s" % (n, 4201 + i, HANG_UP) for i, n in enumerate(names)])
        host = ["dual", "v6only", "deadv4", "dual"]
        urls = ["ws://%s.test:%d" % (host[i % 4], 4201 + i) for i in range(8)]
        v = self.volley([{"url": u, "family": "ipv6"} for u in urls], build="release", keys=ONE_AT_A_TIME)
        control = self.net.control()
        control.watch("STREAM", "CIRC")
        v.up()
        v.post(10, "--seed", 3)
        v.wait_drained(60)
        circuits = collections.defaultdict(collections.Counter)
        for circuit, target, _ in control.streams():
            circuits[int(target.rsplit(":", 1)[1])][circuit] += 1
        closed = {e.split()[1] for e in control.events if e.startswith("CIRC ") and e.split()[2] in ("CLOSED", "FAILED")}
        control.close()
        self.assertEqual(sorted(circuits), [4201 + i for i in range(8)])
        owners = collections.Counter(c for used in circuits.values() for c in used)
        self.assertEqual([c for c, n in owners.items() if n > 1], [], "no circuit serves two relays")
        for port, used in circuits.items():
            self.assertGreaterEqual(sum(used.values()), 10)
            self.assertLessEqual(len(used), 1 + len(closed & set(used)), "relay %d changed circuits only when one had closed: %s" % (port, dict(used)))
        figure("%d connections to %d relays over %d circuits, none shared" % (sum(sum(u.values()) for u in circuits.values()), len(circuits), len(owners)))
        v.stop()

    def certificate(self, name, host, ca=None):
        path = os.path.join(self.folder, name)
        with open(path + ".cnf", "w") as f:
            f.write("[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=%s\n[ext]\n%s" % (host, "basicConstraints=critical,CA:TRUE\n" if ca is None else "subjectAltName=DNS:%s\n" % host))
        run = lambda *a: subprocess.run(["openssl"] + list(a), check=True, capture_output=True, env=clean_env())
        run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path + ".key", "-out", path + ".csr", "-config", path + ".cnf")
        signer = ["-signkey", path + ".key"] if ca is None else ["-CA", ca + ".pem", "-CAkey", ca + ".key", "-CAcreateserial"]
        run("x509", "-req", "-in", path + ".csr", "-out", path + ".pem", "-days", "2", "-extfile", path + ".cnf", "-extensions", "ext", *signer)
        return path

    def tls_in_front_of(self, port, listen, certificate):
        """Ends TLS on `listen`, both families, and passes on to the practice relay."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate + ".pem", certificate + ".key")
        listener = self.net.socket("core", socket.AF_INET6)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", listen))
        listener.listen(16)
        self.addCleanup(listener.close)
        families = []

        def pump(a, b):
            try:
                while True:
                    data = a.recv(65536)
                    if not data:
                        break
                    b.sendall(data)
            except OSError:
                pass
            for s in (a, b):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        def serve(c, peer):
            try:
                with c, context.wrap_socket(c, server_side=True) as tls, self.net.connect("core", "127.0.0.1", port) as t:
                    first = tls.recv(65536)
                    if not first:
                        return  # who lost the race
                    families.append("ipv4" if peer.startswith("::ffff:") else "ipv6")
                    t.settimeout(None)
                    t.sendall(first)
                    back = threading.Thread(target=pump, args=(t, tls), daemon=True)
                    back.start()
                    pump(tls, t)
                    back.join()
            except OSError:
                pass

        def accept():
            while True:
                try:
                    c, peer = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(c, peer[0]), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return families

    def test_wss_through_tor_with_a_certificate_that_is_checked(self):
        relays = self.practice("good:v4:4301", "misnamed:v4:4302", "dead:v4:4303")
        ca = self.certificate("ca", "our CA")
        good = self.tls_in_front_of(4301, 4401, self.certificate("c1", "dual.test", ca))
        self.tls_in_front_of(4302, 4402, self.certificate("c2", "elsewhere.test", ca))
        dead = self.tls_in_front_of(4303, 4403, self.certificate("c3", "deadv6.test", ca))
        urls = {"good": "wss://dual.test:4401", "misnamed": "wss://dual.test:4402", "dead": "wss://deadv6.test:4403"}
        v = self.volley(list(urls.values()), keys={"publisher.ca_file": ca + ".pem"})
        v.up()
        v.post(50, "--seed", 4)
        v.wait_drained(60, [urls["good"], urls["dead"]])
        events = [e for _, _, e in v.posted()]
        for name in ("good", "dead"):
            self.assert_arrived(relays, name, events)
        self.assertEqual(v.lane(urls["good"])["family"], good[-1])
        lost = [p for p in v.lane(urls["good"])["paths"] if p["family"] == "ipv6" and p["successes"] < p["attempts"]]
        self.assertTrue(good[-1] == "ipv6" or lost, "IPv6 was not even tried")  # on a busy machine it may lose its head start
        self.assertEqual((v.lane(urls["dead"])["family"], dead[-1]), ("ipv4", "ipv4"))
        wait_for("the reason", lambda: "TLS" in (v.lane(urls["misnamed"])["last_error"] or ""), 20)
        self.assertEqual(relays.counts("misnamed")["events"], 0)
        v.stop()


class Verbose(TorScenario):
    """publisher.verbose: what is said of each connection is true."""

    def delivered(self, urls, **keys):
        v = self.volley(urls, keys=dict({"publisher.verbose": "yes", "tor.control": "10.70.0.1:9051"}, **keys))
        v.up()
        v.post(5, "--seed", 7)
        v.wait_drained(60)
        return v

    def test_the_path_and_the_exits_address_are_told_and_agree_with_the_family(self):
        relays, urls = self.all_targets()
        control = self.net.control()
        control.watch("STREAM")
        v = self.delivered(list(urls.values()))
        streams = control.streams()
        for name, (_, family) in TARGETS.items():
            url = urls[name]
            path = wait_for(lambda: "a path for %s\n%s" % (name, v.logs()), lambda: v.said("path through Tor", relay=url), 10)[-1]
            self.assertEqual(path["family"], family)
            self.assertRegex(path["path"], r"^\$[0-9A-F]{40}[~=][ae]\d(,\$[0-9A-F]{40}[~=][ae]\d){2,}$")
            if family != "onion":
                self.assertEqual((path["exit_family"], family_of(path["exit_address"])), (family, family))
                own = [(c, a) for c, target, a in streams if target.endswith(":%d" % relays.ports[name])]
                self.assertIn((str(path["circuit"]), path["exit_address"]), own, "as tor itself told us")
            tries = {line["family"]: line["result"] for line in v.said("tried", relay=url)}
            self.assertEqual(tries[family], "won")
            if name in ("deadv6", "badv6"):
                self.assertIn(tries["ipv6"], ("lost", "failed"))
        control.close()
        self.assertEqual(v.said("the exit used another family than the SOCKS port that won"), [])
        v.stop()

    def test_an_exit_of_the_wrong_family_is_an_error_in_the_log(self):
        # Two ports changed over by mistake look just like an exit that lies.
        self.practice("dual:dual:4003")
        swapped = "any=10.70.0.1:9050 ipv6=10.70.0.1:9054 ipv4=10.70.0.1:9056"
        v = self.delivered(["ws://dual.test:4003"], **{"tor.socks": swapped})
        line = wait_for(lambda: "the error\n" + v.logs(), lambda: v.said("the exit used another family than the SOCKS port that won"), 10)[0]
        self.assertEqual((line["level"], line["family"], line["exit_family"], line["so_far"]), ("error", "ipv6", "ipv4", 1))
        v.stop()

    def test_a_wrong_password_is_said_and_deliveries_go_on(self):
        self.practice("dual:dual:4003")
        for password, ok in (("wrong", False), ("tornet", True)):
            path = os.path.join(self.folder, password)
            with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
                f.write(password + "\n")
            v = self.delivered(["ws://dual.test:4003"], **{"tor.control_password_file": path})
            if ok:
                wait_for(lambda: "a path\n" + v.logs(), lambda: v.said("path through Tor"), 10)
            else:
                wait_for(lambda: "a word about it\n" + v.logs(), lambda: any("password" in line.get("reason", "") for line in v.said("tor's control port is out of reach")), 10)
            check = v.run("check")
            self.assertEqual("password" in check.stdout, not ok, check.stdout)
            v.stop()

    def test_direct_tells_the_names_addresses(self):
        self.leaks = True  # that is what direct means
        self.practice("dual:dual:4003")
        v = self.delivered(["ws://dual.test:4003"], **{"publisher.route": "direct"})
        line = wait_for(lambda: "the name\n" + v.logs(), lambda: v.said("name looked up"), 10)[0]
        self.assertEqual((line["aaaa"], line["a"]), ("2001:db8:70::3", "198.51.100.3"))
        v.stop()


if __name__ == "__main__":
    main()
