"""The scenarios of the embedded queue, with Redis in its place: kill -9 of each process, refusals and replay, hold, the fleet."""
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
import harness

harness.BACKEND = "redis"

from test_crash import Crash  # noqa: E402,F401
from test_delivery import Delivery  # noqa: E402,F401
from test_fleet import Fleet  # noqa: E402,F401
from test_operate import Operate  # noqa: E402,F401

# Whoever holds a lane when Redis was started again takes it anew, and sends again what it had not committed.
Operate.SENT_MAX = 2

if __name__ == "__main__":
    harness.main()
