"""OpenFlow messages to a bridge, and what comes back."""

import pytest

from support.switches import LOCAL, Lab, OurSwitch, PortSpec
from trunkline.flow.match import match
from trunkline.model import openflow as of
from trunkline.ofproto.clients import Client
from trunkline.ofproto.handler import handle
from trunkline.openflow import actions as a
from trunkline.openflow import messages as m
from trunkline.openflow.connection import Received
from trunkline.openflow.table_abilities import TableFeatures, TableFeaturesRequest

FRAME = bytes.fromhex("505400000002505400000001") + b"\x08\x06" + bytes(50)


class FakeConnection:
    """Keeps what is sent."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.written = 0
        self.sent: list[object] = []

    def send(self, message: object, xid: int | None = None) -> int:
        self.sent.append(message)
        return xid or 0

    def refuse(self, received: Received, error: str) -> None:
        self.sent.append(error)

    def take(self) -> list[object]:
        sent, self.sent = self.sent, []
        return sent


class Bench:
    def __init__(self) -> None:
        self.switch = OurSwitch()
        ports = tuple(PortSpec("br0", f"p{i}", i) for i in (1, 2, 3))
        self.switch.build(Lab(("br0",), ports))
        self.bridge = self.switch.bridges["br0"]
        self.client = self.attach()

    def attach(self, version: int = 4, service: bool = False) -> Client:
        return self.bridge.clients.attach(FakeConnection(version), service=service, origin="test")  # type: ignore[arg-type]

    def __call__(self, message: object, client: Client | None = None) -> list:
        client = client or self.client
        handle(self.bridge, client, Received(1, message, b""))  # type: ignore[arg-type]
        self.switch.datapath.run()
        return client.connection.take()  # type: ignore[attr-defined]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_features_barrier_config_and_description(bench: Bench) -> None:
    (features,) = bench(m.FeaturesRequest())
    assert (features.datapath_id, features.tables, features.ports) == (1, 254, None)
    (old,) = bench(m.FeaturesRequest(), bench.attach(version=1))
    assert [port.name for port in old.ports] == ["p1", "p2", "p3", "br0"]
    assert bench(m.BarrierRequest()) == [m.BarrierReply()]
    assert bench(m.SetConfig(m.SwitchConfig(0, 77))) == []
    assert bench(m.GetConfigRequest()) == [m.GetConfigReply(m.SwitchConfig(0, 77, False))]
    (description,) = bench(m.DescriptionRequest())
    assert description == ("Nicira, Inc.", "Open vSwitch", "3.1.0", "None", "None")


def test_flows_are_counted_from_first_packet_on(bench: Bench) -> None:
    bench(m.FlowMod(of.OFPFC_DELETE, match()))
    assert bench(m.FlowMod(of.OFPFC_ADD, match(in_port=1), 7, actions=(a.Output(2),), new_cookie=5)) == []
    for _ in range(3):
        assert list(bench.switch.receive("p1", FRAME)) == ["p2"]
    (reply,) = bench(m.FlowStatsRequest(match()))
    (flow,) = reply.flows
    assert (flow.priority, flow.cookie, flow.packets, flow.bytes) == (7, 5, 3, 3 * len(FRAME))
    assert bench(m.AggregateStatsRequest(match())) == [m.AggregateStatsReply(3, 3 * len(FRAME), 1)]
    (tables,) = bench(m.TableStatsRequest())
    assert (len(tables.tables), tables.tables[0].active, tables.tables[0].matched) == (254, 1, 3)


def test_a_changed_flow_reaches_packets_at_once(bench: Bench) -> None:
    bench(m.FlowMod(of.OFPFC_ADD, match(in_port=1), actions=(a.Output(2),)))
    assert list(bench.switch.receive("p1", FRAME)) == ["p2"]
    bench(m.FlowMod(of.OFPFC_MODIFY, match(in_port=1), actions=(a.Output(3),)))
    assert list(bench.switch.receive("p1", FRAME)) == ["p3"]
    bench(m.FlowMod(of.OFPFC_DELETE, match()))
    assert bench.switch.receive("p1", FRAME) == {}


def test_ports(bench: Bench) -> None:
    (descriptions,) = bench(m.PortDescriptionRequest())
    assert [port.number for port in descriptions.ports] == [1, 2, 3, LOCAL]
    (one,) = bench(m.PortStatsRequest(2))
    assert [stats.port for stats in one.ports] == [2]
    (none,) = bench(m.PortStatsRequest(9))
    assert none.ports == ()
    assert bench(m.PortMod(9, 0, 0, 0)) == ["OFPPMFC_BAD_PORT"]
    assert bench(m.PortMod(2, 99, 0, 0)) == ["OFPPMFC_BAD_HW_ADDR"]
    bench.switch.receive("p1", FRAME)
    assert bench(m.PortMod(2, 2, of.OFPPC_NO_FLOOD, of.OFPPC_NO_FLOOD)) == []  # 1.0 alone has a word for it
    assert sorted(bench.switch.receive("p1", FRAME)) == ["p3"]
    assert bench(m.PortMod(1, 1, of.OFPPC_NO_RECV, of.OFPPC_NO_RECV)) == []  # who asks for it knows it
    assert bench.bridge.interfaces[1].config == of.OFPPC_NO_RECV
    assert bench.switch.receive("p1", FRAME) == {}


def test_packet_out_and_packet_in(bench: Bench) -> None:
    told = bench(
        m.PacketOut(FRAME, match(in_port=of.OFPP_NONE), (a.Output(2), a.Output(of.OFPP_CONTROLLER, 20)))
    )
    assert bench.switch.out == {"p2": [FRAME]}
    assert [type(message) for message in told] == [m.PacketIn]
    assert bench(m.PacketOut(FRAME, match(in_port=0xFF01))) == ["OFPBRC_BAD_PORT"]
    assert bench(m.PacketOut(b"", match(in_port=1), buffer=3)) == ["OFPBRC_BUFFER_UNKNOWN"]


def test_a_flow_to_the_controller(bench: Bench) -> None:
    bench(
        m.FlowMod(of.OFPFC_ADD, match(in_port=1), actions=(a.Output(of.OFPP_CONTROLLER, 16),), new_cookie=8)
    )
    bench.switch.receive("p1", FRAME)
    bench.switch.receive("p1", FRAME)
    first, second = bench.client.connection.take()  # type: ignore[attr-defined]
    assert first == second
    assert (first.data, first.total_length, first.cookie, first.reason) == (
        FRAME,  # whole, whatever max_len says
        len(FRAME),
        8,
        of.OFPR_ACTION,
    )
    assert first.metadata == match(in_port=1)


def test_a_controller_is_sent_what_is_for_its_id(bench: Bench) -> None:
    other = bench.attach()
    bench(m.SetControllerId(7), other)
    for controller_id, wanted in ((7, (0, 1)), (0, (1, 0)), (8, (0, 0))):
        bench(m.FlowMod(of.OFPFC_ADD, match(), actions=(a.Controller(controller_id=controller_id),)))
        bench.switch.receive("p1", FRAME)
        told = [client.connection.take() for client in (bench.client, other)]  # type: ignore[attr-defined]
        assert tuple(len(messages) for messages in told) == wanted


def test_roles(bench: Bench) -> None:
    other = bench.attach()
    assert bench(m.RoleRequest(of.OFPCR_ROLE_PRIMARY, 5)) == [m.RoleReply(of.OFPCR_ROLE_PRIMARY, 5)]
    assert bench(m.RoleRequest(of.OFPCR_ROLE_PRIMARY, 4), other) == ["OFPRRFC_STALE"]
    assert bench(m.RoleRequest(of.OFPCR_ROLE_PRIMARY, 6), other) == [m.RoleReply(of.OFPCR_ROLE_PRIMARY, 6)]
    assert bench.client.connection.take() == [m.RoleStatus(of.OFPCR_ROLE_SECONDARY, 0, 6)]  # type: ignore[attr-defined]
    assert bench(m.FlowMod(of.OFPFC_ADD, match())) == ["OFPBRC_IS_SECONDARY"]
    assert bench(m.RoleRequest(of.OFPCR_ROLE_NOCHANGE)) == [m.RoleReply(of.OFPCR_ROLE_SECONDARY, 6)]


def test_who_is_told_of_ports(bench: Bench) -> None:
    service = bench.attach(service=True)
    bench.switch.plug(PortSpec("br0", "p9", 9))
    (added,) = bench.client.connection.take()  # type: ignore[attr-defined]
    assert (added.reason, added.port.name) == (of.OFPPR_ADD, "p9")
    assert service.connection.take() == []  # type: ignore[attr-defined]
    bench(m.SetConfig(m.SwitchConfig(0, 128)), service)
    bench.bridge.remove_interface(9)
    (removed,) = service.connection.take()  # type: ignore[attr-defined]
    assert removed.reason == of.OFPPR_DELETE


def test_what_is_not_there_is_refused(bench: Bench) -> None:
    assert bench(m.Opaque("OFPT_GROUP_MOD", b"")) == ["OFPBRC_BAD_TYPE"]
    assert bench(m.Opaque("OFPST_GROUP", b"")) == ["OFPBRC_BAD_STAT"]
    assert bench(m.FlowMod(of.OFPFC_ADD, match(), actions=(a.Unknown("learn", b""),))) == ["OFPBAC_BAD_TYPE"]


def test_asynchronous_configuration(bench: Bench) -> None:
    assert bench(m.SetAsync((None, None), (0, 0), (None, None))) == []
    bench.switch.plug(PortSpec("br0", "p9", 9))
    assert bench.client.connection.take() == []  # type: ignore[attr-defined]
    (reply,) = bench(m.GetAsyncRequest())
    assert reply.config.port_status == (0, 0)


def test_table_features_come_in_parts_and_cannot_be_changed(bench: Bench) -> None:
    parts = bench(TableFeaturesRequest())
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert [table.table for part in parts for table in part.tables] == list(range(254))
    assert bench(TableFeaturesRequest((TableFeatures(0),))) == ["OFPTFFC_EPERM"]
