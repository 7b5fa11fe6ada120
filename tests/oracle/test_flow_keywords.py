"""Which words of a flow each command takes, and what it says to the others: ours beside the original.

It matters: a word that is passed over where it was to choose makes a command take all flows.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.switch_pair import Switch

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("flow_keywords")]

WORDS = (
    "priority=2", "idle_timeout=3", "hard_timeout=3", "importance=2", "send_flow_rem", "check_overlap",
    "reset_counts", "no_packet_counts", "out_port=2", "out_group=3", "cookie=5", "cookie=x", "cookie=1/1",
    "table=2", "duration=1s", "n_packets=3", "idle_age=3", "send_flow_rem=1", "in_port=1",
)  # fmt: skip
COMMANDS = {
    ("add-flow",): ",actions=1",
    ("mod-flows",): ",actions=1",
    ("--strict", "mod-flows"): ",actions=1",
    ("del-flows",): "",
    ("--strict", "del-flows"): "",
    ("dump-flows",): "",
    ("--bundle", "del-flows"): "",
}


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    with tempfile.TemporaryDirectory(prefix="tl.", dir="/tmp") as directory:
        made = Switch(Path(directory) / "o", ours=False)
        try:
            made.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
            yield made
        finally:
            made.stop()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_words_of_flows(switch: Switch, command: tuple[str, ...]) -> None:
    different = []
    for word in WORDS:
        said = []
        for ours in (False, True):
            text = word + COMMANDS[command]
            done = switch.ofctl("-O", "OpenFlow14", *command[:-1], command[-1], "br0", text, ours=ours)
            said.append((done.returncode, done.stderr))
        if said[0] != said[1]:
            different.append((word, *said))
    assert not different
