"""Which tests can run here, said loudly, and the fixtures that many tests use."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest

from support import originals

# The machine may be busy with other things: how long one example takes says nothing.  CI judges a change by
# the same examples each time; to look for new ones is what every other run does.
hypothesis.settings.register_profile("busy", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("busy")


@cache
def namespaces() -> bool:
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True)
    return os.geteuid() == 0 and tried.returncode == 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("oracle") and not originals.installed():
            item.add_marker(pytest.mark.skip(reason="THE C ORIGINALS ARE NOT INSTALLED"))
        if item.get_closest_marker("system") and not namespaces():
            item.add_marker(pytest.mark.skip(reason="NO ROOT, SO NO NETWORK NAMESPACES"))
        if item.get_closest_marker("oracle") or item.get_closest_marker("system"):
            # These race with others' threads and the kernel's timers: tried again, and said at the end
            # (docs/design/oracle.md).
            item.add_marker(pytest.mark.flaky(reruns=2))
        elif os.environ.get("CI"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_report_header() -> list[str]:
    return [
        "C originals as judges: " + ("yes" if originals.installed() else "NO, the oracle tests are skipped"),
        "network namespaces: " + ("yes" if namespaces() else "NO, the system tests are skipped"),
    ]


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A temporary directory whose path is short enough for unix sockets."""
    directory = tempfile.mkdtemp(prefix="tl.", dir="/tmp")
    try:
        yield Path(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def original(short_directory: Path) -> Iterator[originals.Originals]:
    """The originals, stopped at the end; the test starts what it needs."""
    them = originals.Originals(short_directory)
    try:
        yield them
    finally:
        them.stop()
