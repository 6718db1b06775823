"""compose.yaml as it is, with practice relays and a private Tor network in containers around it.

One project serves all tests of a file: tests/compose/fleet.py builds the images, starts it under a name of its own, and removes
that name's containers, networks and volumes at the end. What it changes of compose.yaml goes by the variables that .env.example
names; what it adds (relays, the Tor network) by a second file. Standard library only.
"""
import atexit
import collections
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
from harness import ROOT, Process, clean_env, free_port, wait_for

BASE = "volley-test-base:bookworm"  # for another architecture with its name behind it
RELAYS = ["relay%d" % n for n in range(1, 13)]  # reached through Tor
DIRECT = "only6"  # listens on IPv6 alone, reached directly
PORT = 7000
LIMIT_S = 900  # of the whole file, once its images are there


class Unavailable(unittest.SkipTest):
    """No container engine runs here: the test that needs one is skipped, and says so."""


def run(args, seconds=60, check=True, env=None, stdin=""):
    r = subprocess.run(args, capture_output=True, text=True, timeout=seconds, env=clean_env(env), input=stdin)
    if check and r.returncode != 0:
        raise AssertionError("%s ended with %d:\n%s%s" % (" ".join(args), r.returncode, r.stdout[-3000:], r.stderr[-3000:]))
    return r


def docker(*args, **options):
    return run(["docker"] + list(args), **options)


@functools.lru_cache(maxsize=None)
def compose_words():
    """The older one where it is installed: what works with it works with v2."""
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    if run(["docker", "compose", "version"], check=False).returncode == 0:
        return ("docker", "compose")
    raise Unavailable("docker: neither docker-compose nor docker compose is installed")


def require_engine():
    if shutil.which("docker") is None:
        raise Unavailable("docker: it is not installed")
    r = run(["docker", "version", "--format", "{{.Server.Version}}"], check=False)
    if r.returncode != 0:
        raise Unavailable("docker: no engine runs here (%s)" % " ".join((r.stderr or r.stdout).split())[:200])
    compose_words()


