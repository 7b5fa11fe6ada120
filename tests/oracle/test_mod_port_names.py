"""How ovs-ofctl mod-port takes a port: by number or by its device's name, not by the words of OpenFlow."""

import tempfile
from pathlib import Path

import pytest

from support.switch_pair import Pair

pytestmark = pytest.mark.oracle


def test_ports_are_named_as_in_the_original() -> None:
    with tempfile.TemporaryDirectory() as directory:
        pair = Pair(Path(directory))
        try:
            statuses = set()
            for word in ("LOCAL", "local", "IN_PORT", "br0", "65534", "p1", "1", "9", "nosuch"):
                original = pair.ours.ofctl("mod-port", "br0", word, "up")
                ours = pair.ours.ofctl("mod-port", "br0", word, "up", ours=True)
                assert (ours.returncode, ours.stderr) == (original.returncode, original.stderr), word
                statuses.add(ours.returncode)
            assert statuses == {0, 1}
        finally:
            pair.stop()
