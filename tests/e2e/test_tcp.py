"""A queue on zmq+tcp: keys, who is let in and who hears why not, restarts, and a network that is cut."""
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time

from harness import Scenario, clean_env, figure, main, sign, wait_for


def free_ports():
    """A port of 127.0.0.1 that is free, as is the next one; below those that the system gives away."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(20000, 30000)
        try:
            for p in (port, port + 1):
                with socket.socket() as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind(("127.0.0.1", p))
            return port
        except OSError:
            continue
    raise AssertionError("no free ports")


def in_container():
    return os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv") or "container" in os.environ


class Proxy:
    """Two ports in front of a queue's two: passes everything on, until the network is cut. Keeps what went through."""

    def __init__(self, queue_port):
        self.port, self.cut, self.closed_while_cut, self.seen = free_ports(), False, 0, bytearray()
        self.pairs, self.lock = [], threading.Lock()
        self.listeners = []
        for i in (0, 1):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", self.port + i))
            s.listen(64)
            self.listeners.append(s)
            threading.Thread(target=self.accept, args=(s, queue_port + i), daemon=True).start()

    def accept(self, listener, port):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                if self.cut:  # as if nobody were there: it is never answered
                    self.pairs.append((client, None))
                    continue
            try:
                server = socket.create_connection(("127.0.0.1", port), 5)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.pairs.append((client, server))
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                if not self.cut:
                    self.seen += data
                    b.sendall(data)
        except OSError:
            pass
        if self.cut:
            with self.lock:
                self.closed_while_cut += 1
            return  # the other end cannot know
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def set_cut(self, cut):
        with self.lock:
            self.cut, self.closed_while_cut = cut, 0
            if not cut:
                for pair in self.pairs:
                    for s in pair:
                        if s is not None:
                            s.close()
                self.pairs = []

    def stop(self):
        for s in self.listeners:
            s.close()
        self.set_cut(False)


class Tcp(Scenario):
    def begin(self, relays=("a:v4",), **keys):
        """A pipeline whose queue listens by tcp, its keys made by `volley keys`."""
        self.relays = self.practice(*relays) if relays else None
        self.port = free_ports()
        self.keys_dir = os.path.join(self.folder, "keys")
        all_keys = {"queue.url": "zmq+tcp://127.0.0.1:%d" % self.port, "queue.keys_dir": self.keys_dir}
        all_keys.update(keys)
        v = self.volley(list(self.relays.urls.values()) if relays else [], keys=all_keys)
        r = v.run("keys", self.keys_dir)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        return v

    def client(self, v, name, listed=True):
        """A machine of its own, as it were: the directory of a new client."""
        there = os.path.join(self.folder, "keys-of-" + name)
        os.mkdir(there, 0o700)
        before = self.allow()
        r = v.run("keys", self.keys_dir, "--client", name)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        if not listed:
            self.allow(before)
        shutil.move(os.path.join(self.keys_dir, name + ".key"), os.path.join(there, "client.key"))
        shutil.copy(os.path.join(self.keys_dir, "server.pub"), there)
        return there

    def allow(self, text=None):
        """What stands in clients.allow; with `text`, stands there from now on."""
        path = os.path.join(self.keys_dir, "clients.allow")
        if text is not None:
            with open(path, "w") as f:
                f.write(text)
        with open(path) as f:
            return f.read()

    def arrived(self, v, ids=None):
        want = {event for _, _, event in (ids or v.posted())}
        self.assertGreater(len(want), 0)
        for name in self.relays.urls:
            self.assertEqual(want - set(self.relays.accepted(name)), set(), "missing at " + name)


