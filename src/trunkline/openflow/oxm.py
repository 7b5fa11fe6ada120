"""Matches on the wire as NXM and OXM: a sequence of (header, value[, mask]), one for each field.

A header's four bytes are a class, a field number, a bit that says whether a mask follows, and the length of
what follows.  Class 0xffff puts an experimenter's number between header and value.  All of it comes from the
table of fields; which id a version writes is a question of the column "OpenFlow version it came with".

Reading goes header by header through one dict.  Writing is cut in two, for speed: a *plan* says which headers
to write and where the values lie, and depends only on the mask and on the bits that prerequisites look at;
plans are remembered.
"""

from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

from trunkline.flow.key import FRAG_LATER, MASK, VIEW
from trunkline.flow.match import Match, TunnelOption, present, satisfied
from trunkline.model.fields import CLASSES, FIELDS, Field
from trunkline.model.fields import FIELD as FIELD_BY_NAME
from trunkline.model.openflow_messages import ONF_EXPERIMENTER
from trunkline.openflow.wire import DecodeError, port_from_wire, port_to_wire

NXM: Final = 0  # the "version" of nx_match of OpenFlow 1.0
_VERSION_OF: Final = {"1.2": 3, "1.3": 4, "1.4": 5, "1.5": 6}
_VLAN_MASK: Final = 0x1FFF

# How a field's value on the wire differs from its value in the key.
_PLAIN, _PORT, _TOS, _TCI_VID, _PCP, _OPCODE, _OPTION = range(7)
_SPECIAL: Final = {
    "in_port_oxm": _PORT,
    "actset_output": _PORT,
    "nw_tos": _TOS,
    "vlan_vid": _TCI_VID,
    "vlan_pcp": _PCP,
    "arp_op": _OPCODE,
}


class _Entry(NamedTuple):
    """What a header means.  `masked`: a mask follows the value.

    `place` are the bits of the key that it fills.  A value of the key whose `quick_bits` are among
    `quick_values` fulfils the prerequisite beyond doubt; others must be looked at.
    """

    field: Field
    masked: bool
    octets: int
    shift: int
    ones: int
    kind: int
    prerequisite: str
    place: int
    quick_bits: int
    quick_values: tuple[int, ...]


# Types that can only be exact: no field masks them.
_QUICK: Final = {
    "ip": (("dl_type", 0x0800, None),),
    "ipv6": (("dl_type", 0x86DD, None),),
    "ip/ipv6": (("dl_type", 0x0800, None), ("dl_type", 0x86DD, None)),
    "tcp": (("dl_type", 0x0800, 6), ("dl_type", 0x86DD, 6)),
    "udp": (("dl_type", 0x0800, 17), ("dl_type", 0x86DD, 17)),
    "sctp": (("dl_type", 0x0800, 132), ("dl_type", 0x86DD, 132)),
    "arp": (("dl_type", 0x0806, None),),
}


def _quick(prerequisite: str) -> tuple[int, tuple[int, ...]]:
    """Of an _Entry: what is looked at, and the values that are good."""
    if prerequisite == "eth":  # also where the packet type is not named
        return MASK["packet_type"], (0,)
    chosen = _QUICK.get(prerequisite)
    if chosen is None:
        return 0, ()
    places = MASK["packet_type"] | MASK["dl_type"]
    values = []
    for name, kind, protocol in chosen:
        value = kind << VIEW[name].shift
        if protocol is not None:
            places |= MASK["nw_proto"] | FRAG_LATER << VIEW["nw_frag"].shift
            value |= protocol << VIEW["nw_proto"].shift
        values.append(value)
    return places, tuple(values)


def _header(class_name: str, number: int, length: int, masked: bool) -> bytes:
    oxm_class = CLASSES[class_name]
    experimenter = b"" if oxm_class.experimenter is None else oxm_class.experimenter.to_bytes(4, "big")
    size = len(experimenter) + (2 * length if masked else length)
    return oxm_class.number.to_bytes(2, "big") + bytes((number << 1 | masked, size & 0xFF)) + experimenter


