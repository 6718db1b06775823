"""How the dashboard looks in a real headless Chromium: at every width, light and dark, and to those who do not see it."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
from dashboard import EVIL, DashboardScenario
from harness import ROOT, main, wait_for

LONG = True  # two minutes and more
WIDTHS = (390, 768, 1024, 1200, 1600)
WORDS = "blocked: not on the list of those who may write here, see https://relay.example/" + "x" * 80
# By name: the practice relay's stance and behaviour.
MANY = {
    **{"fine-%d" % n: (("dual", "v4", "v6", "refused6")[n % 4], "") for n in range(16)},
    **{"a-relay-with-quite-a-long-name-as-people-give-them-they-do-%d" % n: ("v4", "down") for n in range(3)},
    EVIL: ("dual", "http=503"),
    "mute": ("dual", "mute"),
    "no": ("dual", "refuse=" + WORDS),
    "busy": ("v4", "refuse=rate-limited: slow down, please"),
    "nonsense": ("v6", "garbage"),
    "held": ("v4", ""),
}


class Look(DashboardScenario):
    def trouble(self, probes=0):
        """Two dozen relays in every state, with failures, and so many with probes, to show. Probes begin one a second."""
        specs = {"r%02d" % i: name for i, name in enumerate(MANY)}
        practice, v, url = self.pipeline(["%s:%s" % (r, MANY[n][0]) for r, n in specs.items()], {r: MANY[n][1] for r, n in specs.items() if MANY[n][1]}, specs, **{"probe.interval": "10m", "publisher.connect_timeout": "2s", "publisher.ok_timeout": "5s"})
        self.hold(v, practice.urls[next(r for r, n in specs.items() if n == "held")])
        v.post(120)
        wait_for("failures, errors and probes to be shown", lambda: all(w in self.get(url)[1] for w in ("not on the list", "HTTP 503", "falling behind")) and self.get(url)[1].count('class="probes"') >= probes, 90, 0.5)
        return practice, v, url

    def outside(self, b):
        """What reaches beyond the card it is in, or the page: tables, cells, and what is in them."""
        return b.run("""
            const wide = [];
            for (const e of document.querySelectorAll('main section *, header *, .advice *, .health')) {
                if (e.closest('.quiet, thead .notes, option') || getComputedStyle(e.closest('thead') || e).position === 'absolute') continue;
                const box = (e.closest('section') || document.body).getBoundingClientRect(), r = e.getBoundingClientRect();
                if (r.width > 0 && (r.right > box.right + 0.5 || r.left < box.left - 0.5)) wide.push([e.localName, e.className, r.left, r.right, box.right, e.textContent.slice(0, 40)]);
                if (e.matches('td, th') && e.scrollWidth > e.clientWidth + 1) wide.push(['overflowing cell', e.className, e.scrollWidth, e.clientWidth, e.textContent.slice(0, 40)]);
            }
            for (const e of document.querySelectorAll('thead th:not(.notes), .act, .badge, .windows a, dt, .failed td:not(.words)'))
                for (const node of e.childNodes)
                    for (const word of node.nodeType === 3 ? node.data.matchAll(/\\S+/g) : []) {
                        const range = document.createRange();
                        range.setStart(node, word.index);
                        range.setEnd(node, word.index + word[0].length);
                        if (range.getClientRects().length > 1) wide.push(['a word in pieces', word[0]]);
                    }
            return [document.documentElement.scrollWidth - window.innerWidth, wide];
        """)

    def test_nothing_reaches_beyond_its_card_at_any_width(self):
        practice, v, url = self.trouble(probes=len(MANY))
        b = self.browser()
        for path in ("/", "/?window=7d", "/act?act=replay", "/receipt?id=" + v.posted()[0][0]):
            for width in WIDTHS:
                b.width(width)
                b.open(url + path)
                self.assertEqual(b.run("return window.innerWidth"), width)
                self.assertEqual(self.outside(b), [0, []], "%s at %d px" % (path, width))
                if path == "/":
                    for dark in (False, True):
                        b.dark(dark)
                        b.screenshot("dashboard-%d%s.png" % (width, "-dark" if dark else ""))

    def test_what_is_wrong_stands_first_and_says_what_to_do(self):
        practice, v, url = self.trouble()
        b = self.browser()
        b.open(url)
        self.assertIn("not all of them everywhere", b.text(".health"))
        lanes, _ = v.depth()
        count = lambda *verdicts: sum(l["verdict"] in verdicts for l in lanes.values())

        def told():
            b.open(url)
            nonlocal lanes
            lanes, _ = v.depth()
            advice = b.run("return [...document.querySelectorAll('.advice li')].map(e => e.textContent)")
            return any(a.startswith("%d relays stalled: " % count("stalled")) and "volley test" in a for a in advice) and any(a.startswith("1 relay held: ") for a in advice) and any("failed deliver" in a for a in advice)

        wait_for(lambda: "the advice: %s %s" % (b.text(".advice"), [l["verdict"] for l in lanes.values()]), told, 30, 0.5)
        badges = b.run("return [...document.querySelectorAll('.relays .badge')].map(e => e.textContent)")
        order = ["unleased", "stalled", "falling behind", "held", "fine"]
        self.assertEqual(badges, sorted(badges, key=order.index))
        self.assertEqual(len(badges), len(MANY))
        # What it links to is there.
        self.assertEqual(b.run("return [...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.getAttribute('href'))).map(a => a.href)"), [])

    def test_those_who_do_not_see_it_can_use_it(self):
        practice, v, url = self.trouble()
        b = self.browser()
        b.width(390)  # where rows are cards, the roles are all that says what is a table
        b.open(url)
        for table in (".relays", ".failed"):
            self.assertEqual(b.run("""
                const t = document.querySelector('table' + arguments[0]), heads = t.querySelectorAll('thead [role=columnheader][scope=col]').length;
                const rows = [...t.querySelectorAll('tbody [role=row]')];
                return [t.getAttribute('role'), rows.length > 0, rows.filter(r => r.querySelectorAll('[role=rowheader], [role=cell]').length !== heads || r.querySelectorAll('th[scope=row]').length !== 1).length];
            """, table), ["table", True, 0])
        names = b.run("return [...document.querySelectorAll('a, button')].map(e => e.textContent.trim() + ' ' + (e.getAttribute('href') || ''))")
        self.assertEqual(len(names), len(set(names)), "two links that lead elsewhere have the same name")
        self.assertEqual(b.run("return [...document.querySelectorAll('a.act')].filter(a => a.textContent.trim().split(/\\s+/).length < 2).length"), 0)
        self.assertEqual(b.run("return [...document.querySelectorAll('nav')].filter(n => !n.getAttribute('aria-label')).length"), 0)
        self.assertEqual(b.run("return [...document.querySelectorAll('svg')].filter(s => s.getAttribute('role') !== 'img' || !s.getAttribute('aria-label')).length"), 0)
        self.assertEqual(b.run("return [...document.querySelectorAll('h1, h2, h3')].map(h => h.localName).join(' ')").split()[:3], ["h1", "h2", "h3"])
        self.assertEqual(b.run("return document.querySelectorAll('h1').length"), 1)
        # By the keyboard in the order of the page: nobody has an order of its own.
        self.assertEqual(b.run("return [...document.querySelectorAll('[tabindex]')].filter(e => e.tabIndex > 0).length"), 0)

    def test_readable_on_a_phone_and_by_everybody(self):
        practice, v, url = self.pipeline(["a-relay-with-quite-a-long-name-as-people-give-them:dual", "no:v4", "dead:v4"], {"no": "refuse=blocked: not on the list of those who may write here, see https://relay.example/" + "x" * 80, "dead": "http=503"}, **{"probe.interval": "10m"})
        v.post(30)
        wait_for("failures to be listed", lambda: "not on the list" in self.get(url)[1], 60, 0.3)
        wait_for("probes to be shown", lambda: self.get(url)[1].count("class=\"probes\"") == 3, 60, 0.3)
        b = self.browser(phone=True)
        b.open(url)
        self.assertEqual(b.run("return window.innerWidth"), 390)
        self.assertLessEqual(b.run("return document.documentElement.scrollWidth"), 390)
        self.assertLessEqual(b.run("return Math.max(...Array.from(document.querySelectorAll('main *')).filter(e => !e.closest('thead, .quiet')).map(e => e.getBoundingClientRect().right))"), 390.5)
        b.screenshot("dashboard-phone.png")
        b.dark()
        b.screenshot("dashboard-phone-dark.png")
        wide = self.browser()
        wide.open(url)
        wide.screenshot("dashboard.png")
        wide.dark()
        wide.screenshot("dashboard-dark.png")
        self.assertEqual(wide.run("return [...document.querySelectorAll('header, main, footer')].map(e => e.localName)"), ["header", "main", "footer"])
        self.assertEqual(wide.run("return [...document.querySelectorAll('section')].filter(s => !document.getElementById(s.getAttribute('aria-labelledby'))).length"), 0)
        self.assertEqual(wide.run("return [...document.querySelectorAll('input:not([type=hidden])')].filter(i => i.labels.length === 0).length"), 0)
        self.assertEqual(wide.run("return document.documentElement.lang"), "en")
        # Nothing but the page's own came over the net.
        self.assertEqual([u for u in wide.run("return performance.getEntriesByType('resource').map(e => e.name)") if not u.startswith(url.rstrip("/"))], [])

    def test_colours_can_be_read(self):
        def luminance(colour):
            parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
            r, g, b = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
            return 0.2126 * r + 0.7152 * g + 0.0722 * b

        def contrast(one, other):
            a, b = sorted((luminance(one), luminance(other)))
            return (b + 0.05) / (a + 0.05)

        with open(os.path.join(ROOT, "probe", "dashboard.css")) as f:
            css = f.read()
        schemes = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", css, re.S)]
        self.assertEqual(len(schemes), 2)
        for colours in schemes:
            for ground in ("ground", "card"):
                for ink in ("text", "dim", "link", "good", "warn", "bad"):  # also of the button and the chosen window: card on link
                    self.assertGreaterEqual(contrast(colours[ink], colours[ground]), 4.5, (ink, ground, colours))
            for shape in ("won", "tried"):  # what is no text: 1.4.11
                self.assertGreaterEqual(contrast(colours[shape], colours["card"]), 3, (shape, colours))
        # Nothing is coloured otherwise than by these.
        self.assertEqual(re.findall(r"(?:#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(|opacity)", re.sub(r":root \{.*?\}", "", css, flags=re.S)), [])


if __name__ == "__main__":
    main()
