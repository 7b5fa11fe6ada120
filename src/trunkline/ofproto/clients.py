"""Who is connected to a bridge by OpenFlow, and what each of them wants to be told unasked.

A *primary* connection is a controller that the bridge was told to have; a *service* connection is somebody
who came by, such as ovs-ofctl.  A controller has a role among its kind: one that is secondary may not
change the switch and is told of ports only.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from trunkline.base.clock import Clock
from trunkline.flow import key as layout
from trunkline.flow.match import Match
from trunkline.model import openflow as of
from trunkline.ofproto.packet_in_limit import PacketInLimiter
from trunkline.ofproto.rules import Rule
from trunkline.openflow.connection import Connection, Received
from trunkline.openflow.groups import GroupMod
from trunkline.openflow.messages import AsyncConfig, FlowRemoved, Message, PacketIn, PortStatus, RoleStatus
from trunkline.openflow.meters import MeterMod
from trunkline.openflow.monitors import FlowMonitor
from trunkline.openflow.notices import RequestForward, TableStatus
from trunkline.openflow.table_abilities import TableFeatures
from trunkline.openflow.wire import EncodeError

_OPENFLOW13, _OPENFLOW14 = 4, 5
_DEFAULT: Final = AsyncConfig(packet_in=(0x3B, 0), port_status=(7, 7), flow_removed=(0x7, 0))
_DEFAULT13: Final = _DEFAULT._replace(flow_removed=(0xF, 0))
_DEFAULT14: Final = _DEFAULT._replace(flow_removed=(0x3F, 0))
NOTHING_UNASKED: Final = AsyncConfig((0, 0), (0, 0), (0, 0), (0, 0))
_REASON_PRIMARY_REQUEST: Final = 0
_MISSES: Final = (of.OFPR_NO_MATCH, of.OFPR_EXPLICIT_MISS, of.OFPR_IMPLICIT_MISS)
_MISS: Final = PacketIn(b"", Match(), of.OFPR_IMPLICIT_MISS)
QUEUE_SIZE: Final = 100  # packets that wait for one who reads slowly (controller_queue_size)
BUNDLE_IDLE: Final = 10.0  # seconds that a bundle may lie idle (other_config:bundle-idle-timeout)
UNASKED: Final = 0  # the xid of messages that answer none


class Bundle:
    """Messages that are to be carried out together; `flags` are OFPBF_*.

    `opened` is the message that opened it; `used` is Clock.monotonic() when it was opened, filled or closed.
    """

    __slots__ = ("closed", "flags", "messages", "opened", "used")

    def __init__(self, flags: int, opened: Received, now: float) -> None:
        self.flags = flags
        self.opened = opened
        self.used = now
        self.closed = False
        self.messages: list[Received] = []


class MonitorPause:
    """What a client is told of flows once it reads again (flow_monitors.py): by place of the flow, whether
    it knows of a flow there, and the last event (OFPFME_*, 0: none that is to be told) with its flow."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: dict[tuple[int, int, int, int], tuple[bool, int, Rule]] = {}


class Outlet(Protocol):
    """What carries a connection's bytes away."""

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent, those that the connection still holds among them."""

    def flush(self) -> None:
        """Sends what can be sent at once."""


class _Held:
    """The outlet of a connection that nobody carries away: all that it says stays with it."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def backlog(self) -> int:
        return self._connection.queued

    def flush(self) -> None:
        pass