def _entries() -> tuple[dict[bytes, _Entry], dict[bytes, Field]]:
    """Whole headers (masked ones too) to what they mean; and, by class and number alone, the field."""
    by_header: dict[bytes, _Entry] = {}
    by_number: dict[bytes, Field] = {}
    for field in FIELDS:
        view = VIEW.get(field.name)
        for code in field.ids:
            plain = _header(code.vendor, code.number, field.octets, False)
            by_number[_number_of(plain)] = field
            if view is None:
                continue
            kind, ones = _SPECIAL.get(field.name, _PLAIN), view.ones
            if kind == _OPCODE:
                ones = 0xFF
            elif kind == _PORT:
                ones = 0xFFFF
            shift = view.shift - 1 if kind == _PCP else view.shift  # with the bit that says a tag is there
            place = view.mask if kind == _PCP else (0xFC if kind == _TOS else ones) << shift
            entry = _Entry(
                field,
                False,
                field.octets,
                shift,
                ones,
                kind,
                field.prerequisite,
                place,
                *_quick(field.prerequisite),
            )
            by_header[plain] = entry
            if field.maskable:
                masked = _header(code.vendor, code.number, field.octets, True)
                by_header[masked] = entry._replace(masked=True)
    return by_header, by_number


def _number_of(header: bytes) -> bytes:
    return header[:2] + bytes((header[2] & 0xFE,)) + header[4:]


_BY_HEADER, _BY_NUMBER = _entries()
_TUNNEL_OPTIONS: Final = {
    code.number: int(field.name[12:])
    for field in FIELDS
    if field.name.startswith("tun_metadata")
    for code in field.ids
}


# Fields that as part of an action have another width than in a match.
_ACTION_WIDTH: Final = {"in_port_oxm": 32, "actset_output": 32, "vlan_vid": 12, "arp_op": 16}


def width(name: str) -> int:
    """How many bits of a field an action may name."""
    return _ACTION_WIDTH.get(name) or FIELD_BY_NAME[name].bits


def field_id(field: Field, version: int) -> tuple[str, int]:
    """(class, number) that `version` (NXM: 0) writes for a field: the newest standard one it has, else an
    extension, else the oldest standard one."""
    best, extension = None, None
    for code in field.ids:
        if code.openflow is None:
            extension = extension or code
        elif _VERSION_OF[code.openflow] <= version and (
            best is None or _VERSION_OF[code.openflow] > _VERSION_OF[best.openflow or "1.2"]
        ):
            best = code
    chosen = best or extension or field.ids[0]
    return chosen.vendor, chosen.number


_ETHERNET: Final = MASK["dl_src"] | MASK["dl_dst"] | MASK["dl_type"] | MASK["vlan_tci"]
_PACKET_TYPE: Final = MASK["packet_type"]


# ---- reading ----


