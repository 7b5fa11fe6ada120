"""The connection tracker: what the datapath action ``ct`` does to a packet and to the table of connections.

    tracker = Tracker(MemoryStore(), seed=1)
    for packet, key, known in tracker.process(packet, key, action, now, known):
        ...                                    # the rest of the actions

A packet is looked up by its tuple.  Of a connection that is there, the protocol's state machine says whether
the packet belongs to it; a packet without one is *new*, and is remembered if the action commits.  What was
found goes into the key: ct_state, ct_zone, ct_mark, ct_label and the tuple of the original direction.

`known` is what a packet carries from one ct to the next of the same zone, so that it is not counted twice.
Docs: docs/design/conntrack.md.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from trunkline.base.counters import Counters
from trunkline.conntrack import helpers, nat
from trunkline.conntrack.connection import DESTINATION, SOURCE, Connection
from trunkline.conntrack.fragments import Fragments, split
from trunkline.conntrack.protocols import protocol_of
from trunkline.conntrack.store import Store
from trunkline.conntrack.tcp import impossible
from trunkline.conntrack.timeouts import TIMEOUTS
from trunkline.conntrack.tuples import REVERSED_TYPE, Extract, Tuple, extract
from trunkline.conntrack.verdict import FRESH, INVALID, NEW
from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.packet.packet import Packet
from trunkline.packet.parse import IPV4, TCP

CT_NEW, CT_EST, CT_REL, CT_RPL, CT_INV, CT_TRK, CT_SNAT, CT_DNAT = (1 << i for i in range(8))

TUPLE: Final = layout.bits("ct_src", "ct_dst", "ct_proto", "ct_tp_src", "ct_tp_dst")
FIELDS: Final = layout.bits("ct_state", "ct_zone", "ct_mark", "ct_label") | TUPLE
"""The bits of a key that tracking fills."""

_STATE, _ZONE = layout.OFFSET["ct_state"], layout.OFFSET["ct_zone"]
_MARK, _LABEL = layout.OFFSET["ct_mark"], layout.OFFSET["ct_label"]
_TYPE: Final = layout.OFFSET["dl_type"]
_FRAGMENT: Final = layout.MASK["nw_frag"]
_NATTED: Final = CT_SNAT | CT_DNAT
_LABEL_ONES: Final = (1 << 128) - 1
DEFAULT_MAXIMUM: Final = 3_000_000


class Known(NamedTuple):
    """What an earlier ct of this packet found."""

    connection: Connection
    reply: bool
    related: bool


Outcome = tuple[Packet, int, Known | None]


class Limit:
    """How many connections a zone may have, and how many it has got since the limit was set."""

    __slots__ = ("count", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0


class Tracker:
    """Connections of one datapath.  `seed` keeps NAT's choices from being foreseen."""

    def __init__(self, store: Store, seed: int = 0) -> None:
        self.store = store
        self.maximum = DEFAULT_MAXIMUM
        self.check_sequences = True
        self.default_limit: Limit | None = None
        self.limits: dict[int, Limit] = {}  # by zone
        self.policies: dict[str, Mapping[str, int]] = {}  # timeout policies: name -> timeouts
        self.fragments = Fragments()
        self.expectations = helpers.Expectations()
        self.count_in(Counters())
        self._seed = seed.to_bytes(16, "big", signed=True)
        self._draws = 0
        self._admitted: dict[Connection, Limit] = {}

    # ---- packets

    def process(
        self, packet: Packet, key: int, action: dp.Conntrack, now: float, known: Known | None = None
    ) -> list[Outcome]:
        """Tracks a packet.  None comes out of a fragment that waits for the others, and all with the last."""
        if key & _FRAGMENT:
            outcomes = self._fragment(packet, key, action, now)
        else:
            outcomes = [self._one(packet, key, action, now, known)]
        if self.fragments.count:
            family = 4 if key >> _TYPE & 0xFFFF == IPV4 else 6
            released = self.fragments.release(action.zone, family, now)
            outcomes += [(packet, key, None) for packet, key in released]
        return outcomes

    def clear(self, key: int) -> int:
        """The key of a packet that is no longer tracked."""
        return key & ~FIELDS

    def _fragment(self, packet: Packet, key: int, action: dp.Conntrack, now: float) -> list[Outcome]:
        whole = self.fragments.add(packet, key, action.zone, now)
        if whole is True:
            return []
        if whole is False:
            return [(packet, self._written(key, CT_INV, action.zone, None, None), None)]
        joined, result, _ = self._one(whole.packet, whole.key, action, now, None)
        marks = result & FIELDS
        return [(changed, part & ~FIELDS | marks, None) for changed, part in split(whole, joined)]

    def _one(
        self, packet: Packet, key: int, action: dp.Conntrack, now: float, known: Known | None
    ) -> Outcome:
        zone = action.zone
        state = key >> _STATE & 0xFF if key >> _ZONE & 0xFFFF == zone else 0
        if known is not None and known.connection.original.zone == zone and not action.force:
            helper = helpers.of_packet(key, action.helper)
            if not helper:
                return self._again(packet, key, action, known, state)
        found = extract(packet, zone)
        if found is None:
            return packet, self._written(key, CT_INV, zone, None, None), None
        return _Passage(self, packet, key, action, now, found, state).run()

    def _again(self, packet: Packet, key: int, action: dp.Conntrack, known: Known, state: int) -> Outcome:
        """A second ct of the same zone: nothing but translation and marks."""
        connection = known.connection
        if action.nat is not None:
            found = extract(packet, action.zone)
            if found is not None:
                packet, state = self._translated(
                    packet, key, found._replace(related=known.related), connection, known.reply, action, state
                )
        key = key & ~layout.MASK["ct_state"] | state << _STATE
        return packet, self._marked(key, connection, action), None

    # ---- pieces that passages share

    def find(self, tuple: Tuple, now: float) -> tuple[Connection, bool] | None:
        found = self.store.lookup(tuple.name())
        if found is not None and now >= found[0].expires:
            self.remove(found[0])
            return None
        return found

    def _translated(
        self,
        packet: Packet,
        key: int,
        found: Extract,
        connection: Connection,
        reply: bool,
        action: dp.Conntrack,
        state: int,
    ) -> tuple[Packet, int]:
        """NAT on a packet of a known connection, once a zone."""
        if not connection.nat or (state & _NATTED and key >> _ZONE & 0xFFFF == action.zone):
            return packet, state
        state &= ~_NATTED
        kind = nat.bits(connection, reply)
        state |= (CT_SNAT if kind & SOURCE else 0) | (CT_DNAT if kind & DESTINATION else 0)
        return nat.translate(packet, key, found, connection, reply), state

    def _written(
        self, key: int, state: int, zone: int, connection: Connection | None, shown: Tuple | None
    ) -> int:
        """The key with what tracking has found; `shown`: the tuple of the original direction."""
        key = key & ~FIELDS | (state | CT_TRK) << _STATE | zone << _ZONE
        if connection is not None:
            key |= connection.mark << _MARK | connection.label << _LABEL
            shown = connection.parent or connection.original
        if shown is not None:
            a, b = shown.a, shown.b
            if shown.protocol in REVERSED_TYPE:
                a, b = shown.b >> 8, shown.b & 0xFF
            key |= int.from_bytes(shown.src, "big") << layout.OFFSET["ct_src"]
            key |= int.from_bytes(shown.dst, "big") << layout.OFFSET["ct_dst"]
            key |= shown.protocol << layout.OFFSET["ct_proto"]
            key |= a << layout.OFFSET["ct_tp_src"] | b << layout.OFFSET["ct_tp_dst"]
        return key

    def _marked(self, key: int, connection: Connection, action: dp.Conntrack) -> int:
        """Mark and label of the connection, set as the action says, in the key too."""
        if action.mark is None and action.label is None:
            return key
        if connection.parent is None:
            if action.mark is not None:
                value, mask = action.mark
                old = key >> _MARK & 0xFFFFFFFF
                connection.mark = old & ~mask | value & mask
            if action.label is not None:
                value, mask = action.label
                old = key >> _LABEL & _LABEL_ONES
                connection.label = old & ~mask | value & mask
            self.store.save(connection)
        if action.mark is not None:
            key = key & ~layout.MASK["ct_mark"] | connection.mark << _MARK
        if action.label is not None:
            key = key & ~layout.MASK["ct_label"] | connection.label << _LABEL
        return key

    def live(self, connection: Connection, timeout: str, now: float) -> None:
        """Gives a connection the time that its state has."""
        policy = self.policies.get(connection.policy) if connection.policy is not None else None
        seconds = TIMEOUTS[timeout] if policy is None else policy.get(timeout, TIMEOUTS[timeout])
        connection.lifetime = float(seconds)
        connection.expires = now + seconds

    def choose(self, below: int) -> int:
        """A number that nobody outside can foresee."""
        self._draws += 1
        return self.hashed(self._draws.to_bytes(8, "big")) % below

    def hashed(self, data: bytes) -> int:
        return int.from_bytes(blake2b(data, digest_size=8, key=self._seed).digest(), "big")

    def admit(self, zone: int) -> Limit | bool | None:
        """False: a limit says no; else the limit that counts the connection, if there is one."""
        limit = self.limits.get(zone, self.default_limit)
        if limit is not None and limit.count >= limit.limit:
            return False
        if not self.store.has_room(self.maximum):
            self._full.total += 1
            return False
        return limit

    def add(self, connection: Connection, limit: Limit | None) -> bool:
        if not self.store.insert(connection):
            return False
        if limit is not None:
            limit.count += 1
            self._admitted[connection] = limit
        return True

    def remove(self, connection: Connection) -> None:
        limit = self._admitted.pop(connection, None)
        if limit is not None:
            limit.count -= 1
        self.expectations.forget(connection.original)
        self.store.delete(connection)

    def count_in(self, counters: Counters) -> None:
        """Where events are counted, under the original's names."""
        self._full = counters.counter("conntrack_full")
        self.out_of_window = counters.counter("conntrack_tcp_seq_chk_failed")

    # ---- limits

    def set_limit(self, zone: int, limit: int) -> None:
        if zone in self.limits:
            self.limits[zone].limit = limit
        else:
            self.limits[zone] = Limit(limit)

    def set_default_limit(self, limit: int) -> None:
        """For all zones without a limit of their own, together."""
        if self.default_limit is None:
            self.default_limit = Limit(limit)
        else:
            self.default_limit.limit = limit

    def delete_limit(self, zone: int) -> None:
        self.limits.pop(zone, None)

    def limit_of(self, zone: int) -> Limit:
        return self.limits.get(zone) or self.default_limit or Limit(0)

    # ---- from outside

    def connections(self, zone: int | None = None) -> Iterator[Connection]:
        for connection in self.store.connections():
            if zone is None or connection.original.zone == zone:
                yield connection

    def flush(self, zone: int | None = None) -> None:
        for connection in list(self.connections(zone)):
            self.remove(connection)

    def run(self, now: float) -> None:
        """Forgets what is over."""
        for connection in self.store.expired(now):
            self.remove(connection)
        self.fragments.purge(now)

    def next_timer(self) -> float | None:
        due = [when for when in (self.store.next_expiry(), self.fragments.next_purge()) if when is not None]
        return min(due, default=None)


