"""Each query of the Grafana file and of the alert rules, asked of a real Prometheus that scrapes a real volley: it gives the series
that its panel shows, with numbers that are known here. An alert's thresholds are lowered for that; as they are, none fires."""
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from harness import ROOT, Client, Process, Scenario, free_port, main, wait_for

MONITORING = os.path.join(ROOT, "docs", "monitoring")
STATES = ("unleased", "idle", "connecting", "open", "backoff", "held")
# What Grafana would put in the place of its own variables.
VARIABLES = {"$__rate_interval": "5m", "$__interval": "15s", "$__range": "6h"}


def read(name):
    with open(os.path.join(MONITORING, name)) as f:
        return f.read()


def between(low, high):
    return lambda value: low < value <= high


def number(value):
    return value == value and value >= 0


class Queries(Scenario):
    def setUp(self):
        super().setUp()
        self.relays = self.practice("fine:dual", "no:v4", "stuck:v4", "dead:v4")
        self.relays.set("no", "refuse=blocked: not today")
        self.relays.set("dead", "down")
        self.pipeline = self.volley([{"url": u, "name": n} for n, u in self.relays.urls.items()], keys={"publisher.ok_timeout": "10m", "probe.interval": "2s"})
        self.pipeline.up()
        self.target = self.pipeline.probe()[len("http://"):]
        for name in ("volley.rules.yml", "prometheus.yml"):
            with open(os.path.join(self.folder, name), "w") as f:
                f.write(read(name).replace("127.0.0.1:7788", self.target).replace(": 30s", ": 1s"))
        self.port = free_port()
        config, data = "--config.file=" + os.path.join(self.folder, "prometheus.yml"), "--storage.tsdb.path=" + os.path.join(self.folder, "tsdb")
        self.started.append(Process(["prometheus", config, data, "--web.listen-address=127.0.0.1:%d" % self.port], os.path.join(self.folder, "prometheus.log")))
        # A counter's first value is no increase: both pages are scraped before anything happens.
        wait_for("Prometheus to scrape both pages", lambda: self.series("count(up == 1) == 2 and on () count(volley_queue_depth) == 4"), 60, 0.3)
        time.sleep(1.5)
        self.relays.set("stuck", "silent")
        self.pipeline.post(20)
        with Client(self.pipeline.ingest_port) as client:  # counts as no event accepted
            client.post(self.pipeline.posted()[0][2])
        wait_for(lambda: "the world to be as the queries expect it: %s" % self.unfinished(), lambda: not self.unfinished(), 60, 0.5)

    def api(self, path, **words):
        url = "http://127.0.0.1:%d/api/v1/%s?%s" % (self.port, path, urllib.parse.urlencode(words))
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as e:
            raise AssertionError("%s: %s" % (words, e.read().decode()))

    def series(self, query):
        """The answer by its labels (those of the scrape aside): {("relay", "ws://…"), …} → number."""
        for name, text in VARIABLES.items():
            query = query.replace(name, text)
        self.assertNotIn("$", query)
        try:
            rows = self.api("query", query=query)["result"]
        except OSError:
            return {}
        found = {}
        for row in rows:
            key = frozenset((k, v) for k, v in row["metric"].items() if k not in ("__name__", "instance", "job"))
            self.assertNotIn(key, found, "%s: twice" % query)
            found[key] = float(row["value"][1])
        return found

    def unfinished(self):
        """Which facts the scrapes do not show yet."""
        facts = {"delivered": ('sum(volley_deliveries_total{relay!=""})', 40), "refused": ('sum(volley_failed{relay=""})', 20), "duplicate": ('volley_ingest_events_total{result="duplicate"}', 1),
                 "waiting": ("volley_queue_waiting", 40), "dead": ('sum(volley_relay_state{state="backoff"})', 1)}
        wrong = [name for name, (query, value) in facts.items() if list(self.series(query).values()) != [value]]
        for name, query, count in (("rates", "rate(volley_delivery_seconds_count[5m]) > 0", 1), ("probes", "volley_probe_success_ratio", 5)):
            wrong += [] if len(self.series(query)) == count else [name]
        return wrong

    def row(self, **labels):
        if "relay" in labels:
            labels["relay"] = self.relays.urls[labels["relay"]]
        return frozenset(labels.items())

    def expect(self, what, query, rows):
        """`rows`: (labels, the number or what is true of it). No series besides, but those that are not a number: what never happened."""
        found = self.series(query)
        for key, wanted in rows:
            self.assertIn(key, found, "%s: %s" % (what, query))
            value = found.pop(key)
            self.assertTrue(wanted(value) if callable(wanted) else value == wanted, "%s: %s %s is %s" % (what, query, sorted(key), value))
        self.assertEqual([key for key, value in found.items() if value == value], [], "%s: %s" % (what, query))

    def each_panel_shows_what_it_says(self):
        row = self.row
        expected = {
            ("Waiting", "A"): [(row(), 40)],
            ("Oldest waits for", "A"): [(row(), between(0, 120))],
            ("Failed", "A"): [(row(), 20)],
            ("Queue full to", "A"): [(row(), between(0, 0.01))],
            ("Relays by state", "A"): [(row(state=s), number) for s in STATES],
            ("Events a second", "A"): [(row(), between(0, 20))],
            ("Events a second", "B"): [(row(outcome="delivered"), between(0, 20)), (row(outcome="failed"), between(0, 20))],
            ("Waiting by relay", "A"): [(row(relay=n), w) for n, w in (("fine", 0), ("no", 0), ("stuck", 20), ("dead", 20))],
            ("Connections that succeed, by family", "A"): [(row(family="ipv6"), 1), (row(family="ipv4"), between(-1, 0.999))],
            ("From accepted to OK", "A"): [(row(), between(0, 10))],
            ("From accepted to OK", "B"): [(row(), between(0, 10))],
            ("From accepted to OK", "C"): [(row(), between(0, 10))],
            ("Time to connect, p50 by route and family", "A"): [(row(route="direct", family=f), between(0, 5)) for f in ("ipv4", "ipv6")],
            ("Probes that succeed, last 24 h", "A"): [(row(relay=n, route="direct", family=f), w) for n, f, w in (("fine", "ipv6", 1), ("fine", "ipv4", 1), ("no", "ipv4", 1), ("stuck", "ipv4", number), ("dead", "ipv4", 0))],
        }
        board = json.loads(read("grafana.json"))
        self.assertEqual([v["name"] for v in board["templating"]["list"]], ["source"])
        asked = {}
        for panel in board["panels"]:
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${source}"}, panel["title"])
            for target in panel["targets"]:
                asked[panel["title"], target["refId"]] = target
        self.assertEqual(set(asked), set(expected))
        for what, target in asked.items():
            rows = expected[what]
            self.expect(what, target["expr"], rows)
            used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            self.assertTrue(all(used <= {k for k, _ in key} for key, _ in rows), what)
        events, duplicates = self.series("sum(increase(volley_ingest_events_total[5m]))"), self.series(asked["Events a second", "A"]["expr"])
        self.assertGreater(sum(events.values()) / 300, sum(duplicates.values()), "the second post of an event counts as accepted")

    def rule(self, name):
        exprs = dict(re.findall(r"alert: (\w+)\n        expr: >\n(.*?)\n        for:", read("volley.rules.yml"), re.S))
        return re.sub(r"\s+", " ", exprs[name]).strip()

    def lowered(self, name, *changes):
        """An alert's query with other thresholds; each must be there."""
        query = self.rule(name)
        for old, new in changes:
            self.assertIn(old, query, name)
            query = query.replace(old, new)
        return query

    def each_alert_sees_what_it_watches(self):
        stuck = self.row(relay="stuck")
        # Both were idle in the last quarter of an hour, before something waited.
        self.expect("oldest", self.lowered("VolleyOldestWaiting", ("> 3600", "> 0.5")), [(stuck, between(0.5, 120)), (self.row(relay="dead"), between(0.5, 120))])
        stalled = self.lowered("VolleyLaneStalled", ("> 300", "> 0.5"), ("[15m:]", "[1m:1s]"))
        wait_for("a verdict on the stuck relay", lambda: self.series(stalled), 90, 0.5)
        self.expect("stalled", stalled, [(stuck, between(0.5, 120))])
        lower = (("[1h]", "[1m]"), ("[1d] offset 1h", "[1m] offset 2s"), ("< 0.7 *", "<= 1.0 *"), (">= 10", "> 0"))
        wait_for("an hour ago, shortened to two seconds", lambda: len(self.series(self.lowered("VolleyIPv6SuccessFalling", *lower))) == 1, 30, 0.5)
        self.expect("IPv6", self.lowered("VolleyIPv6SuccessFalling", *lower), [(self.row(), 1)])
        full, filling = self.lowered("VolleyQueueFilling", ("> 0.8", "> 0"), ("> volley_queue_max_bytes", "> -1e15")).split(" or ")
        self.expect("full", full, [(self.row(), between(0, 0.01))])
        self.expect("filling", filling, [(self.row(), lambda value: value == value)])
        silent = self.series(self.lowered("VolleyHeartbeatMissing", ("> 90", "> -90")))
        services = {dict(key).get("service") for key in silent}
        self.assertLessEqual({"probe", "publisher"}, services)
        wait_for("the first heartbeats", lambda: not self.series(self.rule("VolleyHeartbeatMissing")), 60, 0.5)
        self.expect("the queue's answer", "volley_queue_up", [(self.row(), 1)])

    def the_rules_are_evaluated_and_none_fires(self):
        def rules():
            return [r for group in self.api("rules")["groups"] for r in group["rules"]]

        wait_for(lambda: "an evaluation: %s" % rules(), lambda: len(rules()) == 5 and all(r["health"] == "ok" for r in rules()), 30, 0.5)
        self.assertEqual([r["name"] for r in rules() if r["state"] != "inactive"], [])

    def test_panels_and_alerts_ask_for_what_there_is(self):
        self.each_panel_shows_what_it_says()
        self.each_alert_sees_what_it_watches()
        self.the_rules_are_evaluated_and_none_fires()


if __name__ == "__main__":
    main()
