"""`volley up`: starts three services, watches over them, stops them cleanly, and never leaves one behind."""
import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from harness import Scenario, main, wait_for


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


def gone(pids):
    return not any(os.path.exists("/proc/%d" % p) for p in pids)


class Up(Scenario):
    def start(self, *behaviour):
        relays = self.practice("a:v4" + "".join(":0:" + b for b in behaviour))
        v = self.volley(list(relays.urls.values()))
        v.up()
        return relays, v, v.services["up"].p.pid

    def test_one_ctrl_c_stops_all_cleanly(self):
        relays, v, pid = self.start()
        kids = children(pid)
        self.assertEqual(len(kids), 4)
        v.post(50, "--seed", 1)
        v.services["up"].kill(signal.SIGINT)
        self.assertEqual(v.services["up"].wait(40), 0)
        self.assertTrue(gone(kids))
        self.assertEqual(len(relays.accepted("a")), 50, "what was in flight is settled first")
        v.check_logs()

    def test_a_second_ctrl_c_stops_at_once(self):
        _, v, pid = self.start("silent")
        kids = children(pid)
        v.post(5, "--seed", 1)
        wait_for("events in flight", lambda: list(v.depth()[0].values())[0]["in_flight"] > 0, 10)
        v.services["up"].kill(signal.SIGINT)
        time.sleep(1)
        self.assertTrue(v.services["up"].alive(), "the publisher waits for answers")
        began = time.monotonic()
        v.services["up"].kill(signal.SIGINT)
        v.services["up"].wait(10)
        self.assertLess(time.monotonic() - began, 5)
        self.assertTrue(gone(kids))

    def test_children_do_not_outlive_a_killed_up(self):
        _, v, pid = self.start()
        kids = children(pid)
        v.services["up"].kill()
        v.services["up"].wait()
        wait_for("the children to end", lambda: gone(kids), 40)

    def test_a_taken_port_is_said_and_ends_it(self):
        relays = self.practice("a:v4")
        v = self.volley(list(relays.urls.values()))
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", v.ingest_port))
            s.listen()
            p = v.start("up", wait=False)
            self.assertEqual(p.wait(40), 1)
        self.assertRegex(p.log(), "volley ingest: .*%d.*in use" % v.ingest_port)

    def test_a_second_up_on_the_same_data_says_so_and_harms_nothing(self):
        relays, v, _ = self.start()
        r = v.run("up", "--set", "ingest.listen=127.0.0.1:0")
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stderr, "volley queue: .*(another|in use|lock)")
        self.assertEqual(v.post(10, "--seed", 3)["accepted"], 10)
        v.wait_drained()
        v.stop()


if __name__ == "__main__":
    main()