class Delivery(Tcp):
    def test_ingest_and_publisher_on_other_machines_deliver(self):
        v = self.begin(relays=("a:v4", "b:v4"))
        proxy = Proxy(self.port)
        v.start("queue")
        through = {"VOLLEY_QUEUE_URL": "zmq+tcp://127.0.0.1:%d" % proxy.port}
        for service in ("publisher", "ingest"):
            v.start(service, env=dict(through, VOLLEY_QUEUE_KEYS_DIR=self.client(v, service)))
        v.wait_lanes()
        self.assertEqual(v.post(300, "--seed", 1)["accepted"], 300)
        v.wait_drained()
        self.arrived(v)
        # All of it went through the proxy, and none of it can be read there.
        event = v.posted()[0]
        self.assertGreater(len(proxy.seen), 300 * len(event[2]))
        for word in (event[0], '"content"', "EVENT", "127.0.0.1:%d" % v.ingest_port, list(self.relays.urls.values())[0]):
            self.assertNotIn(word.encode(), proxy.seen)
        # Operators' commands speak to it too.
        self.assertEqual(v.receipt(event[0])[list(self.relays.urls.values())[0]]["result"], "delivered")
        self.assertIn("ok       queue: answers", v.run("check").stdout)
        v.stop()
        proxy.stop()

    def test_up_runs_by_tcp_alone(self):
        v = self.begin(**{"queue.url": "zmq+tcp://0.0.0.0:%d" % free_ports()})
        v.up()
        self.assertEqual(v.post(50, "--seed", 2)["accepted"], 50)
        v.wait_drained()
        self.arrived(v)
        v.stop()

    def test_the_queue_killed_and_started_again(self):
        v = self.begin()
        v.start_all()
        post = v.post(800, "--seed", 3, "--rate", 200, background=True, seconds=60)
        for _ in range(2):
            time.sleep(1)
            v.services["queue"].kill()
            v.services["queue"].wait()
            v.start("queue", wait=False)
        self.assertEqual(post.wait(90), 0, post.log())
        v.wait_drained()
        self.arrived(v)
        v.stop()

    def test_a_network_that_is_cut_is_noticed_and_mended(self):
        v = self.begin()
        proxy = Proxy(self.port)
        v.start("queue")
        v.start("publisher", env={"VOLLEY_QUEUE_URL": "zmq+tcp://127.0.0.1:%d" % proxy.port, "VOLLEY_QUEUE_KEYS_DIR": self.client(v, "far")})
        v.start("ingest")
        v.wait_lanes()
        url = list(self.relays.urls.values())[0]
        v.post(20, "--seed", 4, name="before")
        v.wait_drained()
        proxy.set_cut(True)
        began = time.monotonic()
        v.post(20, "--seed", 5, name="during")
        wait_for("both ends to let go of the connections", lambda: proxy.closed_while_cut >= 4, 20)
        figure("a cut network is noticed by both ends within %.1f s" % (time.monotonic() - began))
        wait_for("the lane to be taken from who is out of reach", lambda: v.depth()[0][url]["state"] == "unleased", 25)
        self.assertEqual(v.depth()[0][url]["depth"], 20)
        proxy.set_cut(False)
        v.wait_drained()
        self.arrived(v, v.posted("before") + v.posted("during"))
        v.stop()
        proxy.stop()


