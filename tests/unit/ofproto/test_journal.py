"""A bridge from its journal, and from a snapshot, is the bridge that it was."""

from random import Random

import pytest

from support.openflow_messages import messages
from support.switches import Lab, OurSwitch, PortSpec
from trunkline.flow.match import match
from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.handler import handle
from trunkline.ofproto.journal import Journal, Kind, Origin, header, parse_header, record, records, whole
from trunkline.ofproto.journal_restoring import restore
from trunkline.ofproto.journal_snapshot import snapshot
from trunkline.ofproto.table_features import OFPTFC_MODIFY
from trunkline.openflow import actions as a
from trunkline.openflow import messages as m
from trunkline.openflow.codec import decode, encode
from trunkline.openflow.connection import Connection, Received
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.groups import OFPGC_DELETE, GroupMod
from trunkline.openflow.meters import MeterMod
from trunkline.openflow.table_abilities import TableFeatures, TableFeaturesRequest
from trunkline.openflow.tunnel_table import NXTTMC_ADD, TlvMapping, TlvTableMod
from trunkline.openflow.wire import DecodeError, Protocol

KEPT = (m.FlowMod, m.PortMod, m.TableMod, m.SetConfig, GroupMod, MeterMod)


def switch() -> OurSwitch:
    made = OurSwitch()
    made.build(Lab(("br0",), tuple(PortSpec("br0", f"p{i}", i) for i in (1, 2, 3))))
    return made


class Side:
    """A bridge, and a controller that tells it things."""

    def __init__(self) -> None:
        self.switch = switch()
        self.bridge = self.switch.bridges["br0"]
        self.bridge.flows.clear()
        self.bridge.flows.journal = Journal()
        self.connection = Connection(0x7E)
        self.client = self.bridge.clients.attach(self.connection, service=True, origin="test")

    def tell(self, raw: bytes) -> bytes:
        """Carries a message out; returns what is answered."""
        incoming = decode(raw)
        self.connection.to_send()
        self.connection.version = incoming.version
        handle(self.bridge, self.client, Received(incoming.xid, incoming.message, raw))
        return self.connection.to_send()

    def send(self, message: object, version: int = 6) -> bytes:
        return self.tell(encode(Protocol(version, nxm=True, table_id=True), message, 7)[0])  # type: ignore[arg-type]

    def journal(self) -> bytes:
        assert self.bridge.flows.journal is not None
        return self.bridge.flows.journal.take()

    def snapshot(self) -> bytes:
        return b"".join(snapshot(self.bridge, self.bridge.clock.monotonic()))


def state(bridge: Bridge) -> object:
    """What is to outlive the process."""
    flows = bridge.flows
    rules = [
        (
            (rule.table, rule.priority, rule.value, rule.mask, rule.actions, rule.cookie),
            (rule.idle_timeout, rule.hard_timeout, rule.importance, rule.flags),
            (rule.created, rule.modified, rule.counters.packets, rule.counters.bytes),
        )
        for rule in flows.tables.rules()
    ]
    groups = [
        (one.id, one.type, one.buckets, one.selection, one.created, one.counters.packets)
        + tuple((counters.packets, counters.bytes) for counters in one.of_buckets)
        for one in bridge.groups.values()
    ]
    return (
        sorted(rules, key=repr),
        sorted(groups, key=repr),
        sorted((one.id, one.flags, one.bands) for one in flows.meters.values()),
        {ofport: port.config for ofport, port in bridge.interfaces.items()},
        (bridge.fragments, bridge.table_miss),
        [flows.limits.describe(table, 0) for table in flows.limits.told],
        [flows.limits.name(table) for table in range(254)],
        sorted((one.vlan, one.mac, one.port, one.expires) for one in bridge.macs.entries()),
    )


def again(data: bytes) -> Bridge:
    bridge = switch().bridges["br0"]
    restored = restore(bridge, records(data))
    assert restored.refused == 0
    return bridge


@pytest.mark.parametrize("seed", range(12))
def test_random_messages(seed: int) -> None:
    r = Random(seed)
    side = Side()
    taken = 0
    for version in (1, 2, 3, 4, 5, 6):
        for raw in messages(r, version, 400):
            try:
                message = decode(raw).message
            except DecodeError:
                continue
            piecemeal = isinstance(message, GroupMod) and message.command > OFPGC_DELETE
            if isinstance(message, KEPT) and not piecemeal:  # what is left then, no one message says
                taken += not side.tell(raw)
                side.switch.clock.advance(0.25)
    assert taken > 20
    assert state(again(side.journal())) == state(side.bridge)
    whole_again = again(side.snapshot())
    assert state(whole_again) == state(side.bridge)
    assert again(side.snapshot() + side.journal()).flows.tables.version  # nothing came behind the snapshot


def flow_mod(command: int, port: int, **more: object) -> m.FlowMod:
    more.setdefault("actions", (a.Output(2),))
    return m.FlowMod(command, match(in_port=port), table=0, **more)  # type: ignore[arg-type]


def test_bundles_count_when_they_are_committed() -> None:
    side = Side()
    for bundle, end in ((1, of.OFPBCT_DISCARD_REQUEST), (2, of.OFPBCT_COMMIT_REQUEST)):
        side.send(m.BundleControl(bundle, of.OFPBCT_OPEN_REQUEST, 3))
        for port in range(1, 4):
            side.send(m.BundleAdd(bundle, 3, 7, flow_mod(of.OFPFC_ADD, port + 10 * bundle)))
        assert side.journal() == b""
        side.send(m.BundleControl(bundle, end, 3))
    data = side.journal()
    assert [one.kind for one in records(data)] == [Kind.BUNDLE]
    assert len(list(again(data).flows.tables.rules())) == 3


