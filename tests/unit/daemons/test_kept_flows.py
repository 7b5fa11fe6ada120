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
from trunkline.ofproto.handler import handle
from trunkline.openflow import actions as a
from trunkline.openflow.codec import encode
from trunkline.openflow.connection import Connection, Received
from trunkline.openflow.groups import OFPGC_ADD, Bucket, GroupMod
from trunkline.openflow.messages import FlowMod
from trunkline.openflow.meters import OFPMBT_DROP, OFPMC_ADD, OFPMF_PKTPS, Band, MeterMod
from trunkline.openflow.wire import Protocol
from trunkline.sim.meters import Meters
from trunkline.translate.result import CountGroup
from trunkline.upcall.effects import apply, sort


def made() -> tuple[OurSwitch, Bridge]:
    switch = OurSwitch()
    switch.build(Lab(("br0",), (PortSpec("br0", "p1", 1),)))
    return switch, switch.bridges["br0"]


def taught(bridge: Bridge, count: int) -> None:
    for number in range(count):
        mod = FlowMod(of.OFPFC_ADD, match(in_port=number + 1), table=3, actions=(a.Output(1),))
        bridge.flows.learn(mod, 0.0, "test")


def told(bridge: Bridge, command: int, count: int) -> None:
    """Flow-mods of a controller."""
    client = bridge.clients.attach(Connection(1 << 4), service=True, origin="test")
    client.connection.version = 4
    for number in range(count):
        where = match(metadata=number)
        mod = FlowMod(command, where, 5, 3, (a.Output(1),))
        raw = encode(Protocol(4), mod, 7)[0]
        handle(bridge, client, Received(7, mod, raw))
    bridge.clients.detach(client)


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


def test_only_what_no_longer_counts_makes_a_journal_stale(tmp_path: Path) -> None:
    async def work() -> None:
        switch, bridge = made()
        with kept(tmp_path, bridge, switch) as one:
            file = one._files["br0"]
            add, modify = of.OFPFC_ADD, of.OFPFC_MODIFY_STRICT
            for command, count, stale in ((add, 9000, False), (modify, 8000, False), (modify, 2000, True)):
                told(bridge, command, count)
                one.write()
                assert file.is_stale() is stale
            for _ in file.write_anew():
                pass
            told(bridge, of.OFPFC_MODIFY_STRICT, 8000)
            one.write()
            assert not file.is_stale()
            told(bridge, of.OFPFC_DELETE_STRICT, 2000)
            one.write()
            assert file.is_stale()
            before = (tmp_path / "br0.flows").stat().st_size
            running = asyncio.create_task(one.run())
            async with asyncio.timeout(60):
                while (tmp_path / "br0.flows").stat().st_size >= before:
                    await asyncio.sleep(0.01)
            running.cancel()
            assert not file.is_stale()
            assert flows_in(tmp_path) == 7000

    asyncio.run(work())


def test_groups_and_meters_have_what_they_counted(tmp_path: Path) -> None:
    """Groups as of the last turn of the loop, meters of a userspace datapath as of the last snapshot."""

    def counted(bridge: Bridge) -> list[tuple[int, ...]]:
        group = bridge.groups[7]
        rows = [(one.packets, one.bytes) for one in (group.counters, *group.of_buckets)]
        meter = bridge.flows.meters[5]
        assert bridge.fabric.meters is not None
        packets, octets, bands = bridge.fabric.meters.statistics(meter.number)
        return [*rows, (packets, octets, *bands[0]), (round(group.created), round(meter.created))]

    async def work() -> None:
        switch, bridge = made()
        switch.clock.advance(3)
        with kept(tmp_path, bridge, switch) as one:
            client = bridge.clients.attach(Connection(1 << 4), service=True, origin="test")
            client.connection.version = 6
            buckets = tuple(Bucket((a.Output(1),), 0, number=number) for number in (4, 2))
            band = Band(OFPMBT_DROP, 1, 1)
            for mod in (GroupMod(OFPGC_ADD, 7, 0, buckets), MeterMod(OFPMC_ADD, 5, OFPMF_PKTPS, (band,))):
                handle(bridge, client, Received(7, mod, encode(Protocol(6), mod, 7)[0]))
            flow = FlowMod(of.OFPFC_ADD, match(in_port=1), 5, 0, (a.Meter(5), a.Group(7)))
            handle(bridge, client, Received(7, flow, encode(Protocol(6), flow, 7)[0]))
            bridge.clients.detach(client)
            meters = bridge.fabric.meters
            assert isinstance(meters, Meters)
            number = bridge.flows.meters[5].number
            for _ in range(3):
                meters.admit(number, 100, 0.0)
            one.write()
            for _ in one._files["br0"].write_anew():
                pass
            group = bridge.groups[7]
            group.counters.name, group.counters.changed = group.name(None), bridge.flows.tables.changed
            place = group.of_buckets[1]
            place.name, place.changed = group.name(1), bridge.flows.tables.changed
            effects = sort((CountGroup(group, 1),))
            apply(effects, 10, 1000, 1.0)
            one.write()
            want = counted(bridge)
            assert want[:4] == [(10, 1000), (0, 0), (10, 1000), (3, 300, 2, 200)]
        again, found = made()
        with kept(tmp_path, found, again, first=True):
            assert counted(found) == want

    asyncio.run(work())