class Client:
    """A connection of a bridge: its role, what it is told, how much of a packet it is sent."""

    __slots__ = (
        "bundles",
        "chosen",
        "config",
        "connection",
        "controller_id",
        "limiter",
        "listens",
        "monitors",
        "origin",
        "outlet",
        "packets",
        "pause",
        "queue_size",
        "role",
        "service",
        "tables_told",
    )

    def __init__(self, connection: Connection, *, service: bool, origin: str) -> None:
        self.connection = connection
        self.service = service
        self.origin = origin
        self.role = of.OFPCR_ROLE_EQUAL
        self.chosen: AsyncConfig | None = None  # what it has asked to be told
        self.listens = not service  # or has said that it wants to be told something
        self.controller_id = 0
        self.limiter: PacketInLimiter | None = None
        self.queue_size = 0  # packets that may wait for it; 0: as many as the bridge says
        self.packets: deque[int] = deque()  # where, in all bytes written, the packets end that may still wait
        self.bundles: dict[int, Bundle] = {}
        self.tables_told: list[TableFeatures] = []  # parts of a request to change tables, until it is whole
        self.monitors: dict[int, FlowMonitor] = {}
        self.pause: MonitorPause | None = None  # of what the monitors tell
        self.outlet: Outlet = _Held(connection)
        self.config = (of.OFPC_FRAG_NORMAL, 0 if service else 128, False)  # fragments, miss_send_len, bad ttl

    @property
    def asynchronous(self) -> AsyncConfig:
        """What it is told unasked: what it chose, or what its version has."""
        if self.chosen is not None:
            return self.chosen
        version = self.connection.version
        return _DEFAULT14 if version >= _OPENFLOW14 else _DEFAULT13 if version == _OPENFLOW13 else _DEFAULT

    def wants(self, message: Message) -> bool:
        """Whether it is to be sent this message unasked."""
        if isinstance(message, RoleStatus):
            return self.connection.version >= _OPENFLOW13  # asked for or not
        if not self.listens:
            return False
        secondary = self.role == of.OFPCR_ROLE_SECONDARY
        match message:
            case PacketIn(reason=reason):
                if reason == of.OFPR_IMPLICIT_MISS and self.connection.version >= _OPENFLOW13:
                    return False  # misses are dropped unless a flow says otherwise
                if reason >= of.OFPR_EXPLICIT_MISS:
                    told = reason == of.OFPR_IMPLICIT_MISS or self.connection.version >= _OPENFLOW13
                    reason = of.OFPR_NO_MATCH if told else of.OFPR_ACTION
                wanted = self.asynchronous.packet_in
                if self.config[2]:
                    wanted = (wanted[0] | 1 << of.OFPR_INVALID_TTL, wanted[1])
            case PortStatus(reason=reason):
                wanted = self.asynchronous.port_status
            case FlowRemoved(reason=reason):
                wanted = self.asynchronous.flow_removed
            case TableStatus(reason=reason):
                if self.connection.version < _OPENFLOW14:
                    return False
                wanted = self.asynchronous.table_status
            case _:
                return False
        return bool(wanted[secondary] >> reason & 1)


