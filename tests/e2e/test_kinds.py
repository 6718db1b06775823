"""Which kinds go where, and what a receipt says of versions that were overtaken."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, main, sign, wait_for

NOW = int(time.time())


def event_id(event):
    return json.loads(event)["id"]


class Kinds(Scenario):
    def test_profiles_contacts_relay_lists_articles_deletions_and_ephemerals_are_delivered(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        v.up()
        c = v.client()
        kinds = [0, 3, 5, 10002, 30023, 20001]
        events = sign(*[(7, NOW, k, [["d", "x"]] if k == 30023 else [["e", "0" * 64]] if k == 5 else [], "hello") for k in kinds])
        for e in events:
            self.assertEqual(c.post(e), (True, ""))
        v.wait_drained()
        self.assertEqual([json.loads(e)["kind"] for e in relays.accepted("a")], kinds)
        for e in events:
            self.assertEqual([r["result"] for r in v.receipt(event_id(e)).values()], ["delivered"])
        v.stop()

    def test_private_kinds_go_only_where_allowed(self):
        relays = self.practice("public:v4", "mine:v4")
        v = self.volley([relays.urls["public"], {"url": relays.urls["mine"], "private": "yes"}])
        v.up()
        c = v.client()
        private = sign((7, NOW, 4, [["p", "1" * 64]], "x?iv=y"), (7, NOW, 1059, [["p", "1" * 64]], "wrapped"))
        for e in private:
            self.assertEqual(c.post(e), (True, ""))
        v.wait_drained()
        self.assertEqual(relays.accepted("public"), [])
        self.assertEqual(relays.accepted("mine"), private)
        receipt = v.receipt(event_id(private[0]))
        self.assertEqual(receipt[relays.urls["public"]]["result"], "filtered")
        self.assertEqual(receipt[relays.urls["mine"]]["result"], "delivered")
        v.stop()

    def test_private_kinds_are_refused_where_no_relay_may_have_them(self):
        relays = self.practice("public:v4")
        v = self.volley(list(relays.urls.values()))
        v.up()
        c = v.client()
        for kind in (4, 1059, 22242):
            ok, text = c.post(sign((7, NOW, kind, [], "secret"))[0])
            self.assertFalse(ok)
            self.assertRegex(text, "^(blocked|restricted|invalid): ")
        self.assertEqual(v.depth()[1]["events"], 0)
        v.stop()

    def test_a_superseded_version_still_queued_is_skipped_and_its_receipt_says_so(self):
        relays = self.practice("a:v4")
        relays.set("a", "down")
        v = self.volley(list(relays.urls.values()), keys={"publisher.backoff_max": "1s"})
        v.up()
        c = v.client()
        old, new, deleted = sign((7, NOW - 10, 0, [], "old"), (7, NOW, 0, [], "new"), (7, NOW, 1, [], "regretted"))
        deletion = sign((7, NOW, 5, [["e", event_id(deleted)]], ""))[0]
        for e in (old, new, deleted, deletion):
            self.assertEqual(c.post(e), (True, ""))
        relays.set("a", "ok")
        v.wait_drained()
        self.assertEqual(relays.accepted("a"), [new, deletion])
        for e, result, cls in ((old, "skipped", "superseded"), (new, "delivered", None), (deleted, "skipped", "deleted"), (deletion, "delivered", None)):
            row = v.receipt(event_id(e))[relays.urls["a"]]
            self.assertEqual((row["result"], row["class"]), (result, cls))
        v.stop()

    def test_a_version_delivered_before_the_newer_one_keeps_delivered_also_after_a_changed_filter_and_a_restart(self):
        relays = self.practice("a:v4", "b:v4")
        v = self.volley(list(relays.urls.values()))
        v.up()
        c = v.client()
        old = sign((7, NOW - 10, 0, [], "old"))[0]
        self.assertEqual(c.post(old), (True, ""))
        v.wait_drained()
        new = sign((7, NOW, 0, [], "new"))[0]
        self.assertEqual(c.post(new), (True, ""))
        v.wait_drained()
        v.stop()
        v.relays = [{"url": relays.urls["a"], "except_kinds": [0]}, relays.urls["b"]]
        v.write_config()
        v.up()
        wait_for("the new filter to hold", lambda: v.health() == 200)
        c = v.client()
        newest, note = sign((7, NOW + 1, 0, [], "newest"), (7, NOW + 1, 1, [], "a note"))
        for e in (newest, note):
            self.assertEqual(c.post(e), (True, ""))
        v.wait_drained()
        for e, a in ((old, "delivered"), (new, "delivered"), (newest, "filtered"), (note, "delivered")):
            receipt = v.receipt(event_id(e))
            self.assertEqual(receipt[relays.urls["a"]]["result"], a)
            self.assertEqual(receipt[relays.urls["b"]]["result"], "delivered")
        self.assertEqual(relays.accepted("a"), [old, new, note])
        v.stop()


if __name__ == "__main__":
    main()
