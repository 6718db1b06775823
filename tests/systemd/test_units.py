"""The installed systemd units under a real systemd, the first process of a container: started, reloaded, restarted, killed, stopped."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compose"))
from fleet import base_image, docker, image, image_tags, one_build, require_engine
from harness import main, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "volleysystemd-%d" % os.getpid()
PARTS = ["volley-queue", "volley-ingest", "volley-publisher", "volley-probe"]
RELAY = "ws://127.0.0.1:4001"
TOKEN = "t" * 40


class Units(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        require_engine()
        tag = image_tags()["BUILD_IMAGE"].replace("-build:", "-systemd:")
        with one_build():
            build = image("BUILD_IMAGE")
            docker("build", "-q", "--build-arg", "BASE_IMAGE=" + base_image(), "--build-arg", "BUILD_IMAGE=" + build, "-t", tag, HERE, seconds=900, env={"DOCKER_BUILDKIT": "0"})
        # As much as systemd wants of a machine. SYS_RESOURCE is not to be had everywhere, and not needed.
        options = ["--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
                   "--tmpfs", "/run:exec", "--tmpfs", "/tmp:exec", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "-e", "container=docker"]
        docker("run", "-d", "--name", NAME, *options, tag)
        try:
            wait_for(lambda: "systemd to be up: " + docker("logs", NAME, check=False).stdout, lambda: cls.sh("systemctl is-system-running", check=False) in ("running", "degraded"), 60, 0.5)
            cls.sh("mkdir /etc/volley && cat >/etc/volley/volley.yaml", stdin="ingest: { allow_pubkeys: [%s] }\npublisher: { route: direct, relays: [\"%s\"], backoff_max: 2s }\n" % (cls.sh("practice author"), RELAY))
            docker("exec", "-d", NAME, "practice", "relays", "one:v4:4001")
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        docker("rm", "-f", NAME, check=False)

    @classmethod
    def sh(cls, script, check=True, stdin=""):
        return docker("exec", "-i", NAME, "sh", "-c", script, check=check, stdin=stdin, seconds=120).stdout.strip()

    def tearDown(self):
        self.sh("systemctl stop volley %s; systemctl reset-failed; rm -rf /etc/systemd/system/volley.service.d" % " ".join(PARTS), check=False)

    def states(self, *units):
        return self.sh("systemctl is-active " + " ".join(units), check=False).split()

    def wait_states(self, units, *states):
        wait_for(lambda: "%s to be %s: %s\n%s" % (units, states, self.states(*units), self.sh("journalctl -n 40 --no-pager -u 'volley*'")), lambda: self.states(*units) == list(states), 30, 0.3)

    def delivers(self, mark, count=3):
        """Posts, once ingest listens; all arrives at the relay."""
        self.assertEqual(json.loads(self.sh("practice post ws://127.0.0.1:7787 --count %d --mark %s" % (count, mark)))["accepted"], count)

        def lane():
            rows = self.sh("volley depth -c /etc/volley/volley.yaml --json", check=False).splitlines()
            return json.loads(rows[0]) if rows else {}

        wait_for(lambda: "the relay to have all: %s" % lane(), lambda: lane().get("depth") == 0 and lane().get("position") >= count, 30, 0.3)

    def test_the_whole_of_it(self):
        self.sh("systemctl start volley")
        self.wait_states(["volley"], "active")
        self.delivers("first")
        self.sh("systemctl reload volley && systemctl restart volley")
        self.delivers("again")
        self.assertEqual(self.sh("stat -Lc %a /var/lib/volley/"), "700")
        pid = self.sh("systemctl show -p MainPID --value volley")
        self.sh("kill -9 " + pid)
        wait_for("another first process", lambda: self.sh("systemctl show -p MainPID --value volley") not in ("0", pid), 30, 0.3)
        self.delivers("killed")
        self.sh("systemctl stop volley")
        self.assertEqual(self.sh("systemctl show -p Result -p ActiveState --value volley").split(), ["success", "inactive"])
        self.assertEqual(self.sh("grep -lx volley /proc/[0-9]*/comm; true"), "")

    def test_its_parts_and_the_whole_take_turns(self):
        self.sh("systemctl start volley-ingest volley-publisher volley-probe")
        self.wait_states(PARTS, "active", "active", "active", "active")
        self.delivers("parts")
        self.sh("kill -9 $(systemctl show -p MainPID --value volley-queue)")
        self.wait_states(PARTS, "active", "active", "active", "active")
        self.delivers("queue")
        self.sh("systemctl start volley")
        self.wait_states(PARTS + ["volley"], "inactive", "inactive", "inactive", "inactive", "active")
        self.delivers("whole")

    def test_a_secret_is_handed_over_by_systemd(self):
        self.sh("mkdir -p /etc/systemd/system/volley.service.d && printf %s >/etc/volley/token && chmod 600 /etc/volley/token" % TOKEN)
        self.sh("cat >/etc/systemd/system/volley.service.d/override.conf && systemctl daemon-reload", stdin="[Service]\nLoadCredential=token:/etc/volley/token\nExecStart=\nExecStart=/usr/bin/volley up -c /etc/volley/volley.yaml --set probe.admin_token_file=/run/credentials/volley.service/token\n")
        self.sh("systemctl start volley")
        self.wait_states(["volley"], "active")
        self.delivers("secret")

    def test_wrong_configuration_is_said_and_not_tried_again(self):
        self.sh("cp /etc/volley/volley.yaml /tmp/good && echo 'nonsense: 1' >>/etc/volley/volley.yaml")
        try:
            self.sh("systemctl start volley", check=False)
            wait_for(lambda: self.states("volley"), lambda: self.states("volley") == ["failed"], 20, 0.3)
            self.assertEqual(self.sh("systemctl show -p ExecMainStatus --value volley"), "2")
            self.assertEqual(self.sh("systemctl show -p NRestarts --value volley"), "0")
            self.assertIn("nonsense", self.sh("journalctl --no-pager -u volley -n 20"))
        finally:
            self.sh("cp /tmp/good /etc/volley/volley.yaml")


if __name__ == "__main__":
    main()
