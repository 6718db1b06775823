"""A private Tor network for the scenarios: volley in the namespace `pub`, Tor and the targets in the namespace `core`.

tests/tor/tornet builds it and says what is where. One network serves all tests of a file. Whatever was started in it dies with this
process, however that ends. Standard library only.
"""
import atexit
import collections
import json
import os
import queue
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
from harness import ROOT, Practice, Process, Scenario, Volley, clean_env, wait_for

TOR = "10.70.0.1"  # the client's ports, as pub sees them
ONION_PORT = 80

# The kinds of relays of issue 5. Name (NAME.test in DNS) → the families its target listens on, the family that must win.
TARGETS = collections.OrderedDict([
    ("v4only", ("v4", "ipv4")),
    ("v6only", ("v6", "ipv6")),
    ("dual", ("dual", "ipv6")),
    ("deadv6", ("dual", "ipv4")),  # its AAAA leads into a black hole
    ("badv6", ("dual", "ipv4")),  # its AAAA has no route
    ("deadv4", ("dual", "ipv6")),  # its A leads into a black hole
    ("onion", ("v4", "onion")),
])

# Hands out sockets that live in the namespace it was started in, for whoever holds the other end of its stdin.
SOCKET_GIVER = """
import socket
with socket.socket(fileno=0) as way:
    while True:
        line = way.recv(64)
        if not line:
            break
        with socket.socket(*map(int, line.split())) as s:
            socket.send_fds(way, [b"."], [s.fileno()])
"""


class Unavailable(Exception):
    """This machine cannot have network namespaces of our own."""


def user_words():
    return [] if os.geteuid() == 0 else ["-U", "-r"]


def why_unavailable():
    """Tries what the network is made of; None when all of it works here."""
    probe = "mount -t tmpfs none /mnt && ip link set lo up && ip link add v0 type veth peer name v1 && nft add table inet probe && ip -6 addr add fd70::1/128 dev lo"
    r = subprocess.run(["unshare"] + user_words() + ["-n", "-m", "sh", "-c", probe], capture_output=True, text=True, timeout=30, env=clean_env(), stdin=subprocess.DEVNULL)
    return None if r.returncode == 0 else "network namespaces do not work here: " + " ".join((r.stderr or "status %d" % r.returncode).split())


