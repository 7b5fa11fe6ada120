"""An interface cannot have a group's address, and says so."""

import shutil
import tempfile
from pathlib import Path

import pytest

from support.outcomes import Side

pytestmark = pytest.mark.oracle


def complaints(directory: Path, *, ours: bool) -> list[str]:
    side = Side(directory, ours=ours)
    try:
        interface = ("--", "set", "Interface", "im", "type=internal", 'mac="01:00:5e:00:00:01"')
        side.vsctl("add-br", "b0", "--", "add-port", "b0", "im", *interface)
        side.vsctl(
            "add-port", "b0", "i0", "--", "set", "Interface", "i0", "type=internal", 'mac="00:00:00:00:00:00"'
        )
        return [
            line.split("|", 2)[2] for line in side.log().splitlines() if "MAC" in line and "|ERR|" in line
        ]
    finally:
        side.stop()


def test_both_complain_in_the_same_words() -> None:
    directory = Path(tempfile.mkdtemp(prefix="mc.", dir="/tmp"))
    try:
        original = complaints(directory / "o", ours=False)
        assert original
        assert sorted(set(complaints(directory / "t", ours=True))) == sorted(set(original))
    finally:
        shutil.rmtree(directory)
