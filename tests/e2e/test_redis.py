"""What Redis may do to the queue, under load: die, sleep, lose connections, fill its disk or its memory, be emptied, be another one. What was acknowledged settles; nothing is claimed that no relay took."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from harness import SEED, Client, Process, Scenario, figure, main, sign, wait_for

RELAYS = ["a:v4", "b:dual", "c:v6"]
KEYS = {"publisher.backoff_min": "200ms", "publisher.backoff_max": "1s", "publisher.ok_timeout": "5s"}
MIB = 1 << 20
NOW = int(time.time())


def can_mount():
    return subprocess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True).returncode == 0


class Redis(Scenario):
    def start(self, *specs, redis=None, **keys):
        self.relays = self.practice(*(specs or RELAYS))
        self.v = self.volley(list(self.relays.urls.values()), backend="redis", keys=dict(KEYS, **keys))
        self.v.redis_options.update(redis or {})
        self.v.start_all()

    def post(self, count, name="post", rate=400, seconds=110, **options):
        args = [word for key, value in options.items() for word in ("--" + key, value)]
        return self.v.post(count, "--seed", SEED % 1000 + sum(map(ord, name)), "--rate", rate, *args, background=True, seconds=seconds, name=name)

    def wait_taken(self, count):
        wait_for("a load", lambda: min(c["unique"] for c in self.relays.all_counts().values()) >= count, 30)

    def check(self, post, *names):
        """Everything acknowledged arrived, and is told so; nothing else is."""
        self.assertEqual(post.wait(120), 0, post.log())
        self.v.wait_drained(90)
        posted = [row for name in names or ("post",) for row in self.v.posted(name)]
        self.assertGreater(len(posted), 0)
        want = {event for _, _, event in posted}
        lanes, _ = self.v.depth()
        for name, url in self.relays.urls.items():
            got = set(self.relays.accepted(name))
            self.assertFalse(want - got, "%s lacks %d of %d that were acknowledged\n%s" % (name, len(want - got), len(want), self.v.logs()))
            self.assertEqual((lanes[url]["failed"], lanes[url]["expired"], lanes[url]["skipped"]), (0, 0, 0))
            self.assertLessEqual(lanes[url]["delivered"], len(got), "more is told than %s took" % name)
        for i, _, _ in random.Random(SEED).sample(posted, 20):
            self.assertEqual({row["result"] for row in self.v.receipt(i).values()}, {"delivered"})
        return posted

    def alive(self):
        for name in ("publisher", "ingest"):
            self.assertTrue(self.v.services[name].alive(), self.v.services[name].log()[-3000:])

    # ---- it goes away

    def test_redis_killed_under_load(self):
        rng = random.Random(SEED)
        self.start()
        post = self.post(3000)
        for _ in range(4):
            time.sleep(rng.uniform(0.3, 1.5))
            self.v.services["queue"].kill()
            self.v.services["queue"].wait()
            time.sleep(rng.uniform(0, 1.5))
            self.v.start("queue", wait=False)
        posted = self.check(post)
        self.alive()
        sent = sum(c["accepted"] for c in self.relays.all_counts().values())
        figure("redis-server killed 4 times: %d acknowledged, none lost, %d of %d sent again" % (len(posted), sent - len(posted) * len(RELAYS), sent))
        self.v.stop()

    def test_redis_asleep_for_20_seconds_under_load(self):
        self.start()
        post = self.post(3000, rate=300)
        self.wait_taken(100)
        self.v.services["queue"].kill(signal.SIGSTOP)
        began = time.monotonic()
        wait_for("ingest to say so", lambda: self.v.health() == 503, 20, 0.5)
        said_s = time.monotonic() - began
        time.sleep(max(0, 20 - said_s))
        self.v.services["queue"].kill(signal.SIGCONT)
        began = time.monotonic()
        wait_for("ingest to take events again", lambda: self.v.health() == 200, 30)
        figure("redis-server stopped for 20 s: ingest says so after %.1f s, takes events again %.1f s after it goes on" % (said_s, time.monotonic() - began))
        self.check(post)
        self.alive()
        self.v.stop()

    def test_connections_cut_under_load(self):
        rng = random.Random(SEED + 1)
        self.start()
        post = self.post(2000)
        for n in range(12):
            time.sleep(rng.uniform(0.1, 0.5))
            self.v.redis("CLIENT", "KILL", "TYPE", rng.choice(["normal", "pubsub"]))
        self.check(post)
        self.alive()
        self.v.stop()

    # ---- relays that fail, with Redis as the queue

    def test_relays_that_were_down_silent_limited_or_asked_for_auth_get_everything_in_the_end(self):
        key = os.path.join(self.folder, "auth.key")
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
            f.write("%064x\n" % 7)
        self.start("good:v4", "down:v4:0:down", "silent:v4:0:silent", "cutter:v4:0:cut_before=40", "limited:v4:0:rate=50", "auth:v4:0:auth", **{"publisher.auth_key_file": key, "publisher.ok_timeout": "3s", "publisher.connect_timeout": "3s"})
        post = self.post(400, rate=200)
        self.assertEqual(post.wait(60), 0, post.log())
        self.v.wait_drained(30, [self.relays.urls["good"]])
        self.assertGreater(self.v.depth()[0][self.relays.urls["down"]]["depth"], 0)
        for name in ("down", "silent", "cutter", "limited"):
            self.relays.set(name, "ok")
        self.check(post)
        self.assertGreater(self.relays.counts("auth")["auths"], 0)
        self.v.stop()

    def test_refusals_are_failed_with_class_and_text(self):
        self.start("a:v4:0:refuse=pow: 20 bits wanted | go away", "b:v4")
        self.assertEqual(self.post(100).wait(60), 0)
        self.v.wait_drained(30)
        rows = [json.loads(line) for line in self.v.run("failed", "--json", "--limit", "0").stdout.splitlines()]
        told = sorted((r["class"], r["reason"]) for r in rows if "class" in r)
        self.assertEqual(told, sorted(50 * [("pow", "pow: 20 bits wanted")] + 50 * [("refused", "go away")]))
        self.assertEqual(len(set(self.relays.accepted("b"))), 100)
        self.v.stop()

    # ---- it is full

    def test_a_full_disk_ends_redis_and_all_goes_on_when_there_is_room_again(self):
        if not can_mount():
            raise unittest.SkipTest("no tmpfs can be mounted here (needs root or user namespaces: unshare -rm)")
        self.relays = self.practice(*RELAYS)
        self.v = self.volley(list(self.relays.urls.values()), backend="redis", keys=KEYS)
        os.mkdir(self.v.data, 0o700)
        # The file system outlives the server: a process that does nothing else holds it.
        script = 'mount -t tmpfs -o size=%d,mode=0700 tmpfs "$1" && echo mounted && exec sleep 600' % (32 * MIB)
        holder = Process(["unshare", "-rm", "sh", "-c", script, "sh", self.v.data], os.path.join(self.folder, "disk"))
        self.started.append(holder)
        wait_for("the small disk", lambda: "mounted" in holder.log(), 10)
        inside = ["nsenter", "-t", str(holder.p.pid), "-U", "-m", "--preserve-credentials"]
        plain = self.v.redis_command
        self.v.redis_command = lambda: inside + plain()
        self.v.start_all()
        disk = "/proc/%d/root%s" % (holder.p.pid, self.v.data)
        first = self.post(200, "first")
        self.check(first, "first")
        self.v.redis("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
        with open(os.path.join(disk, "filler"), "wb") as f:
            s = os.statvfs(disk)
            f.write(b"x" * max(0, s.f_bavail * s.f_frsize - MIB))
        post = self.post(1500, pad=2000)  # 3 MB
        wait_for(lambda: "redis-server to end itself\n" + self.v.logs(), lambda: not self.v.services["queue"].alive(), 30)
        wait_for("ingest to say so", lambda: self.v.health() == 503, 20)
        ok, why = Client(self.v.ingest_port).post(sign((7, NOW, 1, [], "too much"))[0])
        self.assertFalse(ok)
        self.assertRegex(why, "^error: ")
        self.alive()
        os.unlink(os.path.join(disk, "filler"))
        self.v.start("queue", wait=False)
        self.check(post, "first", "post")
        self.v.stop()

    def test_full_memory_refuses_events_and_lets_deliveries_settle(self):
        self.start("a:v4", "b:v4:0:down", redis={"maxmemory": "48mb"}, **{"queue.max_bytes": "16MiB"})
        post = self.post(500, "first")
        self.assertEqual(post.wait(60), 0)
        self.v.wait_drained(30, [self.relays.urls["a"]])
        # Somebody else's data takes the rest.
        n = 0
        while "OOM" not in self.v.redis("SETRANGE", "somebody-else:%d" % n, str(256 * 1024), "x"):
            n += 1
            self.assertLess(n, 1000)
        client = Client(self.v.ingest_port)
        ok, why = client.post(sign((7, NOW, 1, [], "too much"))[0])
        self.assertFalse(ok)
        self.assertRegex(why, "^error: .*(memory|full)")
        wait_for("ingest's health to say so", lambda: self.v.health() == 503, 20)
        self.relays.set("b", "ok")
        self.v.wait_drained(30)
        self.assertEqual(self.relays.accepted("b"), [e for _, _, e in self.v.posted("first")], "what waited is delivered, in order")
        self.assertEqual(self.v.depth()[0][self.relays.urls["b"]]["delivered"], 500, "and settled, the memory being full")
        self.v.redis("DEL", *["somebody-else:%d" % i for i in range(n + 1)])
        self.check(self.post(100, "second"), "first", "second")
        self.v.stop()

    # ---- it is not what it was

    def stopped(self, words):
        """Publishers and ingest say that this is not their queue, claim nothing and take nothing."""
        wait_for(lambda: "the publisher to say so\n" + self.v.logs(), lambda: words in self.v.services["publisher"].log(), 30)
        wait_for("ingest to say so", lambda: self.v.health() == 503, 20)
        ok, why = Client(self.v.ingest_port).post(sign((7, NOW, 1, [], "to whom?"))[0])
        self.assertFalse(ok)
        self.assertRegex(why, "^error: ")
        before = self.relays.all_counts()
        time.sleep(1)
        after = self.relays.all_counts()
        self.assertEqual({n: c["events"] for n, c in before.items()}, {n: c["events"] for n, c in after.items()}, "nothing is sent any more")
        self.alive()

    def test_an_emptied_redis_is_not_taken_for_the_queue(self):
        self.start("a:v4", "b:v4:0:slow=20")
        post = self.post(2000)
        self.wait_taken(50)
        self.v.redis("FLUSHALL")
        self.stopped("not the one")
        self.assertEqual(self.v.redis("KEYS", "volley:*"), "", "nothing was written into it")
        self.assertTrue(post.alive(), "and nothing acknowledged")
        post.kill()
        post.wait()
        # A person who knows what happened starts the services anew.
        for name in ("publisher", "ingest"):
            self.assertEqual(self.v.services[name].stop(), 0, self.v.services[name].log())
        self.v.start("publisher")
        self.v.start("ingest")
        self.v.wait_lanes()
        again = self.post(50, "again")
        self.assertEqual(again.wait(60), 0, again.log())
        self.v.wait_drained(30)
        self.assertEqual({l["delivered"] for l in self.v.depth()[0].values()}, {50}, "it begins at nothing")
        self.v.stop()

    def test_another_server_at_the_same_address_is_not_taken_for_the_queue_and_the_old_one_is_when_it_is_back(self):
        self.start("a:v4", "b:v4")
        first = self.post(100, "first")
        self.check(first, "first")
        self.v.services["queue"].stop()
        shutil.move(self.v.data, self.v.data + ".old")
        # Another publisher's volley made the other one its own meanwhile.
        self.v.start("queue")
        self.assertEqual(self.v.run("relays", "apply").returncode, 0)
        self.stopped("not the one")
        self.v.services["queue"].stop()
        shutil.rmtree(self.v.data)
        shutil.move(self.v.data + ".old", self.v.data)
        self.v.start("queue")
        wait_for("ingest to take events again", lambda: self.v.health() == 200, 30)
        self.check(self.post(100, "second"), "first", "second")
        self.v.stop()

    # ---- it keeps what it promises

    def test_a_redis_that_does_not_keep_the_promises_is_refused_with_the_line_that_mends_it(self):
        self.relays = self.practice("a:v4")
        self.v = self.volley(list(self.relays.urls.values()), backend="redis")
        self.v.redis_options.update({"appendfsync": "everysec", "maxmemory-policy": "allkeys-lru"})
        self.v.start("queue", wait=False)
        wait_for("redis-server", lambda: self.v.redis("PING") == "PONG", 20)
        r = self.v.run("check")
        self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
        for line in ("appendfsync always", "maxmemory-policy noeviction"):
            self.assertIn(line, r.stdout + r.stderr)
        self.v.start("ingest")
        ok, why = Client(self.v.ingest_port).post(sign((7, NOW, 1, [], "x"))[0])
        self.assertFalse(ok)
        self.assertEqual(self.v.health(), 503)
        self.assertEqual(self.v.services["ingest"].stop(), 0)
        # Mended while it runs, and taken then.
        self.v.start("publisher", wait=False)
        wait_for("the publisher to say so", lambda: "appendfsync always" in self.v.services["publisher"].log(), 20)
        self.v.redis("CONFIG", "SET", "appendfsync", "always", "maxmemory-policy", "noeviction")
        self.v.start("ingest")
        self.v.wait_lanes()
        wait_for("ingest to take events", lambda: self.v.health() == 200, 30)
        self.check(self.post(50))
        self.v.stop()

    def test_who_says_unsafe_gets_it(self):
        self.relays = self.practice("a:v4")
        self.v = self.volley(list(self.relays.urls.values()), backend="redis", keys={"queue.unsafe": "yes"})
        self.v.redis_options.update({"appendfsync": "everysec"})
        self.v.start_all()
        self.assertIn("appendfsync", self.v.services["publisher"].log(), "with a warning")
        self.check(self.post(50))
        self.v.stop()

    def test_it_lives_beside_other_data_and_other_volleys(self):
        self.start("a:v4", "b:v4")
        self.v.redis("SET", "mine", "untouched")
        other = self.volley([self.relays.urls["b"]], backend="redis", keys={"queue.url": self.v.keys["queue.url"], "queue.prefix": "other"})
        other.start("publisher")
        other.start("ingest")
        other.wait_lanes()
        self.check(self.post(200, "first"), "first")
        self.assertEqual(other.post(100, "--seed", 4711, name="others")["accepted"], 100)
        other.wait_drained(30)
        self.assertEqual(len(set(self.relays.accepted("a"))), 200, "each has its own")
        self.assertEqual(len(set(self.relays.accepted("b"))), 300)
        self.assertEqual(self.v.redis("GET", "mine"), "untouched")
        keys = {key.split(":")[0] for key in self.v.redis("KEYS", "*").splitlines()}
        self.assertEqual(keys, {"mine", "volley", "other"})
        for service in ("ingest", "publisher"):
            self.assertEqual(other.services[service].stop(), 0)
        self.v.stop()

    def test_consumer_groups_show_standard_tools_each_lane_s_lag(self):
        self.start("a:v4", "b:v4:0:down")
        self.assertEqual(self.post(300).wait(60), 0)
        self.v.wait_drained(30, [self.relays.urls["a"]])

        def groups():
            words = self.v.redis("XINFO", "GROUPS", "volley:log").splitlines()
            rows, pairs = [], list(zip(words[::2], words[1::2]))
            for key, value in pairs:
                if key == "name":
                    rows.append({})
                rows[-1][key] = value
            return rows

        lags = wait_for(lambda: "the lags: %s" % groups(), lambda: sorted(g["lag"] for g in groups()) == ["0", "300"] and groups(), 20)
        depth = self.v.depth()[0]
        self.assertEqual(sorted(l["depth"] for l in depth.values()), sorted(int(g["lag"]) for g in lags))
        self.v.stop()


if __name__ == "__main__":
    main()
