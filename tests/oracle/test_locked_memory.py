"""--mlockall: the daemon's memory cannot be paged out, neither what it has nor what it takes later."""

import tempfile
from pathlib import Path

import pytest

from support.outcomes import DUMMY, Side

pytestmark = [pytest.mark.oracle, pytest.mark.system]
KIB = 1024


def memory(side: Side) -> dict[str, int]:
    """Sizes in bytes, by the names of /proc/PID/status."""
    pid = (side.directory / "ovs-vswitchd.pid").read_text().strip()
    rows = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) * KIB for row in rows if row[-1] == "kB"}


@pytest.mark.parametrize("ours", [False, True], ids=("original", "ours"))
def test_all_memory_stays_in_place(ours: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="lck.", dir="/tmp") as name:
        side = Side(Path(name) / "locked", ours=ours, options=(*DUMMY, "--mlockall"))
        other = Side(Path(name) / "free", ours=ours)
        try:
            before = memory(side)
            assert before["VmLck"] > before["VmRSS"] // 2
            words = ["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy"]
            for i in range(200):
                words += ["--", "add-port", "br0", f"p{i}", "--", "set", "Interface", f"p{i}", "type=dummy"]
            for one in (side, other):
                assert one.vsctl(*words).status == 0
            after = memory(side)
            assert after["VmLck"] > before["VmLck"]
            assert after["VmLck"] > after["VmRSS"] // 2
            assert memory(other)["VmLck"] == 0
        finally:
            side.stop()
            other.stop()
