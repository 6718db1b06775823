"""The StartOS package: each script's output is what StartOS 0.3.5 expects, and the service it configures works."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import start9_pack
import yaml_subset
from start9_pack import START9, filled_in, manifest, mismatches, problems
from harness import ROOT, Client, Process, Scenario, clean_env, free_port, main, sign, wait_for


class Start9(Scenario):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.folder, "data")
        os.mkdir(self.data)
        self.port = free_port()
        bin = os.path.join(self.folder, "bin")
        os.mkdir(bin)
        os.symlink(os.path.join(ROOT, "build", "asan", "volley"), os.path.join(bin, "volley"))
        self.env = clean_env({"START9_DATA": self.data, "START9_PORT": str(self.port), "PATH": bin + ":" + os.environ["PATH"]})

    def script(self, name, text=""):
        return subprocess.run([os.path.join(START9, name)], input=text, capture_output=True, text=True, timeout=120, env=self.env)

    def right(self, kind, value):
        self.assertEqual(problems(kind, value), [])
        return value

    def output(self, kind, name, text="", read=json.loads):
        r = self.script(name, text)
        self.assertEqual(r.returncode, 0, (name, r.stdout, r.stderr))
        return self.right(kind, read(r.stdout))

    def configuration(self, relays):
        spec = self.output("config", "get-config.sh")["spec"]
        config = filled_in(spec, relays, json.loads(sign((7, 1700000000, 1, [], "x"))[0])["pubkey"])
        self.assertEqual(mismatches(spec, config), [])
        return config

    def test_manifest(self):
        m = self.right("manifest", manifest())
        with open(os.path.join(ROOT, "VERSION")) as f:
            self.assertEqual(m["version"], f.read().strip())
        self.assertEqual(start9_pack.manifest_problems(m), [])
        self.assertEqual(start9_pack.asset_problems(m, lambda name: os.path.join(ROOT if name == "LICENSE" else START9, name)), [])
        with open(os.path.join(START9, m["assets"]["icon"]), "rb") as f:
            self.assertEqual(f.read(8), b"\x89PNG\r\n\x1a\n")
        ours = [p["entrypoint"] for _, p, _ in start9_pack.procedures(m) if not p.get("system")]
        self.assertEqual(len(ours), 6)
        for entrypoint in ours:
            path = os.path.join(START9, os.path.basename(entrypoint))
            self.assertTrue(os.access(path, os.X_OK), path)
        spec = self.output("config", "get-config.sh")["spec"]
        self.assertLessEqual({s["interface"] for s in spec.values() if s["type"] == "pointer"}, set(m["interfaces"]))

    def test_the_checks_find_what_is_wrong(self):
        """The rules above, each broken once."""
        def broken(path, value):
            m = manifest()
            at = m
            for key in path[:-1]:
                at = at[key]
            if value is None:
                del at[path[-1]]
            else:
                at[path[-1]] = value
            return m

        for path, value in ((["license"], None), (["main", "entrypoint"], None), (["main", "entrypiont"], "x"), (["min-os-version"], "0.3.5"), (["version"], "1"), (["description", "short"], "x" * 161),
                            (["main", "sigterm-timeout"], 60), (["interfaces", "relay", "tor-config", "port-mapping", 80], 7787), (["properties", "type"], "script"), (["health-checks", "delivery", "name"], None)):
            self.assertEqual(len(problems("manifest", broken(path, value))), 1, path)
        for path, value in ((["main", "mounts", "other"], "/x"), (["main", "image"], "another"), (["backup", "create", "image"], "main"), (["config", "get", "io-format"], None),
                            (["actions", "test-relays", "implementation", "io-format"], None), (["interfaces", "relay", "protocols"], ["http"]), (["interfaces", "dashboard", "protocols"], ["tcp", "https"])):
            self.assertEqual(len(start9_pack.manifest_problems(broken(path, value))), 1, path)
        for kind, value in (("action", {"version": 0, "message": "", "value": None, "copyable": True, "qr": False}), ("set", {"depends-on": {}, "signal": "SIGTERM"}), ("set", {"depends-on": {"x": "y"}}),
                            ("properties", {"version": 2, "data": {"a": {"type": "string", "value": "b", "description": None}}}), ("properties", {"version": "2", "data": {}}),
                            ("properties", {"version": 2, "data": {"a": {"type": "object", "value": {"b": {"type": "string", "value": 1}}}}})):
            self.assertEqual(len(problems(kind, value)), 1, value)
        first = self.output("config", "get-config.sh")
        for name, change in (("password", {"pattern-description": None}), ("password", {"default": {"charset": "a-z"}}), ("retention", {"nullable": None}), ("retention", {"range": "1-365"}), ("route", {"default": None}),
                             ("relays", {"spec": {"pattern": "x"}}), ("relays", {"nullable": True}), ("tor-address", {"target": "address"})):
            field = {k: v for k, v in {**first["spec"][name], **change}.items() if v is not None}
            self.assertEqual(len(problems("config", {"config": None, "spec": {name: field}})), 1, (name, change))
        config = self.configuration(["wss://relay.example"])
        for name, value in (("pubkeys", []), ("pubkeys", config["pubkeys"] * 2), ("relays", ["http://relay.example"]), ("route", "other"), ("retention", 0), ("retention", 1.5), ("retention", "7"), ("verbose", None), ("password", "short")):
            self.assertEqual(mismatches(first["spec"], {**config, name: value}), [name])

    def test_a_fresh_installation_asks_for_the_public_keys_only(self):
        """What StartOS makes of the form before anybody typed: all but the list that must not be empty is filled in."""
        spec = self.output("config", "get-config.sh")["spec"]
        config = {k: s.get("default") for k, s in spec.items()}
        config["password"] = "a" * config["password"]["len"]
        self.assertEqual(mismatches(spec, config), ["pubkeys"])

    def test_configuration(self):
        first = self.output("config", "get-config.sh")
        self.assertIsNone(first["config"])
        self.assertEqual(self.script("entrypoint.sh").returncode, 1)  # says that it is not configured
        config = self.configuration(["wss://relay.example", "nos.example"])
        self.output("set", "set-config.sh", json.dumps(config))
        self.assertEqual(self.output("config", "get-config.sh")["config"], config)
        for name in ("token", "volley.yaml", "start9/config.json"):
            self.assertEqual(os.stat(os.path.join(self.data, name)).st_mode & 0o777, 0o600, name)
        r = subprocess.run(["volley", "check", "--print", "-c", os.path.join(self.data, "volley.yaml")], capture_output=True, text=True, env=self.env)
        self.assertEqual(r.returncode, 0, r.stderr)
        for line in ("probe.hosts = boardaddress.onion", "publisher.route = direct", "queue.retention = 7d", "queue.max_bytes = 8GiB"):
            self.assertIn(line, r.stdout)
        before = self.made()
        for wrong in ("{", json.dumps({**config, "relays": ["http://relay.example"]}), json.dumps({**config, "pubkeys": ["npub1nonsense"]})):
            r = self.script("set-config.sh", wrong)
            self.assertNotEqual(r.returncode, 0)
            self.assertNotEqual(r.stderr.strip(), "")
            self.assertNotIn("x" * 24, r.stderr)
        self.assertEqual(self.made(), before)
        self.assertEqual(sorted(os.listdir(os.path.join(self.data, "start9"))), ["config.json"])

    def made(self):
        texts = []
        for name in ("token", "volley.yaml"):
            with open(os.path.join(self.data, name)) as f:
                texts.append(f.read())
        return texts

    def test_service(self):
        practice = self.practice("one:dual")
        self.assertEqual(self.script("health.sh").returncode, 60)
        self.assertIn("does not answer", self.script("properties.sh").stderr)
        self.output("set", "set-config.sh", json.dumps(self.configuration([practice.urls["one"]])))
        sets = ["--set", "ingest.listen=127.0.0.1:0", "--set", "probe.listen=127.0.0.1:%d" % self.port, "--set", "publisher.backoff_max=2s"]
        up = Process([os.path.join(START9, "entrypoint.sh")] + sets, os.path.join(self.folder, "up.log"), env=self.env)
        self.started.append(up)
        wait_for(lambda: "health: %s %s" % (self.script("health.sh"), up.log()), lambda: self.script("health.sh").returncode == 0, 60, 0.3)
        found = self.output("properties", "properties.sh", read=yaml_subset.read)["data"]
        self.assertEqual(found["Relay (Tor)"]["value"], "ws://relayaddress.onion")
        self.assertEqual(found["Dashboard password"], {"type": "string", "value": "x" * 24, "description": "Any user name goes with it", "copyable": True, "qr": False, "masked": True})
        for name in ("Health", "Relays", "Waiting", "Failed", "IPv6", "IPv4"):
            self.assertIn(name, found)
        told = self.output("action", "test-relays.sh")
        self.assertIn(practice.urls["one"].split("//")[1], told["message"])
        practice.set("one", "down")
        practice.cut("one")
        client = Client(int(re.search(r"ingest ready.* port=(\d+)", up.log()).group(1)))
        self.assertEqual(client.post(sign((7, 1700000000, 1, [], "x"))[0]), (True, ""))
        client.close()
        wait_for("the health check to fail", lambda: self.script("health.sh").returncode == 1, 90, 0.5)
        for ran_ms, status in (("119999", 61), ("120000", 1), ("", 1), ("soon", 1)):
            r = self.script("health.sh", ran_ms)
            self.assertEqual(r.returncode, status, ran_ms)
            self.assertIn("no relay can be reached", r.stderr)
        self.assertEqual(up.stop(), 0, up.log())
        self.assertNotIn("Sanitizer", up.log())


if __name__ == "__main__":
    main()
