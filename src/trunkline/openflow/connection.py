"""One OpenFlow connection as a state machine without I/O: bytes in, messages out, and the other way.

Whoever owns a socket feeds what it reads and writes what `to_send` returns.  The connection itself says
hello, agrees on a version, answers echo requests, and answers what it cannot decode with the error that the
specification names; none of that reaches the owner.  What arrives never raises: a peer that is beyond
understanding (a length under 8, no common version) ends the connection, `closed` then says why.

    connection = Connection(versions=1 << 1 | 1 << 4)
    connection.feed(data)                      # -> list[Received]
    connection.send(message, xid=received.xid) # encodes in the agreed version
    connection.to_send()                       # -> bytes for the socket
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from trunkline.model.openflow import NXFF_NXM, NXFF_OPENFLOW10
from trunkline.model.openflow_messages import only_switches_say
from trunkline.openflow.codec import encode, read
from trunkline.openflow.control import decode_hello, versions_named
from trunkline.openflow.messages import (
    AggregateStatsReply,
    AggregateStatsRequest,
    EchoReply,
    EchoRequest,
    Error,
    FlowModTableId,
    FlowStatsReply,
    FlowStatsRequest,
    Hello,
    Message,
    SetFlowFormat,
    SetPacketInFormat,
)
from trunkline.openflow.parts import Parts, PartsError
from trunkline.openflow.wire import HEADER, DecodeError, Envelope, Framer, Protocol, kind_named, split

_ERROR_TYPE: Final = 1
_ECHO_REQUEST: Final = 2
_REFUSALS: Final = 32
_ERROR_DATA: Final = 0xFFFF - 64  # bytes of a refused message that its error carries: all, where it fits
_HELLO: Final = kind_named(1, "OFPT_HELLO")


_UNKNOWN: Final = {  # families with an error that gives no reason, and the first version that has it
    "FlowMod": (2, "OFPFMFC_UNKNOWN"),
    "MeterMod": (4, "OFPMMFC_UNKNOWN"),
    "BundleControl": (5, "OFPBFC_UNKNOWN"),
    "BundleAdd": (5, "OFPBFC_UNKNOWN"),
}


def unexpected(version: int, message: Message | None) -> str:
    """The error for a message that the switch fails on by an error of its own."""
    since, name = _UNKNOWN.get(type(message).__name__, (7, ""))
    return name if version >= since else "OFPBRC_EPERM"


class Received(NamedTuple):
    """A decoded message.  `raw` is its bytes as they came, header included, for an Error's `data`."""

    xid: int
    message: Message
    raw: bytes


