"""What the kernel's program and Python have to agree on: the flow key, records in maps, numbers of actions.

Everything is declared once, here, and ``program/generated.h`` is made of it (``python -m
trunkline.bpf.layout`` writes it; a test checks that it is fresh).  So C and Python cannot drift apart:

- the *flow key* is the DATAPATH region of flow/key.py, read as the big-endian C struct that it is;
- *records* are tables of (member, type); Python packs them by the `struct.Struct` of the same table;
- *numbers* (kinds of actions, reasons of drops, reasons of upcalls, sizes) are enumerations.

A megaflow's mask touches few of the key's 34 words, mostly.  So a mask names the words that it touches, and
the masked words, one after the other, are the key of the hash `flows` (up to NARROW_WORDS); the few masks
that touch more have `wide_flows`.  Hashing is what a lookup costs, and it costs by the byte.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from trunkline.conntrack import tcp, tracker
from trunkline.conntrack.timeouts import TIMEOUTS
from trunkline.flow import key as layout

KEY_BYTES: Final = layout.DATAPATH_BYTES
KEY_WORDS: Final = KEY_BYTES // 8
NARROW_WORDS: Final = 10
"""IPv6 with addresses, ports and the state of connection tracking has room in them."""
OPTION_WORDS: Final = 32
"""Behind the key there lie the options of a tunnel, as the wire has them; then a word with their length, in
words of four bytes.  Masks may touch these words too."""
OPTIONS_LENGTH: Final = KEY_WORDS + OPTION_WORDS  # which word that is
ALL_WORDS: Final = OPTIONS_LENGTH + 1
KEY_SLOTS: Final = 128
"""Words of scratch kept for a key: a power of two, so that an index that is masked is always within."""

MAX_MASKS: Final = 1024
MAX_PORTS: Final = 16384
MAX_METERS: Final = 4096
MAX_LISTS: Final = 65536  # elements of the map of actions
MAX_FLOWS: Final = 262144
MAX_CONNECTIONS: Final = 262144
MAX_TRACKINGS: Final = 16384  # different ct actions
MAX_OUTERS: Final = 16384  # different outer headers of tunnels
OUTER_WORDS: Final = 9  # of the key, that are the tunnel's (but for the last byte)
MAX_HEADERS: Final = 8192  # different outer headers that the program writes itself, with the ways they go
HEADER_ROOM: Final = (
    336  # two bytes, so that IP addresses are aligned, and Ethernet, IPv6, UDP, Geneve and its options
)
HEADER_START: Final = 80  # as much of it is changed for each packet
MAX_TUNNELS: Final = 1024  # kinds and UDP ports that tunnels listen to
MAX_HOSTS: Final = 4096  # addresses of the host
MAX_POLICIES: Final = 1024  # of timeouts
MAX_TEXTS: Final = 524288  # pieces of what flows' actions are in words
MAX_LIST: Final = 10  # actions in one element of the map of actions; longer lists go on in another
MAX_PASSES: Final = 32  # of one packet: recirculations
MAX_STEPS: Final = 256  # actions in one pass
CACHE_ENTRIES: Final = 4096  # flows that each processor remembers
TEST_ENTRIES: Final = 256  # the same, for test runs
REASONS: Final = 16  # room for reasons of drops, a port
WINDOW: Final = 128  # bytes of a packet that are read at once
QUOTA: Final = 2048  # upcalls of one port that may wait
JUMBO_COST: Final = 8  # a packet beyond MEDIUM_PACKET counts as so many,
LARGE_COST: Final = 32  # and one beyond JUMBO_PACKET
SMALL_PACKET: Final = 256  # rooms for packets in the ring
MEDIUM_PACKET: Final = 2048
JUMBO_PACKET: Final = 16384
LARGE_PACKET: Final = 65536

Sizes = tuple[tuple[str, int], ...]
_NUMBERS: Final[Sizes] = tuple(
    (name, globals()[name])
    for name in (
        "KEY_WORDS", "NARROW_WORDS", "KEY_SLOTS", "MAX_MASKS", "MAX_PORTS", "MAX_METERS", "MAX_LISTS",
        "MAX_FLOWS", "MAX_LIST", "MAX_PASSES", "MAX_STEPS", "CACHE_ENTRIES", "TEST_ENTRIES", "REASONS",
        "WINDOW", "QUOTA", "LARGE_COST", "JUMBO_COST", "SMALL_PACKET", "MEDIUM_PACKET", "JUMBO_PACKET",
        "LARGE_PACKET", "MAX_CONNECTIONS", "MAX_TRACKINGS", "MAX_POLICIES", "MAX_OUTERS", "OUTER_WORDS",
        "MAX_HEADERS", "OPTION_WORDS", "OPTIONS_LENGTH", "HEADER_ROOM", "HEADER_START", "MAX_TUNNELS",
        "MAX_HOSTS", "MAX_TEXTS",
    )
)  # fmt: skip

ACTIONS: Final = (
    "END",
    "OUTPUT",
    "PUSH_VLAN",
    "POP_VLAN",
    "SET_ETHERNET",
    "WRITE",
    "SET_META",
    "USERSPACE",
    "RECIRCULATE",
    "HASH",
    "METER",
    "TRUNCATE",
    "PUSH_MPLS",
    "POP_MPLS",
    "SKIP",
    "SAMPLE",
    "CHECK_LENGTH",
    "DROP",
    "CONNTRACK",
    "CONNTRACK_CLEAR",
    "SET_TUNNEL",
    "ENCAPSULATE",
)
"""Kinds of actions, numbered from 0."""

DROPS: Final = (
    "no_flow",  # nobody would hear of the packet: the queue of its port is full
    "ring_full",
    "explicit",  # the flow says so
    "no_port",  # an output to a port that is not there
    "meter",
    "too_many_passes",
    "action_error",
    "malformed",
    "tunnel_error",  # a header could not be put before a packet, or taken off
    "too_long",  # for the MTU of the device that it goes to; counted at the port of that device
)
"""Why a packet is dropped, numbered from 0; ``dpctl/show -s`` and coverage counters have these names."""

UPCALLS: Final = ("MISS", "SLOW", "ACTION", "CONNTRACK", "TUNNEL", "OUTPUT")
"""Why a packet comes up: no flow; a flow that BPF cannot carry out; a userspace action; a ct that the program
leaves to Python; so an output to a tunnel; an output of a packet that the program cannot cut."""

LAYERS: Final = ("ETHERNET", "VLAN", "NETWORK", "TRANSPORT")
"""What a WRITE's offset counts from."""

