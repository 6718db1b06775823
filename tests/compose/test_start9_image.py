"""The image of the StartOS package, built as packaging/start9/Makefile says, and run as StartOS runs it: what is started, and how, is
read from the manifest. VOLLEY_TEST_ARCH=aarch64 does it for that machine (tests/arm64 sees to the emulation)."""
import base64
import json
import os
import shutil
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from fleet import base_image, docker, image, one_build, require_engine, run
from harness import figure, main, wait_for
import start9_pack
import yaml_subset

LONG = True  # minutes where no layer is there yet
ARCH = os.environ.pop("VOLLEY_TEST_ARCH", "x86_64")
PATIENCE = 1 if ARCH == "x86_64" else 10  # emulation is slow
NAME = "volleystart9-%d" % os.getpid()
RELAY = "ws://127.0.0.1:4001"


class Start9Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        require_engine()
        cls.folder = tempfile.mkdtemp(prefix="volley-start9-")
        cls.m = start9_pack.manifest()
        cls.tar = os.path.join(cls.folder, ARCH + ".tar")
        began = time.monotonic()
        with one_build():
            base = "BASE_IMAGE_%s=%s" % (ARCH, base_image(start9_pack.ARCHITECTURES[ARCH]))
            run(["make", "-C", start9_pack.START9, "IMAGES=" + cls.folder, base, cls.tar], seconds=900 * PATIENCE, env={"DOCKER_BUILDKIT": "0"})
            # The name is the same for both machines: what runs here is kept under one of its own.
            cls.image = "volley-test-start9:" + ARCH
            docker("tag", start9_pack.image_tag(cls.m), cls.image)
        figure("the StartOS image for %s: built in %.0f s" % (ARCH, time.monotonic() - began))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def setUp(self):
        # StartOS' volume: root's, and empty.
        self.volumes = {"main": tempfile.mkdtemp(dir=self.folder)}
        self.addCleanup(self.remove)

    def remove(self):
        ours = docker("ps", "-aq", "--filter", "label=" + NAME).stdout.split()
        if ours:
            docker("rm", "-f", *ours)

    def words(self, p):
        return [self.image if w == start9_pack.image_tag(self.m) else w for w in start9_pack.run_words(self.m, p, self.volumes)]

    def once(self, p, text="", check=True):
        """A procedure that StartOS runs in a container of its own, with what it hands over as standard input."""
        return docker("run", "--rm", "--label", NAME, *self.words(p), stdin=text, seconds=60 * PATIENCE, check=check)

    def inside(self, p, text="", check=True):
        """One that it injects into the running service."""
        return docker("exec", *start9_pack.exec_words(p, NAME), stdin=text, seconds=60 * PATIENCE, check=check)

    def health(self):
        r = self.inside(self.m["health-checks"]["delivery"], "12345", check=False)
        return r.returncode, r.stdout + r.stderr

    def logs(self):
        r = docker("logs", "--tail", "60", NAME, check=False)
        return r.stdout + r.stderr

    def output(self, kind, ran, read=json.loads):
        value = read(ran.stdout)
        self.assertEqual(start9_pack.problems(kind, value), [])
        return value

    def test_the_file_that_is_packed(self):
        self.assertEqual(start9_pack.image_problems(self.m, self.tar, ARCH), [])
        self.assertEqual(len(start9_pack.image_problems(dict(self.m, version="9.9.9"), self.tar, "aarch64" if ARCH == "x86_64" else "x86_64")), 2)
        machine = docker("run", "--rm", "--label", NAME, "--entrypoint", "uname", self.image, "-m").stdout.strip()
        self.assertEqual(machine, ARCH)

    def test_configured_started_asked_stopped_and_restored(self):
        get, put = self.m["config"]["get"], self.m["config"]["set"]
        first = self.output("config", self.once(get))
        self.assertIsNone(first["config"])
        refused = self.once(self.m["main"], check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("not configured yet", refused.stderr)
        wrong = self.once(put, "{}", check=False)
        self.assertEqual(wrong.returncode, 1)
        config = start9_pack.filled_in(first["spec"], [RELAY], self.author())
        config["max-gib"] = 1  # qemu reserves memory for what is mapped
        self.assertEqual(start9_pack.mismatches(first["spec"], config), [])
        self.output("set", self.once(put, json.dumps(config)))
        self.assertEqual(self.output("config", self.once(get))["config"], config)

        self.start()
        self.assertEqual(json.loads(self.beside("post", "ws://127.0.0.1:7787", "--count", "3").splitlines()[-1])["accepted"], 3)

        def waiting():
            return self.output("properties", self.inside(self.m["properties"]), read=yaml_subset.read)["data"]["Waiting"]["value"]

        wait_for(lambda: "three events to be delivered: %s\n%s" % (waiting(), self.logs()), lambda: waiting() == "0", 60 * PATIENCE, 0.5)
        self.assertEqual(self.delivered(), 3)
        properties = self.output("properties", self.inside(self.m["properties"]), read=yaml_subset.read)["data"]
        self.assertEqual(properties["Relay (Tor)"]["value"], "ws://" + config["tor-address"])
        self.assertEqual(properties["Dashboard password"]["value"], config["password"])
        told = self.output("action", self.inside(self.m["actions"]["test-relays"]["implementation"]))
        self.assertIn("127.0.0.1:4001", told["message"])
        self.interfaces_answer(config)
        self.stop()

        # What a backup of the stopped service brings back elsewhere.
        restored = os.path.join(self.folder, "restored")
        shutil.copytree(self.volumes["main"], restored, symlinks=True)
        self.volumes = {"main": restored}
        self.start()
        self.assertEqual(self.delivered(), 3)
        self.assertEqual(self.output("config", self.once(get))["config"], config)
        self.stop()

    def start(self):
        docker("run", "-d", "--label", NAME, "--name", NAME, *self.words(self.m["main"]))
        self.sidecar("relays", "one:v4:4001")
        wait_for(lambda: "health: %s\n%s" % (self.health(), self.logs()), lambda: self.health()[0] == 0, 60 * PATIENCE, 0.5)

    def stop(self):
        """As StartOS does, with the manifest's patience."""
        patience = self.m["main"]["sigterm-timeout"]
        self.assertEqual(patience[-1], "s")
        docker("stop", "-t", patience[:-1], NAME, seconds=int(patience[:-1]) + 30)
        self.assertEqual(docker("inspect", "--format", "{{.State.ExitCode}}", NAME).stdout.strip(), "0", self.logs())
        docker("rm", NAME)

    def delivered(self):
        """To the one relay, as the queue counts."""
        lane = json.loads(docker("exec", NAME, "volley", "depth", "-c", "/data/volley.yaml", "--json", seconds=60 * PATIENCE).stdout.splitlines()[0])
        self.assertEqual(lane["relay"], RELAY)
        return lane["delivered"]

    def author(self):
        return docker("run", "--rm", "--label", NAME, "--entrypoint", "practice", self.practice_image(), "author").stdout.strip()

    @staticmethod
    def practice_image():
        with one_build():
            return image("PRACTICE_IMAGE")

    def sidecar(self, *args):
        """Practice relays where the service finds them on its own loopback."""
        docker("run", "-d", "--label", NAME, "--network", "container:" + NAME, "--entrypoint", "practice", self.practice_image(), *args)

    def beside(self, *args):
        return docker("run", "--rm", "--label", NAME, "--network", "container:" + NAME, "--entrypoint", "practice", self.practice_image(), *args, seconds=120).stdout

    def interfaces_answer(self, config):
        """The ports that the manifest maps, each as StartOS' proxies reach it."""
        address = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", NAME).stdout.strip()

        def get(interface, host, password=None, path="/", form=None, origin=None):
            i = self.m["interfaces"][interface]
            port = i["lan-config"][443]["internal"]
            self.assertEqual(i["tor-config"]["port-mapping"][80], str(port))
            headers = {"Host": host}
            if password:
                headers["Authorization"] = "Basic " + base64.b64encode(("me:" + password).encode()).decode()
            if origin:
                headers["Origin"] = origin
            data = urllib.parse.urlencode(form).encode() if form else None
            try:
                with urllib.request.urlopen(urllib.request.Request("http://%s:%d%s" % (address, port, path), data, headers), timeout=30) as r:
                    return r.status, r.read().decode()
            except urllib.error.HTTPError as e:
                return e.code, e.read().decode()

        for host in (config["dashboard-tor-address"], config["dashboard-lan-address"]):
            status, page = get("dashboard", host, config["password"])
            self.assertEqual(status, 200, page)
            self.assertIn("127.0.0.1:4001", page)
            self.assertEqual(get("dashboard", host)[0], 401)
        self.assertEqual(get("dashboard", "elsewhere.example", config["password"])[0], 403)
        self.assertLess(get("relay", config["tor-address"])[0], 500)
        # The page's own forms, by https from the LAN: TLS ends at StartOS' proxy.
        host, password = config["dashboard-lan-address"], config["password"]
        for act, origin, status in (("hold", "https://elsewhere.example", 403), ("hold", "https://" + host, 200), ("release", "https://" + host, 200)):
            got, text = get("dashboard", host, password, "/act", {"act": act, "relay": RELAY, "token": password}, origin)
            self.assertEqual(got, status, text)


if __name__ == "__main__":
    main()
