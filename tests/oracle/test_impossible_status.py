"""What a device says of itself may be more than the database can hold: the rest is written all the same."""

import tempfile
from pathlib import Path

import pytest

from support.switch_pair import Pair

pytestmark = pytest.mark.oracle


def test_a_number_out_of_range_keeps_nothing_else_out() -> None:
    with tempfile.TemporaryDirectory() as directory:
        pair = Pair(Path(directory))
        try:
            for switch in pair.both:
                switch.vsctl("set", "interface", "p1", "options:ifindex=4294967296")
                switch.vsctl("set", "interface", "p1", "ofport_request=5000", "mtu_request=68")
            shown = [
                switch.originals.run(
                    "ovs-vsctl",
                    f"--db={switch.originals.database}",
                    "get",
                    "interface",
                    "p1",
                    "ofport",
                    "mtu",
                ).stdout
                for switch in pair.both
            ]
            assert shown == ["5000\n68\n"] * 2
        finally:
            pair.stop()