NETWORKS: Final = ("NONE", "IPV4", "IPV6", "ARP", "MPLS")
"""What was found behind the Ethernet type."""

WRITE_FLAGS: Final = (("IP_CHECKSUM", 1), ("PSEUDO", 2), ("L4_DATA", 4))
OUTPUT_LAST: Final = 1
UNCOUNTED: Final = 0x80000000
"""Beside the number of a flow's statistics: the program does not count its packets."""
DEVICE_IS_UNDERLAY: Final = 0x80000000  # in the map `devices`: no port, but packets of tunnels come in there
TUNNEL_KINDS: Final = ("NONE", "GENEVE", "GRE", "VXLAN", "VXLAN_POLICY", "ERSPAN", "GTPU", "LISP", "BAREUDP")
"""Tunnels whose headers the program takes off itself, numbered from 0."""
TUNNEL_OVER_IPV6: Final = 0x80000000  # in the name of a tunnel, beside protocol << 16 | UDP port
HEADER_IPV6, HEADER_UDP, HEADER_SEQUENCE, HEADER_CHECKSUM = 1, 2, 4, 8
HEADER_LENGTH: Final = 16  # of GTP-U: it says how much follows
PORT_TO_HOST: Final = 1  # packets for the port are received by its device, for the other side is Python

TRACK_FLAGS: Final = tuple(
    (f"TRACK_{name}", 1 << i) for i, name in enumerate(("COMMIT", "FORCE", "NAT", "MARK", "LABEL", "CHOOSES"))
)
BEGUN_IN_KERNEL: Final = 0x80000000  # in the number of a connection that the program has made
CONNECTION_SLOW: Final = 1  # a helper looks at its packets
CONNECTION_EXPECTED: Final = 2  # one was expected, and its key shows whose it is

TRACKING_NUMBERS: Final[Sizes] = (
    *((f"CT_{name}", getattr(tracker, f"CT_{name}")) for name in ("NEW", "EST", "REL", "RPL", "INV", "TRK")),
    *((f"CT_{name}", getattr(tracker, f"CT_{name}")) for name in ("SNAT", "DNAT")),
    *((f"TCP_{name}", getattr(tcp, name)) for name in ("FIN", "SYN", "RST", "PSH", "ACK", "URG")),
    *(
        (name, getattr(tcp, name))
        for name in ("CLOSED", "SYN_SENT", "ESTABLISHED", "CLOSING", "FIN_WAIT_2", "TIME_WAIT", "SLACK")
    ),
    *((name, getattr(tcp, name)) for name in ("MAX_SCALE", "SCALE_KNOWN", "SCALE_UNKNOWN", "SCALE")),
)
"""What connection tracking is told by in Python and in C alike."""

