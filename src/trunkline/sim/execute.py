"""What datapath actions do to a packet: their meaning, for every datapath.

Actions run in order on a packet that changes as they go; an output sends it as it is at that moment.  Its key
is kept beside it only where something needs it: a masked set, a recirculation, an upcall.
"""

from collections.abc import Callable
from typing import Any, Final

from trunkline.conntrack.tracker import FIELDS, Known
from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.flow.hashes import flow_hash
from trunkline.packet import headers
from trunkline.packet.packet import Packet
from trunkline.packet.parse import parse, whole_length
from trunkline.packet.rewrite import pop_mpls, pop_vlan, push_mpls, push_vlan, set_fields
from trunkline.sim import tunnels
from trunkline.sim.parts import Owner

_RECIRC: Final = layout.OFFSET["recirc_id"]
_RECIRC_MASK: Final = layout.MASK["recirc_id"]
_KEPT: Final = (
    FIELDS
    | tunnels.TUNNEL
    | layout.bits("dp_in_port", "recirc_id", "dp_hash", "skb_priority", "pkt_mark", "packet_type")
)
"""What a packet has beside its frame."""
_HASH: Final = layout.OFFSET["dp_hash"]
_HASH_MASK: Final = layout.MASK["dp_hash"]
_TYPE: Final = layout.OFFSET["dl_type"]
_ETHERNET: Final = 14  # bytes that a frame has at least
_TAGGED: Final = (0x8100, 0x88A8)
_TCP_FLAGS: Final = layout.OFFSET["tcp_flags"]
_PROTOCOL: Final = layout.MASK["nw_proto"]
_TCP: Final = 6 << layout.OFFSET["nw_proto"]
_MAX_RECIRCULATIONS: Final = 6


class _Run:
    """One packet under a list of actions."""

    __slots__ = ("_key", "_stale", "behind", "came", "cutting", "depth", "known", "packet", "sim")

    def __init__(self, sim: Owner, packet: Packet, key: int, depth: int, known: Known | None = None) -> None:
        self.sim = sim
        self.packet = packet
        self._key = self.came = key
        self._stale = False
        self.depth = depth
        self.known = known  # what connection tracking knows of the packet
        self.behind = False  # it must not overtake who waits for the switch
        self.cutting = 0  # bytes to leave out of what is sent next

    def change(self, packet: Packet) -> None:
        self.packet = packet
        self._stale = True

    @property
    def key(self) -> int:
        """The packet's as it is now; what is not in the frame stays.  Parsed only when asked for."""
        if self._stale:
            self._key = self.sim.key_of(self.packet.frame, 0) | self._key & _KEPT
            self._stale = False
        return self._key

    def restore(self, packet: Packet, key: int) -> None:
        """Back to how the packet was."""
        self.packet, self._key, self._stale = packet, key, False

    def cut(self) -> Packet:
        """The packet to be sent, cut if a truncation came before; that holds for one output."""
        if not self.cutting:
            return self.packet
        frame, self.cutting = self.packet.frame[: max(len(self.packet.frame) - self.cutting, 0)], 0
        return Packet(frame, self.packet.offload if len(frame) == len(self.packet.frame) else None)


class Executor:
    """Runs actions on behalf of a datapath."""

    __slots__ = ("_sim",)

    def __init__(self, sim: Owner) -> None:
        self._sim = sim

    def run(
        self, packet: Packet, key: int, actions: tuple[Any, ...], depth: int = 0, known: Known | None = None
    ) -> None:
        """Runs a list of actions.  Most are a single output: that is done at once."""
        if len(actions) == 1 and type(actions[0]) is dp.Output:
            _send(self._sim, packet, actions[0].port, key)
            return
        _run(_Run(self._sim, packet, key, depth, known), actions)

    def enter(self, packet: Packet, key: int) -> None:
        """A packet that has just come in, its key known already."""
        _enter(self._sim, packet, key, 0)


def _run(state: _Run, actions: tuple[Any, ...]) -> None:
    for i, action in enumerate(actions):
        if type(action) is dp.Conntrack:
            if not _conntrack(state, action, actions[i + 1 :]):
                return
        elif type(action) is dp.TunnelPush:
            _tunnel_push(state, action, actions[i + 1 :])
            return
        elif type(action) is dp.Meter:
            sim = state.sim
            if not sim.meters.admit(action.id, len(state.packet.frame), sim.clock.monotonic()):
                sim.reasons.meter.total += 1
                return
        else:
            _ACTIONS[type(action)](state, action)


