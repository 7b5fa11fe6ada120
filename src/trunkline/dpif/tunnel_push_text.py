"""The text of `tnl_push(...)`: the outer headers of a tunnel, as ovs-dpctl prints and reads them.

tnl_push(tnl_port(4789),header(size=50,type=4,eth(dst=..,src=..,dl_type=0x0800),ipv4(..),udp(..),vxlan(..)),
out_port(100))

The record has the headers as bytes; the text is made from those and made into those.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from trunkline.base.addresses import format_ipv4, format_ipv6, format_mac, parse_ipv4, parse_ipv6, parse_mac
from trunkline.dpif.actions import TunnelPush
from trunkline.flow.values import scan_integer
from trunkline.model.tunnels import TUNNEL_TYPES, UDP
from trunkline.packet import stt
from trunkline.packet.checksum import checksum

_ETHERNET: Final = 14
_NO_NAMES: Final[Mapping[int, str]] = MappingProxyType({})
_NO_NUMBERS: Final[Mapping[str, int]] = MappingProxyType({})
_BY_NUMBER: Final = MappingProxyType({row.number: row.name for row in TUNNEL_TYPES.values()})


# ---- writing


def format_push(action: TunnelPush, names: Mapping[int, str] = _NO_NAMES) -> str:
    port, out = (names.get(number, str(number)) for number in (action.port, action.out_port))
    return f"tnl_push(tnl_port({port}),{_format_header(action)},out_port({out}))"


def _format_header(action: TunnelPush) -> str:
    header = action.header
    six = header[12] == 0x86
    text = f"header(size={len(header)},type={action.type},"
    text += f"eth(dst={format_mac(_number(header[:6]))},src={format_mac(_number(header[6:12]))},"
    text += f"dl_type=0x{header[12:14].hex()}),"
    at = _ETHERNET + (40 if six else 20)
    text += _format_ipv6(header) if six else _format_ipv4(header)
    if header[20 if six else 23] == UDP:
        udp = header[at : at + 8]
        csum = _number(udp[6:8])
        text += f",udp(src={_number(udp[:2])},dst={_number(udp[2:4])},csum={csum:#x})"
        at += 8
    writer = _WRITERS.get(_BY_NUMBER.get(action.type, ""))
    if writer is not None:
        text += "," + writer(header[at:])
    return text + ")"


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _format_ipv4(header: bytes) -> str:
    tos = f"{header[15]:#x}" if header[15] else "0"
    return (
        f"ipv4(src={format_ipv4(_number(header[26:30]))},dst={format_ipv4(_number(header[30:34]))},"
        f"proto={header[23]},tos={tos},ttl={header[22]},frag=0x{_number(header[20:22]):x})"
    )


def _format_ipv6(header: bytes) -> str:
    first = _number(header[14:18])
    return (
        f"ipv6(src={format_ipv6(_number(header[22:38]))},dst={format_ipv6(_number(header[38:54]))},"
        f"label={first & 0xFFFFF},proto={header[20]},tclass={first >> 20 & 0xFF:#x},hlimit={header[21]})"
    )


def _format_vxlan(data: bytes) -> str:
    return f"vxlan(flags={_number(data[:4]):#x},vni={_number(data[4:7]):#x})"


def _format_geneve(data: bytes) -> str:
    flags = [name for name, bit in (("oam", 0x80), ("crit", 0x40)) if data[1] & bit]
    parts = [*flags, f"vni={_number(data[4:7]):#x}"]
    if len(data) > 8:
        parts.append(f"options({''.join(_options(data[8:]))})")
    return f"geneve({','.join(parts)})"


def _options(data: bytes) -> Iterator[str]:
    at = 0
    while at + 4 <= len(data):
        size = (data[at + 3] & 31) * 4
        kind, number = _number(data[at : at + 2]), data[at + 2]
        word = f"class={f'{kind:#x}' if kind else 0},type={f'{number:#x}' if number else 0},len={size}"
        if size:
            value = _number(data[at + 4 : at + 4 + size])
            word += f",{value:#x}" if value else ",0"
        yield "{" + word + "}"
        at += 4 + size


def _format_gre(data: bytes) -> str:
    flags = _number(data[:2])
    parts = [f"(flags={flags:#x},proto={_number(data[2:4]):#x})"]
    at = 4
    for bit, name, size in ((0x8000, "csum", 2), (0x2000, "key", 4), (0x1000, "seq", 4)):
        if flags & bit:
            parts.append(f"{name}={_number(data[at : at + size]):#x}")
            at += 4
    return f"gre({','.join(parts)})"


def _format_gtpu(data: bytes) -> str:
    return f"gtpu(flags={data[0]:#x},msgtype={data[1]},teid={_number(data[4:8]):#x})"


def _format_lisp(data: bytes) -> str:
    return f"lisp(flags={data[0]:#x},iid={_number(data[4:7]):#x})"


def _format_stt(data: bytes) -> str:
    return f"stt(dst={_number(data[2:4])},context={_number(data[28:36]):#x})"


def _format_erspan(data: bytes) -> str:
    first = _number(data[8:12])
    text = f"erspan(ver={first >> 28},sid={first & 0x3FF:#x}"
    if first >> 28 == 1:
        return f"{text},idx={_number(data[12:16]) & 0xFFFFF:#x})"
    last = _number(data[18:20])
    return f"{text},dir={last >> 3 & 1},hwid={last >> 4 & 0x3F:#x})"


_WRITERS: Final[Mapping[str, Callable[[bytes], str]]] = MappingProxyType(
    {
        "vxlan": _format_vxlan,
        "geneve": _format_geneve,
        "gre": _format_gre,
        "ip6gre": _format_gre,
        "gtpu": _format_gtpu,
        "erspan": _format_erspan,
        "ip6erspan": _format_erspan,
        "lisp": _format_lisp,
        "stt": _format_stt,
    }
)


# ---- reading


_PUSH: Final = re.compile(
    r"\s*tnl_port\(([^()]*)\),\s*header\(size=(\d+),type=(\d+),\s*eth\(dst=([^,]*),src=([^,]*),dl_type=([^)]*)\),"
    r"\s*(ipv4|ipv6)\(([^)]*)\),\s*(?:udp\(([^)]*)\)(?:,\s*)?)?(.*)\),\s*out_port\(([^()]*)\)\s*"
)


def parse_push(body: str, ports: Mapping[str, int] = _NO_NUMBERS) -> TunnelPush:
    """What stands in the parentheses of tnl_push.  Raises ValueError or KeyError."""
    found = _PUSH.fullmatch(body)
    if found is None:
        raise ValueError(body)
    port, size, kind, destination, source, ethertype, family, network, udp, own, out = found.groups()
    header = _mac(destination) + _mac(source) + _integer(ethertype, 16).to_bytes(2, "big")
    header += (_read_ipv4 if family == "ipv4" else _read_ipv6)(_words(network))
    if udp is not None:
        words = _words(udp)
        header += b"".join(_integer(words[name], 16).to_bytes(2, "big") for name in ("src", "dst"))
        header += bytes(2) + _integer(words["csum"], 16).to_bytes(2, "big")
    if own:
        name, inner = own[: own.index("(")], own[own.index("(") + 1 : -1]
        header += _READERS[name](inner)
    if len(header) != int(size):
        raise ValueError(body)
    return TunnelPush(_port(port, ports), int(kind), header, _port(out, ports))


def _port(text: str, ports: Mapping[str, int]) -> int:
    return ports[text] if text in ports else _integer(text, 32)


def _words(text: str) -> dict[str, str]:
    return dict(word.strip().split("=", 1) for word in text.split(",") if "=" in word)


def _integer(text: str, bits: int) -> int:
    value = scan_integer(text.strip())
    if value is None or value >> bits:
        raise ValueError(text)
    return value


def _mac(text: str) -> bytes:
    value = parse_mac(text.strip())
    if value is None:
        raise ValueError(text)
    return value.to_bytes(6, "big")


def _read_ipv4(words: Mapping[str, str]) -> bytes:
    ends = [parse_ipv4(words[name]) for name in ("src", "dst")]
    source, destination = ends
    if source is None or destination is None:
        raise ValueError(words)
    head = bytes((0x45, _integer(words["tos"], 8), 0, 20, 0, 0)) + _integer(words["frag"], 16).to_bytes(
        2, "big"
    )
    head += bytes((_integer(words["ttl"], 8), _integer(words["proto"], 8), 0, 0))
    head += source.to_bytes(4, "big") + destination.to_bytes(4, "big")
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:]


def _read_ipv6(words: Mapping[str, str]) -> bytes:
    ends = [parse_ipv6(words[name]) for name in ("src", "dst")]
    source, destination = ends
    if source is None or destination is None:
        raise ValueError(words)
    first = 6 << 28 | _integer(words["tclass"], 8) << 20 | _integer(words["label"], 20)
    head = first.to_bytes(4, "big") + bytes((0, 0, _integer(words["proto"], 8), _integer(words["hlimit"], 8)))
    return head + source.to_bytes(16, "big") + destination.to_bytes(16, "big")


def _read_vxlan(body: str) -> bytes:
    words = _words(body)
    return _integer(words["flags"], 32).to_bytes(4, "big") + (_integer(words["vni"], 24) << 8).to_bytes(
        4, "big"
    )


def _read_geneve(body: str) -> bytes:
    plain, _, listed = body.partition("options(")
    options = b""
    for option in re.findall(r"\{([^}]*)\}", listed):
        parts = option.split(",")
        words = dict(part.strip().split("=", 1) for part in parts[:3])
        size = _integer(words["len"], 8)
        if size % 4 or size > 124:
            raise ValueError(option)
        options += _integer(words["class"], 16).to_bytes(2, "big")
        options += bytes((_integer(words["type"], 8), size // 4))
        if size:
            options += _integer(parts[3], size * 8).to_bytes(size, "big")
    names = [word.strip() for word in plain.split(",")]
    flags = (0x80 if "oam" in names else 0) | (0x40 if "crit" in names else 0)
    vni = _integer(_words(plain)["vni"], 24) << 8
    return bytes((len(options) // 4, flags, 0x65, 0x58)) + vni.to_bytes(4, "big") + options


def _read_gre(body: str) -> bytes:
    found = re.fullmatch(r"\(([^)]*)\)(?:,(.*))?", body.strip())
    if found is None:
        raise ValueError(body)
    words = _words(found[1])
    flags, protocol = _integer(words["flags"], 16), _integer(words["proto"], 16)
    data = flags.to_bytes(2, "big") + protocol.to_bytes(2, "big")
    rest = _words(found[2] or "")
    if flags & 0x8000:
        data += _integer(rest["csum"], 16).to_bytes(2, "big") + bytes(2)
    for bit, name in ((0x2000, "key"), (0x1000, "seq")):
        if flags & bit:
            data += _integer(rest[name], 32).to_bytes(4, "big")
    return data


def _read_gtpu(body: str) -> bytes:
    words = _words(body)
    head = bytes((_integer(words["flags"], 8), _integer(words["msgtype"], 8), 0, 0))
    return head + _integer(words["teid"], 32).to_bytes(4, "big")


def _read_lisp(body: str) -> bytes:
    words = _words(body)
    instance = _integer(words["iid"], 24).to_bytes(3, "big")
    return bytes((_integer(words["flags"], 8), 0, 0, 0)) + instance + b"\0"


def _read_stt(body: str) -> bytes:
    words = _words(body)
    return stt.port_header(_integer(words["dst"], 16)) + stt.frame_header(_integer(words["context"], 64))


def _read_erspan(body: str) -> bytes:
    words = _words(body)
    session = _integer(words["sid"], 10)
    if words["ver"] == "1":
        own = (1 << 28 | session).to_bytes(4, "big") + _integer(words["idx"], 20).to_bytes(4, "big")
        return b"\x10\0\x88\xbe" + bytes(4) + own
    own = (2 << 28 | session).to_bytes(4, "big") + bytes(6)
    last = _integer(words["hwid"], 6) << 4 | _integer(words["dir"], 1) << 3
    return b"\x10\0\x22\xeb" + bytes(4) + own + last.to_bytes(2, "big")


_READERS: Final[Mapping[str, Callable[[str], bytes]]] = MappingProxyType(
    {
        "vxlan": _read_vxlan,
        "geneve": _read_geneve,
        "gre": _read_gre,
        "gtpu": _read_gtpu,
        "lisp": _read_lisp,
        "stt": _read_stt,
        "erspan": _read_erspan,
    }
)
