"""Prometheus, the real one: it likes the metrics and the rules, scrapes the probe, and the alert for a stalled relay fires."""
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from harness import ROOT, Client, Process, Scenario, free_port, main, wait_for

MONITORING = os.path.join(ROOT, "docs", "monitoring")


class Monitoring(Scenario):
    def tool(self, *args, text=None):
        r = subprocess.run(["promtool"] + list(args), input=text, capture_output=True, text=True, timeout=120, cwd=self.folder)
        self.assertEqual(r.returncode, 0, (args, r.stdout, r.stderr))
        return r.stdout + r.stderr

    def get(self, url):
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()

    def test_the_files_are_good(self):
        self.tool("check", "config", os.path.join(MONITORING, "prometheus.yml"))
        self.assertIn("5 rules found", self.tool("check", "rules", os.path.join(MONITORING, "volley.rules.yml")))
        self.tool("test", "rules", os.path.join(ROOT, "tests", "monitoring", "rules_test.yml"))

    def test_metrics_are_good_and_begin_at_zero(self):
        practice = self.practice("fine:dual", "no:v4")
        practice.set("no", "refuse=blocked: not today")
        v = self.volley([{"url": u, "name": n} for n, u in practice.urls.items()])
        v.up()
        url = v.probe()
        text = self.get(url + "/metrics")
        for line in ('volley_ingest_events_total{result="accepted"} 0', 'volley_failed{class="blocked"} 0', "volley_delivery_seconds_count 0", "volley_queue_waiting 0"):
            self.assertIn(line + "\n", text)
        v.post(20)
        wait_for(lambda: "twenty to be counted:\n" + self.get(url + "/metrics"), lambda: 'volley_failed{class="blocked"} 20\n' in self.get(url + "/metrics") and "volley_delivery_seconds_count 20\n" in self.get(url + "/metrics"), 60, 0.3)
        # The same again, and one that is none.
        client = Client(v.ingest_port)
        known = v.posted()[0][2]
        forged = json.loads(known)
        forged["sig"] = forged["sig"][:-1] + ("0" if forged["sig"][-1] != "0" else "1")
        forged["id"] = "0" * 64
        self.assertTrue(client.post(known)[0])
        self.assertFalse(client.post(json.dumps(forged))[0])
        client.close()
        for row in ('{result="duplicate"} 1', '{result="refused"} 1', '{result="error"} 0'):
            line = "volley_ingest_events_total" + row + "\n"
            wait_for(lambda: line + " in:\n" + self.get(url + "/metrics"), lambda: line in self.get(url + "/metrics"), 60, 0.3)
        for path in ("/metrics", "/metrics/relays"):
            text = self.get(url + path)
            self.assertNotIn("error", self.tool("check", "metrics", text=text).lower(), text)
            self.assertNotIn(v.posted()[0][0], text)
        self.assertIn('volley_ingest_events_total{result="accepted"} 20\n', self.get(url + "/metrics"))
        self.assertIn('volley_deliveries_total{relay="%s",outcome="delivered"} 20\n' % practice.urls["fine"], self.get(url + "/metrics/relays"))
        self.grafana_asks_for_what_there_is(self.get(url + "/metrics") + self.get(url + "/metrics/relays"))
        v.stop()

    def grafana_asks_for_what_there_is(self, text):
        with open(os.path.join(MONITORING, "grafana.json")) as f:
            wanted = set(re.findall(r"volley_\w+", " ".join(t["expr"] for p in json.load(f)["panels"] for t in p["targets"])))
        with open(os.path.join(MONITORING, "volley.rules.yml")) as f:
            wanted |= {name for expr in re.findall(r"expr: >\n(.*?)\n        for:", f.read(), re.S) for name in re.findall(r"volley_\w+", expr)}
        self.assertEqual([name for name in wanted if "# TYPE " + name.replace("_bucket", "") + " " not in text], [])

    def test_a_stalled_relay_is_told(self):
        practice = self.practice("fine:v4", "silent:v4", "dead:v4", "hole:v4", "held:v4")
        practice.set("silent", "silent")  # takes events, and answers nothing
        practice.set("dead", "down")
        practice.set("hole", "blackhole")
        v = self.volley([{"url": u, "name": n} for n, u in practice.urls.items()], keys={"publisher.ok_timeout": "5s"})
        v.up()
        self.assertEqual(v.run("hold", "held").returncode, 0)
        target = v.probe()[len("http://"):]
        v.post(5)
        with open(os.path.join(MONITORING, "volley.rules.yml")) as f:
            rules = f.read()
        for real, quick in (("for: 1m", "for: 5s"), ("> 300", "> 20"), ("[15m:]", "[1m:1s]")):
            self.assertIn(real, rules)
            rules = rules.replace(real, quick)
        with open(os.path.join(MONITORING, "prometheus.yml")) as f:
            config = f.read().replace("127.0.0.1:7788", target).replace(": 30s", ": 1s")
        for name, text in (("volley.rules.yml", rules), ("prometheus.yml", config)):
            with open(os.path.join(self.folder, name), "w") as f:
                f.write(text)
        port = free_port()
        log = os.path.join(v.folder, "prometheus.log")
        prometheus = Process(["prometheus", "--config.file=" + os.path.join(self.folder, "prometheus.yml"), "--storage.tsdb.path=" + os.path.join(self.folder, "tsdb"), "--web.listen-address=127.0.0.1:%d" % port], log)
        self.started.append(prometheus)

        def alerts():
            try:
                rows = json.loads(self.get("http://127.0.0.1:%d/api/v1/alerts" % port))["data"]["alerts"]
            except OSError:
                return {}
            return {(a["labels"]["alertname"], a["labels"].get("relay")): a for a in rows if a["state"] == "firing"}

        stalled = ("VolleyLaneStalled", practice.urls["silent"])
        wait_for(lambda: "the alert: %s\n%s" % (alerts(), v.logs()), lambda: stalled in alerts(), 120, 0.5)
        fired = alerts()
        for command in fired[stalled]["annotations"]["command"].split("; "):
            self.assertIn(v.run(*command.split()[1:]).returncode, (0, 1), command)
        # It is left and tried again; those that are dead or held stay out.
        for _ in range(20):
            self.assertEqual({relay for name, relay in alerts() if name == "VolleyLaneStalled"}, {practice.urls["silent"]})
            time.sleep(1)
        self.assertIn("connect failed relay=" + practice.urls["hole"], v.services["up"].log(), "the black hole was tried meanwhile")
        practice.set("silent", "ok")
        practice.cut("silent")
        wait_for(lambda: "the alert to end: %s\n%s" % (alerts(), v.logs()), lambda: stalled not in alerts(), 90, 0.5)
        prometheus.stop()
        v.stop()


if __name__ == "__main__":
    main()