class _Passage:
    """One packet on its way through the tracker."""

    __slots__ = ("action", "found", "key", "now", "packet", "reply", "state", "tracker")

    def __init__(
        self,
        tracker: Tracker,
        packet: Packet,
        key: int,
        action: dp.Conntrack,
        now: float,
        found: Extract,
        state: int,
    ) -> None:
        self.tracker = tracker
        self.packet = packet
        self.key = key
        self.action = action
        self.now = now
        self.found = found
        self.state = state
        self.reply = False

    def run(self) -> Outcome:
        tracker, action = self.tracker, self.action
        connection = self._lookup()
        helper = helpers.of_packet(self.key, action.helper)
        if connection is not None and action.force and self.reply:
            tracker.remove(connection)
            connection = None
            self.reply = False
        expected: helpers.Expectation | None = None
        again = True
        if connection is not None:
            again = self._update_with(connection, helper)
            if action.nat is not None and not again:
                self.packet, self.state = tracker._translated(
                    self.packet, self.key, self.found, connection, self.reply, action, self.state
                )
        elif (connection := self._by_original()) is not None:
            again = self._update(connection)
        elif self.found.related:
            self.state, again = CT_INV, False
        if again:
            expected = tracker.expectations.find(self.found.tuple)
            connection = self._begin(helper, expected)
        shown = self.found.tuple
        key = tracker._written(self.key, self.state, action.zone, connection, shown)
        if connection is not None:
            key = tracker._marked(key, connection, action)
        elif expected is not None:
            shown = expected.parent
            key = tracker._written(self.key, self.state, action.zone, None, shown)
            key |= expected.mark << _MARK | expected.label << _LABEL
        if connection is not None and helper and connection.helper:
            key = self._announce(connection, helper, key)
        known = None
        if connection is not None and action.nat is None:
            known = Known(connection, self.reply, self.found.related)
        return self.packet, key, known

    def _lookup(self) -> Connection | None:
        """The connection of the packet, also if an earlier ct has translated it already."""
        own = self.found.tuple
        if not self.state & _NATTED:
            hit = self.tracker.find(own, self.now)
            if hit is None:
                return None
            connection, self.reply = hit
            return connection
        hit = self.tracker.find(own.reversed(), self.now)
        if hit is None:
            return None
        connection, backwards = hit
        self.reply = not backwards
        self.found = self.found._replace(tuple=connection.reply if self.reply else connection.original)
        return connection

    def _update_with(self, connection: Connection, helper: str) -> bool:
        """As `_update`; it sees the sequence numbers that the end which a helper has misled uses itself."""
        if helper != helpers.FTP or not connection.skew[0]:
            return self._update(connection)
        before = self.reply != connection.skew[1]
        if before:
            self.packet = helpers.put_right(self.packet, self.found, connection, self.reply)
        again = self._update(connection)
        if not before:
            self.packet = helpers.put_right(self.packet, self.found, connection, self.reply)
        return again

    def _announce(self, connection: Connection, helper: str, key: int) -> int:
        """Looks for connections that the packet announces; the key, invalid if it must not."""
        tracker = self.tracker
        found = self.found
        try:
            self.packet = helpers.announce(
                tracker.expectations,
                helper,
                connection,
                self.packet,
                found,
                bool(self.state & CT_RPL),
                self.action.nat is not None,
            )
        except helpers.Refused:
            return key | (CT_INV | CT_TRK) << _STATE
        tracker.store.save(connection)
        return key

    def _by_original(self) -> Connection | None:
        """The connection that an earlier ct has noted in the key: the packet has been translated since."""
        key = self.key
        if not self.state & _NATTED or self.action.nat is not None or not key & layout.MASK["ct_proto"]:
            return None
        octets = 16 if self.found.tuple.family == 6 else 4
        protocol = layout.get(key, "ct_proto")
        a, b = layout.get(key, "ct_tp_src"), layout.get(key, "ct_tp_dst")
        if protocol in REVERSED_TYPE:
            a, b = self.found.tuple.a, a << 8 | b
        original = Tuple(
            self.action.zone,
            self.found.tuple.family,
            protocol,
            layout.get(key, "ct_src").to_bytes(16, "big")[-octets:],
            layout.get(key, "ct_dst").to_bytes(16, "big")[-octets:],
            a,
            b,
        )
        hit = self.tracker.find(original, self.now)
        if hit is None:
            return None
        self.reply = bool(self.state & CT_RPL)
        return hit[0]

    def _update(self, connection: Connection) -> bool:
        """What the packet does to the connection; true: it begins another in its place."""
        tracker, found = self.tracker, self.found
        if found.related:
            self.state |= CT_REL | (CT_RPL if self.reply else 0)
            return False
        if connection.parent is not None:
            self.state |= CT_REL
        verdict, state, timeout = protocol_of(found).update(
            connection.state, self.reply, self.packet.frame, found, tracker.check_sequences
        )
        connection.state = state
        if timeout:
            tracker.live(connection, timeout, self.now)
        tracker.store.save(connection)
        if verdict == INVALID:
            if found.tuple.protocol == TCP and not impossible(layout.get(self.key, "tcp_flags")):
                tracker.out_of_window.total += 1
            self.state = CT_INV
        elif verdict == NEW:
            tracker.remove(connection)
            self.reply = False
            return True
        elif verdict == FRESH:
            self.state |= CT_NEW
        else:
            self.state = self.state & ~CT_NEW | CT_EST | (CT_RPL if self.reply else 0)
        return False

    def _begin(self, helper: str, expected: "helpers.Expectation | None") -> Connection | None:
        """A packet that no connection has: new, and remembered if the action says so."""
        tracker, found, action = self.tracker, self.found, self.action
        protocol = protocol_of(found)
        if not protocol.may_begin(self.packet.frame, found):
            self.state = CT_INV
            return None
        self.state = CT_NEW | (CT_REL if expected is not None else 0)
        if not (action.commit or action.force):
            return None
        limit = tracker.admit(found.tuple.zone)
        if limit is False:
            return None
        state, timeout = protocol.begin(self.packet.frame, found)
        connection = Connection(found.tuple, state)
        connection.policy = action.timeout or None
        connection.helper = action.helper
        tracker.live(connection, timeout, self.now)
        if expected is not None:
            connection.mark, connection.label = expected.mark, expected.label
            connection.parent = expected.parent
        if action.nat is not None and not self._allocate(connection, action.nat, expected):
            return None
        assert limit is not True
        if not tracker.add(connection, limit):
            return None
        if connection.nat:
            kind = nat.bits(connection, False)
            self.state |= (CT_SNAT if kind & SOURCE else 0) | (CT_DNAT if kind & DESTINATION else 0)
            self.packet = nat.translate(self.packet, self.key, found, connection, False)
        return connection

    def _allocate(
        self, connection: Connection, wanted: dp.Nat, expected: "helpers.Expectation | None"
    ) -> bool:
        tracker = self.tracker
        if expected is not None:
            connection.nat, connection.reply = expected.translation(connection.reply)
            return True
        original = connection.original
        if not wanted.kind or (wanted.address_min is not None and wanted.family != original.family):
            return True  # nothing to translate, or nothing that fits
        data = original.src if wanted.persistent else original.name()
        hashed = tracker.choose(1 << 32) if wanted.random else tracker.hashed(data)
        now = self.now
        reply = nat.allocate(
            original, wanted, hashed, tracker.choose, lambda tuple: tracker.find(tuple, now) is not None
        )
        if reply is None:
            return False
        connection.nat = SOURCE if wanted.kind == "src" else DESTINATION
        connection.reply = reply
        return True