def decode(data: bytes, *, loose: bool = False) -> Match:
    """The match in `data`.  Raises DecodeError; with `loose`, unknown fields are skipped and prerequisites
    are not asked for, as one reads what a switch reports."""
    value = mask = position = seen = 0
    options: list[TunnelOption] = []
    size = len(data)
    entry_of, number = _BY_HEADER.get, int.from_bytes  # "big" is what it does by itself
    while position < size:
        header = data[position : position + 4]
        entry = entry_of(header)
        start = position + 4
        if entry is None:
            if header[:2] == b"\xff\xff":
                header = data[position : position + 8]
                entry = _BY_HEADER.get(header)
                start = position + 8
            if len(header) < start - position:
                raise DecodeError("OFPBMC_BAD_LEN")
        position += 4 + header[3]
        if position > size or position < start:
            raise DecodeError("OFPBMC_BAD_LEN")
        if entry is None:
            if _is_option(header):
                more, more_mask = _take_option(header, data[start:position], options)
                value |= more
                mask |= more_mask
            elif not loose:
                raise DecodeError(*_why_unknown(header))
            continue
        field, masked, octets, shift, ones, kind, prerequisite, place, quick_bits, quick_values = entry
        raw = number(data[start : start + octets])
        if masked:
            raw_mask = number(data[start + octets : position])
            if raw & ~raw_mask:
                raise DecodeError("OFPBMC_BAD_WILDCARDS", field.name)
            raw_mask &= ones
        else:
            raw_mask = ones
        if kind:
            raw, raw_mask, ones = _from_wire(kind, raw, raw_mask, ones)
        if raw & ~ones:
            raise DecodeError("OFPBMC_BAD_VALUE", field.name)
        if seen & place:
            raise DecodeError("OFPBMC_DUP_FIELD", field.name)
        if (
            prerequisite
            and not loose
            and value & quick_bits not in quick_values
            and not present(Match(value, mask), prerequisite)
        ):
            raise DecodeError("OFPBMC_BAD_PREREQ", field.name)
        seen |= place
        if masked or kind:
            value |= (raw & raw_mask) << shift
            mask |= raw_mask << shift
        else:
            value |= raw << shift
            mask |= place
    if mask & _ETHERNET and not mask & _PACKET_TYPE:
        mask |= _PACKET_TYPE  # a field of Ethernet means packets of Ethernet
    return Match(value, mask, tuple(options))


def _take_option(header: bytes, body: bytes, options: list[TunnelOption]) -> tuple[int, int]:
    """Adds an option of a tunnel to `options`; returns the bits of the key that it fills."""
    option, raw, raw_mask = _decode_option(header, body, options)
    options.append(option)
    at = VIEW["tun_metadata"].shift + option.offset * 8
    present = 1 << VIEW["tun_metadata_present"].shift + option.number
    return raw << at | present, raw_mask << at | present


def _from_wire(kind: int, raw: int, mask: int, ones: int) -> tuple[int, int, int]:
    """(value, mask, ones) of the key; a value that the field cannot have has bits outside `ones`."""
    if kind == _PORT:
        try:
            return port_from_wire(raw), 0xFFFF, 0xFFFF
        except DecodeError:
            raise DecodeError("OFPBMC_BAD_VALUE", "port") from None
    if kind == _TOS:
        return raw, 0xFC, 0xFC
    if kind == _PCP:
        return (raw << 1 | 1) if raw < 8 else -1, 0xF, 0xF
    return raw, mask, ones


def _is_option(header: bytes) -> bool:
    return header[:2] == b"\0\1" and header[2] >> 1 in _TUNNEL_OPTIONS


def _decode_option(header: bytes, body: bytes, options: list[TunnelOption]) -> tuple[TunnelOption, int, int]:
    number, octets = _TUNNEL_OPTIONS[header[2] >> 1], header[3]
    raw_mask = None
    if header[2] & 1:
        if octets % 2:
            raise DecodeError("OFPBMC_BAD_LEN")
        octets //= 2
        raw_mask = int.from_bytes(body[octets:], "big")
    if octets > 124:
        raise DecodeError("OFPBMC_BAD_LEN")
    if any(option.number == number for option in options):
        raise DecodeError("OFPBMC_DUP_FIELD", f"tun_metadata{number}")
    raw = int.from_bytes(body[:octets], "big")
    octets = octets or 1  # no byte at all is the number 0
    raw_mask = (1 << 8 * octets) - 1 if raw_mask is None else raw_mask
    if raw & ~raw_mask:
        raise DecodeError("OFPBMC_BAD_WILDCARDS", f"tun_metadata{number}")
    offset = max((o.offset + o.octets for o in options), default=0)
    if offset + octets > 256:
        raise DecodeError("OFPBMC_BAD_LEN")
    return TunnelOption(number, offset, octets), raw, raw_mask


def _why_unknown(header: bytes) -> tuple[str, str]:
    field = _BY_NUMBER.get(_number_of(header))
    size = header[3] - len(header) + 4
    if field is not None and header[2] & 1 and not field.maskable and size == 2 * field.octets:
        return "OFPBMC_BAD_MASK", field.name
    return "OFPBMC_BAD_FIELD", f"field {header.hex()}"