def _conntrack(state: _Run, action: dp.Conntrack, rest: tuple[Any, ...]) -> bool:
    """False: the packet is held, for it is a fragment and others are missing.

    With the last fragment all come out; they do the rest of the actions here, but for the last, which goes on
    where it is.  None overtakes one before it that no flow covers: it goes up to the switch behind that.
    """
    sim = state.sim
    outcomes = sim.conntrack.process(state.packet, state.key, action, sim.clock.monotonic(), state.known)
    if not outcomes:
        return False
    before = state.packet
    for packet, key, known in outcomes[:-1]:
        other = _Run(sim, packet, key, state.depth, known)
        other.change(packet)
        other.behind = True
        _run(other, rest)
    packet, key, state.known = outcomes[-1]
    state.restore(packet, key)
    state.behind = len(outcomes) > 1
    if packet is not before:  # NAT, or another fragment
        state.change(packet)
    return True


def _tunnel_push(state: _Run, action: dp.TunnelPush, rest: tuple[Any, ...]) -> None:
    """What follows is done to each of the outer packets: one, unless the sender left one to be cut."""
    number = tunnels.source_port(state.sim, state.came)
    for packet, key in tunnels.push(state.sim, state.cut(), state.key, action, number):
        _run(_Run(state.sim, packet, key, state.depth), rest)


def _tunnel_pop(state: _Run, action: dp.TunnelPop) -> None:
    if state.depth >= _MAX_RECIRCULATIONS:
        state.sim.reasons.recirc_error.total += 1
        return
    for packet, key in tunnels.pop(state.sim, state.packet, state.key, action.port):
        _enter(state.sim, packet, key, state.depth + 1)


def _conntrack_clear(state: _Run, action: dp.ConntrackClear) -> None:
    state.known = None
    state.restore(state.packet, state.sim.conntrack.clear(state.key))


def _send(sim: Owner, packet: Packet, number: int, key: int) -> None:
    port = sim.port(number)
    if port is None or port.transmit is None:
        if port is not None and port.tunnel is not None:
            tunnels.send(sim, port, packet, key)
        elif port is not None:
            port.dropped += 1
        else:
            sim.reasons.invalid_port.total += 1
        return
    port.packets_out += 1
    port.bytes_out += len(packet.frame)
    port.transmit(packet)


def _output(state: _Run, action: dp.Output) -> None:
    packet = state.cut()
    if len(packet.frame) >= _ETHERNET:
        _send(state.sim, packet, action.port, state.key)


def _push_vlan(state: _Run, action: dp.PushVlan) -> None:
    state.change(push_vlan(state.packet, action.tpid, action.tci))


def _pop_vlan(state: _Run, action: dp.PopVlan) -> None:
    state.change(pop_vlan(state.packet))


_ADDRESSES: Final = layout.bits("net_src", "net_dst", "tp_src", "tp_dst")


def _set(state: _Run, action: dp.Set) -> None:
    beside = action.mask & _KEPT
    if beside:
        state.restore(state.packet, state.key & ~beside | action.value & beside)
    if action.mask & _ADDRESSES:
        state.known = None  # tracking it again looks for another connection
    if action.mask != beside:
        key = state.key
        if key >> _TYPE & 0xFFFF in _TAGGED:  # it knows nothing of what is behind more tags than it looks for
            key = parse(state.packet.frame)
        state.change(set_fields(state.packet, key, action.value, action.mask))


def _push_mpls(state: _Run, action: dp.PushMpls) -> None:
    state.change(push_mpls(state.packet, action.ethertype, action.entry))


def _pop_mpls(state: _Run, action: dp.PopMpls) -> None:
    packet = pop_mpls(state.packet, action.ethertype)
    if not state.key & _PACKET_TYPE_MASK:
        state.change(packet)
    elif action.ethertype == headers.BRIDGED:
        _become(state, headers.uncovered(packet), 0)
    else:
        _become(state, packet, action.ethertype)


_PACKET_TYPE: Final = layout.OFFSET["packet_type"]
_PACKET_TYPE_MASK: Final = layout.MASK["packet_type"]


def _become(state: _Run, packet: Packet, kind: int) -> None:
    """The packet begins with another header: `kind` is its Ethernet type, or 0 for Ethernet itself."""
    key = state.sim.key_of(packet.frame, 0) | state.key & _KEPT & ~_PACKET_TYPE_MASK
    state.restore(packet, key | ((1 << 16 | kind) << _PACKET_TYPE if kind else 0))


def _push_ethernet(state: _Run, action: dp.PushEth) -> None:
    _become(state, headers.push_ethernet(state.packet, action.src, action.dst), 0)


def _pop_ethernet(state: _Run, action: dp.PopEth) -> None:
    packet = headers.pop_ethernet(state.packet)
    _become(state, packet, int.from_bytes(packet.frame[12:14], "big"))


def _push_nsh(state: _Run, action: dp.PushNsh) -> None:
    bare = bool(state.key & _PACKET_TYPE_MASK)
    _become(state, headers.push_nsh(state.packet, bare, action.fields, action.metadata), headers.NSH)


def _pop_nsh(state: _Run, action: dp.PopNsh) -> None:
    _become(state, *headers.pop_nsh(state.packet))


