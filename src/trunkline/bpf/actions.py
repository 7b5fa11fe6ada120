"""From datapath actions (dpif/actions.py) to the list of small orders that the kernel's program carries out.

The program knows no nesting and cannot put a packet back to what it was.  Both are done here, when a flow is
put in: a nested list becomes a part of the one list that is skipped (sample) or chosen (check_pkt_len), and
what a clone changes is undone behind it, by writing back what the flow's own match says that the packet had.
That works wherever the match is exact on what was changed, and translation sees to that; where it is not, or
where there is no order for an action at all, `Slow` says why, and packets of the flow go up to Python.

A set becomes WRITEs, one for each four or eight bytes that it touches.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from trunkline.bpf import layout as program
from trunkline.conntrack.tracker import FIELDS
from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.flow.key import FRAG_LATER, MASK, get
from trunkline.packet.parse import ARP, ICMP, ICMPV6, IPV4, IPV6, MPLS, MPLS_MULTICAST, RARP, TCP, UDP

_KIND: Final = {name: number for number, name in enumerate(program.ACTIONS)}
_LAYER: Final = {name: number for number, name in enumerate(program.LAYERS)}
_NETWORK: Final = {name: number for number, name in enumerate(program.NETWORKS)}
_FLAG: Final = dict(program.WRITE_FLAGS)
_NUMBERED: Final = frozenset((_KIND["CONNTRACK"], _KIND["SET_TUNNEL"], _KIND["ENCAPSULATE"]))
_SLOW_UPCALL, _ACTION_UPCALL = program.UPCALLS.index("SLOW"), program.UPCALLS.index("ACTION")
_PACK: Final = program.ACTION.packed.pack
_CFI: Final = 0x1000
MAX_ACTIONS: Final = program.MAX_STEPS * 3 // 4
"""A list in the kernel may be so long: every tenth step leads from one element to the next."""

Actions = tuple[Any, ...]


class Slow(Exception):
    """The program cannot do this; the text says what."""


def _order(
    kind: str, argument: int = 0, data: bytes = b"", *, flags: int = 0, layer: int = 0, network: int = 0
) -> bytes:
    return _PACK(_KIND[kind], flags, layer, network, argument, data)


class _Place(NamedTuple):
    """Where a slot's bits lie in a packet: a WRITE of `size` bytes at `at`, the bits shifted left by `shift`
    in that many bytes, taken as a big-endian number."""

    slot: str
    part: int  # the bits of the slot, from `low` on
    low: int
    at: int
    size: int
    shift: int
    flags: int = 0


def _places(slot: str, at: int, octets: int, flags: int = 0) -> tuple[_Place, ...]:
    """The writes for a slot whose `octets` bytes stand at `at`: of whole words of 32 bits, two at most."""
    places = []
    left, start = octets, at
    while left:
        begin = start & ~3
        size = 4 if start + left <= begin + 4 else 8
        count = min(left, begin + size - start)
        left -= count
        shift = (begin + size - start - count) * 8
        places.append(_Place(slot, (1 << count * 8) - 1, left * 8, begin, size, shift, flags))
        start += count
    return tuple(places)


_IP: Final = _FLAG["IP_CHECKSUM"]
_PSEUDO: Final = _FLAG["PSEUDO"]
_DATA: Final = _FLAG["L4_DATA"]
_ETHERNET_PLACES: Final = (*_places("dl_dst", 0, 6), *_places("dl_src", 6, 6))
_IPV4_PLACES: Final = (
    *_places("nw_tos", 1, 1, _IP),
    *_places("nw_ttl", 8, 1, _IP),
    *_places("nw_src", 12, 4, _IP | _PSEUDO),
    *_places("nw_dst", 16, 4, _IP | _PSEUDO),
)
_IPV6_PLACES: Final = (
    _Place("nw_tos", 0xFF, 0, 0, 4, 20),
    _Place("ipv6_label", 0xFFFFF, 0, 0, 4, 0),
    *_places("nw_ttl", 7, 1),
    *_places("net_src", 8, 16, _PSEUDO),
    *_places("net_dst", 24, 16, _PSEUDO),
)
_ARP_PLACES: Final = (
    _Place("nw_proto", 0xFF, 0, 4, 4, 0),
    *_places("arp_sha", 8, 6),
    *_places("nw_src", 14, 4),
    *_places("arp_tha", 18, 6),
    *_places("nw_dst", 24, 4),
)
_MPLS_PLACES: Final = _places("mpls0", 0, 4)
_PORTS: Final = (*_places("tp_src", 0, 2, _DATA), *_places("tp_dst", 2, 2, _DATA))
_TYPE_AND_CODE: Final = (
    _Place("tp_src", 0xFF, 0, 0, 4, 24, _DATA),
    _Place("tp_dst", 0xFF, 0, 0, 4, 16, _DATA),
)
_NETWORKS: Final[dict[int, tuple[str, tuple[_Place, ...]]]] = {
    IPV4: ("IPV4", _IPV4_PLACES),
    IPV6: ("IPV6", _IPV6_PLACES),
    ARP: ("ARP", _ARP_PLACES),
    RARP: ("ARP", _ARP_PLACES),
    MPLS: ("MPLS", _MPLS_PLACES),
    MPLS_MULTICAST: ("MPLS", _MPLS_PLACES),
}
_TRANSPORTS: Final = {TCP: _PORTS, UDP: _PORTS, ICMP: _TYPE_AND_CODE, ICMPV6: _TYPE_AND_CODE}
_ADDRESSES: Final = MASK["dl_src"] | MASK["dl_dst"]
_PACKET_TYPE: Final = MASK["packet_type"]
_L4: Final = MASK["tp_src"] | MASK["tp_dst"]
_ARP_SLOTS: Final = layout.bits("arp_sha", "arp_tha", "nw_src", "nw_dst", "nw_proto")
_NATTED: Final = layout.bits("net_src", "net_dst", "tp_src", "tp_dst")
TUNNEL: Final = layout.bits(
    *(
        name
        for name, at, _ in program.key_members()
        if name.startswith("tun") and at < program.OUTER_WORDS * 8
    )
)
"""Every field of a tunnel's outer header."""
_OPTIONS: Final = layout.bits("tun_options", "tun_options_length")
_META: Final = ("pkt_mark", "skb_priority", "dp_hash", "packet_type")
_META_MASK: Final = layout.bits(*_META)
_WHOLE_MAC: Final = (1 << 48) - 1


