"""Real processes for the scenarios: volley's services, the practice relays, a client that posts.

Everything lives in one temporary folder a test and on loopback; every process is started here and ended here, by its own id.
Standard library only.
"""
import base64
import errno
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEED = int(os.environ.pop("VOLLEY_SEED", random.randrange(1 << 30)))
PORTS = random.Random()  # not by the seed: several tests run at a time
# What keeps the queue of a pipeline unless it says otherwise: "embedded" (volley queue) or "redis" (a redis-server of the test's own).
BACKEND = os.environ.pop("VOLLEY_TEST_QUEUE", "embedded")
# The programs are those of build/asan, unless a test wants others; tests/arm64 has its own.
BUILD = os.environ.pop("VOLLEY_TEST_BUILD", "asan")


def figure(text):
    """A measured figure, shown by tests/run under the file's line."""
    print("\nfigure: " + text, flush=True)


def clean_env(extra=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith("VOLLEY_")}
    env.update(extra or {})
    return env


def is_free(family, host, port):
    try:
        with socket.socket(family) as s:
            s.bind((host, port))
        return True
    except OSError as e:
        return e.errno != errno.EADDRINUSE  # where there is no IPv6 nobody has its ports


def free_port():
    """One that nobody listens on, from below those that the kernel gives to whoever connects: so it stays free until it is used, in
    another network namespace, too."""
    while True:
        port = PORTS.randrange(10000, 30000)
        if is_free(socket.AF_INET, "127.0.0.1", port) and is_free(socket.AF_INET6, "::1", port):
            return port


def copy_all(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def tunnel(near, far):
    """Copies between two connections, both ways, until each has ended."""
    back = threading.Thread(target=copy_all, args=(far, near), daemon=True)
    back.start()
    copy_all(near, far)
    back.join()


def wait_for(what, condition, seconds=30.0, every=0.05):
    """Polls until condition() is true; its value is returned. Fails with `what` otherwise."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %.0f s in vain for: %s" % (seconds, what() if callable(what) else what))
        time.sleep(every)


class Process:
    """A child of ours with its output in a file."""

    def __init__(self, args, log, env=None, cwd=None):
        self.args, self.log_path = args, log
        with open(log, "ab") as out:
            self.p = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=clean_env(env), cwd=cwd)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def alive(self):
        return self.p.poll() is None

    def kill(self, number=signal.SIGKILL):
        if self.alive():
            self.p.send_signal(number)

    def wait(self, seconds=60):
        return self.p.wait(seconds)

    def stop(self, seconds=60):
        """SIGTERM, and the exit status."""
        self.kill(signal.SIGTERM)
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()
            raise AssertionError("%s did not stop in %d s:\n%s" % (self.args[:2], seconds, self.log()[-3000:]))


class Practice:
    """The practice relays: specs are NAME:STANCE[:PORT[:BEHAVIOUR]]."""

    def __init__(self, folder, specs, build=BUILD, verify=False):
        self.folder = folder
        args = [os.path.join(ROOT, "build", build, "practice"), "relays", "--record", folder] + (["--verify"] if verify else []) + specs
        self.p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_env(), text=True)
        self.urls, self.port = {}, None
        for line in self.p.stdout:
            words = line.split()
            if words[0] == "relay":
                self.urls[words[1]] = words[2]
            elif words[0] == "control":
                self.port = int(words[1])
                break
            else:
                raise AssertionError("practice: " + line)
        self.control = socket.create_connection(("127.0.0.1", self.port), 10)
        self.answers = self.control.makefile("r")

    def ask(self, line):
        self.control.sendall((line + "\n").encode())
        answer = self.answers.readline().strip()
        if answer.startswith("error"):
            raise AssertionError("%s: %s" % (line, answer))
        return answer

    def set(self, name, behaviour):
        self.ask("set %s %s" % (name, behaviour))

    def cut(self, name):
        self.ask("cut " + name)

    def counts(self, name):
        return json.loads(self.ask("counts " + name))

    def all_counts(self):
        return {name: self.counts(name) for name in self.urls}

    def records(self, name):
        """What the relay got, in order: (ms, connection, family, accepted, event as text)."""
        self.counts(name)  # flushes
        with open(os.path.join(self.folder, name + ".tsv")) as f:
            rows = [line.rstrip("\n").split("\t", 4) for line in f]
        return [(int(r[0]), int(r[1]), r[2], r[3] == "1", r[4]) for r in rows if len(r) == 5]

    def accepted(self, name):
        """The accepted events' text, in order."""
        return [r[4] for r in self.records(name) if r[3]]

    def stop(self):
        self.answers.close()
        self.control.close()
        self.p.kill()
        self.p.wait()
        self.p.stdout.close()


def sign(*rows, build=BUILD):
    """Signed events (as text) from (secret number, created_at, kind, tags, content)."""
    lines = "".join("%d\t%d\t%d\t%s\t%s\n" % (s, t, k, json.dumps(tags), content) for s, t, k, tags, content in rows)
    r = subprocess.run([os.path.join(ROOT, "build", build, "practice"), "sign"], input=lines, capture_output=True, text=True, env=clean_env())
    if r.returncode != 0:
        raise AssertionError("sign: " + r.stderr)
    return r.stdout.splitlines()


class Client:
    """A small websocket client, as plain as can be."""

    def __init__(self, port, headers=()):
        self.s = socket.create_connection(("127.0.0.1", port), 30)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET / HTTP/1.1", "Host: 127.0.0.1:%d" % port, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key] + list(headers)
        self.s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.f = self.s.makefile("rb")
        self.status = int(self.f.readline().split()[1])
        while self.f.readline().strip():
            pass

    def send(self, text, opcode=1):
        data, mask = text.encode() if isinstance(text, str) else text, os.urandom(4)
        n = len(data)
        head = bytes([0x80 | opcode]) + (bytes([0x80 | n]) if n < 126 else bytes([0x80 | 126]) + n.to_bytes(2, "big") if n < 65536 else bytes([0x80 | 127]) + n.to_bytes(8, "big"))
        self.s.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self, seconds=30):
        """The next message, parsed; ("close", code) when the other side closes. Ingest itself waits 10 s for a queue that is out of
        reach before it says so."""
        self.s.settimeout(seconds)
        while True:
            head = self.f.read(2)
            if len(head) < 2:
                return ("close", None)
            n = head[1] & 127
            if n > 125:
                n = int.from_bytes(self.f.read(2 if n == 126 else 8), "big")
            data = self.f.read(n)
            if head[0] & 15 == 1:
                return json.loads(data)
            if head[0] & 15 == 8:
                return ("close", int.from_bytes(data[:2], "big"))

    def post(self, event):
        """OK's boolean and text."""
        self.send('["EVENT",%s]' % event)
        answer = self.receive()
        assert answer[0] == "OK" and answer[1] == json.loads(event)["id"], answer
        return answer[2], answer[3]

    def close(self):
        self.f.close()
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def post_one(port, event):
    """OK's boolean and text, over a connection of its own."""
    with Client(port) as c:
        return c.post(event)


