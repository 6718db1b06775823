"""The StartOS package: each script's output is what StartOS 0.3.5 expects, and the service it configures works."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import yaml_subset
from harness import ROOT, Client, Process, Scenario, clean_env, free_port, main, sign, wait_for

START9 = os.path.join(ROOT, "packaging", "start9")
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "number": (int, float)}


def is_type(value, name):
    return isinstance(value, TYPES[name]) and not (name == "number" and isinstance(value, bool))


def problems(value, schema, at="$"):
    """What is wrong by a schema: JSON Schema's type, enum, required, properties, additionalProperties; `values` holds for all
    values of a map, `cases` by its `type`."""
    out = []
    if "enum" in schema and value not in schema["enum"]:
        out.append("%s: %r is none of %r" % (at, value, schema["enum"]))
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(is_type(value, n) for n in names):
            return out + ["%s: %r is no %s" % (at, value, names)]
    if not isinstance(value, dict):
        return out
    out += ["%s: no %s" % (at, k) for k in schema.get("required", []) if k not in value]
    known = schema.get("properties", {})
    for k, v in value.items():
        if k in known:
            out += problems(v, known[k], at + "." + k)
        elif schema.get("additionalProperties") is False:
            out.append("%s: %s is unknown" % (at, k))
        if "values" in schema:
            out += problems(v, schema["values"], at + "." + k)
    if "cases" in schema:
        out += problems(value, schema["cases"].get(value.get("type"), {}), at)
    return out


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

    def right(self, schema, value):
        with open(os.path.join(START9, "schemas", schema + ".json")) as f:
            self.assertEqual(problems(value, json.load(f)), [])
        return value

    def output(self, schema, name, text="", read=json.loads):
        r = self.script(name, text)
        self.assertEqual(r.returncode, 0, (name, r.stdout, r.stderr))
        return self.right(schema, read(r.stdout))

    def configuration(self, relays):
        """What StartOS would hand over: the defaults, addresses for the pointers, and what the owner typed."""
        spec = self.output("config", "get-config.sh")["spec"]
        config = {k: s["default"] for k, s in spec.items() if "default" in s and s["type"] != "string"}
        config.update({k: k.split("-")[0] + k[-3] + ".local" for k, s in spec.items() if s["type"] == "pointer"})
        config.update({"tor-address": "relayaddress.onion", "dashboard-tor-address": "boardaddress.onion", "password": "x" * 24, "relays": relays, "route": "direct"})
        config["pubkeys"] = [json.loads(sign((7, 1700000000, 1, [], "x"))[0])["pubkey"]]
        for k, value in config.items():
            pattern = spec[k].get("pattern") or spec[k].get("spec", {}).get("pattern")
            for text in value if isinstance(value, list) else [value]:
                self.assertTrue(pattern is None or re.search(pattern, text), (k, text))
        return config

    def test_manifest(self):
        with open(os.path.join(START9, "manifest.yaml")) as f:
            m = self.right("manifest", yaml_subset.read(f.read()))
        with open(os.path.join(ROOT, "VERSION")) as f:
            self.assertEqual(m["version"], f.read().strip())
        points = [m["main"], *m["health-checks"].values(), m["config"]["get"], m["config"]["set"], m["properties"], *(a["implementation"] for a in m["actions"].values())]
        self.assertEqual(len(points), 6)
        for p in points:
            path = os.path.join(START9, os.path.basename(p["entrypoint"]))
            self.assertTrue(os.access(path, os.X_OK), path)
        for name in ("icon", "instructions"):
            self.assertTrue(os.path.exists(os.path.join(START9, m["assets"][name])))
        spec = self.output("config", "get-config.sh")["spec"]
        self.assertLessEqual({s["interface"] for s in spec.values() if s["type"] == "pointer"}, set(m["interfaces"]))

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
        self.assertIn("no relay can be reached", self.script("health.sh").stderr)
        self.assertEqual(up.stop(), 0, up.log())
        self.assertNotIn("Sanitizer", up.log())


if __name__ == "__main__":
    main()