class Questions(NamedTuple):
    """What encoding has to know of the datapath."""

    cookie: Callable[[dp.Userspace], int]  # gives a userspace action the number that an upcall brings back
    reachable: Callable[[int], bool]  # whether the kernel can send to a port
    metered: Callable[[int], bool]  # whether the kernel knows a meter
    outer: Callable[[int], int | None]  # the number of a tunnel's outer header; None: no room
    written: Callable[[int], bool]  # whether a port is of tunnels whose headers the program writes
    header: Callable[[int, int], int | None]  # the number of such a header, by port and fields; None: no room
    layer3: Callable[[int], bool]  # whether what goes to such a port has no Ethernet header
    tracking: Callable[[Actions], int | None]  # the number of a list that begins with a ct; None: no room


def encode(ask: Questions, key: int, mask: int, actions: Actions) -> tuple[bytes, ...]:
    """The orders for a flow's actions.  Raises Slow."""
    known = mask
    if mask & MASK["recirc_id"] and not key & mask & MASK["recirc_id"]:
        known |= MASK["dp_hash"]  # it comes from a port: nobody has hashed it yet
    if key & _PACKET_TYPE:
        known |= _ADDRESSES  # what stands in their place is 0
    orders = _List(ask, key & mask, known).run(actions, True) or [_order("DROP")]
    if len(orders) > MAX_ACTIONS:
        raise Slow(f"{len(orders)} actions in one list")
    return tuple(orders)


def slow_orders() -> tuple[bytes, ...]:
    """The list of a flow whose packets go up to be forwarded by Python."""
    return (_order("USERSPACE", flags=_SLOW_UPCALL),)


def numbers(orders: Sequence[bytes]) -> Iterator[tuple[str, int]]:
    """(kind, number) of the orders whose arguments are numbered: ct actions and outer headers."""
    for order in orders:
        kind, _, _, _, argument, _ = program.ACTION.packed.unpack(order)
        if kind in _NUMBERED:
            yield program.ACTIONS[kind], argument


def userspace_cookie(order: bytes) -> int | None:
    """The number of the userspace action that an order stands for."""
    kind, flags, _, _, argument, _ = program.ACTION.packed.unpack(order)
    return argument if kind == _KIND["USERSPACE"] and flags == _ACTION_UPCALL else None


