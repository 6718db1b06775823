"""What is wrong is said in one clear line, with the right exit status, and no data is touched."""
import hashlib
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, clean_env, main, sign, wait_for


class Errors(Scenario):
    def refused(self, text, expected, status=2, command="check", env=None):
        path = os.path.join(self.folder, "bad.yaml")
        with open(path, "w") as f:
            f.write(text)
        program = os.path.join(os.path.dirname(__file__), "../../build/asan/volley")
        r = subprocess.run([program, command, "-c", path], capture_output=True, text=True, env=clean_env(env), timeout=30)
        self.assertEqual(r.returncode, status, r.stderr)
        self.assertEqual(len(r.stderr.strip().splitlines()), 1, r.stderr)
        self.assertRegex(r.stderr, expected)

    def test_bad_configuration_names_file_line_and_the_nearest_key(self):
        self.refused("ingest:\n  lisen: 1\n", r"bad.yaml:2: unknown key 'ingest.lisen' \(did you mean ingest.listen\?\)")
        self.refused("ingets:\n  listen: 1\n", r"bad.yaml:1: unknown key 'ingets'")
        self.refused("queue:\n  retention: 7 days\n", r"bad.yaml:2: queue.retention: '7 days' is not a duration")
        self.refused("queue:\n  max_bytes: 1\n", r"bad.yaml:2: queue.max_bytes: '1' is out of bounds")
        self.refused("ingest:\n  listen: example.org\n", r"bad.yaml:2: ingest.listen")
        self.refused("ingest:\n  open: maybe\n", r"bad.yaml:2: ingest.open: 'maybe' is not yes or no")
        self.refused("ingest:\n  open: no\n  open: yes\n", r"bad.yaml:3: 'ingest.open' is given twice")
        self.refused("ingest: {open: no}\ningest: {open: yes}\n", r"bad.yaml:2: this section is given twice")
        self.refused("ingest: [\n", r"bad.yaml:\d+: not YAML")
        self.refused("ingest:\n  allow_pubkeys: npub1xyz\n", r"bad.yaml:2: ingest.allow_pubkeys")
        self.refused("", r"VOLLEY_INGEST_LISEN: no such configuration variable \(did you mean ingest.listen\?\)", env={"VOLLEY_INGEST_LISEN": "x"})
        self.refused("", r"VOLLEY_LOG_LEVEL: log.level: 'loud' is not a level", env={"VOLLEY_LOG_LEVEL": "loud"})
        self.refused("a: " + "x" * 2000000, r"larger than \d+ bytes")

    def test_relay_urls_that_are_none(self):
        def relays(text):
            return "publisher:\n  route: direct\n  relays:\n    - %s\n" % text

        self.refused(relays("http://relay.example"), r"bad.yaml:4: relay 'http://relay.example': ")
        self.refused(relays("wss://user:pass@relay.example"), r"bad.yaml:4: relay ")
        self.refused(relays("wss://relay.example/#top"), r"bad.yaml:4: relay ")
        self.refused(relays("'wss://re lay.example'"), r"bad.yaml:4: relay ")
        self.refused(relays("wss://" + "a" * 600 + ".example"), r"bad.yaml:4: relay ")
        self.refused(relays("{ url: relay.example, famly: ipv6 }"), r"bad.yaml:4: unknown key 'famly' of a relay \(did you mean family\?\)")
        self.refused(relays("{ name: x }"), r"bad.yaml:4: a relay without url")
        self.refused(relays("ws://" + "a" * 56 + ".onion"), r"bad.yaml:4: relay .* give this relay 'route: tor'")
        self.refused("publisher:\n  relays: [ws://127.0.0.1:7]\n", r"bad.yaml:2: relay ws://127.0.0.1:7 .*no Tor exit.*route: direct")

    def test_what_the_managed_tor_cannot_live_with_is_refused(self):
        for command in ("up", "publisher"):
            managed = "publisher:\n  relays: [relay.example]\nqueue:\n  data_dir: %s\n"
            self.refused(managed % (self.folder + "/" + "d" * 90), r"sockets need a shorter queue.data_dir", command=command)
            self.refused(managed % ("'%s/a b'" % self.folder), r"managed tor can't live in", command=command)
            self.refused("tor:\n  control: tor:9051\n  socks: any=127.0.0.1:9\n", r"tor.control: 'tor:9051' is not .*names are not resolved", command=command)
            self.refused("tor:\n  control: 127.0.0.1:9051\n", r"tor.control belongs to an existing tor", command=command)
            self.refused("ipv6:\n  test_host: relay.example\n", r"ipv6.test_host: 'relay.example' is not HOST:PORT", command=command)

    def test_onion_relays_and_forty_urls_are_read_right(self):
        onions = ["ws://" + c * 56 + ".onion" for c in "ab"]
        urls = ["wss://relay%d.example/path?x=%d" % (i, i) for i in range(38)] + onions
        path = os.path.join(self.folder, "many.yaml")
        with open(path, "w") as f:
            f.write("tor: {socks: any=127.0.0.1:9050}\nblastr-relays:\n" + "".join("  - %s\n" % u for u in urls) + "publisher:\n  relays: Relay0.Example/path?x=0 wss://relay1.example:443/path?x=1\n")
        program = os.path.join(os.path.dirname(__file__), "../../build/asan/volley")
        r = subprocess.run([program, "check", "--print", "-c", path], capture_output=True, text=True, env=clean_env())
        self.assertEqual(r.returncode, 0, r.stderr)
        printed = [line.split()[1] for line in r.stdout.splitlines() if line.startswith("relay ")]
        self.assertEqual(sorted(printed), sorted(urls))
        r = subprocess.run([program, "check", "-c", path], capture_output=True, text=True, env=clean_env())
        self.assertEqual(r.stdout.count("is given twice; counted once"), 2)

    def test_an_unreachable_queue(self):
        v = self.volley([])
        for command in (["depth"], ["receipt", "0" * 64]):
            r = v.run(*command)
            self.assertEqual(r.returncode, 1)
            self.assertRegex(r.stderr, r"does not answer; is 'volley up' \(or 'volley queue'\) running\?")
        r = v.run("check")
        self.assertEqual(r.returncode, 1)
        self.assertIn("error    queue:", r.stdout)
        v.start("ingest")
        self.assertEqual(v.health(), 503)
        c = v.client()
        ok, text = c.post(sign((7, int(time.time()), 1, [], "hello"))[0])
        self.assertFalse(ok)
        self.assertRegex(text, "^error: ")
        v.stop()

    def test_in_a_container_a_secret_keeps_the_mode_it_has_on_the_host(self):
        path = os.path.join(self.folder, "auth.key")
        with open(path, "w") as f:
            f.write("%064x\n" % 7)
        os.chmod(path, 0o644)
        v = self.volley(["ws://127.0.0.1:9"], keys={"publisher.auth_key_file": path})
        v.start("queue")
        p = v.start("publisher", env={"container": "podman"})
        wait_for(lambda: "the publisher to run\n" + p.log(), lambda: "publisher ready" in p.log(), 20)
        v.stop()

    def test_a_second_broker_on_the_same_data_directory(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        v.start("queue")
        r = v.run("queue")
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stderr, "another process|in use|locked")
        v.stop()

    def damaged(self, damage, expected):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        v.up()
        v.post(50, "--seed", 8)
        v.wait_drained()
        v.stop()
        path = os.path.join(v.data, "data.mdb")
        damage(path)
        with open(path, "rb") as f:
            before = hashlib.sha256(f.read()).hexdigest()
        r = v.run("queue")
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertRegex(r.stderr, expected)
        with open(path, "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).hexdigest(), before, "no data is touched")

    def test_a_truncated_store(self):
        self.damaged(lambda path: os.truncate(path, os.path.getsize(path) // 2), "cut short")

    def test_a_corrupt_store(self):
        def garbage(path):
            with open(path, "r+b") as f:
                f.write(os.urandom(8192))

        self.damaged(garbage, "corrupt|damaged|not a store")

    def test_an_over_long_line(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        v.up()
        c = v.client()
        try:
            c.send('["EVENT",{"content":"' + "x" * 3000000 + '"}]')
        except OSError:
            pass  # cut while sending: as good
        else:
            answer = c.receive()
            self.assertTrue(answer == ("close", 1009) or answer[0] in ("close", "NOTICE", "OK"), answer)
        c = v.client()
        self.assertEqual(c.post(sign((7, int(time.time()), 1, [], "still here"))[0]), (True, ""))
        v.stop()

    def test_wrong_usage(self):
        v = self.volley([])
        for args, text in ((["dept"], "no command 'dept' .did you mean depth"), (["receipt"], "what is missing: ID"), (["receipt", "xyz"], "volley receipt: ."), (["depth", "--jso"], "unknown option '--jso'"), (["depth", "x"], "one argument too many")):
            r = v.run(*args)
            self.assertEqual(r.returncode, 2, args)
            self.assertRegex(r.stderr, text)
            self.assertEqual(len(r.stderr.strip().splitlines()), 1)


class Nothing(Scenario):
    def test_without_relays_everything_is_refused_and_up_says_what_to_do(self):
        v = self.volley([])
        v.up()
        wait_for("the advice", lambda: "publisher.relays" in v.services["up"].log(), 10)
        c = v.client()
        ok, text = c.post(sign((7, int(time.time()), 1, [], "hello"))[0])
        self.assertFalse(ok)
        self.assertRegex(text, "^error: .*relay")
        v.stop()

    def test_before_any_publisher_came_events_are_refused(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        v.start("queue")
        v.start("ingest")
        c = v.client()
        event = sign((7, int(time.time()), 1, [], "hello"))[0]
        wait_for("a refusal that names the reason", lambda: c.post(event)[1].startswith("error: no relay"), 10)
        self.assertEqual(relays.accepted("a"), [])
        v.stop()

    def test_ingest_started_before_the_publisher_loses_nothing(self):
        relays = self.practice("a:v4", "b:v6")
        v = self.volley(list(relays.urls.values()))
        v.start_all()
        v.services["publisher"].stop()
        v.services["ingest"].stop()
        v.services["queue"].stop()
        v.start("queue")
        v.start("ingest")
        post = v.post(500, "--seed", 4, "--rate", 50, background=True)
        time.sleep(10)
        self.assertEqual(relays.counts("a")["events"], 0)
        v.start("publisher")
        post.wait()
        v.wait_drained()
        for name in relays.urls:
            self.assertEqual(relays.accepted(name), [e for _, _, e in v.posted()])
        v.stop()


if __name__ == "__main__":
    main()
