"""What peers may send a running switch: whatever it is, an OpenFlow error or the connection's end.

The other connections go on.
"""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from support import openflow_flows
from support.switches import Lab, NoDevices, OurSwitch, PortSpec
from trunkline.flow.match import Match
from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.clients import Client
from trunkline.ofproto.handler import handle
from trunkline.openflow import messages as m
from trunkline.openflow.codec import decode, encode
from trunkline.openflow.connection import Connection
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.table_abilities import TableFeaturesRequest
from trunkline.openflow.wire import EncodeError, Protocol

VERSIONS = st.sampled_from([1, 2, 3, 4, 5, 6])
LAB = Lab(("br0",), (PortSpec("br0", "p1", 1), PortSpec("br0", "p2", 2)))


class Quiet(NoDevices):
    """Devices that can be taken down, as port-mods do."""

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None:
        pass


class Running:
    """A switch with one peer to be harmed by another."""

    def __init__(self) -> None:
        self.switch = OurSwitch()
        self.switch.build(LAB)
        self.switch.fabric.host = Quiet()
        self.bridge: Bridge = self.switch.bridges["br0"]

    def connect(self, version: int) -> Client:
        connection, peer = Connection(0x7E), Connection(1 << version)
        connection.feed(peer.to_send())
        connection.to_send()
        assert connection.version == version
        return self.bridge.clients.attach(connection, service=True, origin="test")

    def give(self, client: Client, data: bytes) -> bytes:
        for received in client.connection.feed(data):
            handle(self.bridge, client, received)
        self.switch.datapath.run()
        return client.connection.to_send()


RUNNING = Running()
BARRIERS = {version: encode(Protocol(version), m.BarrierRequest(), 99)[0] for version in range(1, 7)}


def harmless(version: int, *pieces: bytes) -> None:
    """Feeds `pieces` to one connection; another one must work as before."""
    bystander = RUNNING.connect(4)
    client = RUNNING.connect(version)
    try:
        answers = b"".join(RUNNING.give(client, piece) for piece in pieces)
        while answers:
            length = int.from_bytes(answers[2:4], "big")
            assert length >= 8
            answers = answers[length:]
        reply = decode(RUNNING.give(bystander, BARRIERS[4]))
        assert isinstance(reply.message, m.BarrierReply)
    finally:
        RUNNING.bridge.clients.detach(client)
        RUNNING.bridge.clients.detach(bystander)
        RUNNING.bridge.flows.clear()


@given(VERSIONS, st.integers(0, 40), st.binary(max_size=200))
def test_any_body_of_any_type(version: int, kind: int, body: bytes) -> None:
    harmless(version, bytes((version, kind)) + (8 + len(body)).to_bytes(2, "big") + b"\0\0\0\7" + body)


@given(VERSIONS, st.lists(st.binary(max_size=100), max_size=4))
def test_arbitrary_bytes(version: int, pieces: list[bytes]) -> None:
    harmless(version, *pieces)


def real_messages(version: int) -> list[bytes]:
    """One of nearly everything that a controller or a tool says."""
    r = random.Random(version)
    port = RUNNING.bridge.interfaces[1]
    messages: list[m.Message] = [
        m.FeaturesRequest(), m.GetConfigRequest(), m.SetConfig(m.SwitchConfig(0, 128, False)),
        m.RoleRequest(of.OFPCR_ROLE_PRIMARY, 1), m.FlowStatsRequest(Match()),
        m.AggregateStatsRequest(Match()),
        m.TableStatsRequest(), m.DescriptionRequest(), m.PortDescriptionRequest(), m.PortStatsRequest(),
        m.QueueStatsRequest(), m.PortMod(1, port.mac, of.OFPPC_NO_FLOOD, of.OFPPC_NO_FLOOD),
        m.TableMod(0, of.OFPTC11_TABLE_MISS_CONTINUE), TableFeaturesRequest(), m.TableDescriptionRequest(),
        m.SetFlowFormat(of.NXFF_NXM), m.FlowModTableId(True), m.BundleControl(1, of.OFPBCT_OPEN_REQUEST, 3),
        m.BundleControl(1, of.OFPBCT_COMMIT_REQUEST, 3), m.BarrierRequest(), m.SetControllerId(3),
        m.PacketOut(None, Match(), b"\x50\x54\0\0\0\1" * 10, ()),
    ]  # fmt: skip
    for _ in range(30):
        messages.append(parse_flow(openflow_flows.flow(r), of.OFPFC_ADD).mod)
        messages.append(m.BundleAdd(1, 3, 7, messages[-1]))
    found = []
    for message in messages:
        for nxm in (False, True):
            try:
                found += encode(Protocol(version, nxm and version == 1), message, 7)
            except EncodeError:
                continue
    return found


REAL = {version: real_messages(version) for version in range(1, 7)}


@settings(max_examples=300)
@given(VERSIONS, st.randoms(use_true_random=False))
def test_damaged_messages(version: int, r: random.Random) -> None:
    pieces = []
    for _ in range(3):
        message = bytearray(r.choice(REAL[version]))
        for _ in range(r.choice((0, 1, 1, 2, 5))):
            message[r.randrange(4 if r.random() < 0.1 else 8, len(message)) if len(message) > 8 else 0] = (
                r.choice((0, 1, 0x7F, 0xFF, r.randrange(256)))
            )
        if r.random() < 0.2:
            message = message[: r.randrange(len(message))]
        pieces.append(bytes(message))
    harmless(version, *pieces)


def test_every_real_message_is_taken() -> None:
    for version, messages in REAL.items():
        assert len(messages) > 40
        harmless(version, *messages)


def test_half_messages_by_the_thousand_hold_nobody_up() -> None:
    """Each waits for its rest by itself; what is kept is what came."""
    half = BARRIERS[4][:6]
    clients = [RUNNING.connect(4) for _ in range(1000)]
    for client in clients:
        assert RUNNING.give(client, half) == b""
    bystander = RUNNING.connect(4)
    assert isinstance(decode(RUNNING.give(bystander, BARRIERS[4])).message, m.BarrierReply)
    for client in clients:
        answer = RUNNING.give(client, BARRIERS[4][6:])
        assert isinstance(decode(answer).message, m.BarrierReply)
        RUNNING.bridge.clients.detach(client)
    RUNNING.bridge.clients.detach(bystander)