@contextlib.contextmanager
def one_build():
    """Builds go one after another, so that the second finds in the builder's cache what the first made."""
    with open(os.path.join(tempfile.gettempdir(), "volley-test-build.lock"), "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def base_image(arch=None):
    """Debian 12 under a tag of the tests, made once: from a mirror, else from a registry. `arch` as Debian calls it."""
    here = run(["dpkg", "--print-architecture"]).stdout.strip()
    arch = arch or here
    tag = BASE if arch == here else BASE + "-" + arch
    if docker("image", "inspect", tag, check=False).returncode == 0:
        return tag
    made = run([os.path.join(HERE, "base-image"), tag, arch], seconds=600 if arch == here else 1800, check=False)
    if made.returncode != 0:
        pulled = docker("pull", "-q", "--platform", "linux/" + arch, "debian:bookworm-slim", seconds=600, check=False)
        if pulled.returncode != 0:
            raise AssertionError("no base image: %s %s" % (made.stderr, pulled.stderr))
        docker("tag", "debian:bookworm-slim", tag)
    return tag


def image(name):
    """Builds BUILD_IMAGE, REDIS_IMAGE or PRACTICE_IMAGE where it is not in the builder's cache. Its tag."""
    tags, target, ours = image_tags(), name[:-6].lower(), name in ("REDIS_IMAGE", "PRACTICE_IMAGE")
    if ours:
        image("BUILD_IMAGE")
    docker("build", "-q", "--target", target, "--build-arg", "BASE_IMAGE=" + base_image(), "--build-arg", "BUILD_IMAGE=" + tags["BUILD_IMAGE"], "-t", tags[name],
           HERE if ours else ROOT, seconds=900, env={"DOCKER_BUILDKIT": "0"})
    return tags[name]


def image_tags():
    mark = hashlib.sha256(ROOT.encode()).hexdigest()[:8]
    return {name: "volley-test-%s:%s" % (name.lower().replace("_image", ""), mark) for name in ("BUILD_IMAGE", "VOLLEY_IMAGE", "TOR_IMAGE", "REDIS_IMAGE", "PRACTICE_IMAGE")}


def images():
    """Builds what is not in the builder's cache, but for what compose.yaml builds itself. Names by variable."""
    for name in ("REDIS_IMAGE", "PRACTICE_IMAGE"):
        image(name)
    return dict(image_tags(), BASE_IMAGE=base_image())


class Fleet:
    """The project: started, asked, and taken down."""

    def __init__(self):
        require_engine()
        with one_build():
            self.images = images()
        self.folder = tempfile.mkdtemp(prefix="volley-compose-")
        self.name = "volleytest%d" % os.getpid()
        self.port, self.probe_port = free_port(), free_port()
        for sub, mode in (("volley", 0o755), ("net", 0o777), ("records", 0o777)):
            os.mkdir(self.path(sub))
            os.chmod(self.path(sub), mode)
        self.practice_ports = {}
        self.write_relays()
        self.write_env()
        self.write_overlay()
        with one_build():
            self.compose("build", "setup", "tor", seconds=900)
        atexit.register(self.remove)
        signal.signal(signal.SIGALRM, self.too_late)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is removed
        signal.alarm(LIMIT_S)

    def too_late(self, *_):
        raise AssertionError("the tests of compose.yaml took longer than %d s" % LIMIT_S)

    def path(self, *words):
        return os.path.join(self.folder, *words)

    def url(self, relay):
        return "ws://%s.test:%d" % (relay, PORT)

    def write_relays(self, interval="0s"):
        """volley.yaml. Tests count connections: the one that wants the prober to try relays says so."""
        with open(self.path("volley", "volley.yaml"), "w") as f:
            f.write("publisher:\n  backoff_min: 100ms\n  backoff_max: 2s\n  relays:\n")
            for relay in RELAYS + [DIRECT]:
                f.write("    - {url: \"%s\", name: %s, route: %s}\n" % (self.url(relay), relay, "direct" if relay == DIRECT else "tor"))
            f.write("probe:\n  interval: %s\n" % interval)

    def write_env(self):
        """.env.example with its one line filled in, as a user does; behind it what the tests set."""
        author = run([os.path.join(ROOT, "build", "release", "practice"), "author"]).stdout.strip()
        with open(os.path.join(ROOT, ".env.example")) as f:
            lines = f.read()
        filled = lines.replace("\nVOLLEY_INGEST_ALLOW_PUBKEYS=\n", "\nVOLLEY_INGEST_ALLOW_PUBKEYS=%s\n" % author)
        if filled == lines:
            raise AssertionError(".env.example has no line to fill in")
        ours = dict(self.images, INGEST_PORT=self.port, PROBE_PORT=self.probe_port, CONFIG_DIR=self.path("volley"), TOR_EXTRA_FILE=self.path("net", "network.torrc"),
                    IPV6_SUBNET="fd%s:%s:%s:1::/64" % tuple(os.urandom(n).hex() for n in (1, 2, 2)))
        for name in ours:
            if name not in ("BUILD_IMAGE", "PRACTICE_IMAGE") and "#%s=" % name not in lines and name + "=" not in lines and name not in ("VOLLEY_IMAGE", "TOR_IMAGE"):
                raise AssertionError(".env.example does not name " + name)
        with open(self.path("env"), "w") as f:
            f.write(filled + "".join("%s=%s\n" % row for row in ours.items()))

    def write_overlay(self):
        practice = {"image": self.images["PRACTICE_IMAGE"], "init": True, "stop_grace_period": "1s", "cap_drop": ["ALL"], "read_only": True, "tmpfs": ["/tmp:mode=1777"]}
        services = {"tornet": dict(practice, entrypoint=["/tests/tornet"], networks=["outside"], volumes=["%s:/tests:ro" % HERE, self.path("net") + ":/net"])}
        for relay in RELAYS + [DIRECT]:
            services[relay] = dict(practice, volumes=[self.path("records") + ":/records"], networks={"outside": {"aliases": [relay + ".test"]}},
                                   entrypoint=["practice", "relays", "--anywhere", "--record", "/records", "%s:%s:%d" % (relay, "v6" if relay == DIRECT else "v4", PORT)])
        services[DIRECT].update(networks={"direct": {"aliases": [DIRECT + ".test"]}}, profiles=["direct"])
        with open(self.path("overlay.yaml"), "w") as f:
            json.dump({"services": services}, f)

    # ---- the project ----

    def compose(self, *args, **options):
        words = list(compose_words()) + ["--project-directory", ROOT, "--env-file", self.path("env"), "-p", self.name]
        for file in (os.path.join(ROOT, "compose.yaml"), self.path("overlay.yaml")):
            words += ["-f", file]
        return run(words + list(args), seconds=options.pop("seconds", 180), **options)

    def start_relays(self):
        """The world around volley: it is there before."""
        self.compose("up", "-d", "tornet", *RELAYS)
        wait_for(lambda: "the Tor network\n" + self.logs("tornet"), lambda: os.path.exists(self.path("net", "network.torrc")), 90)

    def scale(self, publishers, *services):
        """docker compose up -d --scale publisher=N."""
        self.compose("up", "-d", "--scale", "publisher=%d" % publishers, *services)

    def containers(self, service, all=False):
        """Ids of a service's containers, oldest first."""
        ids = docker("ps", "-q", "--no-trunc", *(["-a"] if all else []), "--filter", "label=com.docker.compose.project=" + self.name, "--filter", "label=com.docker.compose.service=" + service).stdout.split()
        return ids[::-1]

    def inspect(self, container, path):
        return json.loads(docker("inspect", "--format", "{{json %s}}" % path, container).stdout)

    def address(self, service, network, family="IPAddress"):
        return self.inspect(self.containers(service)[0], ".NetworkSettings.Networks")["%s_%s" % (self.name, network)][family]

    def listening(self, service):
        """TCP ports that something listens on there, loopback aside."""
        found = set()
        for table, loopback in (("tcp", "7F"), ("tcp6", "0" * 24 + "01000000")):
            with open("/proc/%d/net/%s" % (self.inspect(self.containers(service)[0], ".State.Pid"), table)) as f:
                for row in f.readlines()[1:]:
                    address, port = row.split()[1].split(":")
                    here = address.endswith(loopback) if table == "tcp" else address == loopback
                    if row.split()[3] == "0A" and not here:
                        found.add(int(port, 16))
        return sorted(found)

    def kill(self, container):
        """As a crash does; `docker kill` would not be followed by a restart."""
        os.kill(self.inspect(container, ".State.Pid"), signal.SIGKILL)

    def logs(self, *services):
        return self.compose("logs", "--no-color", "--tail", "40", *services, check=False).stdout[-12000:]

    def remove(self):
        signal.alarm(0)
        for container in self.containers("publisher", all=True):
            if self.inspect(container, ".State.Paused"):
                docker("unpause", container, check=False)
        self.compose("--profile", "direct", "down", "-v", "-t", "1", "--remove-orphans", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- volley's commands, by exec ----

    def volley(self, *args, check=True, stdin=""):
        return self.compose("exec", "-T", "ingest", "volley", *args, check=check, stdin=stdin)

    def depth(self):
        """(lanes by relay's name, total)."""
        r = self.volley("depth", "--json", check=False)
        if r.returncode != 0:
            return {}, {}
        rows = [json.loads(line) for line in r.stdout.splitlines()]
        return {row["name"]: row for row in rows if "relay" in row}, rows[-1]

    def spread(self):
        """How many of the relays behind Tor each publisher has, by its container's id: the largest first. None while one has nobody."""
        lanes, _ = self.depth()
        owners = [lanes[r]["publisher"] for r in RELAYS if r in lanes]
        if len(owners) < len(RELAYS) or None in owners:
            return None
        return collections.Counter(o.split(":")[0] for o in owners)

    def wait_spread(self, *numbers):
        return wait_for(lambda: "relays spread %s, not %s\n%s" % (numbers, self.spread(), self.logs("publisher", "redis")),
                        lambda: sorted((self.spread() or {}).values(), reverse=True) == list(numbers), 90, 0.3)

    def wait_drained(self, relays=RELAYS, seconds=120):
        def drained():
            lanes, _ = self.depth()
            return lanes and all(lanes[r]["depth"] == 0 for r in relays)

        wait_for(lambda: "the queue to drain\n%s\n%s" % (self.volley("depth", check=False).stdout, self.logs("publisher", "tor", "redis")), drained, seconds, 0.3)

    # ---- the page ----

    def page(self, path, check=True, form=None, headers=None):
        """(status, text) of a path on the published port; with a form: of its POST. Without check (0, why) when there is no answer."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:%d%s" % (self.probe_port, path), data, headers or {}), timeout=30) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError as e:
            if check:
                raise
            return 0, str(e)

    def metrics(self, path="/metrics"):
        """Values by name and labels, as they are written."""
        rows = [line.rsplit(" ", 1) for line in self.page(path, check=False)[1].splitlines() if line.startswith("volley_")]
        return {row[0]: float(row[1]) for row in rows}

    def peers(self, container, port):
        """(address, port) of whoever this container has a socket with (closed ones linger for a minute), but for loopback and those
        that came to its `port`."""
        pid, found = self.inspect(container, ".State.Pid"), set()
        for table in ("tcp", "tcp6", "udp", "udp6"):
            if not os.path.exists("/proc/%d/net/%s" % (pid, table)):
                continue
            with open("/proc/%d/net/%s" % (pid, table)) as f:
                for row in f.readlines()[1:]:
                    (_, here), (address, there) = (end.split(":") for end in row.split()[1:3])
                    address = socket.inet_ntoa(bytes.fromhex(address)[::-1]) if len(address) == 8 else address
                    if int(there, 16) != 0 and not address.startswith("127.") and int(here, 16) != port:
                        found.add((address, int(there, 16)))
        return found

    # ---- clients and relays ----

    def post(self, count, mark, *args, background=False, seconds=60):
        """Posts to the published port; its ids are posted(mark)."""
        cmd = [os.path.join(ROOT, "build", "release", "practice"), "post", "ws://127.0.0.1:%d" % self.port, "--count", str(count), "--mark", mark, "--seconds", str(seconds),
               "--out", self.path(mark + ".ids")] + [str(a) for a in args]
        if background:
            return Process(cmd, self.path(mark + ".log"))
        return json.loads(run(cmd, seconds=seconds + 60, check=False).stdout.strip().splitlines()[-1])

    def posted(self, mark):
        with open(self.path(mark + ".ids")) as f:
            return [line.split("\t", 1)[0] for line in f]

    def practice(self, relay, line):
        """A line to a relay's control port, and the answer."""
        if relay not in self.practice_ports:
            said = docker("logs", self.containers(relay)[0]).stdout
            self.practice_ports[relay] = said.split("control ")[1].split()[0]
        script = 'exec 3<>/dev/tcp/127.0.0.1/%s; echo "$1" >&3; read -r answer <&3; echo "$answer"' % self.practice_ports[relay]
        return docker("exec", self.containers(relay)[0], "bash", "-c", script, "bash", line).stdout.strip()

    def counts(self, relay):
        return json.loads(self.practice(relay, "counts " + relay))

    def arrived(self, relay):
        """Ids of the events it took."""
        self.counts(relay)  # flushes
        with open(self.path("records", relay + ".tsv")) as f:
            rows = [line.rstrip("\n").split("\t", 4) for line in f]
        return [json.loads(r[4])["id"] for r in rows if len(r) == 5 and r[3] == "1"]


FLEET = []


def fleet():
    """The project of this process, made for the first test that asks; Unavailable where there is no engine."""
    if not FLEET:
        try:
            FLEET.append(Fleet())
        except (Unavailable, AssertionError) as e:
            FLEET.append(e)
    if isinstance(FLEET[0], Exception):
        raise FLEET[0]  # for each test: trying again would take as long again
    return FLEET[0]
