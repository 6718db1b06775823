"""JSON of every command, against examples that are kept in expected/: keys are only ever added.

What differs from run to run is made the same: times, ids, ports, measured figures. After a change that is meant, KEEP=1 writes the
examples anew; look at the difference before you keep it.
"""
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, clean_env, main, sign, wait_for

EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected")
KEEP = os.environ.get("KEEP") == "1"

TIMES = {"accepted", "first", "last", "time", "since", "until", "made", "ended", "oldest", "retry_at", "retired_at", "verdict_since", "now", "last_error_at", "heartbeat_accepted", "heartbeat_delivered"}
MEASURED = {"connect_ms", "tls_ms", "websocket_ms", "read_ms", "drain_seconds", "bytes", "successes", "failures"}
NAMES = {"publisher", "by"}


def same(value, key="", unstable=()):
    """The value with what differs from run to run replaced; its type and null stay visible."""
    if isinstance(value, dict):
        return {k: same(v, k, unstable) for k, v in value.items()}
    if isinstance(value, list):
        return [same(v, key, unstable) for v in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if key in NAMES or key in unstable:
            return key.upper()
        value = re.sub(r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:PORT", value)
        return re.sub(r"\b[0-9a-f]{64}\b", "HEX", value)
    return "TIME" if key in TIMES - set(unstable) else "NUMBER" if key in MEASURED | set(unstable) else value


class Json(Scenario):
    def lines(self, v, *args, stdin="", status=0):
        r = subprocess.run([v.program, args[0], "-c", v.config] + list(args[1:]) + ["--json"], input=stdin, capture_output=True, text=True, timeout=60, env=clean_env())
        self.assertEqual((r.returncode, r.stderr), (status, ""), args)
        return [json.loads(line) for line in r.stdout.splitlines()]

    def kept(self, name, rows, unstable=()):
        """Compares with expected/NAME.json, or writes it."""
        path = os.path.join(EXPECTED, name + ".json")
        text = "".join(json.dumps(same(row, "", unstable), ensure_ascii=False) + "\n" for row in rows)
        self.seen.add(name)
        if KEEP:
            with open(path, "w") as f:
                f.write(text)
        with open(path) as f:
            expected = f.read()
        self.assertEqual(text, expected, "%s: not what is kept in %s" % (name, path))

    def test_json_of_every_command_is_as_it_was(self):
        self.seen = set()
        relays = self.practice("no:v4:0:refuse=blocked: no spam | pow: 20 bits", "yes:v4")
        v = self.volley([
            {"url": relays.urls["no"], "name": "no"},
            {"url": relays.urls["yes"], "rate": "600/m", "window": 32, "except_kinds": "7 16", "backfill": "yes"},
            {"url": "ws://127.0.0.1:9/", "name": "down", "family": "ipv4"},
            {"url": "ws://127.0.0.1:9/held", "name": "held", "kinds": "1", "hold": "yes", "private": "no"},
        ])
        v.start_all()
        now = int(time.time())
        events = sign(*[(7, now - i, 1 if i < 5 else 30023, [["d", "x"]] if i == 5 else [], "event %d" % i) for i in range(6)])
        self.kept("send", self.lines(v, "send", "-", stdin="\n".join(events)), unstable=["accepted"])
        v.wait_drained(20, list(relays.urls.values()))
        wait_for("the dead relay to fail", lambda: v.depth()[0]["ws://127.0.0.1:9"]["last_error"], 20)

        self.kept("failed", self.lines(v, "failed", "--relay", "no", "--limit", "2"))
        self.kept("failed-count", self.lines(v, "failed", "--count"))
        self.kept("replay-dry-run", self.lines(v, "replay", "--class", "pow", "--dry-run"))
        moving = ["state", "waiting", "asked", "delivered", "failed", "dropped", "ended"]
        relays.set("no", "ok")
        made, done = self.lines(v, "replay", "--class", "pow", "--rate", "5/s", "--wait")
        self.assertIn(made["state"], ("running", "done"))
        self.kept("replay", [dict(made, ended=0)], unstable=moving)
        self.kept("replay-wait", [done])
        self.assertEqual(self.lines(v, "hold", "held")[0]["was_held"], True)
        self.kept("hold", self.lines(v, "hold", "no"))
        wait_for("the hold to be heard", lambda: v.depth()[0][relays.urls["no"]]["state"] == "held", 10)
        self.lines(v, "replay", "--class", "blocked", "--rate", "1/m")
        lane = lambda: v.depth()[0][relays.urls["no"]]
        wait_for("the first to be taken up", lambda: lane()["depth"] == 1 and lane()["asked"] == 0, 10)
        self.kept("failed-in-a-job", self.lines(v, "failed", "--limit", "1"))
        self.kept("purge-busy", self.lines(v, "purge", "--class", "blocked", "--yes"))
        cancelled = self.lines(v, "replay", "--cancel", "2")
        self.kept("replay-cancel", cancelled, unstable=moving[1:-1])
        self.kept("replay-jobs", self.lines(v, "replay", "--jobs")[:1])
        self.kept("purge-count", self.lines(v, "purge", "--class", "blocked"))
        self.kept("release", self.lines(v, "release", "no"))
        wait_for("what the cancelled job had in flight", lambda: lane()["depth"] == 0, 10)
        failed = self.lines(v, "failed", "--class", "blocked")
        self.kept("purge", self.lines(v, "purge", "--id", failed[0]["id"], "--yes"))
        self.kept("receipt-purged", self.lines(v, "receipt", failed[0]["id"]))
        self.kept("receipt-history", self.lines(v, "receipt", json.loads(events[0])["id"]))
        held = self.lines(v, "release", "held", "--from", "now")
        self.kept("release-from-now", held)
        self.kept("failed-expired", self.lines(v, "failed", "--class", "expired", "--limit", "1"))

        v.relays = v.relays[:1] + [dict(v.relays[1], rate="5/s")] + v.relays[3:]
        v.write_config()
        self.kept("relays-apply", self.lines(v, "relays", "apply"))
        wait_for("the publisher to take it up", lambda: self.lines(v, "relays")[1]["waiting"] is None, 10)
        self.kept("relays", self.lines(v, "relays", "--all"))
        v.start("probe")
        wait_for("a heartbeat", lambda: v.depth()[1]["heartbeat_delivered"], 20)
        self.kept("depth", self.lines(v, "depth"), unstable=["rate", "position", "state", "last_error", "attempts", "in_flight", "events"])
        tested = self.lines(v, "test", relays.urls["yes"], "no")
        for try_ in (t for row in tested for t in row["families"]):
            self.assertIn("dns_ms", try_)
            try_["dns_ms"] = 0  # of a literal address: hardly to be measured
        self.kept("test", tested, unstable=["nip11_error"])
        self.every_command(v)
        v.stop()

    def every_command(self, v):
        """No command with --json is without an example, and no example without its command."""
        text = subprocess.run([v.program, "--help"], capture_output=True, text=True).stdout
        commands = {c for c in re.findall(r"^  ([a-z]+) +\S", text, re.M) if "--json" in subprocess.run([v.program, c, "--help"], capture_output=True, text=True).stdout}
        self.assertGreater(len(commands), 7)
        self.assertEqual(commands, {name.split("-")[0] for name in self.seen})
        self.assertEqual({n[:-5] for n in os.listdir(EXPECTED)}, self.seen)


if __name__ == "__main__":
    main()
