"""Through a SOCKS5 proxy by name, never another way; and wss with certificates that are checked."""
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, clean_env, main, wait_for


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


def join(a, b):
    threading.Thread(target=pump, args=(a, b), daemon=True).start()
    pump(b, a)


class Listener:
    """Accepts on loopback and hands each connection to a thread."""

    def __init__(self, handle, family=socket.AF_INET):
        self.s = socket.socket(family)
        self.s.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.s.listen(64)
        self.port = self.s.getsockname()[1]
        self.handle, self.clients = handle, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            self.clients.append(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            self.handle(c)
        except OSError:
            pass
        finally:
            c.close()

    def close(self):
        self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()
        for c in self.clients:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Socks:
    """A SOCKS5 proxy (RFC 1928, 1929) that knows a few names and writes down what it was asked."""

    def __init__(self, names):
        self.names, self.asked = names, []
        self.listener = Listener(self.handle)
        self.port = self.listener.port

    def handle(self, c):
        def exactly(n):
            data = b""
            while len(data) < n:
                more = c.recv(n - len(data))
                if not more:
                    raise OSError("closed")
                data += more
            return data

        methods = exactly(exactly(2)[1])
        user = ""
        if 2 in methods:
            c.sendall(b"\x05\x02")
            user = exactly(exactly(2)[1]).decode()
            exactly(exactly(1)[0])
            c.sendall(b"\x01\x00")
        else:
            c.sendall(b"\x05\x00")
        _, _, _, kind = exactly(4)
        name = exactly(exactly(1)[0]).decode() if kind == 3 else socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, exactly(4 if kind == 1 else 16))
        port = struct.unpack(">H", exactly(2))[0]
        self.asked.append((kind, name, port, user))
        target = self.names.get(name)
        if target is None:
            c.sendall(b"\x05\x04\x00\x01" + bytes(6))
            return
        with socket.create_connection(("127.0.0.1", target), 5) as t:
            c.sendall(b"\x05\x00\x00\x01" + bytes(6))
            join(c, t)


def port_of(url):
    return int(url.rsplit(":", 1)[1])


