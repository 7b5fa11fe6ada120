"""``--color`` of ovs-ofctl: the same words in the same colours as the original paints them."""

import random
import re
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from support import openflow_actions
from support.ofctl import ours
from support.openflow_messages import messages
from support.originals import environment
from trunkline.flow.colors import DEFAULT, colors_from
from trunkline.flow.values import NO_CONTEXT
from trunkline.openflow.style import PLAIN
from trunkline.openflow.text import message_text

pytestmark = pytest.mark.oracle
_CUSTOM = "ac=01;31:le=1:sp=2:pm=3;4:zz=9"


def _original(arguments: Sequence[str], directory: Path, colors: str | None = None) -> str:
    settings = environment(directory) | ({} if colors is None else {"OVS_COLORS": colors})
    done = subprocess.run(
        ["/usr/bin/ovs-ofctl", "--color=always", *arguments], env=settings, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "surrogateescape")


def _painted(data: Sequence[bytes], colors: Mapping[str, str]) -> list[str]:
    style = PLAIN._replace(verbosity=2, context=NO_CONTEXT._replace(colors=colors))
    return [message_text(one, style) for one in data]


@pytest.mark.parametrize("version", range(1, 7))
def test_messages_are_painted_alike(tmp_path: Path, version: int) -> None:
    data = messages(random.Random(f"colours {version}"), version, 900)
    (tmp_path / "all").write_bytes(
        b"".join(one + struct.pack("!BBHI", 1, 2, 8, 0x7A000000 + i) for i, one in enumerate(data))
    )
    variable = _CUSTOM if version % 2 else None
    text = _original(("ofp-parse", str(tmp_path / "all")), tmp_path, variable)
    mark = r"OFPT_ECHO_REQUEST \(xid=0x7a[0-9a-f]{6}\): 0 bytes of payload\n(?:00000000 .*\n)?"
    theirs = re.split(mark, text)[:-1]
    colors = colors_from(variable) if variable else DEFAULT
    assert len(theirs) == len(data)
    for raw, expected, shown in zip(data, theirs, _painted(data, colors), strict=True):
        assert shown == expected, raw.hex()


def test_every_action_is_painted_alike(tmp_path: Path) -> None:
    """All actions that both read, each in a flow of its own."""
    readable = []
    for version in ("OpenFlow10", "OpenFlow15"):
        for action in openflow_actions.ACTIONS:
            said = ours(["-O", version, "parse-flow", f"tcp,actions={action}"])
            if said.status == 0:
                readable.append((version, action))
    assert len(readable) > 300
    for version in ("OpenFlow10", "OpenFlow15"):
        file = tmp_path / version
        lines = [f"tcp,actions={action}" for wanted, action in readable if wanted == version]
        file.write_text("\n".join(lines))
        # The format is chosen for the whole file, so 1.0's flows are read in the richest form of it.
        arguments = ["-O", version, *(["-F", "NXM+table_id"] if version == "OpenFlow10" else [])]
        arguments += ["parse-flows", str(file)]
        mine = ours(["--color=always", *arguments])
        assert mine.output.splitlines() == _original(arguments, tmp_path).splitlines()


def test_when_to_paint(tmp_path: Path) -> None:
    file = tmp_path / "flows"
    file.write_text("tcp,priority=5,actions=output:2\n")
    for arguments in (["parse-flows", str(file)], ["diff-flows", str(file), "/dev/null"]):
        for when in ("never", "auto", "always"):
            done = subprocess.run(
                ["/usr/bin/ovs-ofctl", f"--color={when}", *arguments], capture_output=True, text=True
            )
            mine = ours([f"--color={when}", *arguments])
            assert (mine.output, mine.status) == (done.stdout, done.returncode)
            assert ("\x1b" in mine.output) == (when == "always")
    assert ours(["--color=often", "parse-flows", str(file)]).errors == (
        "ovs-ofctl: incorrect value `often' for --color\n"
    )
