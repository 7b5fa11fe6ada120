"""The originals start and answer here, or no comparison means anything."""

import pytest

from support.originals import Originals

pytestmark = pytest.mark.oracle


def test_originals_work(original: Originals) -> None:
    original.start_database()
    original.start_switch()
    database = f"--db={original.database}"
    bridge = ("--", "set", "Bridge", "br0", "datapath_type=dummy")
    assert original.run("ovs-vsctl", database, "add-br", "br0", *bridge).returncode == 0
    assert original.run("ovs-vsctl", database, "list-br").stdout == "br0\n"
    assert original.run("ovs-appctl", "version").stdout.startswith("ovs-vswitchd (Open vSwitch) 3.1.0")