def test_flows_that_match_tunnel_options() -> None:
    side = Side()
    mappings = TlvMapping(0xFFFF, 1, 4, 0), TlvMapping(0xFFFF, 2, 8, 1)
    side.send(TlvTableMod(NXTTMC_ADD, mappings))
    flows = "tun_metadata1=0x1234,actions=2", "tun_metadata0=1/3,tun_metadata1,actions=1"
    for flow in (*flows, "actions=set_field:7->tun_metadata0,2"):
        assert side.send(parse_flow(flow, of.OFPFC_ADD).mod) == b""
    side.bridge.flows.learn(flow_mod(of.OFPFC_ADD, 3), 0.0, "taught")
    assert len(list(side.bridge.flows.tables.rules())) == 4
    for data in (side.journal(), side.snapshot()):
        other = again(data)
        assert state(other) == state(side.bridge)
        assert other.flows.options.mappings == mappings
        packets = [[rule.match for rule in one.flows.tables.rules()] for one in (other, side.bridge)]
        assert sorted(packets[0], key=repr) == sorted(packets[1], key=repr)


def test_what_no_message_says() -> None:
    """Flows that a packet teaches, that run out, that make room; addresses; the fail mode's clearing."""
    side = Side()
    bridge, clock = side.bridge, side.switch.clock
    side.send(flow_mod(of.OFPFC_ADD, 1, hard_timeout=5))
    side.send(flow_mod(of.OFPFC_ADD, 2, idle_timeout=5))
    bridge.flows.learn(flow_mod(of.OFPFC_ADD, 3, idle_timeout=60), clock.monotonic(), "taught")
    bridge.learn(0, 0x505400000001, "p1", clock.monotonic())
    clock.advance(6)
    bridge.run(clock.monotonic())
    (rule,) = bridge.flows.tables.rules()
    bridge.flows.shorten(rule, 7, 9)
    data = side.journal()
    assert state(again(data)) == state(bridge)
    bridge.flows.clear()
    assert state(again(data + side.journal())) == state(bridge)


def test_names_of_tables() -> None:
    side = Side()
    for table, name in ((3, "three"), (253, "last"), (4, "four"), (3, "drei"), (4, "")):
        side.send(TableFeaturesRequest((TableFeatures(table, name, command=OFPTFC_MODIFY),)))
    data = side.journal()
    assert state(again(data)) == state(again(side.snapshot())) == state(side.bridge)
    assert [again(data).flows.limits.name(table) for table in (3, 4, 253)] == ["drei", "", "last"]


def test_changes_while_a_snapshot_is_made() -> None:
    side = Side()
    for number in range(500):
        side.send(flow_mod(of.OFPFC_ADD, number + 1, new_cookie=number))
    side.journal()
    steps = snapshot(side.bridge, side.switch.clock.monotonic())
    data = [next(steps), next(steps)]
    side.send(m.FlowMod(of.OFPFC_DELETE, match(), cookie=3, cookie_mask=3))
    side.send(flow_mod(of.OFPFC_ADD, 900))
    side.send(flow_mod(of.OFPFC_MODIFY, 1, actions=(a.Output(1),)))
    data += steps
    assert state(again(b"".join(data) + side.journal())) == state(side.bridge)


def test_idle_timeouts_begin_anew_and_hard_ones_go_on() -> None:
    side = Side()
    side.send(flow_mod(of.OFPFC_ADD, 1, idle_timeout=5))
    side.send(flow_mod(of.OFPFC_ADD, 2, hard_timeout=5))
    data = side.journal()
    other = switch()
    bridge = other.bridges["br0"]
    other.clock.advance(6)
    restore(bridge, records(data))
    bridge.run(other.clock.monotonic())
    assert [rule.idle_timeout for rule in bridge.flows.tables.rules()] == [5]


def test_a_journal_that_is_cut_short() -> None:
    side = Side()
    side.send(flow_mod(of.OFPFC_ADD, 1))
    first = side.journal()
    side.send(flow_mod(of.OFPFC_ADD, 2))
    data = first + side.journal()
    for length in range(len(first), len(data)):
        assert whole(data[:length]) == len(first)
        assert len(list(again(data[:length]).flows.tables.rules())) == 1


def test_headers() -> None:
    origin = Origin("boot", "uuid", True)
    (one,) = records(header(origin, 1.0))
    assert parse_header(one) == origin
    for body in (b"", b"{", b"[]", b'{"format": 2}', b'{"format": 1, "boot": "x"}', b"\xff"):
        (one,) = records(record(Kind.HEADER, 0.0, body))
        assert parse_header(one) is None


def test_records_of_what_is_gone_are_counted() -> None:
    side = Side()
    side.send(m.PortMod(3, side.bridge.interfaces[3].mac, of.OFPPC_NO_FLOOD, of.OFPPC_NO_FLOOD))
    data = side.journal() + record(Kind.MESSAGE, 0.0, b"\1nonsense") + record(Kind.GROUP, 0.0, bytes(28))
    bridge = switch().bridges["br0"]
    bridge.remove_interface(3)
    assert restore(bridge, records(data)).refused == 3
