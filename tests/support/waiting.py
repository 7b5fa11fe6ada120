"""Waiting for what another process does: looked at again and again, with a deadline."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
"""How many times longer than elsewhere things may take: in an emulated machine (make test-debian-kernel)."""
T = TypeVar("T")


def until(true: Callable[[], T], shown: object = "it has not happened") -> T:
    """What `true` gives once it is true; `shown` says what did not come true, or gives what says it."""
    deadline = time.monotonic() + 30 * PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline, shown() if callable(shown) else shown
        time.sleep(0.05)
    return found