# ---- writing ----

# The order in which fields are written: each after those that it has as prerequisites.
_BEFORE_OPTIONS: Final = (
    *("dp_hash", "recirc_id", "conj_id", "in_port", "actset_output", "packet_type"),
    *("eth_src", "eth_dst", "eth_type", "vlan_tci", "mpls_label", "mpls_tc", "mpls_bos", "mpls_ttl"),
    *("ip_src", "ip_dst", "ipv6_src", "ipv6_dst", "ipv6_label"),
    *("ip_frag", "nw_tos", "nw_ecn", "nw_ttl", "nw_proto"),
    *("tcp_src", "tcp_dst", "tcp_flags", "udp_src", "udp_dst", "sctp_src", "sctp_dst"),
    *("icmp_type", "icmp_code", "icmpv6_type", "icmpv6_code"),
    *("nd_target", "nd_sll", "nd_tll", "nd_reserved", "nd_options_type"),
    *("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"),
    *("nsh_flags", "nsh_ttl", "nsh_mdtype", "nsh_np", "nsh_spi", "nsh_si"),
    *("nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4"),
    *("tun_id", "tun_flags", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst"),
    *("tun_gbp_id", "tun_gbp_flags"),
)
_BEHIND_OPTIONS: Final = (
    *("tun_erspan_idx", "tun_erspan_ver", "tun_erspan_dir", "tun_erspan_hwid"),
    *("tun_gtpu_flags", "tun_gtpu_msgtype"),
    *(f"reg{i}" for i in range(16)),
    *("pkt_mark", "ct_state", "ct_zone", "ct_mark", "ct_label", "ct_nw_src", "ct_nw_dst"),
    *("ct_ipv6_src", "ct_ipv6_dst", "ct_nw_proto", "ct_tp_src", "ct_tp_dst", "metadata"),
)
_WRITE_ORDER: Final = _BEFORE_OPTIONS + _BEHIND_OPTIONS
_FLAGS: Final = frozenset(("tun_flags",))
"""Fields of which only some bits mean something: the mask says which."""
_PREREQUISITE_BITS: Final = (
    MASK["packet_type"]
    | MASK["eth_type"]
    | MASK["nw_proto"]
    | MASK["icmpv6_type"]
    | MASK["icmpv6_code"]
    | MASK["ct_state"]
    | (_VLAN_MASK << VIEW["vlan_tci"].shift)
)


class _Step(NamedTuple):
    """One field to write: its header, where the value lies, and the mask's bytes (empty without)."""

    header: bytes
    shift: int
    ones: int
    octets: int
    is_port: bool
    mask: bytes


def encode(match: Match, version: int) -> bytes:
    """`match` as OXM of `version`, or as NXM with version 0.  Without padding or match header."""
    value, mask = match.value, match.mask
    out = []
    for header, shift, ones, octets, is_port, mask_bytes in _plan(mask, value & _PREREQUISITE_BITS, version):
        number = value >> shift & ones
        if is_port:
            number = port_to_wire(number)
        out.append(header + number.to_bytes(octets, "big") + mask_bytes)
    if match.options:
        before = _plan(mask, value & _PREREQUISITE_BITS, version, _BEFORE_OPTIONS)
        out[len(before) : len(before)] = _encode_options(match)
    return b"".join(out)


# From 1.5 on registers are matched by OpenFlow's own fields, each of which holds two.
_PACKET_REGISTERS: Final = 6
_REGISTER_PAIR: Final = {f"reg{i}": f"xreg{i // 2}" for i in range(16)}


@lru_cache(maxsize=2048)
def _plan(
    mask: int, prerequisites: int, version: int, order: tuple[str, ...] = _WRITE_ORDER
) -> tuple[_Step, ...]:
    known = Match(prerequisites, mask)
    steps: list[_Step] = []
    left = mask
    for name in order:
        field = FIELD_BY_NAME[name]
        place = MASK[name]
        if not left & place or not satisfied(known, field.prerequisite):
            continue
        if version >= _PACKET_REGISTERS and name in _REGISTER_PAIR:
            wide = FIELD_BY_NAME[_REGISTER_PAIR[name]]
            steps.append(_step(wide, mask, version))
            left &= ~MASK[wide.name]
            continue
        if name == "packet_type" and not prerequisites & place:
            continue  # Ethernet is what a match without it means
        if name == "vlan_tci" and version:
            steps += _vlan_steps(mask, prerequisites, version)
        elif name == "nw_tos":
            steps += _tos_steps(mask, version)
            left &= ~MASK["ip_dscp"]
            continue
        elif name == "in_port":
            steps.append(_step(FIELD_BY_NAME["in_port_oxm" if version else "in_port"], mask, version))
        else:
            steps.append(_step(field, mask, version))
        left &= ~place
    return tuple(steps)


def _step(field: Field, mask: int, version: int) -> _Step:
    view = VIEW[field.name]
    ones = 0xFF if field.name == "arp_op" else view.ones
    part = mask >> view.shift & ones
    vendor, number = field_id(field, version)
    masked = (part != ones and field.maskable) or field.name in _FLAGS
    is_port = _SPECIAL.get(field.name) == _PORT
    return _Step(
        _header(vendor, number, field.octets, masked),
        view.shift,
        0xFFFF if is_port else ones,
        field.octets,
        is_port,
        part.to_bytes(field.octets, "big") if masked else b"",
    )


def _vlan_steps(mask: int, value: int, version: int) -> list[_Step]:
    """A TCI as OXM: the VLAN's number with the bit that says a tag is there, and the priority by itself."""
    shift = VIEW["vlan_tci"].shift
    tci, tci_mask = value >> shift & _VLAN_MASK, mask >> shift
    steps = []
    if tci_mask & _VLAN_MASK:
        steps.append(_step(FIELD_BY_NAME["vlan_vid"], mask, version))
    if tci and tci_mask & 0xE000:
        steps.append(_step(FIELD_BY_NAME["vlan_pcp"], mask | 7 << shift + 13, version))
    return steps


def _tos_steps(mask: int, version: int) -> list[_Step]:
    shift = VIEW["nw_tos"].shift
    if not mask >> shift & 0xFC:
        return []
    if version:
        return [_step(FIELD_BY_NAME["ip_dscp"], mask, version)]
    vendor, number = field_id(FIELD_BY_NAME["nw_tos"], version)
    return [_Step(_header(vendor, number, 1, False), shift, 0xFC, 1, False, b"")]


def _encode_options(match: Match) -> list[bytes]:
    view = VIEW["tun_metadata"]
    out = []
    for number, offset, octets in sorted(match.options):
        ones = (1 << 8 * octets) - 1
        at = view.shift + 8 * offset
        value, mask = match.value >> at & ones, match.mask >> at & ones
        masked = mask != ones
        if octets == 1 and not value and mask in (0, ones):
            octets = 0  # where no table says how long the field is
        code = FIELD_BY_NAME[f"tun_metadata{number}"].ids[0]
        header = _header(code.vendor, code.number, octets, masked)
        out.append(header + value.to_bytes(octets, "big") + (mask.to_bytes(octets, "big") if masked else b""))
    return out


# ---- the match of OpenFlow 1.2 on: type 1, length, OXM, padding to eight bytes  ----


_MATCH_HEAD: Final = Struct("!HH")


def encode_oxm_match(match: Match, version: int) -> bytes:
    body = encode(match, version)
    length = len(body) + 4
    return b"\0\1" + length.to_bytes(2, "big") + body + bytes(-length % 8)


def decode_oxm_match(data: bytes, position: int, *, loose: bool = False) -> tuple[Match, int]:
    """The match at `position` and where what follows it starts.  Raises DecodeError."""
    if len(data) - position < 4:
        raise DecodeError("OFPBMC_BAD_LEN")
    kind, length = _MATCH_HEAD.unpack_from(data, position)
    if kind != 1:
        raise DecodeError("OFPBMC_BAD_TYPE")
    end = position + (length + 7) // 8 * 8
    if length < 4 or end > len(data):
        raise DecodeError("OFPBMC_BAD_LEN")
    return decode(data[position + 4 : position + length], loose=loose), end


# ---- fields in actions: a header alone, or a whole entry ----


def encode_header(name: str, version: int, masked: bool = False) -> bytes:
    """The header of a field, experimenter included, as actions refer to it."""
    field = FIELD_BY_NAME[name]
    if not field.ids:
        return bytes(4)  # dl_vlan and dl_vlan_pcp have no number; the original writes this
    vendor, number = field_id(field, version)
    return _header(vendor, number, field.octets, masked)


def decode_header(data: bytes, position: int, unknown: str = "OFPBMC_BAD_FIELD") -> tuple[Field, int]:
    """The field whose header is at `position`, and where the header ends.  Raises DecodeError, with the error
    `unknown` where there is no such field."""
    header_size = 8 if data[position : position + 2] == b"\xff\xff" else 4
    header = data[position : position + header_size]
    field = _BY_NUMBER.get(_number_of(header)) if len(header) == header_size else None
    if len(header) < header_size and unknown == "OFPBMC_BAD_FIELD":
        raise DecodeError("OFPBMC_BAD_LEN")
    if field is None or not _length_fits(header, field):
        raise DecodeError(unknown, f"field {header.hex()}")
    return field, position + header_size


def _length_fits(header: bytes, field: Field) -> bool:
    """Whether the length of a header that a value may follow is the field's (tunnel options have any)."""
    if field.name.startswith("tun_metadata"):
        return True
    octets = header[3] - (len(header) - 4)
    return octets == field.octets << (header[2] & 1)


def option_octets(value: int, mask: int | None) -> int:
    """In how many bytes a field tun_metadata is said where nobody knows how long it is."""
    return ((value if mask is None else mask).bit_length() + 7) // 8


def encode_entry(name: str, value: int, mask: int | None, version: int, octets: int = 0) -> bytes:
    """A field with its value and, where it is not exact, its mask, as set_field carries it.

    `octets`: of a field tun_metadata, 0 for as few as it takes (none for the number 0).
    """
    field = FIELD_BY_NAME[name]
    if name.startswith("tun_metadata"):
        size = octets or option_octets(value, mask)
        vendor, number = field_id(field, version)
        tail = b"" if mask is None else mask.to_bytes(size, "big")
        return _header(vendor, number, size, mask is not None) + value.to_bytes(size, "big") + tail
    if name in ("in_port_oxm", "actset_output"):
        value = port_to_wire(value)
    header = encode_header(name, version, mask is not None)
    if not field.ids:
        header = bytes((0, 0, mask is not None, field.octets << (mask is not None)))
    tail = b"" if mask is None else mask.to_bytes(field.octets, "big")
    return header + value.to_bytes(field.octets, "big") + tail


def decode_entry(data: bytes, position: int) -> tuple[Field, int, int | None, int]:
    """(field, value, mask or None, end) of the entry at `position`.  Raises DecodeError."""
    field, start = decode_header(data, position)
    end = position + 4 + data[position + 3]
    masked = bool(data[position + 2] & 1)
    size = end - start
    octets = field.octets if field.slot.startswith("tun_metadata") is False else size >> masked
    if end > len(data) or size != octets << masked:
        raise DecodeError("OFPBAC_BAD_SET_LEN", field.name)
    value = int.from_bytes(data[start : start + octets], "big")
    mask = int.from_bytes(data[start + octets : end], "big") if masked else None
    return field, value, mask, end


__all__ = ["NXM", "ONF_EXPERIMENTER", "decode", "decode_entry", "decode_header", "decode_oxm_match", "encode"]
