"""The operators' commands as people meet them: in a terminal of 80 columns, in a pipe, in a script, installed."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata

sys.path.insert(0, os.path.dirname(__file__))
from harness import ROOT, SEED, Scenario, clean_env, main, sign, wait_for

RELEASE = os.path.join(ROOT, "build", "release", "volley")
LONG_NAME = "a-relay-whose-name-is-much-longer-than-any-table-has-room-for"


def plain(text):
    """What a terminal shows of it: without escapes."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", text)


def columns(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in line)


class Terminal:
    """A command whose standard streams are a terminal of a given size."""

    def __init__(self, args, cols=80, rows=24, env=None):
        self.master, slave = pty.openpty()
        self.resize(cols, rows)
        self.before = termios.tcgetattr(slave)
        e = clean_env({"TERM": "xterm", **(env or {})})
        if "NO_COLOR" not in (env or {}):
            e.pop("NO_COLOR", None)
        self.slave = slave
        self.p = subprocess.Popen(args, stdin=slave, stdout=slave, stderr=slave, env=e, start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0))
        self.out = ""

    def resize(self, cols, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            self.out += os.read(self.master, 65536).decode(errors="replace")
            seconds = 0.05
        return self.out

    def type(self, keys):
        os.write(self.master, keys.encode())

    def until(self, pattern, seconds=20):
        return wait_for(lambda: "%s in %r" % (pattern, self.out[-2000:]), lambda: re.search(pattern, self.read(), re.S), seconds)

    def finish(self, seconds=20):
        """(exit status, all output); what the terminal was set to must be as before."""
        end = time.monotonic() + seconds
        while self.p.poll() is None and time.monotonic() < end:
            self.read()
        status = self.p.wait(1)
        self.read()
        after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        if after != self.before:
            raise AssertionError("the terminal was left changed: %r, before %r" % (after, self.before))
        return status, self.out


class Ctl(Scenario):
    def terminal(self, args, **options):
        t = Terminal(args, **options)
        self.addCleanup(lambda: (t.p.kill(), t.p.wait()))
        return t

    def pipeline(self):
        """Two relays that take everything, one that is down, one that is held; five events."""
        relays = self.practice("fine:v4", "held:v4")
        urls = relays.urls
        v = self.volley([
            {"url": urls["fine"], "name": LONG_NAME},
            {"url": "ws://127.0.0.1:9/this/relay/is/down/and/has/a/long/url", "route": "direct"},
            {"url": urls["held"], "name": "hèld-日本語", "hold": "yes"},
        ])
        v.start_all()
        self.assertEqual(v.post(5, "--seed", SEED)["accepted"], 5)
        v.wait_drained(20, [urls["fine"]])
        wait_for("the dead relay to fail", lambda: self.by_name(v)["down"]["last_error"], 20)
        return v

    def by_name(self, v):
        lanes, _ = v.depth()
        return {"down" if "down" in url else "held" if lane["name"] != LONG_NAME else "fine": lane for url, lane in lanes.items()}

    def command(self, v, *args):
        return [v.program, args[0], "-c", v.config] + list(args[1:])

    # ---- depth

    def test_depth_has_a_word_for_every_state_and_fits_80_columns(self):
        v = self.pipeline()
        wait_for("verdicts", lambda: [self.by_name(v)[n]["verdict"] for n in ("fine", "down", "held")] == ["fine", "stalled", "held"], 15)
        self.assertIsNotNone(self.by_name(v)["down"]["verdict_since"])
        status, out = self.terminal(self.command(v, "depth")).finish()
        self.assertEqual(status, 0, out)
        lines = plain(out).splitlines()
        for line in lines:
            self.assertLessEqual(columns(line), 80, line)
        self.assertEqual(len(lines), 1 + 3 + 1 + 1, "head, three relays, one last error, total:\n" + out)
        self.assertRegex(lines[0], "^RELAY +DEPTH .*RETRY FAILED OLDEST .*DRAIN VERDICT")
        self.assertRegex(lines[1], "^a-relay-whose-name-.*… +0 .* fine")
        self.assertRegex(lines[2], r"^ws://127\.0\.0\.1:9/.*… +5 .* stalled \d+s")
        self.assertRegex(lines[3], r"^    .*refused")
        self.assertRegex(lines[4], "^hèld-日本語 +5 .* held")
        self.assertRegex(lines[5], "^total: 10 waiting at 3 relays, 0 failed; 5 events, ")
        self.assertIn("\x1b[31mstalled", out, "colours on a terminal")
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            self.assertNotIn("\x1b", self.terminal(self.command(v, "depth"), env=env).finish()[1], env)
        wide = plain(self.terminal(self.command(v, "depth"), cols=200).finish()[1])
        self.assertIn(LONG_NAME, wide)
        self.assertRegex(wide.splitlines()[0], "STATE +FAMILY +PUBLISHER$")
        piped = v.run("depth")
        self.assertNotIn("\x1b", piped.stdout)
        self.assertIn("ws://127.0.0.1:9/this/relay/is/down/and/has/a/long/url", piped.stdout, "nothing is cut in a pipe")
        v.services["publisher"].stop()
        wait_for("nobody to have the lanes", lambda: self.by_name(v)["down"]["verdict"] == "unleased", 20)
        self.assertEqual(self.by_name(v)["held"]["verdict"], "held")
        v.stop()

    def test_pipes_are_quiet_and_a_full_disk_is_not(self):
        v = self.pipeline()
        shell = " ".join(self.command(v, "depth", "--json"))
        head = ["bash", "-c", shell + " | head -1"]
        for ignore in (False, True):
            script = ("trap '' PIPE; " if ignore else "") + shell + " | head -c 1; exit ${PIPESTATUS[0]}"
            for args in (head, ["bash", "-c", script]):
                r = subprocess.run(args, capture_output=True, text=True, env=clean_env(), timeout=30)
                self.assertEqual(r.stderr, "")
            if ignore:
                self.assertEqual(r.returncode, 0, "a reader that has enough is no failure")
        r = subprocess.run(["bash", "-c", shell + " >/dev/full"], capture_output=True, text=True, env=clean_env(), timeout=30)
        self.assertEqual((r.returncode, r.stderr), (1, "volley depth: the output could not be written\n"))
        watched = subprocess.run(["bash", "-c", shell + " --watch=100ms | head -9"], capture_output=True, text=True, env=clean_env(), timeout=30)
        rows = [json.loads(line) for line in watched.stdout.splitlines()]
        self.assertEqual([("total" in row) for row in rows], [False, False, False, True] * 2 + [False], "answers follow one another")
        self.assertEqual(watched.stderr, "")
        self.exit_statuses(v)
        v.stop()

    def exit_statuses(self, v):
        for status, said, args in (
            (0, "", ("depth", "--relay", LONG_NAME)),
            (0, "", ("depth", "--relay", "WS://127.0.0.1:9/this/relay/is/down/and/has/a/long/url")),
            (2, "no relay 'nope'", ("depth", "--relay", "nope")),
            (2, "(did you mean %s?)" % LONG_NAME, ("depth", "--relay", LONG_NAME[:-1])),
            (2, "no relay ''", ("depth", "--relay", "")),
            (2, "unknown option '--jsn' (did you mean --json?)", ("depth", "--jsn")),
            (2, "unknown option '--nothing'; 'volley depth --help' lists them", ("depth", "--nothing")),
            (2, "--relay is given twice", ("failed", "--relay", "a", "--relay", "b")),
            (0, "", ("failed",)),
            (2, "no relay 'nope' in the queue", ("failed", "--relay", "nope")),
            (2, "no class 'blokced' (did you mean blocked?)", ("failed", "--class", "blokced")),
            (2, "no class 'xyzzy'; there are blocked restricted", ("failed", "--class", "xyzzy")),
            (2, "--kind=x: expected a number", ("failed", "--kind", "x")),
            (2, "not an event id", ("failed", "--id", "x")),
            (2, "--older-than=5: expected a duration", ("failed", "--older-than", "5")),
            (2, "--limit=x: expected a number", ("failed", "--limit", "x")),
            (2, "--limit does not go with it", ("failed", "--limit", "5", "--count")),
            (2, "which? Give a filter", ("replay",)),
            (2, "which? Give a filter", ("replay", "--rate", "5/s")),
            (2, "either a filter or --all", ("replay", "--all", "--kind", "1")),
            (2, "--rate=5: expected a rate", ("replay", "--all", "--rate", "5")),
            (2, "--rate=0/s: expected a rate", ("replay", "--all", "--rate", "0/s")),
            (2, "only --json goes with --jobs", ("replay", "--jobs", "--all")),
            (2, "only --json goes with --cancel", ("replay", "--cancel", "1", "--kind", "1")),
            (2, "--cancel=x: expected a job's number", ("replay", "--cancel", "x")),
            (1, "no job 7", ("replay", "--cancel", "7")),
            (0, "", ("replay", "--jobs")),
            (0, "", ("replay", "--all", "--dry-run")),
            (2, "which? Give a filter", ("purge", "--yes")),
            (0, "", ("purge", "--kind", "1")),
            (2, "what is missing: R", ("hold",)),
            (2, "no relay 'nope' in the queue", ("hold", "nope")),
            (2, "no relay 'nope' in the queue", ("release", "nope")),
            (2, "--from=then: only 'now' is known", ("release", LONG_NAME, "--from", "then")),
            (0, "", ("release", LONG_NAME)),
            (0, "", ("relays",)),
            (2, "'aply' is not known (did you mean apply?)", ("relays", "aply")),
            (2, "'x' is not known; 'volley relays' takes: apply", ("relays", "x")),
            (2, "--yes goes with", ("relays", "--yes")),
            (0, "", ("relays", "apply")),
            (1, "does not answer", ("failed", "--set", "queue.url=zmq+ipc:///nowhere/queue.sock")),
            (2, "--json takes no value", ("depth", "--json=1")),
            (2, "--watch=1: expected a duration", ("depth", "--watch=1")),
            (2, "--watch=0s: expected a duration", ("depth", "--watch=0s")),
            (2, "one argument too many: 'x'", ("depth", "x")),
            (2, "what is missing: ID", ("receipt",)),
            (2, "not an event id", ("receipt", "xyz")),
            (1, "no event 00", ("receipt", "0" * 64)),
            (1, "/nope: No such file", ("send", "/nope")),
            (1, "illegal operation on a directory", ("send", "/")),
            (1, "does not answer", ("depth", "--set", "queue.url=zmq+ipc:///nowhere/queue.sock")),
            (2, "did you mean", ("check", "--set", "queue.uri=x")),
        ):
            r = v.run(*args)
            self.assertEqual(r.returncode, status, (args, r.stderr))
            self.assertIn(said, r.stderr, args)
            self.assertEqual(r.stderr.count("\n"), 1 if said else 0, r.stderr)
        r = subprocess.run([v.program, "dept"], capture_output=True, text=True)
        self.assertEqual((r.returncode, r.stderr), (2, "volley: no command 'dept' (did you mean depth?)\n"))

    def frames(self, out):
        """What was drawn each time, as lines."""
        return [plain(f).split("\n") for f in out.split("\x1b[H")[1:]]

    def test_watch_is_drawn_like_top_and_gives_the_terminal_back(self):
        v = self.pipeline()
        watch = self.command(v, "depth", "--watch=200ms")
        t = self.terminal(watch, cols=80, rows=24)
        t.until(r"(\x1b\[H.*){3}")
        self.assertTrue(t.out.startswith("\x1b[?1049h"), "the terminal's other screen")
        self.assertNotEqual(termios.tcgetattr(t.slave), t.before, "keys without Enter")
        v.post(20, "--seed", SEED + 1, name="more")
        t.until(r"delivered [1-9][0-9.]*/s")
        t.until(r"accepted [1-9][0-9.]*/s")
        t.resize(60, 7)
        t.p.send_signal(signal.SIGWINCH)
        t.out = ""
        t.until(r"(\x1b\[H.*){2}1 not shown")
        last = self.frames(t.out)[-2]
        self.assertLessEqual(len(last), 7)
        self.assertLessEqual(max(map(columns, last[2:])), 60)
        self.assertRegex(last[3], "stalled|held", "the worst come first")
        v.services["queue"].kill(signal.SIGSTOP)
        t.until("no answer from the queue; trying again", 15)
        v.services["queue"].kill(signal.SIGCONT)
        t.out = ""
        t.until("total: ")
        t.type("q")
        status, out = t.finish()
        self.assertEqual(status, 0)
        self.assertTrue(out.endswith("\x1b[?7h\x1b[?25h\x1b[?1049l"), repr(out[-100:]))
        for end in (lambda t: t.type("\x03"), lambda t: t.p.send_signal(signal.SIGTERM)):
            t = self.terminal(watch)
            t.until("total: ")
            end(t)
            status, out = t.finish()
            self.assertEqual(status, 0)
            self.assertTrue(out.endswith("\x1b[?1049l"), repr(out[-100:]))
        t = self.terminal(self.command(v, "depth", "--watch", "--relay", "nope"))
        status, out = t.finish()
        self.assertEqual((status, "\x1b" in out), (2, False), "what is wrong is said before the screen is taken")
        v.stop()

    # ---- send

    def test_send_takes_what_ingest_takes_and_names_the_rest(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()), keys={"ingest.max_event": "2KiB"})
        v.start_all()
        now = int(time.time())
        good = sign(*[(5, now - i, 1, [], "event %d" % i) for i in range(100)])
        expired, auth, protected, future, large = sign(
            (5, now, 1, [["expiration", str(now - 10)]], "x"), (5, now, 22242, [], "x"), (5, now, 1, [["-"]], "x"),
            (5, now + 7200, 1, [], "x"), (5, now, 1, [], "x" * 2100))
        bad = [(good[0].replace("event 0", "event !"), "the id is not the SHA-256"), ("{}", "invalid: id: missing"), ("nonsense", "invalid: "),
               ("y" * 20000, "the line is too long"), (large, "invalid: "), (expired, "has expired"), (auth, "kind 22242"),
               (protected, "blocked: protected"), (future, "in the future")]
        path = os.path.join(self.folder, "events.jsonl")
        lines = good[:50] + [""] + [b for b, _ in bad] + ["  "] + good[50:] + [good[0]]
        with open(path, "w") as f:
            f.write("\r\n".join(lines))  # the last without an end
        r = v.run("send", path)
        self.assertEqual((r.returncode, r.stdout), (1, "accepted 100, duplicate 1, refused %d\n" % len(bad)), r.stderr)
        self.assertEqual(r.stderr.count("\n"), len(bad))
        for i, (_, why) in enumerate(bad):
            self.assertRegex(r.stderr, r"volley send: line %d: .*%s" % (52 + i, re.escape(why)))
        v.wait_drained()
        got = [json.loads(e)["content"] for e in relays.accepted("a")]
        self.assertEqual(got, ["event %d" % i for i in range(100)], "in the order of the lines")
        again = subprocess.run(self.command(v, "send", "--json"), input="\n".join(good), capture_output=True, text=True, env=clean_env(), timeout=60)
        self.assertEqual(json.loads(again.stdout), {"events": 100, "accepted": 0, "duplicate": 100, "requeued": 0, "refused": 0, "stopped_at_line": None, "stop_reason": None})
        self.assertEqual((again.returncode, again.stderr), (0, ""))
        v.services["queue"].stop()
        r = v.run("send", path)
        self.assertEqual((r.returncode, r.stdout), (1, "accepted 0, duplicate 0, refused %d\n" % len(bad)))
        self.assertRegex(r.stderr, "volley send: stopped at line 1: error: ")
        v.stop()

    def test_send_can_be_broken_off_and_begun_again(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        v.start_all()
        now, count = int(time.time()), 6000
        path = os.path.join(self.folder, "events.jsonl")
        with open(path, "w") as f:
            f.write("\n".join(sign(*[(6, now - i % 600, 1, [], "event %d" % i) for i in range(count)])) + "\n")
        p = subprocess.Popen(self.command(v, "send", path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
        wait_for("some to be accepted", lambda: v.depth()[1]["head"] >= 200, 20, 0.01)
        p.kill()
        p.communicate()
        head = v.depth()[1]["head"]
        t = self.terminal(self.command(v, "send", path))
        status, out = t.finish(60)
        self.assertEqual(status, 0, out)
        self.assertRegex(out, r"\r\[[#.]+\] +\d+%  \d+ events, [0-9.k]+/s, \d+s left\x1b\[K", "a bar on a terminal")
        accepted, duplicate = map(int, re.search(r"accepted (\d+), duplicate (\d+), refused 0", plain(out)).groups())
        self.assertEqual(accepted + duplicate, count)
        self.assertGreaterEqual(duplicate, 200)
        self.assertLessEqual(abs(duplicate - head), 1000, "only what was under way")
        self.assertEqual(v.depth()[1]["head"], count)
        v.wait_drained()
        self.assertEqual(relays.counts("a")["unique"], count)
        v.stop()

    # ---- configuration

    def test_the_example_documents_every_key_and_loads(self):
        v = self.volley([])
        r = subprocess.run([v.program, "check", "--print", "-c", os.path.join(ROOT, "volley.example.yaml")], capture_output=True, text=True, env=clean_env())
        self.assertEqual(r.returncode, 0, r.stderr)
        with open(os.path.join(ROOT, "volley.example.yaml")) as f:
            example, section, documented = f.read(), "", set()
        for line in example.splitlines():
            m = re.match(r"([a-z]+):$", line)
            section = m.group(1) if m else section
            m = re.match(r"  (?:# )?([a-z_0-9]+):", line)
            if m:
                documented.add(section + "." + m.group(1))
        keys = set(re.findall(r"^([a-z]+\.[a-z_0-9]+) =", r.stdout, re.M))
        self.assertGreater(len(keys), 30)
        self.assertEqual(keys - documented, set(), "keys that the example does not document")

    def test_a_relays_file_is_merged_and_its_errors_name_it(self):
        path = os.path.join(self.folder, "relays_blastr.json")
        v = self.volley(["ws://127.0.0.1:9"], keys={"publisher.relays_file": path, "tor.socks": "any=127.0.0.1:9"})
        with open(path, "w") as f:
            f.write('["relay.one.example",\n "127.0.0.1:9"]')
        r = v.run("check", "--print")
        self.assertRegex(r.stdout, "publisher.relays = 3 relays")
        self.assertRegex(r.stdout, "relay wss://relay.one.example route=direct")
        with open(path, "w") as f:
            f.write('["relay.one.example",\n "http://x"]')
        r = v.run("check")
        self.assertEqual(r.returncode, 2)
        self.assertIn("relays_blastr.json:2: relay 'http://x'", r.stderr)

    # ---- packaging

    def install(self):
        dest = os.path.join(self.folder, "dest")
        env = {k: v for k, v in clean_env().items() if not k.startswith("MAKE") and k != "MFLAGS"}
        r = subprocess.run(["make", "-C", ROOT, "install", "PREFIX=/usr", "DESTDIR=" + dest], capture_output=True, text=True, env=env)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        return dest

    def test_install_puts_everything_where_debian_expects_it(self):
        dest = self.install()
        commands = re.findall(r"^  ([a-z]+) +\S", subprocess.run([RELEASE, "--help"], capture_output=True, text=True).stdout, re.M)
        self.assertGreater(len(commands), 7)
        expected = {"usr/bin/volley": 0o755, "usr/share/bash-completion/completions/volley": 0o644, "usr/share/man/man5/volley.yaml.5": 0o644,
                    "usr/share/man/man1/volley.1": 0o644, "usr/share/doc/volley/examples/volley.example.yaml": 0o644}
        expected.update({"usr/share/man/man1/volley-%s.1" % c: 0o644 for c in commands})
        expected.update({"usr/lib/systemd/system/volley%s.service" % u: 0o644 for u in ("", "-queue", "-ingest", "-publisher", "-probe")})
        for path, mode in expected.items():
            self.assertEqual(os.stat(os.path.join(dest, path)).st_mode & 0o7777, mode, path)
        self.assertEqual(os.listdir(dest), ["usr"], "nothing outside PREFIX")
        self.pages_say_what_help_says(dest, commands)
        self.completion_completes(os.path.join(dest, "usr/share/bash-completion/completions/volley"))

    def pages_say_what_help_says(self, dest, commands):
        self.assertLessEqual(max(map(columns, subprocess.run([RELEASE, "--help"], capture_output=True, text=True).stdout.splitlines())), 80)
        for c in commands:
            text = subprocess.run([RELEASE, c, "--help"], capture_output=True, text=True).stdout
            self.assertLessEqual(max(map(columns, text.splitlines())), 80, text)
            with open(os.path.join(dest, "usr/share/man/man1/volley-%s.1" % c)) as f:
                page = f.read().replace("\\-", "-")
            for option in re.findall(r"^  (-[-a-z]+)", text, re.M):
                self.assertIn("\\fB%s\\fR" % option, page, c)
        if shutil.which("man") and shutil.which("groff"):
            for folder in ("man1", "man5"):
                for name in os.listdir(os.path.join(dest, "usr/share/man", folder)):
                    r = subprocess.run(["man", "--warnings", "-l", os.path.join(dest, "usr/share/man", folder, name)], capture_output=True, text=True, env=clean_env({"MANWIDTH": "80", "MANPAGER": "cat", "LC_ALL": "C.UTF-8"}))
                    self.assertEqual((r.returncode, r.stderr), (0, ""), name)
                    self.assertIn("SEE ALSO", r.stdout)

    def completion_completes(self, script):
        for words, expected in ((["de"], "depth"), (["depth", "--w"], "--watch"), (["depth", "--s"], "--set"),
                                (["up", "--set", "ingest.lis"], "ingest.listen="), (["send", "/etc/pass"], "/etc/passwd"), (["rel"], "relays"), (["rel"], "release"),
                                (["relays", "a"], "apply"), (["relays", "--a"], "--all"), (["failed", "--cl"], "--class"), (["replay", "--dr"], "--dry-run"),
                                (["purge", "--y"], "--yes"), (["release", "--fr"], "--from"), (["hold", "--j"], "--json")):
            line = " ".join(["volley"] + words)
            r = subprocess.run(["bash", "--norc", "-c", 'source "$0"; COMP_WORDS=(%s); COMP_CWORD=%d; _volley; echo "${COMPREPLY[*]}"' % (line, len(words)), script], capture_output=True, text=True)
            self.assertIn(expected, r.stdout.split(), (words, r.stderr))

    def test_units_are_valid_and_sandboxed(self):
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is missing")
        folder = os.path.join(ROOT, "packaging", "systemd")
        for name in sorted(os.listdir(folder)):
            unit = os.path.join(self.folder, name)
            with open(os.path.join(folder, name)) as f, open(unit, "w") as out:
                text = f.read()
                self.assertIn("ExecStart=/usr/bin/volley ", text)
                out.write(text.replace("/usr/bin/volley", RELEASE))
        with open(os.path.join(folder, "volley.service")) as f:
            others = re.search("^Conflicts=(.*)$", f.read(), re.M).group(1).split()
        self.assertEqual(sorted(others + ["volley.service"]), sorted(os.listdir(folder)))
        for name in sorted(os.listdir(folder)):
            unit = os.path.join(self.folder, name)
            r = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
            self.assertEqual((r.returncode, r.stderr), (0, ""), name)
            r = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit], capture_output=True, text=True)
            self.assertEqual(r.returncode, 0, "more exposed than 2.0:\n" + r.stdout[-600:] + r.stderr)


if __name__ == "__main__":
    main()
