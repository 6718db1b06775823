"""Publishers in containers, by compose.yaml itself: started, scaled, killed, paused and cut off under load; commands by exec; the
direct profile over IPv6; and what a publisher's container can reach."""
import collections
import html
import json
import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from fleet import DIRECT, HERE, PORT, RELAYS, compose_words, docker, fleet, run
from harness import ROOT, figure, main, wait_for

TRY = os.path.join(HERE, "try.py")
SOCKS = [9050, 9054, 9056]


class Compose(unittest.TestCase):
    begun = False

    def setUp(self):
        self.f = fleet()
        self.f.practice_ports.clear()
        if not Compose.begun:
            Compose.begun = True
            self.begin()

    def begin(self):
        """From a clean state: what the first test starts, all use."""
        began = time.monotonic()
        self.f.start_relays()
        self.f.scale(3)
        self.f.wait_spread(4, 4, 4)
        figure("from nothing to 3 publishers with 4 relays each, and a private Tor network: %.0f s" % (time.monotonic() - began))

    def tearDown(self):
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors):
            print(self.f.compose("ps", "-a", check=False).stdout)
            print(self.f.logs("ingest", "publisher", "publisher-direct", "prober", "probe", "redis", "tor"))

    def check_arrived(self, *marks, relays=RELAYS):
        """All that was posted under these names is at each relay. Returns how many deliveries came once more."""
        want, again = [i for mark in marks for i in self.f.posted(mark)], 0
        for relay in relays:
            got = collections.Counter(self.f.arrived(relay))
            self.assertEqual([i for i in want if i not in got], [], "%s lacks events" % relay)
            again += sum(got[i] - 1 for i in want)
        return again

    def under_load(self, mark, act, count=3000, rate=150):
        """Posts while something happens; all of it arrives at every relay."""
        post = self.f.post(count, mark, "--rate", rate, background=True, seconds=150)
        try:
            act()
            self.assertEqual(post.wait(180), 0, post.log())
        finally:
            post.kill()
        self.f.wait_drained()
        self.assertEqual(len(self.f.posted(mark)), count)
        return self.check_arrived(mark)

    # ---- the promises ----

    def test_1_events_posted_to_the_published_port_reach_all_relays(self):
        began = time.monotonic()
        said = self.f.post(500, "first")
        self.assertEqual(said["accepted"], 500, said)
        self.f.wait_drained()
        figure("500 events at 12 relays through Tor: %.1f s" % (time.monotonic() - began))
        self.check_arrived("first")
        for relay in RELAYS:
            self.assertEqual(self.f.counts(relay)["links_max"], 1, relay)  # one connection at a time from the whole fleet
        lanes, _ = self.f.depth()
        self.assertEqual({lanes[r]["family"] for r in RELAYS}, {"ipv4"})  # known for certain: each family has its port

    def test_2_scaled_to_six_and_back_to_two_and_restarted_one_by_one_under_load(self):
        def act():
            self.f.scale(6)
            self.f.wait_spread(2, 2, 2, 2, 2, 2)
            self.f.scale(2)
            self.f.wait_spread(6, 6)
            for c in self.f.containers("publisher"):  # rolling: one at a time
                docker("restart", c)
                self.f.wait_spread(6, 6)

        again = self.under_load("scaled", act)
        figure("scaled to 6, to 2, and both restarted: %d of %d deliveries were sent again" % (again, 12 * 3000))
        self.assertLess(again, 36, "who is stopped settles what is in flight, so nothing is sent twice but for a mishap of Tor's")
        self.f.scale(3)
        self.f.wait_spread(4, 4, 4)

    def test_3_one_killed_one_paused_one_cut_off(self):
        killed, paused, cut = self.f.containers("publisher")
        network = self.f.name + "_inside"

        def others_have_all(*out):
            wait_for(lambda: "the others to take over: %s" % self.f.spread(), lambda: self.f.spread() and not any(o[:12] in self.f.spread() for o in out), 60, 0.3)

        def act():
            before = self.f.inspect(killed, ".RestartCount")
            self.f.kill(killed)
            wait_for("the killed one to be started again", lambda: self.f.inspect(killed, ".RestartCount") > before, 30)
            docker("pause", paused)
            others_have_all(paused)
            docker("unpause", paused)  # what it still wants to commit is refused: its lanes have another epoch
            docker("network", "disconnect", network, cut)
            others_have_all(cut)
            docker("network", "connect", network, cut)

        again = self.under_load("faults", act)
        figure("killed, paused, cut off: %d of %d deliveries were sent again" % (again, 12 * 3000))
        self.f.wait_spread(4, 4, 4)

    def test_4_ingest_before_any_publisher_loses_nothing(self):
        self.f.scale(0)
        wait_for("no publisher", lambda: not self.f.containers("publisher"), 60)
        self.assertEqual(self.f.post(200, "early")["accepted"], 200)
        lanes, _ = self.f.depth()
        self.assertEqual({lanes[r]["depth"] for r in RELAYS}, {200})
        self.f.scale(3)
        self.f.wait_drained()
        self.check_arrived("early")
        self.f.wait_spread(4, 4, 4)

    def test_5_commands_by_exec(self):
        self.f.practice("relay1", "set relay1 refuse_every=1 refuse=blocked: not today")
        self.assertEqual(self.f.post(20, "refused")["accepted"], 20)
        self.f.wait_drained()
        row = json.loads(self.f.volley("failed", "--relay", "relay1", "--count", "--json").stdout.splitlines()[-1])
        self.assertEqual(row["count"], 20, row)
        event = self.f.posted("refused")[0]

        def receipt():
            rows = [json.loads(line) for line in self.f.volley("receipt", event, "--json").stdout.splitlines()]
            return {r["name"]: r["result"] for r in rows if r["name"] in RELAYS}

        self.assertEqual(receipt(), dict({r: "delivered" for r in RELAYS}, relay1="failed"))
        self.f.practice("relay1", "set relay1 ok")
        self.f.volley("replay", "--relay", "relay1", "--class", "blocked")
        wait_for("the replay", lambda: set(receipt().values()) == {"delivered"}, 60, 0.5)
        self.check_arrived("refused")
        self.f.volley("hold", "relay2")
        wait_for("the hold", lambda: self.f.depth()[0]["relay2"]["state"] == "held", 30, 0.3)
        self.f.volley("release", "relay2")
        wait_for("its end", lambda: self.f.depth()[0]["relay2"]["state"] != "held", 30, 0.3)
        check = self.f.compose("exec", "-T", "publisher", "volley", "check", check=False)
        self.assertEqual([line for line in check.stdout.splitlines() if line.startswith("error")], [], check.stderr)

    def form_of(self, path):
        """What a page asks before something is done: its text, and the fields that a browser would send with the token."""
        status, text = self.f.page(path)
        self.assertEqual((status, text.count('action="/act" method="post"'), text.count('name="token"')), (200, 1, 1), text)
        return text, {name: html.unescape(value) for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text)}

    def test_5_acting_from_the_page_with_the_token_that_setup_made(self):
        page = self.f.containers("probe")[0]
        token = docker("exec", page, "cat", "/run/volley/admin.token").stdout
        self.assertRegex(token, "^[0-9a-f]{64}$")
        self.f.practice("relay3", "set relay3 refuse_every=1 refuse=blocked: not today")
        self.assertEqual(self.f.post(15, "paged")["accepted"], 15)
        self.f.wait_drained()
        arrived = lambda: set(self.f.posted("paged")) & set(self.f.arrived("relay3"))
        link = lambda act, *more: next((html.unescape(h) for h in re.findall(r'href="(/act\?[^"]*)"', self.f.page("/")[1]) if "act=" + act in h and all(w in h for w in more)), None)
        path = wait_for("the page to offer a replay", lambda: link("replay", "relay3", "class=blocked"), 60, 0.5)
        text, fields = self.form_of(path)
        self.assertIn("15 failed deliveries would be sent again", text)

        self.f.practice("relay3", "set relay3 ok")
        refused = [
            ("no token", {}, {}),
            ("a wrong one", {"token": token[::-1]}, {}),
            ("Redis' password", {"token": docker("exec", page, "cat", "/run/volley/redis.password").stdout}, {}),
            ("another site's page", {"token": token}, {"Origin": "http://evil.example"}),
            ("a name that points here", {"token": token}, {"Host": "evil.example"}),
        ]
        for name, more, headers in refused:
            self.assertEqual(self.f.page("/act", form={**fields, **more}, headers=headers)[0], 403, name)
        self.assertEqual(arrived(), set())
        jobs = len(self.f.volley("replay", "--jobs", "--json").stdout.splitlines())
        status, text = self.f.page("/act", form={**fields, "token": token}, headers={"Origin": "http://127.0.0.1:%d" % self.f.probe_port})
        self.assertEqual((status, "15 failed deliveries will be sent again" in text), (200, True), text)
        self.assertEqual(len(self.f.volley("replay", "--jobs", "--json").stdout.splitlines()), jobs + 1)
        wait_for("them to arrive", lambda: len(arrived()) == 15, 60, 0.5)

        for act, held in (("hold", True), ("release", False)):
            path = wait_for("the page to offer it", lambda: link(act, "relay4"), 30, 0.5)
            fields = self.form_of(path)[1]
            self.assertEqual(self.f.page("/act", form={**fields, "token": "x" * 64})[0], 403)
            self.assertEqual(self.f.depth()[0]["relay4"]["state"] == "held", not held)
            self.assertEqual(self.f.page("/act", form={**fields, "token": token})[0], 200)
            wait_for("the publisher to hear of it", lambda: (self.f.depth()[0]["relay4"]["state"] == "held") == held, 30, 0.3)

        # It outlives the containers, is in no environment, and redis, another user, can't read it.
        self.f.compose("up", "-d", "--force-recreate", "--no-deps", "setup", "probe")
        wait_for("the page again", lambda: self.f.page("/act?act=replay", check=False)[0] == 200, 60, 0.5)
        self.assertEqual(docker("exec", self.f.containers("probe")[0], "cat", "/run/volley/admin.token").stdout, token)
        self.assertNotIn(token, docker("inspect", self.f.containers("probe")[0]).stdout)
        self.assertNotEqual(docker("exec", self.f.containers("redis")[0], "cat", "/run/volley/admin.token", check=False).returncode, 0)

        # Another one, as docs/containers.md says.
        self.f.compose("run", "--rm", "-T", "setup", "rm /run/volley/admin.token")
        self.f.scale(3)
        self.f.compose("kill", "-s", "HUP", "probe")
        other = wait_for("another token", lambda: docker("exec", self.f.containers("probe")[0], "cat", "/run/volley/admin.token", check=False).stdout, 30, 0.5)
        hold = lambda t: self.f.page("/act", form={"act": "hold", "relay": "relay4", "token": t})[0]
        self.assertNotEqual(other, token)
        wait_for("the old one to be refused", lambda: self.f.page("/act", form={"act": "release", "relay": "relay4", "token": token})[0] == 403, 30, 0.5)
        self.assertEqual((hold(other), self.f.page("/act", form={"act": "release", "relay": "relay4", "token": other})[0]), (200, 200))

    def test_6_publisher_and_prober_reach_tor_and_nothing_else(self):
        tor, outside = self.f.address("tor", "inside"), self.f.address("tor", "outside")
        relay, ingest, page = self.f.address("relay1", "outside"), self.f.address("ingest", "front"), self.f.address("probe", "front")
        self.f.compose("--profile", "direct", "up", "-d", "--scale", "publisher=3", DIRECT)
        only6 = self.f.address(DIRECT, "direct", "GlobalIPv6Address")
        only6_v4 = self.f.address(DIRECT, "direct")
        wanted = {"tcp": [[relay, PORT], [only6, PORT], [only6_v4, PORT + 1], [ingest, 7787], [outside, 9050]], "udp": [[relay, 9], [only6, 9]], "ping": [relay, only6, outside]}

        def tries(container, question):
            """What somebody in this container's network can do, without any capability."""
            return json.loads(docker("run", "--rm", "-i", "--network", "container:" + container, "--cap-drop", "ALL", "--label", "com.docker.compose.project=" + self.f.name,
                                     "-v", "%s:/try.py:ro" % TRY, self.f.images["PRACTICE_IMAGE"], "python3", "/try.py", stdin=json.dumps(question), seconds=120).stdout)

        # Who has a way out can do all of this: so the tries mean something.
        can = tries(self.f.containers("relay2")[0], {"tcp": [[relay, PORT], [outside, 9050]], "udp": [[relay, 9]], "ping": [relay, outside]})
        self.assertEqual(can["tcp"], ["connected", "connected"])
        self.assertEqual((can["udp"], can["ping"]), (["refused"], ["answered", "answered"]))
        can = tries(self.f.containers(DIRECT)[0], {"tcp": [[only6, PORT]], "ping": [only6]})
        self.assertEqual((can["tcp"], can["ping"]), (["connected"], ["answered"]))

        # Of tor itself the SOCKS ports; it listens nowhere else.
        self.assertEqual(self.f.listening("tor"), SOCKS)
        others = [9051, 9999, 80]
        wanted["tcp"].append([page, 7788])
        for service in ("publisher", "prober"):
            container = self.f.containers(service)[0]
            can = tries(container, dict(wanted, name="volley-test.invalid"))
            for how in ("tcp", "udp", "ping"):
                for target, end in zip(wanted[how], can[how]):
                    self.assertNotIn(end, ("connected", "answered", "refused"), "%s: %s to %s" % (service, how, target))
            self.assertEqual(tries(container, {"tcp": [[tor, port] for port in SOCKS + others]})["tcp"], ["connected"] * len(SOCKS) + ["refused"] * len(others), service)
            self.assertNotIn(can["name"], ("no such name", "answered"), service)  # nobody was asked
            self.assertEqual(can["addresses6"], [], service)  # no IPv6 at all on a network without a way out
            self.assertEqual(self.f.listening(service), [], service)

    def test_7_the_direct_profile_reaches_a_relay_with_nothing_but_ipv6(self):
        self.f.compose("--profile", "direct", "up", "-d", "--scale", "publisher=3", DIRECT, "publisher-direct")
        self.assertEqual(self.f.post(100, "direct")["accepted"], 100)
        self.f.wait_drained(RELAYS + [DIRECT])
        self.check_arrived("direct", relays=[DIRECT])
        counts = self.f.counts(DIRECT)
        self.assertEqual((counts["connections_ipv4"], counts["connections_ipv6"] > 0), (0, True), counts)
        self.assertEqual(self.f.depth()[0][DIRECT]["family"], "ipv6")

    def test_7_the_page_shows_what_the_prober_finds_and_dials_nothing(self):
        page, ratio = self.f.containers("probe")[0], 'volley_probe_success_ratio{relay="%s"'
        peers = set()

        def rows(relay, family=""):
            """What the page has of the prober's tries of this relay. Whom the page has to do with is noted on the way."""
            peers.update(self.f.peers(page, 7788))
            return [v for k, v in self.f.metrics("/metrics/relays").items() if k.startswith(ratio % self.f.url(relay)) and 'family="%s' % family in k]

        self.assertEqual([r for r in RELAYS if rows(r) or self.f.counts(r)["reads"]], [])  # not begun
        self.f.write_relays("30s")
        self.f.compose("kill", "-s", "HUP", "prober")
        wait_for(lambda: "each relay to be tried\n%s\n%s" % (self.f.page("/metrics/relays", check=False)[1], self.f.logs("prober", "probe", "tor")),
                 lambda: all(any(rows(r, "ipv4")) for r in RELAYS), 150, 0.5)
        self.assertEqual([r for r in RELAYS if self.f.counts(r)["reads"] == 0], [])  # as they themselves counted
        self.assertEqual(rows(DIRECT), [])  # it is not to be tried from there, so nothing is said of it
        self.f.write_relays()
        self.f.compose("kill", "-s", "HUP", "prober")

        status, text = self.f.page("/")
        self.assertEqual((status, [r for r in RELAYS if self.f.url(r) not in text and r not in text]), (200, []))
        self.assertEqual(text.count("probe, ipv4 by tor: "), len(RELAYS))
        wait_for(lambda: "health: %s" % (self.f.page("/healthz", check=False),), lambda: self.f.page("/healthz", check=False)[0] == 200, 60, 0.5)
        heard, refused = 'volley_heartbeat_timestamp_seconds{service="ingest"}', 'volley_ingest_events_total{result="refused"}'
        wait_for(lambda: "the page to hear of ingest\n" + self.f.page("/metrics", check=False)[1], lambda: heard in self.f.metrics(), 60, 0.5)
        before = self.f.metrics()[refused]
        self.assertEqual(self.f.post(5, "stranger", "--seed", 2)["refused"], 5)
        wait_for(lambda: "what ingest counts\n" + self.f.page("/metrics", check=False)[1], lambda: self.f.metrics().get(refused) == before + 5, 60, 0.5)
        peers.update(self.f.peers(page, 7788))
        redis = (self.f.address("redis", "store"), 6379)
        self.assertEqual(peers - {redis} - {(self.f.address("ingest", network), 7787) for network in ("store", "front")}, set())
        self.assertIn(redis, peers)  # so there is something to be seen

    def test_8_all_is_well_and_nothing_runs_as_root(self):
        services = ("redis", "tor", "ingest", "publisher", "publisher-direct", "prober", "probe")
        self.f.compose("--profile", "direct", "up", "-d", "--scale", "publisher=3", "publisher-direct")
        for service in services:
            for c in self.f.containers(service):
                wait_for(lambda: "%s to be healthy: %s" % (service, self.f.inspect(c, ".State.Health")), lambda: self.f.inspect(c, ".State.Health.Status") == "healthy", 60, 0.5)
                with open("/proc/%d/status" % self.f.inspect(c, ".State.Pid")) as f:
                    status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
                self.assertNotIn("0", status["Uid"].split(), service)
                self.assertEqual({status[k] for k in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")}, {"0" * 16}, service)
                self.assertEqual(status["NoNewPrivs"], "1", service)
                self.assertTrue(self.f.inspect(c, ".HostConfig.ReadonlyRootfs"), service)
                self.assertGreater(self.f.inspect(c, ".HostConfig.Memory"), 0, service)
                self.assertGreater(self.f.inspect(c, ".HostConfig.PidsLimit"), 0, service)
        password = docker("exec", self.f.containers("redis")[0], "cat", "/run/volley/redis.password").stdout.strip()
        self.assertEqual(len(password), 64)
        for service in services:
            for c in self.f.containers(service):
                self.assertNotIn(password, docker("inspect", c).stdout)
                with open("/proc/%d/cmdline" % self.f.inspect(c, ".State.Pid")) as f:
                    self.assertNotIn(password, f.read())
        published = {b["HostIp"] for c in docker("ps", "-q", "--filter", "label=com.docker.compose.project=" + self.f.name).stdout.split()
                     for ports in (self.f.inspect(c, ".NetworkSettings.Ports") or {}).values() for b in ports or []}
        self.assertEqual(published, {"127.0.0.1"})
        ping = docker("exec", self.f.containers("publisher")[0], "ping", "-c", "1", "-W", "5", "tor", check=False)
        self.assertEqual(ping.returncode, 0, ping.stderr)

    def test_9_a_missing_public_key_is_named_in_one_line(self):
        words = list(compose_words()) + ["--env-file", os.path.join(ROOT, ".env.example"), "-f", os.path.join(ROOT, "compose.yaml"), "config"]
        r = run(words, check=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertEqual(len(r.stderr.splitlines()), 1, r.stderr)
        self.assertIn("VOLLEY_INGEST_ALLOW_PUBKEYS", r.stderr)


if __name__ == "__main__":
    main()