class Volley:
    """A whole pipeline in a folder: configuration, data, `up` or single services."""

    def __init__(self, folder, relays, build=BUILD, backend=None, **keys):
        self.folder = folder
        self.backend = backend or BACKEND
        self.program = os.path.join(ROOT, "build", build, "volley")
        self.build = build
        self.ingest_port = free_port()
        self.config = os.path.join(folder, "volley.yaml")
        self.data = os.path.join(folder, "data")
        self.services, self.clients = {}, []
        self.env = {}
        self.keys = {
            "ingest.listen": "127.0.0.1:%d" % self.ingest_port,
            "queue.data_dir": self.data,
            "publisher.route": "direct",
            "probe.listen": "127.0.0.1:0",
            "probe.interval": "0s",  # tests count connections: who wants a prober says so
        }
        if BUILD == "arm64":
            self.keys["queue.max_bytes"] = "1GiB"  # qemu reserves memory for what is mapped
        self.redis_options = {}  # of the server's configuration: what a test wants otherwise
        if self.backend == "redis":
            self.keys["queue.url"] = "redis+unix://" + self.redis_socket
        self.keys.update(keys.pop("keys", {}))
        self.relays = relays
        self.write_config()

    def write_config(self):
        sections = {}
        for key, value in self.keys.items():
            section, name = key.split(".", 1)
            sections.setdefault(section, []).append("  %s: %s" % (name, json.dumps(value) if isinstance(value, str) else value))
        lines = []
        for section, rows in sections.items():
            lines += [section + ":"] + rows
            if section == "publisher" and self.relays:
                lines.append("  relays:")
                for r in self.relays:
                    if isinstance(r, str):
                        lines.append("    - " + json.dumps(r))
                    else:
                        lines.append("    - { " + ", ".join("%s: %s" % (k, json.dumps(v)) for k, v in r.items()) + " }")
        with open(self.config, "w") as f:
            f.write("\n".join(lines) + "\n")

    @property
    def url(self):
        return "ws://127.0.0.1:%d" % self.ingest_port

    @property
    def redis_socket(self):
        return os.path.join(self.folder, "redis.sock")

    def redis_command(self):
        """A redis-server that keeps the promises, with its data in this folder."""
        os.makedirs(self.data, exist_ok=True)
        options = {"port": "0", "unixsocket": self.redis_socket, "unixsocketperm": "700", "dir": self.data, "appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no", "maxmemory-policy": "noeviction", "save": ""}
        options.update(self.redis_options)
        return ["redis-server"] + [word for name, value in options.items() for word in ("--" + name, value)]

    def redis(self, *args):
        """What redis-cli prints."""
        r = subprocess.run(["redis-cli", "-s", self.redis_socket] + list(args), capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        return r.stdout.strip()

    def start(self, service, env=None, wait=True):
        e = dict(self.env)
        e.update(env or {})
        command = [self.program, service, "-c", self.config]
        if service == "queue" and self.backend == "redis":
            command = self.redis_command()
        self.services[service] = Process(command, os.path.join(self.folder, service + ".log"), env=e)
        if wait and service in ("up", "ingest"):
            self.wait_listening()
        if wait and service == "queue":
            wait_for("the queue", lambda: self.run("depth", "--json").returncode == 0, 20)
        return self.services[service]

    def start_all(self, wait=True):
        """Each service as a process of its own, so that each can be killed."""
        for s in ("queue", "publisher", "ingest"):
            self.start(s, wait=wait)
        if wait:
            self.wait_lanes()

    def up(self):
        if self.backend == "redis":
            self.start("queue")
        self.start("up")
        if self.relays:
            self.wait_lanes()

    def wait_listening(self):
        def listens():
            try:
                socket.create_connection(("127.0.0.1", self.ingest_port), 1).close()
                return True
            except OSError:
                return False

        wait_for(lambda: "ingest to listen\n" + self.logs(), listens, 30)

    def wait_lanes(self, seconds=30):
        wait_for(lambda: "lanes\n" + self.logs(), lambda: len(self.depth(check=False)[0]) >= len(self.relays), seconds)

    def run(self, *args, env=None):
        e = dict(self.env)
        e.update(env or {})
        return subprocess.run([self.program, args[0], "-c", self.config] + list(args[1:]), capture_output=True, text=True, timeout=60, env=clean_env(e), stdin=subprocess.DEVNULL)

    def depth(self, check=True):
        """(lanes by URL, total)."""
        r = self.run("depth", "--json")
        if r.returncode != 0:
            if check:
                raise AssertionError("depth: %s %s" % (r.stderr, self.logs()))
            return {}, None
        rows = [json.loads(line) for line in r.stdout.splitlines()]
        return {row["relay"]: row for row in rows if "relay" in row}, rows[-1]

    @property
    def queue_url(self):
        return self.keys["queue.url"] if self.backend == "redis" else "zmq+ipc://%s/queue.sock" % self.data

    def statistics(self, source):
        """What the queue keeps of reaching relays: rows by (relay, family)."""
        r = subprocess.run([os.path.join(ROOT, "build", self.build, "practice"), "statistics", self.queue_url], capture_output=True, text=True, timeout=60, env=clean_env())
        if r.returncode != 0:
            raise AssertionError("statistics: %s %s" % (r.stderr, self.logs()))
        return {(row["relay"], row["family"]): row for row in map(json.loads, r.stdout.splitlines()) if row["source"] == source}

    def probe(self, seconds=60):
        """The dashboard's URL, once it is served and knows the queue."""
        def port():
            text = "".join(p.log() for p in self.services.values())
            found = re.findall(r"probe ready.* port=(\d+)", text)
            return found and found[-1]

        url = "http://127.0.0.1:" + wait_for(lambda: "the probe to listen\n" + self.logs(), port, seconds)

        def known():
            with urllib.request.urlopen(url + "/metrics/relays", timeout=30) as r:
                return r.read().count(b"\nvolley_queue_depth{") >= len(self.relays)

        wait_for(lambda: "the probe to know the queue\n" + self.logs(), known, seconds)
        return url

    def receipt(self, event_id):
        """Result rows by relay URL."""
        r = self.run("receipt", event_id, "--json")
        if r.returncode != 0:
            raise AssertionError("receipt: " + r.stderr)
        return {row["relay"]: row for row in map(json.loads, r.stdout.splitlines())}

    def client(self):
        """A client of ingest that is closed at the latest when the test ends."""
        self.clients.append(Client(self.ingest_port))
        return self.clients[-1]

    def health(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/healthz" % self.ingest_port, timeout=5) as r:
                return r.status
        except urllib.error.HTTPError as e:
            return e.code
        except OSError:
            return 0

    def post(self, count, *args, background=False, seconds=60, name="post"):
        """Posts signed events; returns the client's summary. In the background: a Process whose log ends with it."""
        out = os.path.join(self.folder, name + ".ids")
        cmd = [os.path.join(ROOT, "build", self.build, "practice"), "post", self.url, "--count", str(count), "--out", out, "--refused", out + ".refused", "--seconds", str(seconds)] + [str(a) for a in args]
        if background:
            return Process(cmd, os.path.join(self.folder, name + ".log"))
        r = subprocess.run(cmd, capture_output=True, text=True, timeout=seconds + 60, env=clean_env(), stdin=subprocess.DEVNULL)
        if not r.stdout.strip():
            raise AssertionError("post: " + r.stderr + self.logs())
        return json.loads(r.stdout.strip().splitlines()[-1])

    def posted(self, name="post", refused=False):
        """What was accepted, in order: (id, ms when it was first sent, event as text)."""
        with open(os.path.join(self.folder, name + ".ids" + (".refused" if refused else ""))) as f:
            rows = [line.rstrip("\n").split("\t", 3) for line in f]
        return [(r[0], int(r[2]), r[3]) for r in rows]

    def wait_drained(self, seconds=60, relays=None):
        """Until nothing waits at these relays (all)."""
        def drained():
            lanes, _ = self.depth(check=False)
            return lanes and all(l["depth"] == 0 for url, l in lanes.items() if relays is None or url in relays)

        wait_for(lambda: "the queue to drain\n%s\n%s" % (self.run("depth").stdout, self.logs()), drained, seconds, 0.1)

    def logs(self, tail=3000):
        text = ""
        for name in sorted(os.listdir(self.folder)):
            if name.endswith(".log"):
                with open(os.path.join(self.folder, name), errors="replace") as f:
                    text += "--- %s\n%s\n" % (name, f.read()[-tail:])
        return text

    def kill_all(self):
        for c in self.clients:
            c.close()
        for p in self.services.values():
            p.kill()
        for p in self.services.values():
            p.wait()

    def stop(self):
        for name in ("up", "ingest", "probe", "publisher", "queue"):
            if name in self.services and self.services[name].alive():
                status = self.services[name].stop()
                if status != 0:
                    raise AssertionError("%s ended with %d:\n%s" % (name, status, self.services[name].log()[-4000:]))
        self.check_logs()

    def check_logs(self):
        for name, p in self.services.items():
            text = p.log()
            for bad in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
                if bad in text:
                    raise AssertionError("%s: %s" % (name, text[-6000:]))


class Scenario(unittest.TestCase):
    """A test with a folder of its own; everything it started is ended with it."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="volley-e2e-")
        self.started = []
        random.seed(SEED)

    def practice(self, *specs, **options):
        p = Practice(self.folder, list(specs), **options)
        self.started.append(p)
        return p

    def volley(self, relays, **options):
        sub = os.path.join(self.folder, "v%d" % len(self.started))
        os.mkdir(sub)
        v = Volley(sub, relays, **options)
        self.started.append(v)
        return v

    def tearDown(self):
        result = self._outcome.result
        failed = any(test is self for test, _ in result.failures + result.errors)
        for thing in reversed(self.started):
            try:
                if isinstance(thing, Volley):
                    if failed:
                        print(thing.logs())
                    thing.kill_all()
                else:
                    thing.stop()
            except Exception as e:  # the test's own verdict counts
                print("while ending %r: %s" % (thing, e))
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    print("seed %d (VOLLEY_SEED=%d repeats it)" % (SEED, SEED), flush=True)
    result = unittest.main(exit=False, verbosity=2).result
    bad = len(result.failures) + len(result.errors)
    # A class that is skipped, or fails, as a whole is none of the tests that were run.
    others = sum(isinstance(test, unittest.TestCase) for test, _ in result.failures + result.errors + result.skipped)
    for test, reason in result.skipped:
        print("skipped: %s: %s" % (test, reason))
    print("%d passed, %d failed, %d skipped" % (result.testsRun - others, bad, len(result.skipped)))
    sys.exit(1 if bad else 0)
