"""The statistics and the prober, with Redis as the queue: each cell, kill -9, two probers."""
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
import harness

harness.BACKEND = "redis"

LONG = True  # the same as with the embedded queue: for test-long

from test_statistics import Delivery, Probes  # noqa: E402,F401

if __name__ == "__main__":
    harness.main()