class _List:
    """One list being encoded.  `key` and `known`: what the packet has at this point, so far as is known."""

    def __init__(self, ask: Questions, key: int, known: int) -> None:
        self._ask = ask
        self._key = key
        self._known = known
        self._cutting = False  # a truncation waits for its output
        self._pushed = 0  # tags that are on the packet since the list began
        self._popped = False  # whether one that was there before has gone
        self._changed = 0
        self._outer: int | None = None  # the fields of a tunnel that have been set
        self._stripped = False  # an Ethernet header has been taken off, and lies there still

    def run(self, actions: Actions, last: bool) -> list[bytes]:
        """`last`: nothing comes behind these actions."""
        orders: list[bytes] = []
        actions = _effective(actions) if last else actions
        for place, action in enumerate(actions):
            at_end = last and place == len(actions) - 1
            if self._cutting and not isinstance(action, dp.Output | dp.Userspace):
                raise Slow("trunc that does not stand before its output")
            if self._stripped and not isinstance(action, dp.Output):
                raise Slow("pop_eth that does not stand before an output to a tunnel")
            if self._key & _PACKET_TYPE and isinstance(action, _FRAMES_ONLY):
                raise Slow(f"action {type(action).__name__} on a packet without an Ethernet header")
            if isinstance(action, dp.Conntrack):
                orders += self.track(actions[place:], last)
                continue
            encode = _ENCODERS.get(type(action))
            if encode is None:
                raise Slow(f"action {type(action).__name__}")
            orders += encode(self, action, at_end)
        return orders

    def output(self, action: dp.Output, last: bool) -> list[bytes]:
        if self._ask.written(action.port):
            return self._encapsulate(action.port, last)
        if self._key & _PACKET_TYPE:
            raise Slow("output of a packet without an Ethernet header to a device")
        if not self._ask.reachable(action.port):
            raise Slow(f"output to port {action.port}, which is not a device of the kernel")
        if self._cutting and not last:
            raise Slow("trunc before an output that is not the last")
        self._cutting = False
        return [_order("OUTPUT", action.port, flags=program.OUTPUT_LAST if last else 0)]

    def _encapsulate(self, port: int, last: bool) -> list[bytes]:
        """Output to a tunnel, in a header that Python has written."""
        if self._cutting and not last:
            raise Slow("trunc before an output that is not the last")
        if self._outer is None:
            raise Slow("output to a tunnel whose fields are of another list")
        if self._ask.layer3(port) != bool(self._key & _PACKET_TYPE):
            raise Slow("output to a tunnel of a packet that its header has no place for")
        mark = self._key & self._known & MASK["pkt_mark"]
        number = self._ask.header(port, self._outer | mark)
        if number is None:
            raise Slow("more outer headers than there is room for")
        self._cutting = False
        return [_order("ENCAPSULATE", number, flags=program.OUTPUT_LAST if last else 0)]

    def userspace(self, action: dp.Userspace, last: bool) -> list[bytes]:
        self._cutting = False
        return [_order("USERSPACE", self._ask.cookie(action), flags=_ACTION_UPCALL)]

    def truncate(self, action: dp.Truncate, last: bool) -> list[bytes]:
        self._cutting = True
        return [_order("TRUNCATE", action.max_len & 0xFFFFFFFF)]

    def recirculate(self, action: dp.Recirc, last: bool) -> list[bytes]:
        if not last:
            raise Slow("recirc that is not the last action")
        if self._outer is not None and self._outer & _OPTIONS:
            raise Slow("recirc behind a set of tunnel options")
        return [_order("RECIRCULATE", action.id)]

    def hash(self, action: dp.Hash, last: bool) -> list[bytes]:
        if action.algorithm not in (0, 1):
            raise Slow(f"hash algorithm {action.algorithm}")
        self._changed |= MASK["dp_hash"]
        self._known &= ~MASK["dp_hash"]
        return [_order("HASH", action.basis & 0xFFFFFFFF, flags=action.algorithm)]

    def drop(self, action: dp.Drop, last: bool) -> list[bytes]:
        return [_order("DROP")] if last else []

    # ---- a whole Ethernet header, in the place that is kept for it

    def push_ethernet(self, action: dp.PushEth, last: bool) -> list[bytes]:
        value, _ = layout.pack(dl_src=action.src, dl_dst=action.dst)
        return self.set(dp.Set(value, _ADDRESSES | _PACKET_TYPE), last)

    def pop_ethernet(self, action: dp.PopEth, last: bool) -> list[bytes]:
        """It lies there until an outer header takes its place; so nothing else may come between."""
        if self._known & MASK["dl_type"] != MASK["dl_type"]:
            raise Slow("pop_eth of a packet of any type")
        self._stripped = True
        kind = (1 << 16 | get(self._key, "dl_type")) << layout.OFFSET["packet_type"]
        return self.set(dp.Set(kind, _PACKET_TYPE), last)

    # ---- tags

    def push_vlan(self, action: dp.PushVlan, last: bool) -> list[bytes]:
        self._pushed += 1
        wire = int.from_bytes(
            action.tpid.to_bytes(2, "big"), "little"
        )  # the helper wants it in network order
        return [_order("PUSH_VLAN", wire << 16 | action.tci & ~_CFI)]

    def pop_vlan(self, action: dp.PopVlan, last: bool) -> list[bytes]:
        if self._pushed:
            self._pushed -= 1
        else:
            self._popped = True
        return [_order("POP_VLAN")]

    # ---- fields

    def set(self, action: dp.Set, last: bool) -> list[bytes]:
        if action.mask & TUNNEL:
            return self._set_tunnel(action)
        self._changed |= action.mask
        orders = self._writes(action.value, action.mask)
        self._key = self._key & ~action.mask | action.value
        self._known |= action.mask
        return orders

    def _set_tunnel(self, action: dp.Set) -> list[bytes]:
        """The outer header that the packet gets when it leaves through a tunnel."""
        beside = action.mask & ~TUNNEL
        if action.mask & TUNNEL != TUNNEL or beside & ~_OPTIONS:
            raise Slow(f"set of {_names(action.mask)} together")
        self._outer = action.value
        number = self._ask.outer(action.value & TUNNEL)
        if number is None:
            raise Slow("more outer headers than there is room for")
        self._known &= ~TUNNEL
        return [_order("SET_TUNNEL", number)]

    def _writes(self, value: int, mask: int) -> list[bytes]:
        """Orders that set fields.  Raises Slow."""
        orders: list[bytes] = []
        left = mask
        for name in _META:
            part = get(mask, name)
            if part:
                words = get(value, name).to_bytes(4, "big") + part.to_bytes(4, "big")
                offset = (layout.DATAPATH_SHIFT + program.KEY_BYTES * 8 - layout.OFFSET[name] - 32) // 32
                orders.append(_order("SET_META", offset, words))
        left &= ~_META_MASK
        if left & _ADDRESSES:
            orders += self._set_ethernet(value, left)
            left &= ~_ADDRESSES
        if not left:
            return orders
        if self._known & MASK["dl_type"] != MASK["dl_type"]:
            raise Slow("set of a packet of any type")
        network = _NETWORKS.get(get(self._key, "dl_type"))
        if network is None:
            raise Slow(f"set of {_names(left)}")
        kind, places = network
        if kind != "ARP" and left & _L4:
            orders += self._set_transport(value, left, kind)
            left &= ~_L4
        touched = 0
        for place in places:
            touched |= MASK[place.slot]
        if left & ~touched:
            raise Slow(f"set of {_names(left & ~touched)}")
        orders += _merged(places, value, left, "NETWORK", kind)
        return orders

    def _set_ethernet(self, value: int, mask: int) -> list[bytes]:
        if get(mask, "dl_src") == get(mask, "dl_dst") == _WHOLE_MAC:
            data = get(value, "dl_dst").to_bytes(6, "big") + get(value, "dl_src").to_bytes(6, "big")
            return [_order("SET_ETHERNET", 0, data)]
        return _merged(_ETHERNET_PLACES, value, mask, "ETHERNET", "NONE")

    def _set_transport(self, value: int, mask: int, network: str) -> list[bytes]:
        if self._known & MASK["nw_proto"] != MASK["nw_proto"]:
            raise Slow("set of ports of any protocol")
        if get(self._key, "nw_frag") & FRAG_LATER:
            return []
        protocol = get(self._key, "nw_proto")
        places = _TRANSPORTS.get(protocol)
        if places is None:
            raise Slow(f"set of ports of IP protocol {protocol}")
        return _merged(places, value, mask, "TRANSPORT", network)

    # ---- lists within the list

    def clone(self, action: dp.Clone, last: bool) -> list[bytes]:
        return self._within(action.actions, last)

    def sample(self, action: dp.Sample, last: bool) -> list[bytes]:
        body = self._within(action.actions, last)
        return [_order("SAMPLE", action.probability, len(body).to_bytes(4, "little")), *body]

    def check_length(self, action: dp.CheckLength, last: bool) -> list[bytes]:
        greater = self._within(action.greater, last)
        less = self._within(action.less_equal, last)
        greater.append(_order("SKIP", len(less)))
        return [_order("CHECK_LENGTH", action.size, len(greater).to_bytes(4, "little")), *greater, *less]

    def _within(self, actions: Actions, last: bool) -> list[bytes]:
        """A list whose changes nobody sees behind it."""
        inner = _List(self._ask, self._key, self._known)
        inner._outer = self._outer
        orders = inner.run(actions, last)
        return orders if last else orders + self._undone(inner)

    def _undone(self, inner: "_List") -> list[bytes]:
        """What puts the packet back as it was.  Raises Slow."""
        if inner._popped:  # what its CFI bit was no match knows
            raise Slow("clone that takes a tag away")
        orders = [_order("POP_VLAN")] * inner._pushed
        changed = inner._changed
        if changed & ~self._known:
            raise Slow(f"clone that changes {_names(changed & ~self._known)}, which the flow does not match")
        known = self._key & self._known
        if (changed & _L4 and not known & _L4) or (changed & _ARP_SLOTS and not known & _ARP_SLOTS):
            raise Slow(
                "clone that changes a header which may make no sense"
            )  # then the key has nothing of it
        if changed:
            orders += self._writes(self._key & changed, changed)
        return orders

    def track(self, actions: Actions, last: bool) -> list[bytes]:
        """A ct, which takes what is behind it along: it may have to be carried on by Python."""
        if not last:
            raise Slow("ct in a list that is not the last: what it finds would have to be undone")
        number = self._ask.tracking(actions)
        if number is None:
            raise Slow("more ct actions than there is room for")
        self._known &= ~(FIELDS | _NATTED)
        return [_order("CONNTRACK", number)]

    def track_no_more(self, action: dp.ConntrackClear, last: bool) -> list[bytes]:
        self._known &= ~FIELDS
        return [_order("CONNTRACK_CLEAR")]

    def meter(self, action: dp.Meter, last: bool) -> list[bytes]:
        if not self._ask.metered(action.id):
            raise Slow(f"meter {action.id}")
        return [_order("METER", action.id)]