_TYPES: Final = {
    "u8": "B", "u16": "H", "u32": "I", "u64": "Q", "lock": "I",
    "direction": "40s", "side": "16s", "word": "4s", "address": "16s",
}  # fmt: skip
_C_TYPES: Final = {
    "lock": "struct bpf_spin_lock",
    "direction": "struct direction",
    "side": "struct side",
    "word": "u32",
    "address": "u32",
}
"""`word` and `address` are numbers in network order, one and four words: bytes for Python."""


class Record(NamedTuple):
    """A C struct and its `Struct`.  A member's type may be an array ("u8[16]", packed as bytes; else as many
    numbers)."""

    name: str
    members: tuple[tuple[str, str], ...]

    @property
    def packed(self) -> Struct:
        return Struct("=" + "".join(_format(type) for _, type in self.members))


def _format(type: str) -> str:
    base, _, count = type.partition("[")
    if not count:
        return _TYPES[base]
    return f"{count[:-1]}{'s' if base == 'u8' else _TYPES[base]}"


CONFIG: Final = Record(
    "config",
    (
        ("owner", "u8[16]"),  # whose program it is, and how its maps are laid out: bpf/adopt.py
        ("layout", "u64"),
        ("masks", "u32"),
        ("vlan_limit", "u32"),
        ("round", "u32"),  # of the bits of used flows; the lowest bit says which bank is written
        ("generation", "u32"),  # of the flows: another one when a flow has gone or changed
    ),
)
PORT: Final = Record(
    "port",
    (
        ("device", "u32"),
        ("flags", "u32"),
        ("queued", "u32"),
        ("drained", "u32"),
        ("sequence", "u32"),
        ("longest", "u32"),  # frame without a tag that its device surely lets through
    ),
)
DEVICE: Final = Record("device", (("index", "u32"), ("port", "u32")))
MASK: Final = Record(
    "mask",
    (("words", f"u64[{KEY_WORDS}]"), ("index", "u8[40]"), ("wide", "u32"), ("count", "u32")),
)
NARROW_KEY: Final = Record("narrow_key", (("words", f"u64[{NARROW_WORDS}]"), ("mask", "u32"), ("_", "u32")))
WIDE_KEY: Final = Record("wide_key", (("words", f"u64[{KEY_WORDS}]"), ("mask", "u32"), ("_", "u32")))
FLOW: Final = Record("flow", (("actions", "u32"), ("statistics", "u32")))
ACTION: Final = Record(
    "action",
    (
        ("type", "u8"),
        ("flags", "u8"),
        ("layer", "u8"),  # of a WRITE
        ("network", "u8"),  # that a WRITE is for
        ("argument", "u32"),
        ("data", "u8[16]"),
    ),
)
STATISTICS: Final = Record(
    "statistics",
    (("packets", "u64"), ("bytes", "u64"), ("used", "u64"), ("tcp_flags", "u32"), ("round", "u32")),
)
CREDIT: Final = Record(
    "credit",  # of a flow: what rules were given of all that it has counted; what others than the kernel have
    (("packets", "u64"), ("bytes", "u64"), ("beside_packets", "u64"), ("beside_bytes", "u64")),
)
MEANING: Final = Record(
    "meaning",  # of a flow, for who reads the maps: its name, and its actions in words (bpf/meanings.py)
    (("ufid", "u8[16]"), ("text", "u32"), ("_", "u32")),
)
TEXT: Final = Record("text", (("next", "u32"), ("length", "u32"), ("bytes", "u8[120]")))
PORT_NAME: Final = Record("port_name", (("name", "u8[64]"), ("type", "u8[32]")))
TOTALS: Final = Record(
    "totals",
    (("hits", "u64"), ("misses", "u64"), ("lost", "u64"), ("cache_hits", "u64")),
)
COUNTERS: Final = Record("counters", (("drops", f"u64[{REASONS}]"),))
METER_BANDS: Final = 4
METER: Final = Record(
    "meter",
    (
        ("lock", "lock"),
        ("bands", "u32"),
        ("by_packets", "u32"),
        ("there", "u32"),  # its name, or 0
        ("used", "u64"),  # milliseconds
        ("packets", "u64"),
        ("bytes", "u64"),
        ("rate", f"u64[{METER_BANDS}]"),  # a millisecond
        ("size", f"u64[{METER_BANDS}]"),
        ("filling", f"u64[{METER_BANDS}]"),
        ("band_packets", f"u64[{METER_BANDS}]"),
        ("band_bytes", f"u64[{METER_BANDS}]"),
    ),
)
UPCALL: Final = Record(
    "upcall",
    (
        ("length", "u32"),  # bytes of the packet that follow
        ("packet_length", "u32"),  # of the frame that they belong to, a truncation and its tag counted
        ("port", "u32"),
        ("reason", "u32"),
        ("argument", "u32"),
        ("cost", "u32"),
        ("gso_size", "u32"),
        ("vlan", "u32"),  # the tag that stands beside the packet: TPID << 16 | TCI, or 0
        ("truncated", "u32"),
        ("options", "u32"),  # words of four bytes of the tunnel's options that the packet brought
        ("key", f"u64[{KEY_WORDS}]"),
        ("option_words", f"u64[{OPTION_WORDS}]"),  # if there are any
    ),
)
DIRECTION: Final = Record(
    "direction",  # conntrack.tuples.Tuple.name()
    (
        ("zone", "u16"),
        ("family", "u8"),
        ("protocol", "u8"),
        ("src", "address"),
        ("dst", "address"),
        ("a", "u16"),
        ("b", "u16"),
    ),
)
END: Final = Record("end", (("connection", "u32"), ("reply", "u32")))
SIDE: Final = Record(
    "side",  # conntrack.tcp.Side
    (("low", "u32"), ("high", "u32"), ("max_window", "u32"), ("scale", "u8"), ("state", "u8"), ("_", "u16")),
)
CONNECTION: Final = Record(
    "connection",
    (
        ("lock", "lock"),
        ("flags", "u32"),  # CONNECTION_*
        ("expires", "u64"),  # nanoseconds of the monotonic clock
        ("original", "direction"),
        ("reply", "direction"),
        ("parent", "direction"),
        ("first", "side"),
        ("second", "side"),
        ("mark", "word"),
        ("label", "address"),
        ("lifetime", "u32"),
        ("policy", "u32"),
        ("nat", "u8"),  # CT_SNAT, CT_DNAT: what becomes of packets of the original direction
        ("state", "u8"),  # of what is not TCP
        ("_", "u16"),
    ),
)
TRACKING: Final = Record(
    "tracking",
    (
        ("zone", "u16"),
        ("flags", "u16"),  # TRACK_*
        ("mark", "word"),
        ("mark_mask", "word"),
        ("label", "address"),
        ("label_mask", "address"),
        ("policy", "u32"),
    ),
)
OUTER: Final = Record("outer", (("words", f"u64[{OUTER_WORDS}]"),))
TUNNEL: Final = Record("tunnel", (("port", "u32"), ("kind", "u32")))
HOST: Final = Record("host", (("address", "address"),))
HEADER: Final = Record(
    "header",
    (
        ("bytes", f"u8[{HEADER_ROOM}]"),
        ("size", "u32"),  # of the header, with Ethernet
        ("device", "u32"),  # that it leaves by; 0: the program cannot send it
        ("mtu", "u32"),
        ("flags", "u32"),  # HEADER_*
        ("first_port", "u32"),  # UDP ports that packets are sent from
        ("ports", "u32"),
        ("port", "u32"),  # the tunnel's
        ("sequence_at", "u32"),
        ("hop_family", "u32"),  # struct bpf_redir_neigh: who gets it next
        ("hop", "address"),
        ("_", "u32"),
    ),
)
LIFETIMES: Final = Record("lifetimes", (("seconds", "u32[16]"),))
TRACKER: Final = Record("tracker", (("unchecked", "u32"), ("expecting", "u32"), ("limited", "u32")))
RECORDS: Final = (
    CONFIG, PORT, DEVICE, MASK, NARROW_KEY, WIDE_KEY, FLOW, ACTION, STATISTICS, CREDIT, TOTALS, COUNTERS,
    METER, UPCALL, DIRECTION, END, SIDE, CONNECTION, TRACKING, OUTER, TUNNEL, HOST, HEADER, LIFETIMES,
    TRACKER, MEANING, TEXT, PORT_NAME,
)  # fmt: skip


