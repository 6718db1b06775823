"""What the scenarios of the dashboard share: a pipeline with a probe, a browser, and the page's numbers."""
import os
import urllib.error
import urllib.request

from browser import Browser
from harness import Scenario, wait_for

TOKEN = "a-token-of-some-length"
EVIL = "<b/id=evil/onclick='x'>&\"evil"


class DashboardScenario(Scenario):
    pipelines = ()  # under `up`

    def tearDown(self):
        """Each pipeline must end cleanly, too."""
        try:
            for v in self.pipelines:
                if v.services["up"].alive():
                    v.stop()
        finally:
            super().tearDown()

    def browser(self, **options):
        b = Browser(**options)
        self.started.append(b)
        return b

    def pipeline(self, specs, behaviour=None, names=None, token=True, **keys):
        """A pipeline under `up`, with a probe."""
        practice = self.practice(*specs)
        for name, words in (behaviour or {}).items():
            practice.set(name, words)
        relays = [{"url": url, "name": (names or {}).get(name, name)} for name, url in practice.urls.items()]
        if token:
            path = os.path.join(self.folder, "token")
            with open(path, "w") as f:
                f.write(TOKEN + "\n")
            os.chmod(path, 0o600)
            keys["probe.admin_token_file"] = path
        v = self.volley(relays, keys=keys)
        self.pipelines += (v,)
        v.up()
        return practice, v, v.probe()

    def get(self, url, headers=None, data=None, method=None, seconds=60):
        """(status, text, headers)."""
        request = urllib.request.Request(url, data, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode(), e.headers

    def shown(self, b):
        """The page's totals and rows, as numbers."""
        return b.run("""
            const n = s => { const e = document.querySelector(s); return e ? Number(e.value) : null };
            const rows = {};
            for (const tr of document.querySelectorAll('tr[data-relay]'))
                rows[tr.dataset.relay] = { depth: Number(tr.querySelector('.depth data').value), delivered: Number(tr.querySelector('.delivered data').value),
                    failed: Number(tr.querySelector('.failed data').value), state: tr.querySelector('.state').textContent.replace('connecting', 'backoff') };
            return { accepted: n('#total-accepted data'), delivered: n('#total-delivered data'), waiting: n('#total-waiting data'), failed: n('#total-failed data'), rows };
        """)

    def expected(self, v):
        lanes, total = v.depth()
        return {
            "accepted": max(l["position"] + l["depth"] for l in lanes.values()),
            "delivered": sum(l["delivered"] for l in lanes.values()),
            "waiting": total["depth"],
            "failed": total["failed"],
            # A dead relay connects for a moment now and then.
            "rows": {url: {**{k: l[k] for k in ("depth", "delivered", "failed")}, "state": l["state"].replace("connecting", "backoff")} for url, l in lanes.items()},
        }

    def says(self, b, words):
        """The next page, when it has come after a click."""
        wait_for(lambda: "the page to say %r: %s" % (words, b.text("main")), lambda: words in (b.text("main") or ""), 30)

    def hold(self, v, url):
        """Nothing is sent there from now on."""
        self.assertEqual(v.run("hold", url).returncode, 0)
        wait_for("the publisher to hear of it", lambda: v.depth()[0][url]["state"] == "held", 10)