class Clients:
    """The connections of one bridge."""

    __slots__ = ("_bundle_idle", "_clock", "_generation", "_queue_size", "all")

    def __init__(
        self,
        clock: Clock,
        bundle_idle: Callable[[], float] = lambda: BUNDLE_IDLE,
        queue_size: Callable[[], int] = lambda: QUEUE_SIZE,
    ) -> None:
        """`bundle_idle`: the seconds that a bundle may lie idle; `queue_size`: how many packets may wait for
        a client that does not say so itself."""
        self._clock = clock
        self._bundle_idle = bundle_idle
        self._queue_size = queue_size
        self.all: list[Client] = []
        self._generation: int | None = None

    def attach(self, connection: Connection, *, service: bool, origin: str) -> Client:
        connection.at_switch = True
        client = Client(connection, service=service, origin=origin)
        self.all.append(client)
        return client

    def detach(self, client: Client) -> None:
        self.all.remove(client)

    def tell(
        self,
        message: Message,
        controller_id: int | None = None,
        *,
        newest: int | None = None,
        knows: Client | None = None,
    ) -> None:
        """Sends a message to all who want it, or to those of them who have given themselves that id, or whose
        version of OpenFlow is not after `newest`; not to who `knows` it."""
        for client in self.all:
            if client is knows:
                continue
            wanted = client.connection.version and client.wants(message)
            if controller_id is not None and client.controller_id != controller_id:
                continue
            if newest is not None and client.connection.version > newest:
                continue
            if not wanted:
                continue
            if not isinstance(message, PacketIn):
                client.connection.send(message, xid=UNASKED)
            elif self._admit(client, message):
                self._send_packet(client, message)

    def forward(self, sender: Client, message: GroupMod | MeterMod) -> None:
        """Tells the other controllers what one of them has changed, where they want to know (1.4)."""
        bit = isinstance(message, MeterMod)
        for client in self.all:
            wanted = client.asynchronous.requestforward[client.role == of.OFPCR_ROLE_SECONDARY]
            if client is sender or not client.connection.version or not wanted >> bit & 1:
                continue
            if not client.listens:
                continue
            with suppress(EncodeError):  # its version has no such message
                client.connection.send(RequestForward(message, UNASKED), xid=UNASKED)  # type: ignore[arg-type]

    def _admit(self, client: Client, message: PacketIn) -> bool:
        """Whether a packet may go to this client now; if not it waits, if its rate is limited."""
        if client.limiter is None:
            return True
        port = layout.get(message.metadata.value, "in_port")
        miss = message.reason in _MISSES
        return client.limiter.admit(message, port, miss=miss, now=self._clock.monotonic())

    def _send_packet(self, client: Client, message: PacketIn) -> None:
        """Sends a packet, or drops it if as many as may wait do so already, behind one on its way, for a peer
        that does not read.  O(1) amortized."""
        connection, packets = client.connection, client.packets
        most = client.queue_size or self._queue_size()
        if len(packets) > most:
            client.outlet.flush()  # what waits for us only does not count
            taken = connection.written - client.outlet.backlog
            while packets and packets[0] <= taken:
                packets.popleft()
            if len(packets) > most:
                return
        connection.send(message, xid=UNASKED)
        packets.append(connection.written)

    def want_misses(self) -> bool:
        """Whether anybody is told of packets that no flow matches: up to 1.2, controllers are by default."""
        return any(client.connection.version and client.wants(_MISS) for client in self.all)

    def send_waiting(self, now: float) -> None:
        """Sends the packets whose turn has come at connections with a limited rate; and bundles that lie idle
        for too long, and requests in parts, are given up, of which their clients are told."""
        for client in self.all:
            client.connection.expire_parts(now)
            for number, bundle in list(client.bundles.items()):
                if bundle.used + self._bundle_idle() <= now:
                    del client.bundles[number]
                    client.connection.refuse(bundle.opened, "OFPBFC_TIMEOUT")
            for message in client.limiter.ready(now) if client.limiter is not None else ():
                self._send_packet(client, message)

    def next_timer(self, now: float) -> float | None:
        timers = [client.limiter.next_timer(now) for client in self.all if client.limiter is not None]
        for client in self.all:
            timers.append(client.connection.next_timer(now))
            timers += [bundle.used + self._bundle_idle() for bundle in client.bundles.values()]
        return min((when for when in timers if when is not None), default=None)

    def request_role(self, client: Client, role: int, generation: int | None) -> str | None:
        """A client asks for a role.  Returns the name of the error, or None."""
        if role in (of.OFPCR_ROLE_PRIMARY, of.OFPCR_ROLE_SECONDARY) and generation is not None:
            if self._generation is not None and (generation - self._generation) & 1 << 63:
                return "OFPRRFC_STALE"
            self._generation = generation
        if role == of.OFPCR_ROLE_PRIMARY:
            for other in self.all:
                if other is not client and other.role == of.OFPCR_ROLE_PRIMARY:
                    other.role = of.OFPCR_ROLE_SECONDARY
                    status = RoleStatus(other.role, _REASON_PRIMARY_REQUEST, self._generation or 0)
                    if other.wants(status):
                        other.connection.send(status, xid=UNASKED)
        if role != of.OFPCR_ROLE_NOCHANGE:
            client.role = role
        return None

    @property
    def generation(self) -> int | None:
        return self._generation