class Routes(Scenario):
    def test_through_socks_by_name_whatever_the_environment_says(self):
        relays = self.practice("a:v4", "b:v4")
        socks = Socks({"one.test": port_of(relays.urls["a"]), "two.test": port_of(relays.urls["b"])})
        v = self.volley(["ws://one.test", "ws://two.test:4848"], keys={"publisher.route": "tor", "tor.socks": "any=127.0.0.1:%d" % socks.port})
        v.env = {"NO_PROXY": "*", "no_proxy": "*", "ALL_PROXY": "socks5://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
        v.up()
        v.post(50, "--seed", 1)
        v.wait_drained()
        for name in relays.urls:
            self.assertEqual(relays.accepted(name), [e for _, _, e in v.posted()])
        self.assertEqual({(kind, name, port) for kind, name, port, _ in socks.asked}, {(3, "one.test", 80), (3, "two.test", 4848)})
        users = {name: {u for _, n, _, u in socks.asked if n == name} for name in ("one.test", "two.test")}
        self.assertEqual([len(u) for u in users.values()], [1, 1], "a relay keeps its SOCKS user")
        self.assertNotEqual(users["one.test"], users["two.test"], "each relay has its own")
        self.assertEqual({l["route"] for l in v.depth()[0].values()}, {"tor"})
        v.stop()
        socks.listener.close()

    def test_without_the_proxy_it_waits_and_never_dials_directly(self):
        relays = self.practice("a:dual")
        local = "ws://localhost:%d" % port_of(relays.urls["a"])
        socks = Socks({"one.test": port_of(relays.urls["a"])})
        port = socks.port
        socks.listener.close()
        v = self.volley(["ws://one.test"], keys={"publisher.route": "tor", "tor.socks": "any=127.0.0.1:%d" % port, "publisher.backoff_max": "1s"})
        r = v.run("check", "--set", "publisher.relays=" + local)
        self.assertEqual(r.returncode, 2, "a local relay under route tor is refused")
        v.up()
        v.post(5, "--seed", 2)
        began = time.monotonic()
        wait_for(lambda: "the reason\n" + v.logs(), lambda: list(v.depth()[0].values())[0]["last_error"], 45)
        if time.monotonic() - began > 6:
            print("the reason took %.1f s:\n%s" % (time.monotonic() - began, v.logs()))
        time.sleep(2)
        lane = list(v.depth()[0].values())[0]
        self.assertEqual((lane["depth"], lane["delivered"]), (5, 0))
        self.assertEqual(relays.counts("a")["connections_ipv4"] + relays.counts("a")["connections_ipv6"], 0)
        v.stop()

    def certificate(self, name, host, ca=None):
        """A key and a certificate for `host`, signed by `ca` (itself when None)."""
        path = os.path.join(self.folder, name)
        config = path + ".cnf"
        with open(config, "w") as f:
            f.write("[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=%s\n[ext]\n%s" % (host, "basicConstraints=critical,CA:TRUE\n" if ca is None else "subjectAltName=DNS:%s\n" % host))
        run = lambda *a: subprocess.run(["openssl"] + list(a), check=True, capture_output=True, env=clean_env())
        run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path + ".key", "-out", path + ".csr", "-config", config)
        signer = ["-signkey", path + ".key"] if ca is None else ["-CA", ca + ".pem", "-CAkey", ca + ".key", "-CAcreateserial"]
        run("x509", "-req", "-in", path + ".csr", "-out", path + ".pem", "-days", "2", "-extfile", config, "-extensions", "ext", *signer)
        return path

    def tls_in_front_of(self, url, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate + ".pem", certificate + ".key")

        def handle(c):
            try:
                with context.wrap_socket(c, server_side=True) as tls, socket.create_connection(("127.0.0.1", port_of(url)), 5) as t:
                    join(tls, t)
            except ssl.SSLError:
                pass

        return Listener(handle)

    def test_wss_with_a_good_certificate_delivers_and_with_a_bad_one_does_not(self):
        relays = self.practice("good:v4", "stranger:v4", "misnamed:v4")
        ours, other = self.certificate("ca", "our CA"), self.certificate("other", "another CA")
        fronts = {
            "good": self.tls_in_front_of(relays.urls["good"], self.certificate("c1", "localhost", ours)),
            "stranger": self.tls_in_front_of(relays.urls["stranger"], self.certificate("c2", "localhost", other)),
            "misnamed": self.tls_in_front_of(relays.urls["misnamed"], self.certificate("c3", "elsewhere.test", ours)),
        }
        v = self.volley([{"url": "wss://localhost:%d" % l.port, "name": name} for name, l in fronts.items()], keys={"publisher.ca_file": ours + ".pem", "publisher.backoff_max": "1s"})
        v.up()
        v.post(200, "--seed", 3, "--pad", 5000)
        good = "wss://localhost:%d" % fronts["good"].port
        v.wait_drained(60, [good])
        self.assertEqual(relays.accepted("good"), [e for _, _, e in v.posted()])
        lanes = {l["name"]: l for l in v.depth()[0].values()}
        tls_ms = [p["tls_ms"] for p in lanes["good"]["paths"] if p["successes"]]
        self.assertTrue(tls_ms and tls_ms[0] > 0)
        for name in ("stranger", "misnamed"):
            wait_for("the reason", lambda: "TLS" in ({l["name"]: l for l in v.depth()[0].values()}[name]["last_error"] or ""), 10)
            self.assertEqual(relays.counts(name)["events"], 0)
            self.assertEqual(lanes[name]["depth"], 200)
        v.stop()
        for l in fronts.values():
            l.close()


if __name__ == "__main__":
    main()