# ---- the flow key


def key_members() -> Iterator[tuple[str, int, int]]:
    """(slot, offset in bytes, bits) of the key as a struct, in its order; every slot but tcp_flags has whole
    bytes, and that one has its 16 bits with the padding above it."""
    bottom = layout.DATAPATH_SHIFT
    top = bottom + KEY_BYTES * 8
    found = [
        (name, offset, layout.WIDTH[name])
        for name, offset in layout.OFFSET.items()
        if bottom <= offset < top and name != "_l4"
    ]
    for name, offset, bits in reversed(found):
        bits = 16 if name == "tcp_flags" else bits
        yield name, (top - offset - bits) // 8, bits


def _member(name: str, bits: int) -> str:
    if bits in (8, 16, 32):
        return f"u{bits} {name};"
    if bits == 64:
        return f"u64 {name};"
    if bits == 128:
        return f"u32 {name}[4];"
    return f"u8 {name}[{bits // 8}];"


def _key_struct() -> Iterator[str]:
    yield "/* The datapath's part of the flow key; all numbers in network order. */"
    yield "struct flow_key {"
    for name, offset, bits in key_members():
        yield f"\t{_member(name, bits)} /* {offset} */"
    yield "};"


def _record(record: Record) -> Iterator[str]:
    yield f"struct {record.name} {{"
    for i, (name, type) in enumerate(record.members):
        base, _, count = type.partition("[")
        name = f"_{i}" if name == "_" else name
        count = count or ("4]" if base == "address" else "")
        yield f"\t{_C_TYPES.get(base, base)} {name}{'[' + count if count else ''};"
    yield "};"


