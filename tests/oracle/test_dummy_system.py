"""``--enable-dummy=system``: the datapath of type system is a dummy, and its internal ports are in memory."""

import tempfile
from pathlib import Path

import pytest

from support.switch_pair import Switch

pytestmark = pytest.mark.oracle


def shown(directory: Path, *, ours: bool) -> tuple[str, list[str], str]:
    switch = Switch(directory, ours=ours, options=("--enable-dummy=system",))
    try:
        command = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=system"]
        command += ["other-config:hwaddr=aa:55:aa:55:00:00"]
        for name, kind in (("i0", "internal"), ("s0", "system"), ("d0", "dummy"), ("e0", '""')):
            command += ["--", "add-port", "br0", name, "--", "set", "interface", name, f"type={kind}"]
        switch.vsctl(*command)
        datapath = [line.split("(")[-1] for line in switch.control("dpif/show").splitlines()[1:]]
        devices = Path("/sys/class/net")
        there = [name for name in ("br0", "i0", "s0", "d0", "e0") if (devices / name).exists()]
        routes = switch.control("ovs/route/show")  # none of the system either
        return switch.control("ofproto/list"), datapath, f"{there} {routes}"
    finally:
        switch.stop()


def test_internal_ports_are_in_memory() -> None:
    with tempfile.TemporaryDirectory(prefix="tl.", dir="/tmp", ignore_cleanup_errors=True) as directory:
        want, got = (shown(Path(directory) / name, ours=name == "t") for name in ("o", "t"))
    assert got == want
    assert "dummy-internal)" in want[1]
    assert want[2] == "[] Route Table:\n"
