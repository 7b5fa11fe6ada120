"""What a bridge has been told by OpenFlow, written down as it happens.

A switch that is started again, after `exit` or after being killed, is to know its flows, groups and meters as
before (DESIGN, "Forwarding outlives vswitchd").  So every change is written to a journal before whoever asked
for it is answered.  A journal is a list of records:

    kind      body                                              written when
    --------  ------------------------------------------------  ----------------------------------------
    HEADER    JSON: what the journal is of (Origin)             it begins
    MESSAGE   a flow-mod, group-mod, ... as it came             it has been carried out
    BUNDLE    several of these, each with its length            the bundle has been committed
    RULE      times and counters, then it as a flow-mod               a packet has taught it; in a snapshot
    GONE      a strict delete                                   its time was over, or it had to make room
    CLEAR     nothing                                           the fail mode took out all flows
    GROUP     times and counters of a group                     in a snapshot
    MAC       a learned address                                 it was not there before; in a snapshot
    NAME      a table's number, its name by a controller        it has been named; in a snapshot
    METER     times and counters of a meter                     in a snapshot

A message costs a copy of its bytes, nothing is encoded; to read a journal is to carry the messages out again
(journal_restoring.py).  What packets and timers do is not in messages, so it is written as flows that come
and go.  A journal grows; a snapshot (journal_snapshot.py) takes its place when it has become long.

The wire format of OpenFlow is what makes the journal readable to a newer version of this program.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.base.json import JsonError, dumps, loads
from trunkline.flow.match import Match
from trunkline.model import openflow as of
from trunkline.ofproto.rules import Counters, Rule
from trunkline.openflow.codec import decode, encode
from trunkline.openflow.connection import Received
from trunkline.openflow.messages import FlowMod
from trunkline.openflow.wire import DecodeError, EncodeError, Protocol

FORMAT: Final = 1
_FRAME: Final = Struct(">IBd")  # length of the body, kind, Clock.monotonic()
_MESSAGE: Final = Struct(">IBd?")  # the same, and whether there is a table in the command
_LENGTH: Final = Struct(">I")
# Created, modified, used; packets, bytes; importance, flags: the last two are not for every version to say.
_RULE_STATE: Final = Struct(">dddQQHH")
MAC_STATE: Final = Struct(">HQd")  # VLAN, address, last seen; then the name of the port
_NXM: Final = Protocol(1, nxm=True, table_id=True)
_PLAIN10: Final = Protocol(1, table_id=True)
_VERSIONS: Final = (Protocol(6), _NXM, Protocol(5), Protocol(4), Protocol(3), Protocol(2), _PLAIN10)


class Kind(IntEnum):
    HEADER = 0
    MESSAGE = 1
    BUNDLE = 2
    RULE = 3
    GONE = 4
    CLEAR = 5
    GROUP = 6
    MAC = 7
    NAME = 8
    METER = 9


class Origin(NamedTuple):
    """What a journal is of: numbers and times in it mean nothing after another boot or to another bridge.

    `bridge` is the uuid of the row; `alone` whether the bridge forwards by itself (fail mode standalone and
    no controller), for with that its flows begin anew.
    """

    boot: str
    bridge: str
    alone: bool


class Record(NamedTuple):
    kind: int
    time: float
    body: bytes


class Journal:
    """Records of one bridge that are to be written; `take` hands them out.

    `waiting` is called when there is something, for what packets do, which nobody waits for.  `changes`
    counts what has been written down since the beginning, the messages of a bundle one by one.
    """

    __slots__ = ("_records", "_waiting", "changes")

    def __init__(self, waiting: Callable[[], None] = lambda: None) -> None:
        self._records: list[bytes] = []
        self._waiting = waiting
        self.changes = 0

    def _put(self, record: bytes) -> None:
        if not self._records:
            self._waiting()
        self._records.append(record)
        self.changes += 1

    def __bool__(self) -> bool:
        return bool(self._records)

    def take(self) -> bytes:
        """What has come since the last call."""
        data = b"".join(self._records)
        self._records.clear()
        return data

    def message(self, raw: bytes, table_id: bool, now: float) -> None:
        """A message that was carried out; `table_id` as in codec.decode."""
        self._put(_MESSAGE.pack(1 + len(raw), Kind.MESSAGE, now, table_id) + raw)

    def bundle(self, messages: Sequence[Received], now: float) -> None:
        self._put(record(Kind.BUNDLE, now, _packed(received.raw for received in messages)))
        self.changes += len(messages) - 1

    def rule(self, rule: Rule, now: float) -> None:
        """A flow came to be, or is another now, by no message."""
        self._put(rule_record(rule, now))

    def gone(self, rule: Rule, now: float) -> None:
        mod = FlowMod(of.OFPFC_DELETE_STRICT, rule.match, rule.priority, rule.table)
        self._put(record(Kind.GONE, now, b"\1" + encoded(mod)))

    def learned(self, vlan: int, mac: int, port: str, seen: float) -> None:
        self._put(mac_record(vlan, mac, port, seen))

    def named(self, table: int, name: str, now: float) -> None:
        self._put(name_record(table, name, now))

    def cleared(self, now: float) -> None:
        self._put(record(Kind.CLEAR, now, b""))


def record(kind: Kind, now: float, body: bytes) -> bytes:
    return _FRAME.pack(len(body), kind, now) + body


def name_record(table: int, name: str, now: float) -> bytes:
    return record(Kind.NAME, now, bytes((table,)) + name.encode("utf-8", "surrogateescape"))


def header(origin: Origin, now: float) -> bytes:
    return record(Kind.HEADER, now, dumps({"format": FORMAT, **origin._asdict()}).encode())


def parse_header(one: Record) -> Origin | None:
    """None if it is none, or of a format that is not known here."""
    try:
        fields = loads(one.body.decode())
        if one.kind != Kind.HEADER or fields.pop("format") != FORMAT:
            return None
        return Origin(**fields)
    except (JsonError, ValueError, TypeError, KeyError, AttributeError):
        return None


def rule_record(rule: Rule, now: float) -> bytes:
    counters = rule.counters
    state = _RULE_STATE.pack(
        *(rule.created, rule.modified, counters.used),
        *(counters.packets, counters.bytes),
        *(rule.importance, rule.flags),
    )
    mod = FlowMod(
        of.OFPFC_ADD,
        rule.match,
        rule.priority,
        rule.table,
        rule.actions,
        new_cookie=rule.cookie,
        idle_timeout=rule.idle_timeout,
        hard_timeout=rule.hard_timeout,
    )
    return record(Kind.RULE, now, state + _packed(_in_words(mod)))


def _in_words(mod: FlowMod) -> Iterator[bytes]:
    """A flow in the words of one version; or the match in those of one, then the actions in another's.

    A modify can put actions of 1.0 on a match that only 1.2 can express.
    """
    whole = _exactly(mod, lambda again: again._replace(flags=mod.flags) == mod)
    if whole is not None:
        yield whole
        return
    yield encoded(mod._replace(actions=()))
    yield _exactly(mod, lambda again: again.actions == mod.actions) or encoded(mod)


def rule_of(body: bytes, origin: str, placed: Callable[[Match], Match]) -> Rule:
    """The rule of a RULE record; `placed` as Flows.placed.  Raises DecodeError, and what that raises."""
    created, modified, used, packets, octets, importance, flags = _RULE_STATE.unpack_from(body)
    said: list[Any] = [decode(raw).message for raw in bundled(body[_RULE_STATE.size :])]
    if not said or not all(isinstance(one, FlowMod) for one in said):
        raise DecodeError("OFPBRC_BAD_TYPE")
    mod, actions = said[0], said[-1].actions
    counters = Counters(used, created)
    counters.packets, counters.bytes = packets, octets
    rule = Rule(
        placed(mod.match),
        mod.priority,
        mod.table,
        actions,
        created,
        cookie=mod.new_cookie or 0,
        idle_timeout=mod.idle_timeout,
        hard_timeout=mod.hard_timeout,
        importance=importance,
        flags=flags,
        origin=origin,
        counters=counters,
    )
    rule.modified = modified
    return rule


def mac_record(vlan: int, mac: int, port: str, seen: float) -> bytes:
    return record(Kind.MAC, seen, MAC_STATE.pack(vlan, mac, seen) + port.encode())


def encoded(message: Any, versions: Iterable[Protocol] = _VERSIONS) -> bytes:
    """One message on the wire, in words that say exactly the same, or else in words that do the same.

    Raises EncodeError if no version has any.
    """
    raw = _exactly(message, message.__eq__, versions) or _exactly(message, lambda again: True, versions)
    if raw is None:
        raise EncodeError(f"{type(message).__name__} has no form in any version of OpenFlow")
    return raw


def _exactly(
    message: Any, wanted: Callable[[Any], bool], versions: Iterable[Protocol] = _VERSIONS
) -> bytes | None:
    """The message in the first version from which `wanted` comes back: versions have other actions for the
    same thing, or none."""
    for protocol in versions:
        try:
            raw = b"".join(encode(protocol, message, 0))
            if wanted(decode(raw).message):
                return raw
        except (EncodeError, DecodeError):
            continue
    return None


def records(data: bytes) -> Iterator[Record]:
    """The records of a journal; one that was cut short when the process died ends it."""
    at = 0
    while at + _FRAME.size <= len(data):
        length, kind, time = _FRAME.unpack_from(data, at)
        at += _FRAME.size
        if at + length > len(data):
            return
        yield Record(kind, time, data[at : at + length])
        at += length


def _packed(messages: Iterable[bytes]) -> bytes:
    """Messages, each with its length; see `bundled`."""
    return b"".join(_LENGTH.pack(len(raw)) + raw for raw in messages)


def whole(data: bytes) -> int:
    """How many bytes of a journal are whole records."""
    at = 0
    while at + _FRAME.size <= len(data):
        end = at + _FRAME.size + _LENGTH.unpack_from(data, at)[0]
        if end > len(data):
            break
        at = end
    return at


def bundled(body: bytes) -> Iterator[bytes]:
    """The messages of a BUNDLE, or those behind the state of a RULE."""
    at = 0
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        yield body[at : at + length]
        at += length
