"""A command ends quietly by an interrupt before it is loaded, unless its parent ignores that."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
COMMANDS: dict[str, str] = tomllib.loads(PROJECT.read_text())["project"]["scripts"]

SCRIPT = """
import signal, sys
sys.argv[:] = [{name!r}, "--version"]
if {ignored}:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

class Impatient:
    "Sends the signal as soon as the first module after those of the start is asked for."
    def find_spec(self, name, path=None, target=None):
        if name not in ("trunkline", {module!r}):
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGINT)
        return None

sys.meta_path.insert(0, Impatient())
from {module} import {function}
sys.exit({function}())
"""


def interrupted(name: str, *, ignored: bool) -> tuple[int, str, str]:
    module, function = COMMANDS[name].split(":")
    script = SCRIPT.format(name=name, ignored=ignored, module=module, function=function)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupt_before_anything_is_loaded_says_nothing(name: str) -> None:
    assert interrupted(name, ignored=False) == (-2, "", "")


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    status, text, error = interrupted("ovs-vsctl", ignored=True)
    assert (status, error) == (0, "")
    assert text.startswith("ovs-vsctl (Open vSwitch) ")
