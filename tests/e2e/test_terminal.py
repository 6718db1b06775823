"""Every operators' command in a terminal of 80 columns (tmux), in a terminal without colours, and in a pipe."""
import os
import re
import shutil
import shlex
import subprocess
import sys
import time
import unicodedata
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, clean_env, main, sign, wait_for

LONG = "a-relay-whose-name-is-much-longer-than-any-table-has-room-for"
WIDE = "h\u00e8ld-\u65e5\u672c\u8a9e-\u65e5\u672c\u8a9e"
SERVICES = {"up", "queue", "ingest", "publisher", "probe"}
# Their lines carry paths and the system's own words: a terminal may wrap them.
PROSE = {"check", "keys"}


def columns(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in line)


class Tmux:
    """A terminal of 80 columns, high enough that nothing scrolls away, on a server of its own."""

    ROWS = 300

    def __init__(self, folder):
        self.socket = os.path.join(folder, "tmux")
        self.status = os.path.join(folder, "tmux.status")
        self.number = 0
        self.tmux("new-session", "-d", "-s", "stay", "exec sleep 600")  # the server ends with its last session

    def tmux(self, *args, check=True):
        r = subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null"] + list(args), capture_output=True, text=True, timeout=30, env=clean_env({"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}))
        if check and r.returncode != 0:
            raise AssertionError("tmux %s: %s" % (args, r.stderr))
        return r.stdout

    def show(self, command, env=None):
        """What stands on the screen after the command: (exit status, lines, the same with escapes)."""
        self.number += 1
        name = "s%d" % self.number
        mark = "%s.%d" % (self.status, self.number)
        words = " ".join("%s=%s" % (k, shlex.quote(v)) for k, v in (env or {}).items())
        script = "%s %s; echo $? >%s; exec sleep 600" % ("env -u NO_COLOR " + words, " ".join(map(shlex.quote, command)), shlex.quote(mark))
        self.tmux("new-session", "-d", "-s", name, "-x", "80", "-y", str(self.ROWS), script)
        wait_for(lambda: "the command to end: %s\n%s" % (command, self.tmux("capture-pane", "-p", "-t", name)), lambda: os.path.exists(mark) and os.path.getsize(mark), 30)
        screen = self.tmux("capture-pane", "-p", "-t", name).rstrip("\n").split("\n")
        joined = self.tmux("capture-pane", "-p", "-J", "-t", name).rstrip("\n").split("\n")
        coloured = self.tmux("capture-pane", "-p", "-e", "-t", name)
        self.tmux("kill-session", "-t", name)
        with open(mark) as f:
            status = int(f.read())
        return status, screen, coloured, [line for line in joined if columns(line.rstrip()) > 80]

    def stop(self):
        self.tmux("kill-server", check=False)