def _add_mpls(state: _Run, action: dp.AddMpls) -> None:
    bare = bool(state.key & _PACKET_TYPE_MASK)
    entry = action.entry.to_bytes(4, "big")
    _become(state, headers.put(state.packet, bare, action.ethertype, entry), action.ethertype)


def _hash(state: _Run, action: dp.Hash) -> None:
    value = flow_hash(state.key, action.algorithm, action.basis)
    state.restore(state.packet, state.key & ~_HASH_MASK | value << _HASH)


def _check_length(state: _Run, action: dp.CheckLength) -> None:
    """What either list does to the packet nobody sees afterwards.  Padding behind IP does not count."""
    longer = whole_length(state.packet.frame) - _vacant(state) > action.size
    _clone(state, dp.Clone(action.greater if longer else action.less_equal))


def _sample(state: _Run, action: dp.Sample) -> None:
    """As a clone, now and then: by a generator of the datapath's own, which a test can repeat."""
    if state.sim.draw() <= action.probability:
        _clone(state, dp.Clone(action.actions))


def _userspace(state: _Run, action: dp.Userspace) -> None:
    state.sim.upcall(state.cut(), state.key, action, state.known)


def _truncate(state: _Run, action: dp.Truncate) -> None:
    """So many bytes of the end of the packet as it is now are not sent."""
    state.cutting = max(len(state.packet.frame) - _vacant(state) - action.max_len, 0)


def _vacant(state: _Run) -> int:
    """The bytes in front of a packet without an Ethernet header that only keep the place for one."""
    return _ETHERNET if state.key & _PACKET_TYPE_MASK else 0


def _recirculate(state: _Run, action: dp.Recirc) -> None:
    if state.depth >= _MAX_RECIRCULATIONS:
        state.sim.reasons.recirc_error.total += 1
        return
    key = state.key & ~_RECIRC_MASK | action.id << _RECIRC
    _enter(state.sim, state.packet, key, state.depth + 1, state.known, behind=state.behind)


def _enter(
    sim: Owner, packet: Packet, key: int, depth: int, known: Known | None = None, *, behind: bool = False
) -> None:
    """A packet is looked up once more, on its way; not if it is `behind` one that waits for the switch."""
    flow = None if behind and sim.waiting() else sim.lookup(key)
    sim.recirculations += 1
    if flow is None:
        sim.misses += 1
        sim.upcall(packet, key, None, known)
        return
    sim.hits += 1
    flow.packets += 1
    flow.bytes += len(packet.frame)
    flow.used = sim.clock.monotonic()
    if not flow.touched:
        flow.touched = True
        sim.touched.append(flow)
    if key & _PROTOCOL == _TCP:
        flow.tcp_flags |= key >> _TCP_FLAGS & 0xFFF
    Executor(sim).run(packet, key, flow.actions, depth, known)


def _clone(state: _Run, action: dp.Clone) -> None:
    packet, key, cutting, known = state.packet, state.key, state.cutting, state.known
    _run(state, action.actions)
    state.restore(packet, key)
    state.cutting, state.known = cutting, known


def _drop(state: _Run, action: dp.Drop) -> None:
    """Nothing follows it: translation sees to that."""


def nested_actions(action: Any) -> tuple[tuple[Any, ...], ...]:
    """The lists of actions within an action."""
    if isinstance(action, dp.Clone | dp.Sample):
        return (action.actions,)
    if isinstance(action, dp.CheckLength):
        return action.greater, action.less_equal
    return ()


def unknown(actions: tuple[Any, ...]) -> str | None:
    """The name of an action that is not in the table, or None."""
    for action in actions:
        if type(action) in _NO_LISTS:
            continue
        if type(action) not in _ACTIONS:
            return type(action).__name__
        for nested in nested_actions(action):
            if name := unknown(nested):
                return name
    return None


_NO_LISTS: Final = frozenset((dp.Output, dp.Conntrack, dp.Meter, dp.TunnelPush))
"""Actions that are known and have none within them: most."""
_ACTIONS: Final[dict[type, Callable[[_Run, Any], None]]] = {
    dp.Output: _output,
    dp.PushVlan: _push_vlan,
    dp.PopVlan: _pop_vlan,
    dp.Set: _set,
    dp.Userspace: _userspace,
    dp.Truncate: _truncate,
    dp.Recirc: _recirculate,
    dp.Clone: _clone,
    dp.ConntrackClear: _conntrack_clear,
    dp.PushMpls: _push_mpls,
    dp.PopMpls: _pop_mpls,
    dp.AddMpls: _add_mpls,
    dp.PushNsh: _push_nsh,
    dp.PopNsh: _pop_nsh,
    dp.PushEth: _push_ethernet,
    dp.PopEth: _pop_ethernet,
    dp.Hash: _hash,
    dp.CheckLength: _check_length,
    dp.Sample: _sample,
    dp.Drop: _drop,
    dp.TunnelPop: _tunnel_pop,
}
