"""Files of journals: a snapshot that is overtaken, and a file that cannot be written."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.switches import Lab, OurSwitch, PortSpec
from trunkline.base.log import Log
from trunkline.daemons.kept_flows import KeptFlows
from trunkline.flow.match import match
from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge
from trunkline.openflow import actions as a
from trunkline.openflow.messages import FlowMod


def made() -> tuple[OurSwitch, Bridge]:
    switch = OurSwitch()
    switch.build(Lab(("br0",), (PortSpec("br0", "p1", 1),)))
    return switch, switch.bridges["br0"]


def taught(bridge: Bridge, count: int) -> None:
    for number in range(count):
        mod = FlowMod(of.OFPFC_ADD, match(in_port=number + 1), table=3, actions=(a.Output(1),))
        bridge.flows.learn(mod, 0.0, "test")


@contextmanager
def kept(directory: Path, bridge: Bridge, switch: OurSwitch, *, first: bool = False) -> Iterator[KeptFlows]:
    one = KeptFlows(str(directory), switch.clock, Log("test", switch.clock))
    one.follow([("uuid", bridge)], first=first)
    yield one


def flows_in(directory: Path, *, fail_mode: str = "") -> int:
    """How many flows a new process finds."""
    switch, bridge = made()
    if fail_mode:
        bridge.configure(bridge.config._replace(fail_mode=fail_mode))
    bridge.flows.clear()
    with kept(directory, bridge, switch, first=True):
        return sum(rule.table == 3 for rule in bridge.flows.tables.rules())


def test_a_snapshot_that_another_overtakes(tmp_path: Path) -> None:
    async def work() -> None:
        switch, bridge = made()
        with kept(tmp_path, bridge, switch) as one:
            taught(bridge, 500)
            slow = one._files["br0"].write_anew()
            next(slow)
            next(slow)
            other = "secure" if bridge.config.fail_mode == "standalone" else "standalone"
            bridge.configure(bridge.config._replace(fail_mode=other))  # which takes out all flows
            one.follow([("uuid", bridge)], first=False)
            taught(bridge, 40)
            assert list(slow) == []
            one.write()
            assert not (tmp_path / "br0.flows.new").exists()
            assert flows_in(tmp_path, fail_mode=other) == 40

    asyncio.run(work())


def test_a_bridge_that_goes_while_its_snapshot_is_written(tmp_path: Path) -> None:
    async def work() -> None:
        switch, bridge = made()
        with kept(tmp_path, bridge, switch) as one:
            taught(bridge, 500)
            slow = one._files["br0"].write_anew()
            next(slow)
            one.follow([], first=False)
            assert list(slow) == []
            assert list(tmp_path.iterdir()) == []

    asyncio.run(work())


def test_a_journal_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    async def work() -> None:
        switch, bridge = made()
        with kept(tmp_path / "nowhere", bridge, switch) as one:
            assert bridge.flows.journal is None
            taught(bridge, 3)
            one.write()
            bridge.configure(bridge.config._replace(has_controllers=True))
            (tmp_path / "nowhere").mkdir()
            one.follow([("uuid", bridge)], first=False)  # it may be written now, but has missed something
            assert not (tmp_path / "nowhere" / "br0.flows").exists()

    asyncio.run(work())
