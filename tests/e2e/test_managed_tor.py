"""The managed tor as `volley up` runs it, and what is said about tor and IPv6: without any network, the only authority is a closed port on loopback."""
import os
import re
import signal
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Process, Scenario, main, wait_for

NOBODY = "DirAuthority nobody orport=1 v3ident=%040d 127.0.0.1:1 %040d\n" % (1, 2)
TOR_RELAY = "wss://relay.example"


def pids_of(text):
    """Processes whose command line has this in it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                if text.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


class ManagedTor(Scenario):
    def setUp(self):
        super().setUp()
        self.extra = os.path.join(self.folder, "extra.torrc")
        with open(self.extra, "w") as f:
            f.write(NOBODY)

    def managed(self, relays, **keys):
        v = self.volley(relays, keys=dict({"publisher.route": "tor", "tor.extra_file": self.extra}, **keys))
        v.torrc = os.path.join(v.data, "tor", "torrc")
        return v

    def wait_log(self, v, service, pattern, count=1):
        wait_for(lambda: "%s\n%s" % (pattern, v.logs()), lambda: len(re.findall(pattern, v.services[service].log())) >= count, 30)

    def gone(self, v):
        wait_for("tor to end", lambda: not pids_of(v.torrc), 10)

    def test_up_says_ipv6_first_then_starts_tor_and_ends_it_last(self):
        v = self.managed([TOR_RELAY])
        v.up()
        self.wait_log(v, "up", r"Tor is starting percent=\d+ doing=")
        log = v.services["up"].log()
        self.assertRegex(log.splitlines()[0], r"^\[INFO\] Checking IPv6 connectivity\.\.\.$")
        self.assertRegex(log.splitlines()[1], r"^\[INFO\] ✅ IPv6 kernel support detected$|No IPv6 kernel support")
        self.assertLess(log.rfind("IPv6"), min(log.index(line) for line in ("tor started pid=", "queue ready", "publisher ready")), log)
        self.assertEqual(log.count("Checking IPv6 connectivity"), 1)
        pid = int(re.search(r"tor started pid=(\d+)", log).group(1))
        self.assertEqual(pids_of(v.torrc), [pid])
        self.assertEqual(sorted(n for n in os.listdir(os.path.dirname(v.torrc)) if n.endswith(".sock")), ["any.sock", "control.sock", "ipv4.sock", "ipv6.sock"])
        r = v.run("check")
        self.assertRegex(r.stdout, r"warning  tor: not bootstrapped yet, \d+ % ")
        self.assertRegex(r.stdout, r"ok       tor: through the SOCKS port unix:/.*/any.sock, with one for each family")
        v.stop()
        self.gone(v)

    def test_tor_killed_is_started_again_and_kill_9_of_up_ends_it(self):
        v = self.managed([TOR_RELAY])
        v.up()
        self.wait_log(v, "up", "Tor is starting")
        os.kill(pids_of(v.torrc)[0], signal.SIGKILL)
        self.wait_log(v, "up", "no Tor; deliveries over it wait.*tor ended by signal 9")
        self.wait_log(v, "up", "tor started", 2)
        self.wait_log(v, "up", "Tor is starting", 2)
        v.services["up"].kill()
        v.services["up"].wait()
        self.gone(v)

    def test_ctrl_c_on_the_terminal_leaves_tor_to_up(self):
        v = self.managed([TOR_RELAY])
        v.up()
        self.wait_log(v, "up", "Tor is starting")
        tor = pids_of(v.torrc)[0]
        self.assertNotEqual(os.getsid(tor), os.getsid(v.services["up"].p.pid))
        v.stop()

    def test_without_a_relay_that_needs_it_there_is_no_tor(self):
        relays = self.practice("a:dual")
        v = self.managed([relays.urls["a"]], **{"publisher.route": "direct"})
        v.up()
        v.post(3)
        v.wait_drained()
        self.assertFalse(os.path.exists(v.torrc))
        v.stop()

    def test_tor_is_missing_and_the_direct_route_goes_on(self):
        relays = self.practice("a:dual")
        v = self.managed([TOR_RELAY, {"url": relays.urls["a"], "route": "direct"}])
        v.env = {"PATH": self.folder}
        v.up()
        v.post(5)
        v.wait_drained(relays=[relays.urls["a"]])
        self.assertEqual(len(relays.accepted("a")), 5)
        log = v.services["up"].log()
        self.assertEqual(log.count("tor cannot be started: no such file or directory; install it"), 1, log)
        v.stop()

    def test_bad_lines_are_shown_and_mended_while_it_runs(self):
        with open(self.extra, "w") as f:
            f.write(NOBODY + "Nonsense 1\n")
        v = self.managed([TOR_RELAY])
        v.up()
        self.wait_log(v, "up", "Unknown option 'Nonsense'")
        with open(self.extra, "w") as f:
            f.write(NOBODY)
        self.wait_log(v, "up", "Tor is starting")
        v.stop()

    def test_a_publisher_alone_says_that_it_waits_and_uses_tor_when_it_comes(self):
        v = self.managed([TOR_RELAY])
        v.start_all()
        self.wait_log(v, "publisher", "no Tor; deliveries over it wait")
        log = v.services["publisher"].log()
        self.assertEqual(log.count("Checking IPv6 connectivity"), 1)
        r = v.run("check")
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stdout, r"error    tor: the managed one does not run .*is 'volley up' running\?")
        os.makedirs(os.path.dirname(v.torrc), mode=0o700, exist_ok=True)
        directory = os.path.dirname(v.torrc)
        rc = "".join("%s %s\n" % row for row in (("DataDirectory", directory), ("SocksPort", "unix:%s/any.sock" % directory), ("ControlPort", "unix:%s/control.sock" % directory), ("CookieAuthentication", "1")))
        with open(v.torrc, "w") as f:
            f.write(rc + NOBODY)
        tor = Process(["tor", "--defaults-torrc", "/dev/null", "-f", v.torrc], os.path.join(self.folder, "tor.out"))
        try:
            self.wait_log(v, "publisher", "Tor is starting")
            self.assertEqual(v.services["publisher"].log().count("no Tor; deliveries over it wait"), 1)
        finally:
            tor.stop()
        self.wait_log(v, "publisher", "no Tor; deliveries over it wait", 2)
        v.stop()

    def test_a_control_port_that_refuses_the_password_is_told_with_the_file(self):
        secret = os.path.join(self.folder, "password")
        with open(secret, "w") as f:
            f.write("wrong\n")
        os.chmod(secret, 0o600)
        listener = socket.create_server(("127.0.0.1", 0))
        heard = []

        def serve():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                for line in client.makefile():
                    heard.append(line.strip())
                    client.sendall(b"250-PROTOCOLINFO 1\r\n250-AUTH METHODS=HASHEDPASSWORD\r\n250 OK\r\n" if line.startswith("PROTOCOLINFO") else b"515 Authentication failed\r\n")
                client.close()

        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]
        v = self.volley([TOR_RELAY], keys={"publisher.route": "tor", "tor.socks": "any=127.0.0.1:9", "tor.control": "127.0.0.1:%d" % port, "tor.control_password_file": secret})
        v.start_all()
        words = "tor refuses the password in %s" % re.escape(secret)
        self.wait_log(v, "publisher", words)
        wait_for("three tries", lambda: heard.count('AUTHENTICATE "wrong"') >= 3, 20)
        self.assertEqual(len(re.findall(words, v.services["publisher"].log())), 1)
        r = v.run("check")
        self.assertRegex(r.stdout, "error    tor: control port: " + words)
        os.chmod(secret, 0o644)  # as it may be in a container
        self.assertRegex(v.run("check", env={"container": "podman"}).stdout, "error    tor: control port: " + words)
        self.assertNotIn("wrong", r.stdout + v.services["publisher"].log())
        listener.close()
        v.stop()

    def test_ipv6_is_tested_at_the_named_host_only_for_the_direct_route(self):
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        listener.settimeout(0.2)
        host = "[::1]:%d" % listener.getsockname()[1]
        v = self.managed([TOR_RELAY], **{"ipv6.test_host": host})
        r = v.run("check")
        self.assertIn("IPv6 test of %s skipped: no relay is reached directly" % host, r.stdout)
        with self.assertRaises(socket.timeout):
            listener.accept()
        v.keys["publisher.route"] = "direct"
        v.write_config()
        r = v.run("check")
        self.assertRegex(r.stdout, r"ok       ✅ IPv6 connection to \[::1\]:\d+ in \d+ ms")
        listener.accept()[0].close()
        listener.close()


if __name__ == "__main__":
    main()
