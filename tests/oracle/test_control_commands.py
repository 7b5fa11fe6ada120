"""Every control command that a daemon of the originals lists, ours lists too: carried out or refused."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support.outcomes import DUMMY, Side
from support.switches import Control

pytestmark = pytest.mark.oracle
DAEMONS = ("ovs-vswitchd", "ovsdb-server")
Listed = dict[str, dict[str, str]]


def listed(directory: Path, *, ours: bool, options: Sequence[str]) -> Listed:
    """Of each daemon the commands and what is said of their arguments."""
    side = Side(directory, ours=ours, options=options)
    try:
        side.vsctl("set", "Open_vSwitch", ".", "external_ids:x=y")  # once carried out, all is registered
        found: Listed = {}
        for daemon in DAEMONS:
            pid = (directory / f"{daemon}.pid").read_text().strip()
            control = Control(f"{directory}/{daemon}.{pid}.ctl")
            lines = control("list-commands").splitlines()[1:]
            found[daemon] = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
            if ours:
                refusals(control, found[daemon])
            control.close()
        return found
    finally:
        side.stop()


def refusals(control: Control, commands: dict[str, str]) -> None:
    """What refuses says its name and what is the case instead."""
    for name, usage in commands.items():
        if name.startswith(("exit", "time/", "vlog/", "ovsdb-server/", "fdb/", "upcall/", "dpctl/del-flows")):
            continue
        answer = control(name, *(["x"] * sum(1 for word in usage.split() if not word.startswith("["))))
        assert '"x"' not in answer or "is not a valid command" not in answer, name
        if "not implemented yet" in answer:
            assert len(answer.split("not implemented yet: ")[1].split()) >= 3, answer


@pytest.fixture(scope="module", params=((), DUMMY), ids=("plain", "dummy"))
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Listed, Listed]]:
    with tempfile.TemporaryDirectory(prefix="ctl.", dir="/tmp") as name:
        directory = Path(name)
        yield (
            listed(directory / "o", ours=False, options=request.param),
            listed(directory / "t", ours=True, options=request.param),
        )


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_commands_and_their_usage_are_the_originals(both: tuple[Listed, Listed], daemon: str) -> None:
    original, ours = (side[daemon] for side in both)
    assert sorted(original.keys() - ours.keys()) == []
    assert {name: usage for name, usage in ours.items() if name in original} == original
    assert sorted(ours.keys() - original.keys()) == []