def _names(mask: int) -> str:
    return ", ".join(name for name, _ in layout.slots(mask)) or "something else"


def _merged(places: Sequence[_Place], value: int, mask: int, layer: str, network: str) -> list[bytes]:
    """WRITEs, those to the same bytes in one."""
    writes: dict[tuple[int, int, int], tuple[int, int]] = {}
    for place in places:
        part = get(mask, place.slot) >> place.low & place.part
        if part:
            where = place.at, place.size, place.flags
            have, have_mask = writes.get(where, (0, 0))
            bits = get(value, place.slot) >> place.low & part
            writes[where] = have | bits << place.shift, have_mask | part << place.shift
    if layer == "NETWORK" and network == "ARP" and get(mask, "nw_proto"):
        where = 4, 4, 0  # the upper byte of the operation
        writes[where] = writes[where][0], writes[where][1] | 0xFF00
    return [
        _order(
            "WRITE",
            at << 8 | size,
            bits.to_bytes(size, "big").ljust(8, b"\0") + part.to_bytes(size, "big").ljust(8, b"\0"),
            flags=flags,
            layer=_LAYER[layer],
            network=_NETWORK[network],
        )
        for (at, size, flags), (bits, part) in writes.items()
    ]


_SEEN: Final = (dp.Output, dp.Userspace, dp.Recirc, dp.Sample, dp.Clone, dp.CheckLength, dp.Meter, dp.Drop,
                dp.Conntrack)  # fmt: skip


def _effective(actions: Actions) -> Actions:
    """Without those at the end that change a packet which nobody gets any more."""
    end = len(actions)
    while end and not isinstance(actions[end - 1], _SEEN):
        end -= 1
    return actions[:end]


_FRAMES_ONLY: Final = (dp.PushVlan, dp.PopVlan, dp.CheckLength, dp.PopEth)
"""What a packet without an Ethernet header can go through in Python alone."""


_ENCODERS: Final[dict[type, Callable[[_List, Any, bool], list[bytes]]]] = {
    dp.Output: _List.output,
    dp.Userspace: _List.userspace,
    dp.Truncate: _List.truncate,
    dp.Recirc: _List.recirculate,
    dp.Hash: _List.hash,
    dp.Drop: _List.drop,
    dp.PushEth: _List.push_ethernet,
    dp.PopEth: _List.pop_ethernet,
    dp.PushVlan: _List.push_vlan,
    dp.PopVlan: _List.pop_vlan,
    dp.Set: _List.set,
    dp.Clone: _List.clone,
    dp.Sample: _List.sample,
    dp.CheckLength: _List.check_length,
    dp.Meter: _List.meter,
    dp.ConntrackClear: _List.track_no_more,
}
"""An action that is not here goes to the slow path."""
