"""`volley health`: what containers ask. One line, and exit status 0 only while the service does its work."""
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, free_port, main, wait_for


class Health(Scenario):
    def judge(self, v, *args):
        """(well, the line)."""
        r = v.run("health", *args)
        text = r.stdout + r.stderr
        self.assertIn(r.returncode, (0, 1), text)
        self.assertEqual(len(text.splitlines()), 1, text)
        self.assertEqual(r.returncode == 0, text.startswith("ok: "), text)
        return r.returncode == 0, text

    def until(self, v, well, *args):
        return wait_for(lambda: "health %s to say %s: %s" % (args, well, self.judge(v, *args)), lambda: self.judge(v, *args)[0] == well and self.judge(v, *args)[1], 40)

    def test_each_service_is_judged_by_what_it_does(self):
        p = self.practice("a:v4", "b:v4")
        v = self.volley([p.urls["a"], p.urls["b"]])
        for service in ("queue", "ingest", "publisher"):
            self.assertFalse(self.judge(v, service)[0], service)
        self.assertFalse(self.judge(v)[0])

        v.start("queue")
        self.assertTrue(self.judge(v)[0])
        self.assertTrue(self.judge(v, "queue")[0])
        v.start("ingest")
        self.assertIn("no relays are configured", self.judge(v, "ingest")[1])  # it listens, and can take nothing
        v.start("publisher")
        v.wait_lanes()
        self.until(v, True, "ingest")
        self.assertIn("2 of 2 relays are ours", self.until(v, True, "publisher"))

        v.services["publisher"].kill(19)  # it hangs: its leases end
        self.assertIn("2 of 2 relays have no publisher", self.until(v, False, "publisher"))
        v.services["publisher"].kill(18)
        self.until(v, True, "publisher")

        v.services["queue"].kill()
        v.services["queue"].wait()
        for service in ("queue", "ingest", "publisher"):
            self.assertFalse(self.judge(v, service)[0], service)

    def test_tor_is_judged_by_its_ports(self):
        v = self.volley([])
        self.assertIn("none is configured", self.judge(v, "tor")[1])
        port = free_port()
        v.keys["tor.socks"] = "any=127.0.0.1:%d" % port
        v.write_config()
        self.assertFalse(self.judge(v, "tor")[0])
        with socket.create_server(("127.0.0.1", port)) as s:
            def answer():
                c, _ = s.accept()
                with c:
                    c.recv(4)
                    c.sendall(b"\x05\x00")

            t = threading.Thread(target=answer)
            t.start()
            self.assertTrue(self.judge(v, "tor")[0])
            t.join(10)

    def test_the_probe_is_judged_by_what_it_says_of_delivery(self):
        p = self.practice("a:v4")
        v = self.volley([p.urls["a"]])
        v.keys["probe.listen"] = "127.0.0.1:%d" % free_port()
        v.write_config()
        self.assertFalse(self.judge(v, "probe")[0])
        v.start("queue")
        v.start("probe")
        self.assertIn("HTTP 503", wait_for("the probe to listen", lambda: "HTTP" in self.judge(v, "probe")[1] and self.judge(v, "probe")[1], 20))
        v.start("publisher")
        v.start("ingest")
        v.wait_lanes()
        self.assertIn("events are delivered", self.until(v, True, "probe"))

    def test_another_service_is_wrong_usage(self):
        v = self.volley([])
        r = v.run("health", "nix")
        self.assertEqual((r.returncode, "queue ingest publisher probe tor" in r.stderr), (2, True), r.stderr)


if __name__ == "__main__":
    main()