class Connection:
    """`version` is the agreed wire version (1 is OpenFlow 1.0, 4 is 1.3), 0 until both hellos are there.

    `versions` are the allowed ones, a bitmap as in `messages.Hello`.  `closed` says why the connection must
    end, once it must: the owner writes what `to_send` still returns and closes.
    """

    def __init__(self, versions: int) -> None:
        self.versions = versions
        self.version = 0
        self.closed: str | None = None
        self.flow_format = 0  # of 1.0: 0, or 2 since NXT_SET_FLOW_FORMAT asked for NXM
        self.flow_mod_table_id = False  # as NXT_FLOW_MOD_TABLE_ID set it
        self.packet_in_format = 0  # as NXT_SET_PACKET_IN_FORMAT set it
        self.at_switch = False  # then what only switches say is refused as that, whatever is in it
        self.fault: tuple[bytes, Exception] | None = None  # what decoding broke on: our error
        self.refusals: deque[tuple[str, bytes]] = deque(maxlen=_REFUSALS)  # for a log
        self._framer = Framer()
        self._parts = Parts()
        self._out: list[bytes] = []
        self.written = 0  # bytes of all that has ever been queued
        self._handed = 0  # of these, what `to_send` has returned
        self._next_xid = 1
        self._asked: tuple[int, bool] = (0, False)  # the last flow request's xid, and whether it was Nicira's
        top = versions.bit_length() - 1
        self._write(Protocol(top), Hello(versions), self.fresh_xid())

    def fresh_xid(self) -> int:
        xid = self._next_xid
        self._next_xid = xid % 0xFFFFFFFF + 1
        return xid

    @property
    def protocol(self) -> Protocol:
        nxm = self.version == 1 and self.flow_format == NXFF_NXM
        return Protocol(self.version or 1, nxm, self.flow_mod_table_id, self.packet_in_format)

    def feed(self, data: bytes) -> list[Received]:
        """Takes bytes from the peer; returns the messages that they complete.  Never raises."""
        return list(self.messages(data))

    def messages(self, data: bytes) -> Iterator[Received]:
        """The same one by one: each is decoded when it is asked for.  All are to be taken before more bytes
        are given."""
        for raw in self._framer.feed(data):
            if self.closed is not None:
                break
            if not self.version:
                self._greet(raw)
                continue
            message = self._take(raw)
            if message is not None:
                yield message
        if self._framer.broken and self.closed is None:
            self.closed = f"received too-short ofp_header ({self._framer.bad_length} bytes)"

    def send(self, message: Message, xid: int | None = None) -> int:
        """Queues `message` in the agreed version; without `xid` takes a fresh one.  Returns the xid.

        Raises EncodeError when the agreed version cannot carry it, with nothing queued.
        """
        protocol = self.protocol
        if xid is None:
            xid = self.fresh_xid()
        elif xid == self._asked[0] and isinstance(message, FlowStatsReply | AggregateStatsReply):
            protocol = protocol._replace(nxm=protocol.version == 1 and self._asked[1])  # as it was asked
        self._write(protocol, message, xid)
        return xid

    def refuse(self, received: Received, error: str) -> None:
        """Queues the Error named `error` for a message that came."""
        self._refuse(received.raw, received.xid, error)

    def expire_parts(self, now: float) -> None:
        """Refuses requests whose other parts do not come."""
        for first in self._parts.expire(now):
            self._answer(first, "OFPBRC_MULTIPART_REQUEST_TIMEOUT")

    def next_timer(self, now: float) -> float | None:
        """When `expire_parts` is to be called next."""
        return self._parts.next_timer(now)

    def to_send(self) -> bytes:
        """What is to be written to the socket now; each byte is returned once."""
        data = b"".join(self._out)
        self._out.clear()
        self._handed = self.written
        return data

    @property
    def queued(self) -> int:
        """How many bytes `to_send` would return."""
        return self.written - self._handed

    def _write(self, protocol: Protocol, message: Message, xid: int) -> None:
        parts = encode(protocol, message, xid)
        self._out += parts
        self.written += sum(map(len, parts))

    def _refuse(self, raw: bytes, xid: int, error: str) -> None:
        self.refusals.append((error, raw))
        self._write(self.protocol, Error(error, raw[:_ERROR_DATA]), xid)

    def _greet(self, raw: bytes) -> None:
        """The first message must be a hello; its version is agreed upon, or the connection ends."""
        version, kind, _, xid = HEADER.unpack_from(raw)
        if kind != 0:
            self.closed = "received non-hello message before version negotiation"
            return
        if not version:
            self.closed = "received hello of OpenFlow version 0"
            return
        envelope = Envelope(version, xid, _HELLO, raw[8:], False)
        peer = decode_hello(envelope).versions
        common = self.versions & peer
        if common <= 1:
            ours, theirs = versions_named(self.versions), versions_named(peer)
            text = f"We support {ours}, you support {theirs}, no common versions."
            top = peer.bit_length() - 1
            spoken = top if 1 <= top <= 6 else 1
            self._write(Protocol(spoken), Error("OFPHFC_INCOMPATIBLE", text.encode()), 0)
            self.closed = f"version negotiation failed (we support {ours}, peer supports {theirs})"
            return
        self.version = common.bit_length() - 1

    def _take(self, raw: bytes) -> Received | None:
        if raw[0] != self.version or not raw[1]:
            self._foreign(raw)
            return None
        envelope = None
        try:
            whole = self._parts.take(raw)
            if whole is None:
                return None
            raw = whole
            envelope = split(raw)
            message = read(envelope, self.flow_mod_table_id)
            own = _OWN.get(type(message))
            if own is not None and not own(self, envelope, message):
                return None
            return Received(envelope.xid, message, raw)
        except PartsError as wrong:
            self._answer(wrong.raw, wrong.error)
        except DecodeError as error:
            misdirected = self.at_switch and envelope is not None and only_switches_say(envelope.kind)
            self._answer(raw, "OFPBRC_BAD_TYPE" if misdirected else error.error)
        except Exception as error:  # an error of ours, which is no reason to lose the connection
            self.fault = raw, error
            self._answer(raw, unexpected(self.version, None))
        return None

    def _foreign(self, raw: bytes) -> None:
        """A message of another version than the agreed one; echo requests are answered in any, and a second
        hello, which has no version, is refused in its own."""
        version, kind, _, xid = HEADER.unpack_from(raw)
        if kind == _ECHO_REQUEST:
            self._write(Protocol(min(max(version, 1), 6)), EchoReply(raw[8:]), xid)
        elif not kind:
            spoken = Protocol(version if 1 <= version <= 6 else 1)
            error = "OFPBRC_BAD_TYPE" if version else "OFPBRC_BAD_VERSION"
            self._write(spoken, Error(error, raw[:_ERROR_DATA]), xid)
        else:
            self._refuse(raw, xid, "OFPBRC_BAD_VERSION")

    def _answer(self, raw: bytes, error: str) -> None:
        """Refuses a message that is none; an error never answers an error."""
        _, kind, _, xid = HEADER.unpack_from(raw)
        if kind != _ERROR_TYPE:
            self._refuse(raw, xid, error)

    # ---- messages about the connection itself; False: they are of no interest to its owner

    def _echo(self, envelope: Envelope, message: EchoRequest) -> bool:
        self._write(self.protocol, EchoReply(message.data), envelope.xid)
        return False

    def _flow_format(self, envelope: Envelope, message: SetFlowFormat) -> bool:
        if message.format not in (NXFF_OPENFLOW10, NXFF_NXM):
            raise DecodeError("OFPBRC_EPERM")
        self.flow_format = message.format
        return True

    def _table_id(self, envelope: Envelope, message: FlowModTableId) -> bool:
        self.flow_mod_table_id = message.enabled
        return True

    def _packet_in_format(self, envelope: Envelope, message: SetPacketInFormat) -> bool:
        self.packet_in_format = message.format
        return True

    def _flow_request(self, envelope: Envelope, message: FlowStatsRequest | AggregateStatsRequest) -> bool:
        self._asked = envelope.xid, envelope.kind.name.startswith("NXST")
        return True


_OWN: Final[dict[type, Callable[[Connection, Envelope, Any], bool]]] = {
    EchoRequest: Connection._echo,
    SetFlowFormat: Connection._flow_format,
    FlowModTableId: Connection._table_id,
    SetPacketInFormat: Connection._packet_in_format,
    FlowStatsRequest: Connection._flow_request,
    AggregateStatsRequest: Connection._flow_request,
}