class Terminals(Scenario):
    def pipeline(self):
        """Relays with long and wide names that refuse at length, one that is down, one that is held; jobs of each kind."""
        words = "no " * 60
        relays = self.practice("no:v4:0:refuse=blocked: %s | restricted: \u65e5\u672c\u8a9e %s | go away" % (words, words[:90]), "yes:v4")
        v = self.volley([
            {"url": relays.urls["no"], "name": LONG},
            {"url": relays.urls["yes"] + "/a/path/that/is/longer/than/any/column/of/a/table", "rate": "5/m", "kinds": " ".join(map(str, range(1, 40)))},
            {"url": "ws://127.0.0.1:9/this/relay/is/down/and/has/a/long/url", "route": "direct"},
            {"url": "ws://127.0.0.1:9/held", "name": WIDE, "hold": "yes"},
        ])
        v.start_all()
        now = int(time.time())
        events = sign(*[(7, now - i, 1, [], "event %d" % i) for i in range(130)])
        path = os.path.join(self.folder, "events.jsonl")
        with open(path, "w") as f:
            f.write("\n".join(events))
        self.assertEqual(v.run("send", path).returncode, 0)
        v.wait_drained(20, [relays.urls["no"]])
        wait_for("the dead relay to fail", lambda: any(l["last_error"] for l in v.depth()[0].values()), 20)
        return relays, v, path, [e.split('"')[3] for e in events]

    def commands(self, v, relays, path, ids):
        """Each once and more, in an order in which there is something to see."""
        yield ("depth",), "stalled"
        yield ("depth", "--relay", LONG), "total: "
        yield ("failed",), "the first 100; there are more"
        yield ("failed", "--limit", "0", "--class", "refused"), "go away"
        yield ("failed", "--count"), "total: 130 failed deliveries at 1 relay"
        yield ("failed", "--relay", WIDE), "nothing failed that is meant"
        yield ("replay", "--all", "--dry-run"), "130 would be sent again"
        yield ("replay", "--class", "refused", "--rate", "1/m"), "job 1: 43 failed deliveries will be sent again, at most"
        yield ("failed", "--class", "refused", "--limit", "3"), r"\[replay job 1\]"
        yield ("replay", "--class", "refused"), "  busy: 4[23] are in another replay job"
        yield ("replay", "--jobs"), "running"
        yield ("replay", "--cancel", "1"), "job 1 is cancelled: "
        relays.set("no", "ok")
        yield ("replay", "--class", "restricted", "--wait"), r"is done: (\d+) of \1 delivered"
        yield ("replay", "--jobs"), "class restricted"
        yield ("purge", "--class", "blocked"), "nothing was purged; --yes"
        yield ("purge", "--id", ids[0] + "," + ids[1] + "," + ids[2], "--yes"), "purged [12] failed deliver"
        yield ("receipt", ids[0]), "^event [0-9a-f]{64}\nkind 1, accepted "
        yield ("receipt", ids[1]), "retrying|queued"
        yield ("hold", LONG), "is held: nothing is sent there"
        yield ("release", LONG), "is released: "
        yield ("release", WIDE, "--from", "now"), "130 given up"
        yield ("failed", "--class", "expired", "--limit", "2"), "released"
        yield ("relays",), "list 1 in force since "
        yield ("relays", "apply"), "added 0, changed 0, retired 0, unchanged 4; list 1 is in force"
        yield ("send", path), "accepted 0, duplicate 130"
        yield ("test", "--route", "direct", relays.urls["no"]), "would"
        yield ("check",), "^ok +configuration: "
        yield ("health",), "^ok: the queue answers"

    def test_every_command_fits_80_columns_and_has_colours_only_where_they_are_wanted(self):
        if shutil.which("tmux") is None:
            self.skipTest("tmux is missing")
        relays, v, path, ids = self.pipeline()
        tmux = Tmux(self.folder)
        self.started.append(tmux)
        self.assertEqual(len(tmux.show(["echo", "x" * 81])[3]), 1, "a line that is too long is noticed")
        seen, coloured = set(), set()
        for args, said in self.commands(v, relays, path, ids):
            seen.add(args[0])
            command = [v.program, args[0], "-c", v.config] + list(args[1:])
            status, screen, escapes, wrapped = tmux.show(command)
            text = "\n".join(line.rstrip() for line in screen)
            self.assertEqual(status, 0, (args, text))
            self.assertRegex(text, re.compile(said, re.M), args)
            self.assertLess(len(screen), Tmux.ROWS)
            if args[0] not in PROSE:
                self.assertEqual(wrapped, [], args)
            if "\x1b[" in escapes:
                coloured.add(args[0])
            self.in_a_pipe(v, args)
        text = subprocess.run([v.program, "--help"], capture_output=True, text=True).stdout
        every = set(re.findall(r"^  ([a-z]+) +\S", text, re.M)) - SERVICES
        self.assertEqual(every - seen - PROSE, set(), "commands that were not shown")
        self.assertEqual(coloured, {"depth", "failed", "relays", "replay", "test"}, "colours on a terminal")
        for args in (("depth",), ("failed", "--class", "expired", "--limit", "5"), ("relays",), ("replay", "--jobs")):
            command = [v.program, args[0], "-c", v.config] + list(args[1:])
            for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
                self.assertNotIn("\x1b", tmux.show(command, env)[2], (args, env))
        v.stop()

    def in_a_pipe(self, v, args):
        """The reading commands once more, into a pipe: no escapes, nothing cut."""
        changes = ("hold", "release", "send", "purge") + (() if "--dry-run" in args or "--jobs" in args else ("replay",))
        if args[0] in changes or "apply" in args:
            return
        r = v.run(*args)
        self.assertEqual((r.returncode, r.stderr), (0, ""), args)
        self.assertNotIn("\x1b", r.stdout, args)
        if args[0] != "relays":
            self.assertNotIn("\u2026", r.stdout, args)

    def test_who_has_seen_enough_ends_it_quietly(self):
        relays, v, path, ids = self.pipeline()
        for args in (("failed",), ("failed", "--json"), ("failed", "--limit", "0", "--json"), ("failed", "--count"), ("relays", "--json"), ("depth", "--json"), ("replay", "--jobs", "--json")):
            shell = " ".join(map(shlex.quote, [v.program, args[0], "-c", v.config] + list(args[1:])))
            for end in ("head -1", "head -c 1", "true"):
                for trap in ("", "trap '' PIPE; "):
                    r = subprocess.run(["bash", "-c", trap + shell + " | " + end], capture_output=True, text=True, env=clean_env(), timeout=30)
                    self.assertEqual((r.returncode, r.stderr), (0, ""), (args, end, trap))
            r = subprocess.run(["bash", "-c", shell + " >/dev/full"], capture_output=True, text=True, env=clean_env(), timeout=30)
            if "--jobs" not in args:
                self.assertEqual((r.returncode, r.stderr), (1, "volley %s: the output could not be written\n" % args[0]))
        if shutil.which("jq") is None:
            print("skipped: jq is missing")
        else:
            r = subprocess.run(["bash", "-c", "%s failed -c %s --json --limit 0 | jq -r .id" % (v.program, v.config)], capture_output=True, text=True, env=clean_env(), timeout=30)
            self.assertEqual((sorted(r.stdout.split()), r.stderr), (sorted(ids), ""))
        v.stop()


if __name__ == "__main__":
    unittest.util._MAX_LENGTH = 2000
    main()
