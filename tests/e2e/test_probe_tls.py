"""Probing over TLS: whose certificate is believed, until when it is valid, and each cell as the relay's own end counted it."""
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, main, tunnel, wait_for


class Front:
    """TLS before a practice relay, on both families of localhost; counts who comes, by family, and whose handshake went well."""

    def __init__(self, certificate, key, to):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.to = to
        self.came, self.shaken = {"ipv6": 0, "ipv4": 0}, {"ipv6": 0, "ipv4": 0}
        self.lock = threading.Lock()
        self.sockets = {"ipv4": socket.create_server(("127.0.0.1", 0))}
        self.port = self.sockets["ipv4"].getsockname()[1]
        self.sockets["ipv6"] = socket.create_server(("::1", self.port), family=socket.AF_INET6)
        for family, s in self.sockets.items():
            threading.Thread(target=self.accept, args=(family, s), daemon=True).start()

    def count(self, what, family):
        with self.lock:
            what[family] += 1

    def accept(self, family, s):
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            self.count(self.came, family)
            threading.Thread(target=self.serve, args=(family, c), daemon=True).start()

    def serve(self, family, c):
        try:
            with self.context.wrap_socket(c, server_side=True) as near, socket.create_connection(("127.0.0.1", self.to), 10) as far:
                self.count(self.shaken, family)
                tunnel(near, far)
        except OSError:
            pass  # a handshake that failed is counted by not being counted

    def stop(self):
        for s in self.sockets.values():
            s.close()


class Tls(Scenario):
    def openssl(self, *args):
        r = subprocess.run(["openssl", *args], cwd=self.folder, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9", "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".pem")

    def certificate(self, name, host, days, by):
        """(file, key, until when it is valid)."""
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + host, "-keyout", name + ".key", "-out", name + ".csr")
        with open(os.path.join(self.folder, name + ".ext"), "w") as f:
            f.write("subjectAltName=DNS:" + host)
        self.openssl("x509", "-req", "-in", name + ".csr", "-CA", by + ".pem", "-CAkey", by + ".key", "-CAcreateserial", "-days", str(days), "-extfile", name + ".ext", "-out", name + ".pem")
        end = self.openssl("x509", "-in", name + ".pem", "-noout", "-enddate").split("=")[1].strip()
        return os.path.join(self.folder, name + ".pem"), os.path.join(self.folder, name + ".key"), int(ssl.cert_time_to_seconds(end))

    def fronts(self):
        """A relay behind each kind of certificate."""
        for name in ("trusted", "stranger"):
            self.authority(name)
        kinds = {"good": ("localhost", 30, "trusted"), "old": ("localhost", -1, "trusted"), "strange": ("localhost", 30, "stranger"), "other": ("other.example", 30, "trusted")}
        self.relays = self.practice(*["%s:v4" % n for n in kinds])
        self.made = {n: self.certificate(n, *k) for n, k in kinds.items()}
        self.front = {n: Front(c[0], c[1], int(self.relays.urls[n].rsplit(":", 1)[1])) for n, c in self.made.items()}
        self.started += self.front.values()
        self.urls = {n: "wss://localhost:%d" % f.port for n, f in self.front.items()}
        return self.volley([{"url": u, "name": n} for n, u in self.urls.items()], keys={"publisher.ca_file": os.path.join(self.folder, "trusted.pem"), "probe.interval": "2s"})

    def get(self, url):
        with urllib.request.urlopen(url, timeout=30) as r:
            return r.read().decode()

    def all_twice(self, rows, cells):
        return set(rows) == set(cells) and all(r["total_attempts"] >= 2 for r in rows.values())

    def test_the_prober_counts_what_the_other_end_counted(self):
        v = self.fronts()
        v.start("queue")
        self.assertEqual(v.run("relays", "apply").returncode, 0)
        probe = v.start("probe")
        cells = [(self.urls[n], f) for n in self.urls for f in ("ipv6", "ipv4")]
        wait_for(lambda: "each to be probed twice: %s\n%s" % (v.statistics("probe"), v.logs()), lambda: self.all_twice(v.statistics("probe"), cells), 60, 0.3)
        url = v.probe()
        good = [(self.urls["good"], f) for f in ("ipv6", "ipv4")]
        end_s = self.made["good"][2]
        line = 'volley_probe_certificate_expiry_timestamp_seconds{relay="%s",route="direct",family="ipv6"} %d\n' % (self.urls["good"], end_s)
        wait_for(lambda: line + " in:\n" + self.get(url + "/metrics/relays"), lambda: line in self.get(url + "/metrics/relays"), 30, 0.3)
        wait_for(lambda: "the certificate's end on the page:\n" + self.get(url), lambda: re.search(r"ok, [^<]*certificate for (29|30) days", self.get(url)), 30, 0.3)
        self.assertEqual(probe.stop(), 0)
        rows = v.statistics("probe")
        for cell in cells:
            row, hour = rows[cell], rows[cell]["1h"]
            self.assertEqual(hour["attempts"], hour["successes"] + sum(hour["failures"].values()), cell)
            self.assertEqual(hour["latencies"].get("tls", {}).get("count", 0), hour["successes"], cell)
            if cell in good:
                self.assertEqual((hour["failures"], row["certificate_end_s"]), ({}, end_s), cell)
            else:
                self.assertEqual((set(hour["failures"]), hour["successes"], row["last_why"]), ({"tls"}, 0, "tls"), cell)
        for name, front in self.front.items():
            for family in ("ipv6", "ipv4"):
                hour = rows[(self.urls[name], family)]["1h"]
                # A good one is asked for its document, too; the last one may have been given up with the prober.
                each = 2 if name == "good" else 1
                self.assertIn(front.came[family] - each * hour["attempts"], (0, 1, 2), (name, family))
                if name != "other":  # its chain is good; the name is looked at after that
                    self.assertEqual(front.shaken[family] > 0, name == "good", "%s: volley itself hung up" % name)
            counts = self.relays.counts(name)
            tried = sum(rows[(self.urls[name], f)]["1h"]["successes"] for f in ("ipv6", "ipv4"))
            self.assertIn(counts["reads"] - tried, (0, 1, 2), name)
            self.assertEqual(counts["events"], 0)
        v.stop()

    def test_the_one_shot_test_says_until_when_a_certificate_is_valid(self):
        v = self.fronts()
        r = v.run("test", "--json")
        self.assertEqual(r.returncode, 1, r.stderr)
        rows = {row["name"]: row for row in map(json.loads, r.stdout.splitlines())}
        six = rows["good"]["families"][0]
        self.assertTrue(six["ok"])
        self.assertIn(six["certificate_days"], (29, 30))
        self.assertGreater(six["tls_ms"], 0)
        words = {"old": "expired", "strange": "unable to get local issuer", "other": "localhost"}
        for name, word in words.items():
            for family in rows[name]["families"]:
                self.assertEqual((family["failure"], rows[name]["reached"]), ("tls", False), name)
                self.assertIn(word, family["reason"], name)
        self.assertRegex(v.run("test", "good").stdout, r"(?m)^good +ipv6 +ok .* (29|30)d$")


if __name__ == "__main__":
    main()
