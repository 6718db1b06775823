"""The dashboard in a real headless Chromium, and what the probe serves besides: true figures, nothing from outside taken for markup,
actions for the holder of the token alone."""
import concurrent.futures
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from dashboard import EVIL, TOKEN, DashboardScenario
from harness import Process, main, wait_for


class Dashboard(DashboardScenario):
    def test_numbers_are_those_of_depth_and_move_by_themselves(self):
        practice, v, url = self.pipeline(["fine:dual", "held:v4", "dead:v4"], {"dead": "down"}, token=False)
        self.hold(v, practice.urls["held"])
        v.post(50)
        b = self.browser()
        b.open(url)
        b.run("window.untouched = true")

        def same():
            wanted = self.expected(v)
            got = self.shown(b)
            return got == wanted and self.expected(v) == wanted and wanted["rows"][practice.urls["fine"]]["delivered"] == 50

        wait_for(lambda: "the page to show the depths: %s, not %s" % (self.shown(b), self.expected(v)), same, 60, 0.3)
        self.assertEqual(self.shown(b)["waiting"], 100)
        v.post(70, name="more")  # nobody reloads the page
        wait_for(lambda: "the page to move: %s" % self.shown(b), lambda: self.shown(b)["rows"][practice.urls["fine"]]["delivered"] == 120, 60, 0.3)
        self.assertTrue(b.run("return window.untouched"), "the page was loaded anew")
        self.assertEqual(self.shown(b)["accepted"], 120)
        # The probe goes: the page says so; it comes again: the page goes on.
        self.assertTrue(b.run("return document.getElementById('lost').hidden"))
        self.assertIn("depth", b.text("footer"))
        v.stop()
        wait_for("the page to say that nobody answers", lambda: not b.run("return document.getElementById('lost').hidden"), 60, 0.3)

    def test_what_others_say_is_text(self):
        practice, v, url = self.pipeline(["no:v4", "odd:v4"], {"no": "refuse=blocked: <img src=x onerror=alert(1)><script>document.title='x'</script>"}, names={"no": EVIL})
        v.post(5)
        b = self.browser()

        def there():
            b.open(url)
            return "<img src=x onerror" in (b.text(".failed .words") or "")

        wait_for(lambda: "the relay's words: " + self.get(url)[1][-3000:], there, 60, 0.3)
        self.assertEqual(b.run("return document.querySelectorAll('main img, main script, main b#evil').length"), 0)
        self.assertIn(EVIL, b.run("return [...document.querySelectorAll('tr .name')].map(e => e.textContent)"))
        self.assertEqual(b.run("return document.title"), "volley")
        for path in ("/", "/sections", "/act?act=replay&relay=" + urllib.parse.quote(EVIL), "/act?act=" + urllib.parse.quote(EVIL), "/receipt?id=" + urllib.parse.quote(EVIL)):
            text = self.get(url + path)[1]
            self.assertNotIn("<b/id", text, path)
            self.assertNotIn("<img", text, path)

    def test_replay_from_the_page(self):
        practice, v, url = self.pipeline(["no:v4"], {"no": "refuse=blocked: not today"})
        v.post(12)
        b = self.browser()

        def offered():
            b.open(url)
            return b.run("return document.querySelectorAll('.failed .act').length")

        wait_for("a replay to be offered", offered, 60, 0.3)
        practice.set("no", "ok")
        b.click(".failed .act")
        self.says(b, "12 failed deliveries would be sent again")
        self.assertEqual(practice.counts("no")["accepted"], 0)
        b.type("#token", "not-the-token-at-all")
        b.click("button")
        self.says(b, "not the admin token")
        b.open(url + "/act?act=replay&relay=no&class=blocked")
        b.type("#token", TOKEN)
        b.click("button")
        self.says(b, "Job 1: 12 failed deliveries will be sent again")
        wait_for("them to arrive", lambda: practice.counts("no")["accepted"] == 12, 60, 0.2)
        # A receipt, by id, from the form.
        b.open(url)
        b.type("#receipt-id", v.posted()[0][0])
        b.click(".receipt button")
        self.says(b, "event " + v.posted()[0][0])
        self.assertIn("delivered", b.text("pre"))

    def test_words_of_each_kind_of_failure_however_many_there_are(self):
        practice, v, url = self.pipeline(["many:v4", "few:v4"], {"many": "refuse=blocked: far too many | restricted: and others", "few": "refuse=pow: 30 bits, please"})
        v.post(1100)
        v.wait_drained()
        wait_for(lambda: "the words: " + self.get(url)[1], lambda: all(words in self.get(url)[1] for words in ("blocked: far too many", "restricted: and others", "pow: 30 bits, please")), 60, 0.5)
        self.assertIn('<data value="1100">1100</data></td><td role="cell" class="words" data-label="the relay said">pow: 30', self.get(url)[1])

    def test_who_may_not_act(self):
        practice, v, url = self.pipeline(["no:v4"], {"no": "refuse=blocked: not today"})
        v.post(3)
        wait_for("failures", lambda: v.depth()[1]["failed"] == 3, 60)
        host = urllib.parse.urlsplit(url).netloc
        form = {"act": "replay", "relay": "no", "class": "blocked"}
        rows = [
            ("no token", {}, {}, 403),
            ("a wrong one", {"token": TOKEN + "x"}, {}, 403),
            ("another page's form", {"token": TOKEN}, {"Origin": "http://evil.example"}, 403),
            ("the browser says cross-site", {"token": TOKEN}, {"Sec-Fetch-Site": "cross-site"}, 403),
            ("another port's page", {"token": TOKEN}, {"Origin": "http://127.0.0.1:1"}, 403),
            ("a name that points here", {"token": TOKEN}, {"Host": "evil.example"}, 403),
            ("a name that points here, and its page", {"token": TOKEN}, {"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ]
        for name, more, headers, status in rows:
            got, text, _ = self.get(url + "/act", headers, urllib.parse.urlencode({**form, **more}).encode())
            self.assertEqual(got, status, (name, text))
        # What can't be read means nothing, never "all".
        for field in ("relay=%zz", "relay=%00no", "relay=no&class=%", "class=" + "blocked," * 30, "relay=" + "x" * 3000):
            got, text, _ = self.get(url + "/act", {}, ("act=replay&token=%s&%s" % (TOKEN, field)).encode())
            self.assertEqual(got, 400, (field, text))
        for path in ("/act?act=replay&relay=%00", "/act?act=replay&relay=no&class=" + "blocked," * 30, "/api/failed?relay=%00no", "/api/failed?class=%00"):
            self.assertEqual(self.get(url + path)[0], 400, path)
        self.assertEqual(self.get(url + "/act", {}, b"x" * 20000)[0], 413)
        self.assertEqual(self.get(url + "/", {"Host": "evil.example"})[0], 403)
        self.assertEqual(self.get(url + "/", {"X-Forwarded-For": "192.0.2.1"})[0], 401)
        self.assertEqual(self.get(url + "/", {"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer " + TOKEN})[0], 200)
        self.assertEqual(self.get(url + "/", {"Content-Length": "0"}, b"", "POST")[0], 405)
        self.assertIn("3 failed deliveries would be sent again (all that failed)", self.get(url + "/act?act=replay")[1])
        self.assertEqual(self.get(url + "/act?act=replay&relay=no")[0], 200)  # reading counts, and changes nothing
        self.assertEqual(v.run("replay", "--jobs", "--json").stdout, "")
        # Who holds it may, from a program as well.
        status, text, headers = self.get(url + "/act", {"Authorization": "Bearer " + TOKEN, "Origin": "http://" + host}, urllib.parse.urlencode({"act": "hold", "relay": "no"}).encode())
        self.assertEqual(status, 200, text)
        wait_for("the publisher to hear of it", lambda: v.depth()[0][practice.urls["no"]]["state"] == "held", 10)

    def test_no_answer_may_be_framed_kept_or_taken_for_another_type(self):
        practice, v, url = self.pipeline(["one:v4"])
        wait_for("all to be well", lambda: self.get(url + "/healthz")[0] == 200, 30, 0.3)
        rows = [("/", {}, 200), ("/sections", {}, 200), ("/style.css", {}, 200), ("/script.js", {}, 200), ("/act?act=hold&relay=one", {}, 200), ("/receipt?id=x", {}, 400), ("/receipt?id=" + "0" * 64, {}, 404), ("/api/depth", {}, 200), ("/api/relays", {}, 200), ("/api/failed", {}, 200), ("/api/failed?limit=x", {}, 400), ("/metrics", {}, 200), ("/metrics/relays", {}, 200), ("/properties", {}, 200), ("/healthz", {}, 200), ("/nothing", {}, 404), ("/", {"Host": "evil.example"}, 403), ("/", {"Forwarded": "for=192.0.2.1"}, 401)]
        for path, asked, wanted in rows:
            status, _, headers = self.get(url + path, asked)
            self.assertEqual(status, wanted, path)
            for name, value in (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "same-origin"), ("X-Frame-Options", "DENY"), ("Cross-Origin-Resource-Policy", "same-origin")):
                self.assertEqual(headers[name], value, path)
            policy = dict(p.strip().split(" ", 1) for p in headers["Content-Security-Policy"].split(";"))
            self.assertEqual({k: policy[k] for k in ("default-src", "frame-ancestors", "base-uri", "form-action", "script-src")}, {"default-src": "'none'", "frame-ancestors": "'none'", "base-uri": "'none'", "form-action": "'self'", "script-src": "'self'"}, path)
            self.assertEqual((headers["Set-Cookie"], headers["Access-Control-Allow-Origin"]), (None, None), path)
            self.assertEqual(headers["WWW-Authenticate"] is not None, status == 401, path)
        for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "NONSENSE"):
            self.assertEqual(self.get(url + "/act", {}, None, method)[0], 405, method)
        status, text, headers = self.get(url + "/", {}, None, "HEAD")
        self.assertEqual((status, text), (200, ""))

    def test_json_is_the_commands_own(self):
        practice, v, url = self.pipeline(["no:v4", "fine:v4"], {"no": "refuse=blocked: not today"})
        v.post(3)
        v.wait_drained()
        wait_for("the probe to know the relays", lambda: "data-relay" in self.get(url)[1], 30)

        def same(path, *command):
            def look():
                one = v.run(*command).stdout
                two = self.get(url + path)[1]
                return one and one == two and v.run(*command).stdout == one

            wait_for(lambda: "%s to be %s:\n%s%s" % (path, command, self.get(url + path)[1], v.run(*command).stdout), look, 60)

        same("/api/depth", "depth", "--json")
        known = "".join(json.dumps({k: w for k, w in json.loads(line).items() if k != "statistics"}, separators=(",", ":")) + "\n" for line in self.get(url + "/api/relays")[1].splitlines())
        self.assertEqual(known, v.run("relays", "--json").stdout)  # and the statistics: test_dashboard_windows
        same("/api/failed?relay=no&class=blocked", "failed", "--relay", "no", "--class", "blocked", "--json")
        same("/api/failed?relay=no&limit=1", "failed", "--relay", "no", "--limit", "1", "--json")
        event = v.posted()[0][0]
        same("/api/receipt/" + event, "receipt", event, "--json")
        self.assertEqual(self.get(url + "/api/receipt/" + "0" * 64)[0], 404)
        self.assertEqual(self.get(url + "/api/receipt/abc")[0], 400)
        self.assertEqual(self.get(url + "/api/failed?relay=nobody")[0], 400)
        self.assertEqual(self.get(url + "/api/failed?class=nonsense")[0], 400)
        self.assertEqual(self.get(url + "/api/failed?limit=x")[0], 400)
        self.assertEqual(self.get(url + "/nothing")[0], 404)

    def test_health_tells_of_delivery_not_of_processes(self):
        practice, v, url = self.pipeline(["one:v4", "two:v4"], {"one": "down", "two": "down"})
        v.post(2)
        wait_for("nobody to be reached", lambda: self.get(url + "/healthz")[0] == 503 and "no relay can be reached" in self.get(url + "/healthz")[1], 90, 0.3)
        practice.set("two", "ok")
        wait_for("one to be enough", lambda: self.get(url + "/healthz")[:2] == (200, "ok\n"), 90, 0.3)
        self.assertEqual(self.get(url + "/healthz", {"Host": "10.0.0.1"})[:2], (200, "ok\n"))
        self.assertIn("version: 2", self.get(url + "/properties")[1])

    def test_a_queue_that_is_away_is_said_and_what_was_known_stays(self):
        practice = self.practice("held:v4")
        v = self.volley(list(practice.urls.values()))
        v.start_all()
        v.start("probe")
        url = v.probe()
        self.hold(v, practice.urls["held"])
        v.post(7)
        wait_for("seven to wait", lambda: "volley_queue_waiting 7\n" in self.get(url + "/metrics")[1], 60, 0.3)
        v.services["queue"].kill()
        v.services["queue"].wait()
        wait_for("it to be said", lambda: 'role="alert">the queue does not answer' in self.get(url)[1], 60, 0.3)
        text = self.get(url)[1]
        self.assertRegex(text, r'id="total-waiting"><data value="7">')
        self.assertRegex(text, r"what was known, \d+s ago")
        self.assertEqual(self.get(url + "/healthz")[0], 503)
        self.assertEqual(self.get(url + "/api/depth")[0], 503)
        metrics = self.get(url + "/metrics")[1]
        self.assertIn("volley_queue_up 0\n", metrics)
        self.assertNotIn("volley_queue_waiting", metrics)
        v.start("queue")
        wait_for("it to be back", lambda: "volley_queue_waiting 7\n" in self.get(url + "/metrics")[1] and "volley_queue_up 1\n" in self.get(url + "/metrics")[1], 60, 0.3)
        v.stop()

    def test_it_ends_cleanly_while_somebody_waits_for_the_queue(self):
        practice = self.practice("one:v4")
        v = self.volley(list(practice.urls.values()))
        v.start_all()
        probe = v.start("probe")
        url = v.probe()
        v.services["queue"].kill(signal.SIGSTOP)
        try:
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                asked = [pool.submit(self.get, url + path) for path in ("/api/depth", "/api/relays", "/api/failed", "/api/receipt/" + "0" * 64)]
                self.assertEqual(concurrent.futures.wait(asked, 1).done, set(), "they wait")
                self.assertEqual(probe.stop(), 0)
                for answer in asked:
                    self.assertEqual(answer.result()[0], 503)
        finally:
            v.services["queue"].kill(signal.SIGCONT)
        v.stop()

    def test_who_may_read_changes_with_a_reload(self):
        practice, v, url = self.pipeline(["one:v4"])
        self.assertEqual(self.get(url, {"Host": "volley.test:1"})[0], 403)
        v.keys["probe.hosts"] = "volley.test"
        v.write_config()
        v.services["up"].kill(signal.SIGHUP)
        wait_for("the new name to be known", lambda: self.get(url, {"Host": "volley.test:1"})[0] == 200, 30)
        self.assertEqual(self.get(url, {"Host": "other.test"})[0], 403)
        self.assertEqual(self.get(url, {"Host": "volley.test", "Forwarded": "for=192.0.2.1"})[0], 401)
        v.keys["probe.open"] = "yes"
        v.write_config()
        v.services["up"].kill(signal.SIGHUP)
        wait_for("all to read", lambda: self.get(url, {"Host": "volley.test", "Forwarded": "for=192.0.2.1"})[0] == 200, 30)
        self.assertEqual(self.get(url + "/act", {}, b"act=hold&relay=one")[0], 403)

    def test_it_answers_again_after_it_was_out_of_descriptors(self):
        practice = self.practice("one:v4")
        v = self.volley(list(practice.urls.values()))
        v.start_all()
        few = os.path.join(self.folder, "few")
        with open(few, "w") as f:
            f.write('#!/bin/sh\nulimit -n 48; exec %s "$@"\n' % v.program)
        os.chmod(few, 0o755)
        v.services["probe"] = Process([few, "probe", "-c", v.config], os.path.join(v.folder, "probe.log"))
        url = v.probe()
        host, port = urllib.parse.urlsplit(url).netloc.split(":")
        crowd = [socket.create_connection((host, int(port)), 10) for _ in range(60)]
        time.sleep(1)  # so many were let in as there are descriptors
        for c in crowd:
            c.close()
        wait_for("the probe to answer", lambda: self.get(url + "/healthz", seconds=5)[0] == 200, 30, 0.3)
        v.stop()

    def test_what_others_can_reach_needs_a_token(self):
        v = self.volley([], keys={"probe.listen": "0.0.0.0:0"})
        r = v.run("probe")
        self.assertEqual(r.returncode, 2, r.stderr)
        self.assertIn("probe.admin_token_file", r.stderr)
        path = os.path.join(self.folder, "token")
        with open(path, "w") as f:
            f.write("too-short")
        os.chmod(path, 0o600)
        for name, words in ((path, "at least 16 characters"), (path + "-none", "token-none")):
            r = v.run("probe", "--set", "probe.listen=127.0.0.1:0", "--set", "probe.admin_token_file=" + name)
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn("probe.admin_token_file", r.stderr)
            self.assertIn(words, r.stderr)
            self.assertNotIn("too-short", r.stderr)


if __name__ == "__main__":
    main()
