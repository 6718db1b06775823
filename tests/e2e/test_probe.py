"""`volley test`: each relay once by each family, and what the publisher would use; never more than was asked for."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, figure, main, wait_for
from test_ctl import Terminal, columns, plain

STANCES = ("dual", "dead6", "refused6", "refused4", "v4", "v6")


class Http:
    """Answers every request on loopback with the same bytes."""

    def __init__(self, answer):
        self.s = socket.socket()
        self.s.bind(("127.0.0.1", 0))
        self.s.listen(16)
        self.answer, self.port = answer, self.s.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            with c:
                c.recv(65536)
                if self.answer is not None:
                    c.sendall(self.answer)

    def stop(self):
        self.s.close()


class OneShot(Scenario):
    def http(self, answer):
        h = Http(answer)
        self.started.append(h)
        return h

    def rows(self, v, *args, status=0):
        r = v.run("test", "--json", *args)
        self.assertEqual(r.returncode, status, r.stderr)
        return {row["name"] or row["relay"]: row for row in map(json.loads, r.stdout.splitlines())}

    def stances(self, **keys):
        relays = self.practice(*["%s:%s" % (s, s) for s in STANCES])
        v = self.volley([{"url": url, "name": name} for name, url in relays.urls.items()], keys=dict({"publisher.connect_timeout": "3s"}, **keys))
        return relays, v

    def test_each_family_of_each_relay_is_told_for_itself(self):
        relays, v = self.stances()
        began = time.monotonic()
        rows = self.rows(v)
        self.assertLess(time.monotonic() - began, 10, "relays are tested at the same time")
        self.assertEqual(list(rows), list(STANCES), "in the order of the list")
        got = {name: {f["family"]: f["failure"] or "ok" for f in row["families"]} for name, row in rows.items()}
        self.assertEqual(got["dual"], {"ipv6": "ok", "ipv4": "ok"})
        self.assertEqual(got["dead6"], {"ipv6": "timeout", "ipv4": "ok"})
        self.assertEqual(got["refused6"], {"ipv6": "refused", "ipv4": "ok"})
        self.assertEqual(got["refused4"], {"ipv6": "ok", "ipv4": "refused"})
        self.assertEqual((got["v4"], got["v6"]), ({"ipv4": "ok"}, {"ipv6": "ok"}))
        self.assertEqual({n: r["would_use"] for n, r in rows.items()}, {"dual": "ipv6", "dead6": "ipv4", "refused6": "ipv4", "refused4": "ipv6", "v4": "ipv4", "v6": "ipv6"})
        six = rows["dual"]["families"][0]
        self.assertEqual((six["address"], six["tls_ms"], six["certificate_days"], rows["dual"]["route"]), ("::1", None, None, "direct"))
        self.assertTrue(six["connect_ms"] > 0 and six["websocket_ms"] > 0)
        self.assertEqual([relays.counts(n)["events"] for n in STANCES], [0] * 6, "nothing is published")

    def test_what_was_learned_comes_from_the_queue(self):
        relays, v = self.stances(**{"publisher.demote_after": 1, "publisher.idle_close": "100ms"})
        self.assertEqual({(r["learned"], r["head_start_ms"]) for n, r in self.rows(v, "dual", "dead6").items()}, {(None, 300)})
        v.up()
        v.post(1, "--seed", 1)
        v.wait_drained()
        wait_for("the links to be closed", lambda: all(l["state"] == "idle" for l in v.depth()[0].values()), 10)
        rows = self.rows(v, "dual", "dead6")
        self.assertEqual((rows["dual"]["first"], rows["dual"]["learned"]["family"]), ("ipv6", "ipv6"))
        self.assertEqual((rows["dead6"]["first"], rows["dead6"]["would_use"], rows["dead6"]["learned"]["ipv6_failures"]), ("ipv4", "ipv4", 1))
        self.assertIn("IPv4 first: it won 1 times in a row", rows["dead6"]["why"])
        self.assertGreater(rows["dead6"]["learned"]["ipv4_first_until"], time.time())
        v.stop()

    def test_what_is_no_relay_is_told_apart(self):
        page = self.http(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        busy = self.http(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        mute = self.http(None)
        v = self.volley([{"url": "ws://127.0.0.1:%d" % h.port, "name": n} for n, h in (("page", page), ("busy", busy), ("mute", mute))] + [{"url": "ws://127.0.0.1:1", "name": "closed"}, {"url": "wss://127.0.0.1:%d" % page.port, "name": "no-tls"}])
        rows = self.rows(v, status=1)
        self.assertEqual({n: r["families"][0]["failure"] for n, r in rows.items()}, {"page": "no_websocket", "busy": "http", "mute": "no_websocket", "closed": "refused", "no-tls": "tls"})
        self.assertEqual(rows["busy"]["families"][0]["http_status"], 503)
        deaf = self.practice("deaf:v4:0:silent")
        row = self.rows(v, deaf.urls["deaf"], status=1)[deaf.urls["deaf"]]
        self.assertEqual((row["reached"], row["families"][0]["ok"], row["families"][0]["failure"], row["families"][0]["reason"]), (False, False, "timeout", "no answer to a REQ in time"))
        self.assertTrue(all(not r["reached"] and r["would_use"] is None for r in rows.values()))

    def test_the_table_fits_a_terminal_and_shows_its_progress(self):
        relays, v = self.stances()
        t = Terminal([v.program, "test", "-c", v.config])
        t.until("of 6 relays tested")
        status, out = t.finish()
        shown = plain(out[out.index("RELAY"):])
        lines = shown.splitlines()
        self.assertEqual(status, 0)
        self.assertLessEqual(max(columns(line) for line in lines), 80, shown)
        self.assertRegex(lines[0], r"^RELAY +FAMILY RESULT +DNS CONNECT +TLS +WS READ NIP-11")
        self.assertRegex(shown, r"(?m)^dead6 +ipv6 +timeout")
        self.assertRegex(shown, r"(?m)^ +connect: timeout after 3 s")
        self.assertRegex(shown, r"(?m)^  dead6: ipv4 \(IPv6 first")
        self.assertIn("The queue does not answer", shown)
        self.assertNotIn("of 6 relays tested", shown, "the progress line is gone")
        r = v.run("test", "dual")
        self.assertEqual((r.returncode, r.stderr), (0, ""), "no progress where there is no terminal")

    def test_another_route_must_be_typed_and_tor_is_never_left(self):
        relays = self.practice("dual:dual", "v4:v4")
        dead = self.http(None)
        v = self.volley(["ws://192.0.2.1:7777"], keys={"publisher.route": "tor", "tor.socks": "any=127.0.0.1:%d" % dead.port})
        rows = self.rows(v, relays.urls["dual"], relays.urls["v4"], "ws://r.invalid", status=1)
        for url in (relays.urls["dual"], relays.urls["v4"]):
            self.assertEqual((rows[url]["route"], rows[url]["families"][0]["failure"]), ("tor", "not_tried"))
            self.assertIn("route: direct", rows[url]["families"][0]["reason"])
        self.assertEqual([f["failure"] for f in rows["ws://r.invalid"]["families"]], ["tor"])
        self.assertEqual([relays.counts(n)["connections_ipv4"] + relays.counts(n)["connections_ipv6"] for n in ("dual", "v4")], [0, 0])
        direct = self.rows(v, "--route", "direct", relays.urls["dual"])[relays.urls["dual"]]
        self.assertEqual((direct["route"], direct["publisher_route"], direct["reached"]), ("direct", "tor", True))
        self.assertIsNone(direct["would_use"], "what was tried another way says nothing of it")

    def test_wrong_usage_is_said_in_one_line(self):
        v = self.volley([{"url": "ws://127.0.0.1:1", "name": "home"}])
        for args, words in (
            (("hone",), "no relay is named 'hone' (did you mean home?)"),
            (("xyzzy",), "no relay is named 'xyzzy'; give its URL"),
            (("http://r.example",), "'http://r.example'"),
            (("--route", "moon"), "--route moon: expected tor or direct"),
            (("--route", "tor"), "no tor to go through"),
        ):
            r = v.run("test", *args)
            self.assertEqual((r.returncode, r.stdout, r.stderr.count("\n")), (2, "", 1), r.stderr)
            self.assertIn(words, r.stderr)
        empty = self.volley([])
        self.assertIn("no relay is configured", empty.run("test").stderr)

    def test_ctrl_c_shows_what_was_found_so_far(self):
        relays = self.practice("v4:v4", "mute:v4:0:mute")
        v = self.volley([{"url": u, "name": n} for n, u in relays.urls.items()])
        for args in ((), ("--json",)):
            p = subprocess.Popen([v.program, "test", "-c", v.config, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            want = relays.counts("v4")["reads"] + 1
            wait_for("the good one to be read from", lambda: relays.counts("v4")["reads"] >= want, 10)
            time.sleep(1)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=5)
            self.assertEqual((p.returncode, err), (1, ""))
            self.assertIn("interrupted", out)
            if args:
                rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
                self.assertEqual((rows["v4"]["reached"], rows["mute"]["reached"]), (True, False))
            else:
                self.assertRegex(out, r"(?m)^v4 +ipv4 +ok")

    def test_many_relays_are_tested_some_at_a_time(self):
        relays = self.practice(*["r%d:dead6" % i for i in range(20)], build="release")
        v = self.volley(list(relays.urls.values()), build="release", keys={"publisher.connect_timeout": "1s"})
        began = time.monotonic()
        rows = self.rows(v)
        took = time.monotonic() - began
        figure("volley test, 20 relays whose IPv6 is dead, timeout 1 s: %.1f s" % took)
        self.assertEqual((len(rows), {r["would_use"] for r in rows.values()}), (20, {"ipv4"}))
        self.assertGreater(took, 2.5, "eight at a time")
        self.assertLess(took, 8)


if __name__ == "__main__":
    main()
