"""`make run` on a Debian 12 that has nothing but apt and make; and again without a network."""
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from fleet import base_image, docker, require_engine
from harness import ROOT, figure, main

LABEL = "volley.test.clean=%d" % os.getpid()


class Clean(unittest.TestCase):
    def setUp(self):
        require_engine()
        self.addCleanup(self.remove)

    def remove(self):
        ours = docker("ps", "-aq", "--filter", "label=" + LABEL).stdout.split()
        if ours:
            docker("rm", "-f", *ours)

    def test_make_run_passes_in_a_clean_container_and_again_without_a_network(self):
        c = docker("run", "-d", "--init", "--label", LABEL, base_image(), "sleep", "1700").stdout.strip()
        files = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True).stdout
        tree = subprocess.run(["tar", "-C", ROOT, "--null", "-T", "-", "-c"], input=files, capture_output=True, check=True).stdout
        subprocess.run(["docker", "exec", "-i", c, "sh", "-c", "mkdir /src && tar -x -C /src"], input=tree, check=True, timeout=60)
        docker("exec", c, "sh", "-c", "apt-get update -qq && apt-get install -y -qq --no-install-recommends make", seconds=400)

        def make_run():
            began = time.monotonic()
            r = docker("exec", "-w", "/src", c, "make", "run", "ONCE=1", seconds=900, check=False)
            self.assertEqual(r.returncode, 0, r.stdout[-3000:] + r.stderr[-3000:])
            self.assertIn("All 1000 events settled at all 10 relays", r.stdout)
            return time.monotonic() - began

        first = make_run()
        networks = docker("inspect", "--format", "{{range $name, $n := .NetworkSettings.Networks}}{{$name}} {{end}}", c).stdout.split()
        for network in networks:
            docker("network", "disconnect", network, c)
        routes = docker("exec", c, "cat", "/proc/net/route").stdout.splitlines()
        self.assertEqual(routes[1:], [])
        figure("make run ONCE=1 on a clean machine: %.0f s; again, without a network: %.0f s" % (first, make_run()))


if __name__ == "__main__":
    main()
