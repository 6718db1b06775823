"""Tor and the targets fail under load: deliveries stop, nothing leaks, they go on by themselves, nothing is lost.

That nothing left volley's namespace but to tor's ports is looked at after every test (TorScenario.tearDown).
"""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tor"))
from harness import figure, main, wait_for
from tornet import TorScenario

COUNT, RATE = 400, 100
KEYS = {"publisher.connect_timeout": "5s", "publisher.ok_timeout": "3s"}


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


def command(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return f.read().split(b"\0")
    except OSError:
        return [b""]


class Faults(TorScenario):
    def load(self, behaviour="", **options):
        """Four relays and a load on its way to them: relays, URLs by name, the pipeline, the load."""
        relays = self.practice("dual:dual:5101", "v4only:v4:5102", "v6only:v6:5103", "hang:dual:5104" + behaviour)
        urls = {"dual": "ws://dual.test:5101", "v4only": "ws://v4only.test:5102", "v6only": "ws://v6only.test:5103", "hang": "ws://dual.test:5104"}
        options["keys"] = dict(KEYS, **options.pop("keys", {}))
        v = self.volley(list(urls.values()), **options)
        v.up()
        post = v.post(COUNT, "--seed", 1, "--rate", RATE, background=True)
        wait_for(lambda: "deliveries\n" + v.logs(), lambda: all(relays.counts(n)["accepted"] > 20 for n in urls if n != "hang" or not behaviour), 60)
        return relays, urls, v, post

    def settle(self, relays, urls, v, post, seconds=60):
        """Everything that was accepted arrives everywhere; how often an event came twice."""
        post.wait(60)
        self.assertEqual(post.stop(), 0, post.log())
        v.wait_drained(seconds)
        events = [e for _, _, e in v.posted()]
        self.assertEqual(len(events), COUNT)
        for name in urls:
            self.assert_arrived(relays, name, events)
        lanes, total = v.depth()
        self.assertEqual([l["failed"] for l in lanes.values()], [0] * len(lanes))
        v.stop()
        return sum(len(relays.accepted(n)) - COUNT for n in urls)

    def test_tor_killed_under_load(self):
        relays, urls, v, post = self.load(build="asan")
        for _ in range(2):
            before = {n: relays.counts(n)["accepted"] for n in urls}
            self.net.signal("c", signal.SIGKILL)
            wait_for("deliveries to stop", lambda: all(l["state"] != "open" for l in v.depth()[0].values()), 20)
            stopped = {n: relays.counts(n)["accepted"] for n in urls}
            time.sleep(0.5)
            self.assertEqual({n: relays.counts(n)["accepted"] for n in urls}, stopped, "nothing arrives without tor")
            wait_for("the reason", lambda: all("SOCKS port" in (l["last_error"] or "") for l in v.depth()[0].values()), 20)
            self.net.start("c")
            began = time.monotonic()
            wait_for("deliveries to go on", lambda: all(relays.counts(n)["accepted"] > stopped[n] for n in urls), 60)
            figure("tor killed -9 under load: every relay was served again %.1f s after tor was started" % (time.monotonic() - began))
            self.assertTrue(all(stopped[n] >= before[n] for n in urls))
        twice = self.settle(relays, urls, v, post)
        figure("of %d deliveries in flight around two crashes of tor %d came twice, none was lost" % (4 * COUNT, twice))

    def test_newnym_under_load(self):
        relays, urls, v, post = self.load(build="release")
        control = self.net.control()
        asked = 0
        while post.alive():
            control.ask("SIGNAL NEWNYM")
            relays.cut("dual")  # so that the new circuits are used
            asked += 1
            time.sleep(0.4)
        control.close()
        self.assertGreater(asked, 3)
        self.settle(relays, urls, v, post)
        figure("NEWNYM %d times under load: nothing lost" % asked)

    def test_circuits_that_stall(self):
        relays, urls, v, post = self.load(build="release")
        for n in ("e1", "e2", "e3"):
            self.net.signal(n, signal.SIGSTOP)
        try:
            wait_for("the silence to be noticed", lambda: any("no answer" in (l["last_error"] or "") or "timeout" in (l["last_error"] or "") for l in v.depth()[0].values()), 20)
        finally:
            for n in ("e1", "e2", "e3"):
                self.net.signal(n, signal.SIGCONT)
        began = time.monotonic()
        self.settle(relays, urls, v, post)
        figure("every exit stopped until it was noticed: all had arrived %.1f s after they went on" % (time.monotonic() - began))

    def test_a_target_that_hangs_harms_nobody_else(self):
        relays, urls, v, post = self.load(behaviour=":mute", build="release")
        others = [urls[n] for n in urls if n != "hang"]
        for manner in ("mute", "blackhole", "silent", "noread"):
            relays.set("hang", manner)
            relays.cut("hang")
            time.sleep(0.8)
        post.wait(60)
        v.wait_drained(30, others)  # while the one still hangs
        self.assertEqual(v.lane(urls["hang"])["delivered"], 0)
        self.assertTrue(v.lane(urls["hang"])["last_error"])
        relays.set("hang", "ok")
        relays.cut("hang")
        self.settle(relays, urls, v, post)

    def managed(self, v):
        """The pid of volley's own tor."""
        def find(pid):
            for child in children(pid):
                words = command(child)
                if os.path.basename(words[0]) == b"tor":
                    return child
                found = find(child)
                if found:
                    return found
            return None

        return wait_for(lambda: "a tor of volley's own\n" + v.logs(), lambda: find(v.services["up"].p.pid), 60)

    def test_volleys_own_tor_killed_under_load(self):
        self.net.allow_relays(True)
        self.addCleanup(self.net.allow_relays, False)
        managed = {"tor.socks": "managed", "tor.extra_file": os.path.join(self.net.dir, "network.torrc")}
        relays, urls, v, post = self.load(build="asan", keys=managed)
        pid = self.managed(v)
        os.kill(pid, signal.SIGKILL)  # and with it all links: it is started again within a second or two
        began = time.monotonic()
        stopped = {n: relays.counts(n)["accepted"] for n in urls}
        wait_for(lambda: "deliveries to go on\n" + v.logs(), lambda: all(relays.counts(n)["accepted"] > stopped[n] for n in urls), 90)
        again = self.managed(v)
        self.assertNotEqual(again, pid)
        figure("volley's own tor killed -9 under load: every relay was served again after %.1f s" % (time.monotonic() - began))
        self.settle(relays, urls, v, post, 90)
        self.assertNotEqual(os.path.basename(command(again)[0]), b"tor", "it ends with volley")

    def test_a_volley_without_any_tor_says_so_and_waits(self):
        relays = self.practice("dual:dual:5201")
        v = self.volley(["ws://dual.test:5201"], keys={"tor.socks": "managed"})
        v.env = {"PATH": os.path.join(self.folder, "nothing-here")}
        os.mkdir(v.env["PATH"])
        # The words that lead into the namespace are found by their own full names.
        with open(v.program) as f:
            words = f.read().replace("exec nsenter", "exec /usr/bin/nsenter").replace("-- setpriv", "-- /usr/bin/setpriv")
        with open(v.program, "w") as f:
            f.write(words)
        v.up()
        v.post(5, "--seed", 2)
        said = wait_for(lambda: "a word about it\n" + v.logs(), lambda: v.said("no Tor; deliveries over it wait"), 30)
        self.assertRegex(said[0]["reason"], "(?i)not found|no such file|not installed|install")
        self.assertEqual(len(said), 1, "once, not at every try")
        wait_for(lambda: "the reason\n" + v.logs(), lambda: v.lane("ws://dual.test:5201")["last_error"], 30)
        r = v.run("check")
        self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
        self.assertRegex(r.stdout, "(?m)^error +tor: ")
        self.assertEqual(v.lane("ws://dual.test:5201")["depth"], 5)
        self.assertEqual(self.net.counters()["leaked"], 0)
        self.assertEqual(relays.counts("dual")["connections_ipv4"] + relays.counts("dual")["connections_ipv6"], 0)
        v.stop()


if __name__ == "__main__":
    main()