class Tornet:
    def __init__(self):
        missing = [t for t in ("tor", "tor-gencert", "dnsmasq", "ip", "nft", "nsenter", "unshare", "setpriv") if shutil.which(t, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None]
        if missing:
            raise AssertionError("missing: %s (Debian packages: tor dnsmasq-base iproute2 nftables util-linux)" % " ".join(missing))
        reason = why_unavailable()
        if reason is not None:
            raise Unavailable(reason)
        self.dir = tempfile.mkdtemp(prefix="volley-tornet-")
        self.givers = {}
        self.p = subprocess.Popen([os.path.join(HERE, "tornet"), "run", self.dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean_env(), start_new_session=True)
        answer = self.p.stdout.readline().strip()
        if answer != "ready":
            self.stop()
            raise AssertionError("tornet: " + (answer or "it ended without a word"))

    def stop(self):
        for p, way in self.givers.values():
            way.close()
            p.wait()
        self.givers = {}
        if self.p.poll() is None:
            self.p.stdin.close()
            try:
                self.p.wait(20)
            except subprocess.TimeoutExpired:
                self.p.kill()  # what it started dies with it
                self.p.wait()
        self.p.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- tor's processes ----

    def pid(self, name):
        with open(os.path.join(self.dir, "run", name + ".pid")) as f:
            return int(f.read())

    def log(self, name):
        try:
            with open(os.path.join(self.dir, "log", name + ".log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def start(self, name):
        """c: the client, d: a client behind a slow proxy, o: the onion service."""
        self.p.stdin.write("start %s\n" % name)
        self.p.stdin.flush()
        answer = self.p.stdout.readline().strip()
        if answer != "ok":
            raise AssertionError("tornet: " + answer)

    def signal(self, name, number):
        os.kill(self.pid(name), number)

    def wait_bootstrapped(self, name, times=1, seconds=60):
        wait_for(lambda: "%s to bootstrap\n%s" % (name, self.log(name)[-2000:]), lambda: self.log(name).count("Bootstrapped 100%") >= times, seconds)

    def onion(self):
        """The host name of the onion service, which runs from now on."""
        path = os.path.join(self.dir, "o", "service", "hostname")
        if not os.path.exists(path):
            self.start("o")
        wait_for("the onion service's name", lambda: os.path.exists(path))
        with open(path) as f:
            return f.read().strip()

    def ports(self, client="c", unix=False):
        """tor.socks for volley."""
        if unix:
            return " ".join("%s=unix:%s/%s/%s" % (p, self.dir, client, p) for p in ("any", "ipv6", "ipv4"))
        first = 9050 if client == "c" else 9150
        return "any=%s:%d ipv6=%s:%d ipv4=%s:%d" % (TOR, first, TOR, first + 6, TOR, first + 4)

    def control(self, client="c"):
        return Control(os.path.join(self.dir, client))

    # ---- inside the namespaces ----

    def inside(self, ns):
        """The words before a command that is to run there (absolute paths only)."""
        words = ["nsenter", "-t", str(self.pid(ns)), "-n"] + (["-m"] if ns == "pub" else []) + ([] if os.geteuid() == 0 else ["-U", "--preserve-credentials"])
        return words + ["--", "setpriv", "--pdeathsig", "KILL"]

    def run(self, ns, *args, check=True, env=None, seconds=60):
        r = subprocess.run(self.inside(ns) + list(args), capture_output=True, text=True, timeout=seconds, env=clean_env(env), stdin=subprocess.DEVNULL)
        if check and r.returncode != 0:
            raise AssertionError("%s: %s" % (" ".join(args), r.stderr))
        return r

    def socket(self, ns, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """A socket of ours that lives there: it may connect, or bind and listen."""
        if ns not in self.givers:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.givers[ns] = (subprocess.Popen(self.inside(ns) + [sys.executable, "-c", SOCKET_GIVER], stdin=theirs, env=clean_env()), ours)
            theirs.close()
        way = self.givers[ns][1]
        way.sendall(b"%d %d" % (family, kind))
        return socket.socket(fileno=socket.recv_fds(way, 1, 1)[1][0])

    def connect(self, ns, host, port, seconds=10):
        s = self.socket(ns, socket.AF_INET6 if ":" in host else socket.AF_INET)
        s.settimeout(seconds)
        s.connect((host, port))
        return s

    def listens(self, ns, port):
        """Whether something listens there on an IPv4 address."""
        with open("/proc/%d/net/tcp" % self.pid(ns)) as f:
            return any(r.split()[1].endswith(":%04X" % port) and r.split()[3] == "0A" for r in f.readlines()[1:])

    # ---- what leaves pub ----

    def counters(self):
        """Packets so far: socks (to the client's ports), tor (a managed tor's own), leaked, dns."""
        text = self.run("pub", "nft", "list", "counters", "table", "inet", "leak").stdout
        return {name: int(n) for name, n in re.findall(r"counter (\w+) \{\s*packets (\d+)", text)}

    def reset_counters(self):
        self.run("pub", "nft", "reset", "counters", "table", "inet", "leak")
        for name in ("to4", "to6"):
            self.run("pub", "nft", "flush", "set", "inet", "leak", name)

    def leaked_to(self):
        return [a for name in ("to4", "to6") for a in re.findall(r"[0-9a-f.:]*[0-9a-f][.:][0-9a-f.:]+", "".join(re.findall(r"elements = \{([^}]*)\}", self.run("pub", "nft", "list", "set", "inet", "leak", name).stdout)))]

    def dns_log(self):
        """What was asked, by pub alone."""
        with open(os.path.join(self.dir, "log", "dns.log"), errors="replace") as f:
            return [line for line in f if " query[" in line and " from 10.70.0.2" in line]

    def allow_relays(self, allowed):
        """Tor's relays are the business of a tor that runs in pub itself, and of nothing else there."""
        self.run("pub", "nft", "flush", "chain", "inet", "leak", "relays")
        if allowed:
            for to in ("ip daddr 10.70.1.0/24", "ip6 daddr fd70::1:0/112"):
                self.run("pub", "nft", "add rule inet leak relays %s tcp dport { 5000, 7000 } counter name tor accept" % to)

    def link(self, up=True, ipv6=True):
        """Whether pub has a network at all, and whether it has IPv6 (loopback included)."""
        self.run("pub", "sh", "-c", "echo %d >/proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set pub0 %s" % (not ipv6, "up" if up else "down"))
        if not up:
            return
        routes = ["route replace default via 10.70.0.1"]
        if ipv6:
            routes += ["-6 addr replace fd70:b::2/64 dev pub0 nodad", "-6 route replace default via fd70:b::1", "-6 route replace unreachable 2001:db8:bad::/64 dev lo"]
        for r in routes:
            self.run("pub", "ip", *r.split())


class Control:
    """A tor's control port: answers, and events as they come."""

    def __init__(self, folder):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(os.path.join(folder, "control"))
        self.events, self.answers = [], queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        with open(os.path.join(folder, "cookie"), "rb") as f:
            self.ask("AUTHENTICATE " + f.read().hex())

    def read(self):
        lines = []
        try:
            for line in self.s.makefile("r", newline="\r\n"):
                line = line.rstrip("\r\n")
                if line.startswith("650"):
                    self.events.append(line[4:])
                    continue
                lines.append(line)
                if re.match(r"\d{3} ", line):
                    self.answers.put(lines)
                    lines = []
        except OSError:
            pass
        self.answers.put(None)

    def ask(self, line):
        self.s.sendall((line + "\r\n").encode())
        answer = self.answers.get(timeout=60)
        if answer is None or not answer[-1].startswith("250"):
            raise AssertionError("%s: %s" % (line.split()[0], answer))
        return answer

    def watch(self, *kinds):
        self.events.clear()
        self.ask("SETEVENTS " + " ".join(kinds))

    def streams(self):
        """Of STREAM events: (circuit, target as it was asked for, address the exit used or None), one for each that connected."""
        asked, used, done = {}, {}, []  # tor's own streams are none of ours
        for e in list(self.events):
            w = e.split()
            if w[0] != "STREAM":
                continue
            if w[2] == "NEW" and "PURPOSE=USER" in w:
                asked[w[1]] = w[4]
            elif w[2] == "REMAP" and "SOURCE=EXIT" in w:
                used[w[1]] = w[4].rsplit(":", 1)[0].strip("[]")
            elif w[2] == "SUCCEEDED" and w[1] in asked:
                done.append((w[3], asked[w[1]], w[1]))
        return [(circuit, target, used.get(stream)) for circuit, target, stream in done]

    def close(self):
        self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()


class SlowProxy:
    """A SOCKS5 proxy in core (RFC 1928) that holds everything back for a while, both ways: a long way between a client and its guard."""

    def __init__(self, net, delay_s, port=9999):
        self.net, self.delay_s = net, delay_s
        self.listener = net.socket("core")
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            f = c.makefile("rb", buffering=0)
            f.read(f.read(2)[1])
            c.sendall(b"\x05\x00")
            kind = f.read(4)[3]
            host = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, f.read(4 if kind == 1 else 16))
            t = self.net.connect("core", host, struct.unpack(">H", f.read(2))[0])
            t.settimeout(None)
            time.sleep(2 * self.delay_s)
            c.sendall(b"\x05\x00\x00\x01" + bytes(6))
        except (OSError, IndexError, struct.error):
            c.close()
            return
        for a, b in ((c, t), (t, c)):
            held = queue.Queue()
            a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.take, args=(a, held), daemon=True).start()
            threading.Thread(target=self.give, args=(b, held), daemon=True).start()

    def take(self, a, held):
        data = b"."
        while data:
            try:
                data = a.recv(65536)
            except OSError:
                data = b""
            held.put((time.monotonic() + self.delay_s, data))

    def give(self, b, held):
        while True:
            due, data = held.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    b.shutdown(socket.SHUT_RDWR)
                    return
                b.sendall(data)
            except OSError:
                return

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class CorePractice(Practice):
    """The practice relays as targets: in core, on every address, on the ports they are given."""

    def __init__(self, net, folder, specs, build):
        self.folder, self.ports = folder, {}
        args = [os.path.join(ROOT, "build", build, "practice"), "relays", "--anywhere", "--record", folder] + specs
        self.p = subprocess.Popen(net.inside("core") + args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_env(), text=True)
        self.urls = {}
        for line in self.p.stdout:
            words = line.split()
            if words[0] == "relay":
                self.urls[words[1]] = words[2]
                self.ports[words[1]] = int(words[2].rsplit(":", 1)[1])
            elif words[0] == "control":
                break
            else:
                raise AssertionError("practice: " + line)
        self.control = net.connect("core", "127.0.0.1", int(words[1]))
        self.answers = self.control.makefile("r")


class TorVolley(Volley):
    """volley in pub."""

    def __init__(self, net, folder, relays, build="asan", keys=None, **options):
        self.net = net
        keys = dict({"publisher.route": "tor", "tor.socks": net.ports(), "log.format": "json", "publisher.backoff_min": "50ms", "publisher.backoff_max": "1s"}, **(keys or {}))
        super().__init__(folder, relays, build=build, keys={k: v for k, v in keys.items() if v is not None}, **options)
        self.binary, self.program = self.program, os.path.join(folder, "volley")
        with open(self.program, "w") as f:
            f.write("#!/bin/sh\nexec %s %s \"$@\"\n" % (" ".join(net.inside("pub")), self.binary))
        os.chmod(self.program, 0o755)

    def wait_listening(self):
        def listens():
            for p in self.services.values():
                if not p.alive():
                    raise AssertionError("%s ended: %s" % (p.args[1], p.log()[-2000:]))
            return self.net.listens("pub", self.ingest_port)

        wait_for(lambda: "ingest to listen\n" + self.logs(), listens, 60)

    def post(self, count, *args, background=False, seconds=60, name="post"):
        out = os.path.join(self.folder, name + ".ids")
        cmd = self.net.inside("pub") + [os.path.join(ROOT, "build", self.build, "practice"), "post", self.url, "--count", str(count), "--out", out, "--refused", out + ".refused", "--seconds", str(seconds)] + [str(a) for a in args]
        if background:
            return Process(cmd, os.path.join(self.folder, name + ".log"))
        r = subprocess.run(cmd, capture_output=True, text=True, timeout=seconds + 60, env=clean_env(), stdin=subprocess.DEVNULL)
        if not r.stdout.strip():
            raise AssertionError("post: " + r.stderr + self.logs())
        return json.loads(r.stdout.strip().splitlines()[-1])

    def said(self, message, **facts):
        """The log lines of all services with this message and these facts, in order."""
        found = []
        for p in self.services.values():
            for line in p.log().splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if row.get("msg") == message and all(row.get(k) == v for k, v in facts.items()):
                    found.append(row)
        return found

    def lane(self, url):
        return self.depth()[0][url]


NETWORK = []


def network():
    """The network of this process, made for the first test that asks."""
    if not NETWORK:
        try:
            NETWORK.append(Tornet())
            atexit.register(NETWORK[0].stop)
        except Unavailable as e:
            NETWORK.append(e)
    return NETWORK[0]


class TorScenario(Scenario):
    """A scenario in the private network. Whatever it does, nothing may leave pub but to the client's ports; `leaks` says otherwise."""

    leaks = False

    def setUp(self):
        super().setUp()
        self.net = network()
        if isinstance(self.net, Unavailable):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.skipTest(str(self.net))
        self.net.reset_counters()
        self.dns_before = len(self.net.dns_log())

    def practice(self, *specs, build="release"):
        p = CorePractice(self.net, self.folder, list(specs), build)
        self.started.append(p)
        return p

    def all_targets(self, build="release"):
        """A practice relay of every kind, and their URLs by name."""
        p = self.practice(*["%s:%s:%d" % (name, stance, ONION_PORT if name == "onion" else 4001 + i) for i, (name, (stance, _)) in enumerate(TARGETS.items())], build=build)
        urls = {name: "ws://%s.test:%d" % (name, p.ports[name]) for name in TARGETS if name != "onion"}
        urls["onion"] = "ws://" + self.net.onion()
        return p, urls

    def volley(self, relays, **options):
        sub = os.path.join(self.folder, "v%d" % len(self.started))
        os.mkdir(sub)
        v = TorVolley(self.net, sub, relays, **options)
        self.started.append(v)
        return v

    def assert_arrived(self, practice, name, events):
        """All of them, and none twice but where a link was lost between event and OK."""
        got = practice.accepted(name)
        self.assertEqual(len(set(events) - set(got)), 0, "%s lacks events" % name)
        self.assertEqual(len(set(got) - set(events)), 0, "%s got what nobody sent" % name)

    def assert_no_leak(self):
        c = self.net.counters()
        self.assertEqual((c["leaked"], c["dns"]), (0, 0), "packets that went another way, to %s; asked: %s" % (self.net.leaked_to(), self.net.dns_log()[self.dns_before:]))
        self.assertEqual(self.net.dns_log()[self.dns_before:], [])
        return c

    def tearDown(self):
        result = self._outcome.result
        try:
            if any(test is self for test, _ in result.failures + result.errors):
                print("packets that left: %s, to %s" % (self.net.counters(), self.net.leaked_to()))  # one verdict is enough
            elif not self.leaks:
                self.assert_no_leak()
        finally:
            super().tearDown()