def _enumeration(prefix: str, names: tuple[str, ...]) -> str:
    return "enum { " + ", ".join(f"{prefix}_{name.upper()}" for name in names) + " };"


def header() -> str:
    """The text of program/generated.h."""
    lines = [
        "/* Made by `python -m trunkline.bpf.layout`: change bpf/layout.py, not this. */",
        "#pragma once",
    ]
    lines += [f"#define {name} {value}" for name, value in _NUMBERS]
    lines += [f"#define {name} {value:#x}u" for name, value in (("UNCOUNTED", UNCOUNTED),)]
    lines += [f"#define {name} {value}" for name, value in WRITE_FLAGS]
    lines += [
        f"#define {name} {value}"
        for name, value in (
            ("OUTPUT_LAST", OUTPUT_LAST),
            ("PORT_TO_HOST", PORT_TO_HOST),
            ("DEVICE_IS_UNDERLAY", f"{DEVICE_IS_UNDERLAY:#x}u"),
            ("TUNNEL_OVER_IPV6", f"{TUNNEL_OVER_IPV6:#x}u"),
            ("HEADER_IPV6", HEADER_IPV6),
            ("HEADER_UDP", HEADER_UDP),
            ("HEADER_SEQUENCE", HEADER_SEQUENCE),
            ("HEADER_CHECKSUM", HEADER_CHECKSUM),
            ("HEADER_LENGTH", HEADER_LENGTH),
            ("TUN_OAM", layout.TUN_OAM),
            ("TUN_DF", layout.TUN_DF),
            ("TUN_CSUM", layout.TUN_CSUM),
            ("TUN_KEY", layout.TUN_KEY),
            ("METER_BANDS", METER_BANDS),
            ("BEGUN_IN_KERNEL", BEGUN_IN_KERNEL),
            ("CONNECTION_SLOW", CONNECTION_SLOW),
            ("CONNECTION_EXPECTED", CONNECTION_EXPECTED),
            ("TIMEOUTS", len(TIMEOUTS)),
            *TRACK_FLAGS,
            *TRACKING_NUMBERS,
        )
    ]
    for prefix, names in (
        ("ACTION", ACTIONS),
        ("DROP", DROPS),
        ("UPCALL", UPCALLS),
        ("LAYER", LAYERS),
        ("NETWORK", NETWORKS),
        ("TIMEOUT", tuple(TIMEOUTS)),
        ("TUNNEL", TUNNEL_KINDS),
    ):
        lines.append(_enumeration(prefix, names))
    lines += _key_struct()
    for record in RECORDS:
        lines += _record(record)
    return "\n".join(lines) + "\n"


def header_path() -> Path:
    return Path(__file__).with_name("program") / "generated.h"


if __name__ == "__main__":
    if header_path().read_text() != header():  # make looks at the time
        header_path().write_text(header())
    sys.stdout.write(f"{header_path()}\n")