class Refused(Tcp):
    def ask(self, v, words, status, seconds=10, **env):
        """`volley depth` ends with this status, in time, and says so."""
        began = time.monotonic()
        r = v.run("depth", env=env)
        self.assertLess(time.monotonic() - began, seconds)
        self.assertEqual((r.returncode, r.stdout), (status, ""), r.stderr)
        self.assertIn(words, r.stderr)
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)
        return r.stderr

    def test_commands_without_the_right_keys(self):
        v = self.begin(relays=())
        v.start("queue")
        stranger = self.client(v, "stranger", listed=False)
        text = self.ask(v, "refused this client's key", 1, VOLLEY_QUEUE_KEYS_DIR=stranger)
        with open(os.path.join(self.keys_dir, "stranger.pub")) as f:
            key = f.read().strip()
        self.assertIn('add the line "%s NAME" to clients.allow' % key, text)
        wait_for("the queue to tell of it", lambda: "a client was refused" in v.services["queue"].log(), 5)
        self.assertIn(key, v.services["queue"].log().replace("\\", ""))
        self.assertIn("error    queue: the queue at", v.run("check", env={"VOLLEY_QUEUE_KEYS_DIR": stranger}).stdout)

        self.ask(v, "needs keys: set queue.keys_dir", 2, VOLLEY_QUEUE_KEYS_DIR="")
        self.ask(v, "client.key is not there", 2, VOLLEY_QUEUE_KEYS_DIR=self.folder)
        os.chmod(os.path.join(stranger, "client.key"), 0o644)
        if not in_container():
            self.ask(v, "chmod 600", 2, VOLLEY_QUEUE_KEYS_DIR=stranger)
        os.chmod(os.path.join(stranger, "client.key"), 0o600)
        shutil.copy(os.path.join(self.keys_dir, "client.pub"), os.path.join(stranger, "server.pub"))
        self.ask(v, "server.pub in queue.keys_dir is not its key", 1, VOLLEY_QUEUE_KEYS_DIR=stranger)
        self.ask(v, "does not answer", 1, VOLLEY_QUEUE_URL="zmq+tcp://127.0.0.1:%d" % free_ports())
        self.assertEqual(v.run("depth").returncode, 0)
        v.stop()

    def test_strangers_get_no_byte_of_an_answer(self):
        v = self.begin(relays=())
        v.start("queue")
        greeting = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01"
        for mechanism in (b"NULL", b"PLAIN"):
            for port in (self.port, self.port + 1):
                with socket.create_connection(("127.0.0.1", port), 5) as s:
                    s.settimeout(10)
                    s.sendall(greeting[:11] + b"\0" + mechanism.ljust(20, b"\0") + b"\0" + b"\0" * 31)
                    s.sendall(b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0")
                    got = bytearray()
                    try:
                        while True:
                            data = s.recv(4096)
                            if not data:
                                break
                            got += data
                    except ConnectionResetError:
                        pass
                    self.assertLessEqual(len(got), 64)  # its greeting, as far as it comes, and then it hangs up
                    self.assertNotIn(b"READY", got)
        self.assertEqual(v.run("depth").returncode, 0)
        v.stop()

    def test_services_that_are_refused_say_so_and_begin_when_they_are_let_in(self):
        v = self.begin()
        v.start("queue")
        there = self.client(v, "late", listed=False)
        publisher = v.start("publisher", env={"VOLLEY_QUEUE_KEYS_DIR": there})
        wait_for("the publisher to hear it", lambda: "refused this client's key" in publisher.log(), 20)
        self.assertTrue(publisher.alive())
        key = re.search(r'add the line \\"(\S+) NAME', publisher.log()) or re.search(r'add the line "(\S+) NAME', publisher.log())
        self.assertIsNotNone(key, publisher.log())
        with open(os.path.join(self.keys_dir, "late.pub")) as f:
            self.allow(self.allow() + f.read().strip() + " late\n")
        v.start("ingest")
        v.wait_lanes()
        v.post(20, "--seed", 6)
        v.wait_drained()
        self.arrived(v)
        v.stop()

    def listener(self, v, words, status, **env):
        r = subprocess.run([v.program, "queue", "-c", v.config], capture_output=True, text=True, timeout=20, env=clean_env(env), stdin=subprocess.DEVNULL)
        self.assertEqual(r.returncode, status, r.stderr)
        self.assertIn(words, r.stderr)

    def test_a_listener_without_keys_does_not_start(self):
        v = self.begin(relays=())
        self.listener(v, "needs keys: set queue.keys_dir", 2, VOLLEY_QUEUE_KEYS_DIR="")
        self.listener(v, "server.key is not there", 2, VOLLEY_QUEUE_KEYS_DIR=self.client(v, "x"))
        self.assertFalse(os.path.exists(os.path.join(v.data, "data.mdb")), "what is wrong configuration touches no store")
        self.listener(v, "a name is for its clients", 2, VOLLEY_QUEUE_URL="zmq+tcp://localhost:7789")
        self.listener(v, "no such address", 2, VOLLEY_QUEUE_URL="zmq+tcp://192.0.2.7:7789")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.port + 1))
            taken.listen()
            self.listener(v, "another process listens", 1)
        self.allow("no key\n")
        self.listener(v, "clients.allow:1", 2)
        os.unlink(os.path.join(self.keys_dir, "clients.allow"))
        self.listener(v, "clients.allow", 2)


class Keys(Tcp):
    def test_nothing_is_ever_overwritten(self):
        v = self.begin(relays=())

        def content():
            rows = {}
            for name in sorted(os.listdir(self.keys_dir)):
                path = os.path.join(self.keys_dir, name)
                with open(path) as f:
                    rows[name] = (oct(os.stat(path).st_mode & 0o777), f.read())
            return rows

        before = content()
        self.assertEqual(oct(os.stat(self.keys_dir).st_mode & 0o777), "0o700")
        self.assertEqual([before[n][0] for n in ("server.key", "client.key")], ["0o600", "0o600"])
        r = v.run("keys", self.keys_dir)
        self.assertEqual(r.returncode, 1)
        self.assertIn("server.key is there already", r.stderr)
        self.assertEqual(content(), before)
        os.unlink(os.path.join(self.keys_dir, "server.key"))  # what is missing is not made beside the rest
        self.assertEqual(v.run("keys", self.keys_dir).returncode, 1)
        self.assertNotIn("server.key", content())

        self.allow(self.allow().rstrip("\n"))  # edited by hand, without an end of line
        self.assertEqual(v.run("keys", self.keys_dir, "--client", "p-2").returncode, 0)
        lines = self.allow().splitlines()
        self.assertEqual([line.split()[1] for line in lines[1:]], ["client", "p-2"])
        self.assertEqual(lines[2].split()[0], content()["p-2.pub"][1].strip())
        self.assertEqual(content()["p-2.key"][0], "0o600")
        before = content()
        for args, status in ((("--client", "p-2"), 1), (("--client", "a/b"), 2), (("--client", ""), 2), (("--client", "-x"), 2), (("--clients", "x"), 2)):
            self.assertEqual(v.run("keys", self.keys_dir, *args).returncode, status, args)
        self.assertEqual(v.run("keys").returncode, 2)
        self.assertEqual(v.run("keys", os.path.join(self.folder, "none"), "--client", "x").returncode, 1)
        self.assertEqual(content(), before)


if __name__ == "__main__":
    main()
