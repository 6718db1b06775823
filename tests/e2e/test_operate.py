"""What operators do: list what failed, send it again, hold and release a relay, change the list; and whether the figures are true."""
import collections
import concurrent.futures
import json
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import SEED, Scenario, clean_env, figure, main, sign, wait_for

# In turn, as the practice relay says them: the class that each becomes.
REFUSALS = [("blocked: no spam here", "blocked"), ("restricted: PAY first", "restricted"), ("mute: pay no attention", "mute"),
            ("pow: 20 bits wanted", "pow"), ("go away, you are too loud", "refused")]
CLASSES = [c for _, c in REFUSALS]


class Operate(Scenario):
    SENT_MAX = 1  # so often an event that is delivered may have been sent, the queue having been killed once

    def said(self, v, *args, status=0, stdin=""):
        """What a command prints; its exit status must be as told."""
        r = subprocess.run([v.program, args[0], "-c", v.config] + list(args[1:]), input=stdin, capture_output=True, text=True, timeout=60, env=clean_env())
        self.assertEqual(r.returncode, status, (args, r.stdout, r.stderr))
        self.assertNotIn("Sanitizer", r.stderr)
        self.heard = getattr(self, "heard", "") + r.stderr
        return r.stdout if status == 0 else r.stderr

    def rows(self, v, *args, **options):
        return [json.loads(line) for line in self.said(v, *args, "--json", **options).splitlines()]

    def counted(self, v, *filters, command=("failed", "--count"), **options):
        """{class: count} over all relays."""
        groups = self.rows(v, *command, *filters, **options)
        counts = collections.Counter()
        for g in groups[:-1]:
            counts[g["class"]] += g["count"]
        self.assertEqual(groups[-1]["count"], sum(counts.values()))
        return dict(counts)

    def job(self, v, number):
        return {j["job"]: j for j in self.rows(v, "replay", "--jobs")}[number]

    def wait_job(self, v, number, seconds=60):
        def over():
            r = v.run("replay", "--jobs", "--json")  # a queue that was just killed does not answer
            jobs = {j["job"]: j for j in map(json.loads, r.stdout.splitlines())} if r.returncode == 0 else {}
            return number in jobs and jobs[number]["state"] == "done" and jobs[number]

        return wait_for(lambda: "job %d to be done: %s\n%s" % (number, v.run("replay", "--jobs").stdout, v.logs()), over, seconds, 0.2)

    def receipts(self, v, ids):
        """{id: {relay: row}}"""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return dict(zip(ids, pool.map(v.receipt, ids)))

    # ---- failed deliveries

    def refused_thousand(self):
        """A thousand events that relay "no" refused with five texts in turn, and relay "yes" took."""
        relays = self.practice("no:v4:0:refuse=" + " | ".join(text for text, _ in REFUSALS), "yes:v4")
        v = self.volley([{"url": relays.urls["no"], "name": "no"}, {"url": relays.urls["yes"], "name": "yes"}])
        v.start_all()
        now = int(time.time())
        chance = random.Random(SEED)
        events = sign(*[(1 + chance.randrange(4), now - i, chance.choice((1, 1, 1111, 9802)), [], "event %d" % i) for i in range(1000)])
        self.said(v, "send", "-", stdin="\n".join(events))
        v.wait_drained()
        counts = relays.counts("no")
        self.assertEqual((counts["events"], counts["refused"]), (1000, 1000), "each was sent once")
        # The n-th to arrive, counted from 1, got the n-th text.
        told = {}
        for n, record in enumerate(relays.records("no"), 1):
            e = json.loads(record[4])
            told[e["id"]] = dict(e, reason=REFUSALS[n % 5][0], cls=REFUSALS[n % 5][1])
        self.assertEqual(len(told), 1000)
        return relays, v, told

    def check_filters(self, relays, v, told):
        events = list(told.values())
        some = events[123]
        ids = [e["id"] for e in events[200:450]]
        author = some["pubkey"]
        mixed = [e for e in events if e["cls"] in ("blocked", "mute") and e["kind"] == 1 and e["pubkey"] == author]
        self.assertTrue(mixed)
        for args, expected in (
            ((), events),
            (("--relay", "no"), events),
            (("--relay", relays.urls["no"].upper() + "/"), events),
            (("--relay", "yes"), []),
            (("--class", "pow"), [e for e in events if e["cls"] == "pow"]),
            (("--class", "pow,mute"), [e for e in events if e["cls"] in ("pow", "mute")]),
            (("--class", "error"), []),
            (("--class", "expired"), []),
            (("--reason", "pay"), [e for e in events if "pay" in e["reason"].lower()]),
            (("--reason", "20 bits wanted"), [e for e in events if e["cls"] == "pow"]),
            (("--reason", "no such words"), []),
            (("--kind", "1111"), [e for e in events if e["kind"] == 1111]),
            (("--kind", "7"), []),
            (("--author", author), [e for e in events if e["pubkey"] == author]),
            (("--author", "f" * 64), []),
            (("--id", some["id"]), [some]),
            (("--id", some["id"] + "," + ids[0]), [some, told[ids[0]]]),
            (("--id", "0" * 64), []),
            (("--id", "-"), [told[i] for i in ids]),
            (("--older-than", "1h"), []),
            (("--newer-than", "1h"), events),
            (("--min-attempts", "1"), events),
            (("--min-attempts", "2"), []),
            (("--class", "blocked,mute", "--kind", "1", "--author", author), mixed),
        ):
            listed = self.rows(v, "failed", "--limit", "0", *args, stdin="\n".join(ids))
            self.assertEqual(sorted(r["id"] for r in listed), sorted(e["id"] for e in expected), args)
            for r in listed:
                e = told[r["id"]]
                self.assertEqual((r["relay"], r["name"], r["class"], r["reason"], r["kind"], r["author"], r["attempts"], r["family"], r["route"], r["replayable"], r["job"]),
                                 (relays.urls["no"], "no", e["cls"], e["reason"], e["kind"], e["pubkey"], 1, "ipv4", "direct", True, None))
            counts = dict(collections.Counter(e["cls"] for e in expected))
            self.assertEqual(self.counted(v, *args, stdin="\n".join(ids)), counts, args)
            if args:
                self.assertEqual(self.counted(v, *args, command=("replay", "--dry-run"), stdin="\n".join(ids)), counts, args)
        self.assertEqual(self.said(v, "failed", "--id", "-", stdin="\n\n"), "nothing failed that is meant\n", "no ids: nothing is meant, not everything")
        self.assertEqual(self.said(v, "replay", "--id", "-", stdin=""), "nothing to send again\n")
        page = self.rows(v, "failed", "--limit", "7")
        self.assertEqual((len(page), page[-1]), (8, {"more": True, "shown": 7}))
        self.assertEqual(len(self.said(v, "failed").splitlines()), 1 + 2 * 100 + 1, "a hundred by default, and a line that there are more")

    def rate_of(self, relays, name, ids):
        """Deliveries a second at which these arrived."""
        at = sorted(r[0] for r in relays.records(name) if r[3] and json.loads(r[4])["id"] in ids)
        return (len(at) - 1) * 1000.0 / (at[-1] - at[0])

    def test_a_thousand_refused_deliveries_are_listed_and_sent_again(self):
        relays, v, told = self.refused_thousand()
        self.check_filters(relays, v, told)
        self.assertEqual(relays.counts("no")["events"], 1000, "dry runs send nothing")
        self.assertEqual(self.rows(v, "replay", "--jobs"), [], "and make no job")
        relays.set("no", "ok")
        by_class = {c: {i for i, e in told.items() if e["cls"] == c} for c in CLASSES}

        # The rate holds for the job as a whole.
        r = self.rows(v, "replay", "--class", "blocked,restricted", "--rate", "50/s", "--wait")
        self.assertEqual((r[0]["total"], r[0]["gone"], r[0]["busy"], r[0]["rate"]), (400, 0, 0, 50), r)
        self.assertEqual((r[1]["state"], r[1]["delivered"], r[1]["failed"], r[1]["dropped"]), ("done", 400, 0, 0), r)
        rate = self.rate_of(relays, "no", by_class["blocked"] | by_class["restricted"])
        figure("replay --rate 50/s: %.1f deliveries a second, as the relay counted" % rate)
        self.assertTrue(45 <= rate <= 55, rate)

        # The queue is killed in the middle.
        self.assertIn("job 2: 200 failed deliveries will be sent again, at most 50/s", self.said(v, "replay", "--class", "mute", "--rate", "50/s"))
        before = relays.counts("no")["accepted"]
        wait_for("some of the job to arrive", lambda: relays.counts("no")["accepted"] >= before + 60, 20)
        v.services["queue"].kill()
        v.services["queue"].wait()
        time.sleep(1)
        v.start("queue")
        done = self.wait_job(v, 2)
        self.assertEqual((done["total"], done["delivered"], done["failed"], done["dropped"]), (200, 200, 0, 0), done)

        # Cancelled, it stops; meanwhile what it has is no other job's.
        before = relays.counts("no")["accepted"]
        self.said(v, "replay", "--class", "pow", "--rate", "20/s")
        twice = self.rows(v, "replay", "--class", "pow,mute")
        self.assertEqual((twice[0]["job"], twice[0]["total"], twice[0]["gone"]), (None, 0, 0), twice)
        sent = relays.counts("no")["accepted"] - before
        self.assertTrue(200 - sent <= twice[0]["busy"] <= 200, "a delivery is in one job at a time")
        before += sent
        wait_for("some of the job to arrive", lambda: relays.counts("no")["accepted"] >= before + 20, 20)
        self.assertEqual([j["job"] for j in self.rows(v, "replay", "--jobs")], [1, 2, 3], "what finds nothing makes no job")
        self.assertRegex(self.said(v, "replay", "--cancel", "3"), r"^job 3 is cancelled: \d+ of 200 delivered\n  \d+ dropped")
        wait_for("what is in flight", lambda: self.job(v, 3)["asked"] == 0, 10)
        stopped = relays.counts("no")["accepted"]
        time.sleep(1.5)
        self.assertEqual(relays.counts("no")["accepted"], stopped, "nothing is sent after the cancel")
        job = self.job(v, 3)
        self.assertEqual((job["state"], job["delivered"] + job["dropped"]), ("cancelled", 200), job)
        self.assertEqual(self.counted(v), {"pow": job["dropped"], "refused": 200})
        self.assertIn("cancelled", self.said(v, "replay", "--cancel", "3"), "the same again is harmless")

        # One fails again, and the rest is purged.
        again = sorted(i for i in by_class["refused"] if told[i]["kind"] == 1)[0]
        relays.set("no", "refuse=pow: not enough")
        r = v.run("replay", "--id", again, "--wait")
        self.assertEqual(r.returncode, 1, r.stdout)
        self.assertIn("0 of 1 delivered\n  1 failed again\n", r.stdout)
        relays.set("no", "ok")
        purged = by_class["refused"] - {again}
        self.assertIn("nothing was purged", self.said(v, "purge", "--class", "refused"))
        self.assertEqual(self.said(v, "purge", "--class", "refused", "--yes"), "purged %d failed deliveries\n" % len(purged))
        self.assertEqual(self.counted(v), {"pow": job["dropped"] + 1})

        # Three at once who mean the same: each delivery is in one job.
        some = self.counted(v, "--class", "pow", "--kind", "1111")["pow"]
        command = [v.program, "replay", "-c", v.config, "--class", "pow", "--kind", "1111", "--wait", "--json"]
        several = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_env()) for _ in range(3)]
        totals = [json.loads(p.communicate(timeout=60)[0].splitlines()[0])["total"] for p in several]
        self.assertEqual((sum(totals), [p.returncode for p in several]), (some, [0, 0, 0]), totals)
        self.assertNotIn(1111, {r["kind"] for r in self.rows(v, "failed", "--limit", "0")})

        self.check_receipts(relays, v, told, purged, again)
        v.stop()

    def check_receipts(self, relays, v, told, purged, again):
        took = collections.Counter(json.loads(e)["id"] for e in relays.accepted("no"))
        self.assertLessEqual(max(took.values()), self.SENT_MAX, "nothing was sent twice")
        receipts = self.receipts(v, list(told))
        for i, e in told.items():
            no, yes = receipts[i][relays.urls["no"]], receipts[i][relays.urls["yes"]]
            self.assertEqual((yes["result"], yes["history"]), ("delivered", []), i)
            expected = "delivered" if i in took else "purged" if i in purged else "failed"
            self.assertEqual(no["result"], expected, (no, e["cls"]))
            if expected == "delivered":
                self.assertEqual([(h["class"], h["reason"]) for h in no["history"]], [(e["cls"], e["reason"])], no)
            elif i == again:
                self.assertEqual((no["class"], no["reason"], [h["class"] for h in no["history"]]), ("pow", "pow: not enough", ["refused"]), no)
            else:
                self.assertEqual((no["class"], no["reason"]), (e["cls"], e["reason"]), no)
        self.assertEqual(collections.Counter(r[relays.urls["no"]]["result"] for r in receipts.values())["delivered"], len(took))
        lanes, _ = v.depth()
        lane = lanes[relays.urls["no"]]
        self.assertEqual((lane["depth"], lane["asked"], lane["retrying"], lane["failed"]), (0, 0, 0, sum(self.counted(v).values())))

    # ---- hold and release

    def test_a_held_relay_gets_nothing_and_loses_nothing(self):
        relays = self.practice("a:v4", "b:v4")
        # One that is down: what it waits for stays in the log, so that what is given up can be replayed.
        v = self.volley([{"url": relays.urls["a"], "name": "a"}, {"url": relays.urls["b"], "name": "b"}, "ws://127.0.0.1:9"])
        v.start_all()
        post = v.post(100000, "--seed", SEED, "--rate", 200, "--seconds", 8, background=True, name="load")
        self.started.append(Ending(post))
        wait_for("some to arrive", lambda: relays.counts("a")["accepted"] >= 100, 20)
        self.assertRegex(self.said(v, "hold", "a"), r"^a is held: nothing is sent there; \d+ wait\n$")
        self.assertRegex(self.said(v, "hold", relays.urls["a"]), r"^a is held already: ", "the same again is harmless")
        wait_for("the hold to be heard", lambda: self.silent(v, relays.urls["a"]), 20)
        held = relays.counts("a")["accepted"]
        began = relays.counts("b")["accepted"]
        wait_for("the other to go on", lambda: relays.counts("b")["accepted"] >= began + 300, 20)
        self.assertEqual(relays.counts("a")["accepted"], held, "nothing is sent")
        self.assertEqual(v.depth()[0][relays.urls["a"]]["verdict"], "held")
        post.wait(60)
        v.wait_drained(30, [relays.urls["b"]])
        for service in ("publisher", "queue"):  # an operator's word is kept
            v.services[service].stop()
        v.start("queue")
        v.start("publisher")
        accepted = relays.accepted("b")
        wait_for("the lanes", lambda: v.depth()[0][relays.urls["a"]]["publisher"], 20)
        time.sleep(1)
        self.assertEqual(relays.counts("a")["accepted"], held, "also after a restart")
        self.assertEqual(v.depth()[0][relays.urls["a"]]["depth"], len(accepted) - held, "all is kept")
        self.assertEqual(self.said(v, "release", "a"), "a is released: %d wait and are sent in order\n" % (len(accepted) - held))
        v.wait_drained(30, list(relays.urls.values()))
        self.assertEqual(relays.accepted("a"), accepted, "all of it, once, in the order of the log")
        self.assertEqual(self.said(v, "release", "a"), "a is not held: 0 wait\n")

        # Given up, and brought back all the same.
        self.said(v, "hold", "a")
        wait_for("the hold to be heard", lambda: self.silent(v, relays.urls["a"]), 20)
        v.post(30, "--seed", SEED + 1, name="more")
        v.wait_drained(30, [relays.urls["b"]])
        self.assertEqual(self.said(v, "release", "a", "--from", "now"), "a is released: 30 given up, 0 wait\n")
        ids = [i for i, _, _ in v.posted("more")]
        row = v.receipt(ids[7])[relays.urls["a"]]
        self.assertEqual((row["result"], row["class"]), ("expired", "released"))
        self.assertEqual(self.counted(v), {}, "nothing failed")
        self.assertEqual(self.counted(v, "--class", "expired"), {"released": 30})
        self.assertEqual(self.rows(v, "replay", "--class", "released", "--wait")[-1]["delivered"], 30)
        self.assertEqual(relays.accepted("a"), relays.accepted("b"))
        self.assertEqual(v.receipt(ids[7])[relays.urls["a"]]["result"], "delivered")
        for action in ("relay held by=", "relay released by=", "replay job made by="):
            # The queue's log has it; Redis has none, so there whoever asks says so.
            self.assertIn(action, self.heard if v.backend == "redis" else v.services["queue"].log(), "an audit line in the log")
        v.stop()

    def silent(self, v, url):
        """Whether the relay's publisher says that it holds, and nothing is in flight."""
        lane = v.depth()[0][url]
        return lane["state"] == "held" and lane["in_flight"] == 0

    def still(self, relays, name):
        """The number accepted, once it has not grown for half a second while others were posted."""
        before = relays.counts(name)["accepted"]
        time.sleep(0.5)
        return relays.counts(name)["accepted"] == before and before

    # ---- the list

    def test_a_relay_is_added_removed_and_added_again_under_load(self):
        relays = self.practice("a:v4", "b:v4")
        v = self.volley([relays.urls["a"]])
        v.start_all()
        post = v.post(100000, "--seed", SEED, "--rate", 200, "--seconds", 25, background=True, name="load")
        self.started.append(Ending(post))
        got = lambda name: relays.counts(name)["accepted"]
        wait_for("some to arrive", lambda: got("a") >= 100, 20)

        def apply(urls, said):
            v.relays = urls
            v.write_config()
            self.assertEqual(self.said(v, "relays", "apply").split(";")[0], said)

        both = [relays.urls["a"], relays.urls["b"]]
        apply(both, "added 1, changed 0, retired 0, unchanged 1")
        wait_for("the new relay to get some", lambda: got("b") >= 200, 20)
        apply(both[:1], "added 0, changed 0, retired 1, unchanged 1")
        first = wait_for("the old one to get nothing more", lambda: self.still(relays, "b"), 15)
        began = got("a")
        wait_for("the other to go on", lambda: got("a") >= began + 200, 20)
        self.assertEqual(got("b"), first, "nothing is sent to a retired relay")
        said = v.services["publisher"].log()
        self.assertRegex(said, r"\[INFO\] (lane ended with the relay list|commit refused, lane lost) relay=" + re.escape(both[1]))
        self.assertNotIn("[WARN]", said, "it was meant")
        listed = self.rows(v, "relays", "--all")
        self.assertEqual([(r["relay"], r["retired"]) for r in listed[:-1]], [(both[0], False), (both[1], True)])
        self.assertEqual((listed[-1]["relays"], listed[-1]["retired"], listed[-1]["list"]), (1, 1, 3))
        self.assertEqual(len(self.rows(v, "relays")), 2)
        self.assertEqual(self.said(v, "hold", relays.urls["b"], status=2), "volley hold: relay '%s' has retired: nothing is sent there\n" % relays.urls["b"])
        apply(both, "added 1, changed 0, retired 0, unchanged 1")
        wait_for("the relay that is back to get some", lambda: got("b") >= first + 100, 20)
        apply(both, "added 0, changed 0, retired 0, unchanged 2")
        post.wait(60)
        v.wait_drained()
        a, b = relays.accepted("a"), relays.accepted("b")
        self.assertEqual(len(a), len(set(a)))
        answered = [e for _, _, e in v.posted("load")]
        self.assertEqual(a[:len(answered)], answered, "the other relay noticed nothing")
        self.assertLess(len(a) - len(answered), 200, "what was under way when the time to post was over")
        gap = a.index(b[first]) - a.index(b[first - 1])
        self.assertGreaterEqual(gap, 200, "what came while it was away was not its business")
        start = a.index(b[0])
        self.assertEqual(b[:first], a[start:start + first], "from the head on, in order")
        self.assertEqual(b[first:], a[a.index(b[first]):], "and again")
        missed = json.loads(a[a.index(b[first]) - 1])["id"]
        ends = [json.loads(line)["result"] for line in self.said(v, "receipt", missed, "--json").splitlines() if json.loads(line)["relay"] == both[1]]
        self.assertIn(ends, (["never", "never"], ["never"], ["expired", "never"]), "it says so")

        # An empty list retires all: only when it is meant.
        v.relays = []
        v.write_config()
        self.assertIn("would retire every relay", self.said(v, "relays", "apply", status=2))
        self.assertEqual(self.said(v, "relays", "apply", "--yes").split(";")[0], "added 0, changed 0, retired 2, unchanged 0")
        self.assertEqual(self.rows(v, "relays")[0]["relays"], 0)
        self.assertRegex(v.run("check").stdout, r"queue: answers, .* events held, 0 lanes\n")
        v.stop()

    # ---- figures

    def test_depth_rate_and_time_to_drain_are_what_the_relay_counts(self):
        relays = self.practice("slow:v4", "fast:v4")
        v = self.volley([{"url": relays.urls["slow"], "name": "slow", "rate": "25/s"}, {"url": relays.urls["fast"], "name": "fast"}])
        v.start_all()
        count = 650
        self.assertEqual(v.post(count, "--seed", SEED)["accepted"], count)
        v.wait_drained(30, [relays.urls["fast"]])
        time.sleep(11)  # the span over which the rate is measured
        before, at = relays.counts("slow")["accepted"], time.monotonic()
        lane = v.depth()[0][relays.urls["slow"]]
        after, then = relays.counts("slow")["accepted"], time.monotonic()
        self.assertTrue(count - after - 1 <= lane["depth"] <= count - before + 1 + lane["in_flight"], (count, before, after, lane))
        self.assertTrue(before - 2 <= lane["delivered"] <= after + 1, (before, after, lane))
        times = [r[0] for r in relays.records("slow")]
        recent = [t for t in times if t > times[-1] - 10000]
        counted = (len(recent) - 1) * 1000.0 / (recent[-1] - recent[0])
        self.assertAlmostEqual(lane["rate"], counted, delta=counted * 0.15)
        self.assertAlmostEqual(lane["drain_seconds"], lane["depth"] / lane["rate"], delta=1)
        self.assertEqual(lane["verdict"], "falling behind", "it needs longer than the oldest has waited")
        v.wait_drained(60)
        took = time.monotonic() - (at + then) / 2
        figure("drain: %d s foretold at a depth of %d, %.1f s it took; rate %.1f/s told, %.1f/s counted" % (lane["drain_seconds"], lane["depth"], took, lane["rate"], counted))
        self.assertAlmostEqual(lane["drain_seconds"], took, delta=max(2, took * 0.15))
        lanes, total = v.depth()
        for name, url in relays.urls.items():
            self.assertEqual((lanes[url]["delivered"], lanes[url]["depth"]), (relays.counts(name)["accepted"], 0))
        self.assertEqual((total["depth"], total["head"]), (0, count))
        v.stop()


class Ending:
    """A background process that ends with its test."""

    def __init__(self, process):
        self.process = process

    def stop(self):
        self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    main()
