"""The tunnel attribute of datapath keys and of set actions: `tunnel(tun_id=0x5,src=...,flags(df|key))`.

Geneve options are kept as the wire has them (slot tun_options, the first byte highest), for only a bridge's
TLV table gives them names.
"""

import re
from collections.abc import Iterator
from typing import Final

from trunkline.base.addresses import format_ipv4, format_ipv6, parse_ipv4, parse_ipv6
from trunkline.flow.key import OFFSET, VIEW, WIDTH, bits, get
from trunkline.flow.values import parse_flags, scan_integer, write_flags

_FLAGS: Final = ("oam", "df", "csum", "key")
_FLAG_BITS: Final = 15
tunnel_bits: Final = bits(*(name for name in WIDTH if name.startswith(("tun_", "tunnel_"))))

# name in text, slot, form
_PARTS: Final = (
    ("tun_id", "tun_id", "hex"),
    ("src", "tun_src", "ipv4"),
    ("dst", "tun_dst", "ipv4"),
    ("ipv6_src", "tun_ipv6_src", "ipv6"),
    ("ipv6_dst", "tun_ipv6_dst", "ipv6"),
    ("tos", "tun_tos", "hex"),
    ("ttl", "tun_ttl", "dec"),
    ("tp_src", "tun_tp_src", "dec"),
    ("tp_dst", "tun_tp_dst", "dec"),
)
# groups: name in text, slot, how it is written
_GROUPS: Final = {
    "erspan": (
        ("ver", "tun_erspan_ver", "d"),
        ("idx", "tun_erspan_idx", "#x"),
        ("dir", "tun_erspan_dir", "d"),
        ("hwid", "tun_erspan_hwid", "#x"),
    ),
    "gtpu": (
        ("flags", "tun_gtpu_flags", "#x"),
        ("msgtype", "tun_gtpu_msgtype", "d"),
    ),
}
_FIRST: Final = ("tun_erspan_ver", "tun_gtpu_flags", "tun_gtpu_msgtype")
_SLOT: Final = {name: (slot, form) for name, slot, form in _PARTS}


def format_tunnel(key: int, mask: int) -> str:
    parts = list(_plain(key, mask))
    if mask & (VIEW["tun_gbp_id"].mask | VIEW["tun_gbp_flags"].mask) and get(key, "tun_gbp_id"):
        gbp_id = _with_mask(
            str(get(key, "tun_gbp_id")), get(mask & _every("tun_gbp_id"), "tun_gbp_id"), 0xFFFF
        )
        flags = _with_mask(f"{get(key, 'tun_gbp_flags'):#x}", mask >> OFFSET["tun_gbp_flags"] & 0xFF, 0xFF)
        parts.append(f"vxlan(gbp(id={gbp_id},flags={flags}))")
    length = get(key, "tun_options_length") * 4
    if length:
        parts.append(f"geneve({''.join(_options(key, mask, length))})")
    for name, members in _GROUPS.items():
        shown = [
            f"{word}={_with_mask(f'{get(key, slot):{form}}', get(mask, slot), VIEW[slot].ones)}"
            for word, slot, form in members
            if mask & _every(slot) and (get(key, slot) or slot in _FIRST)
        ]
        if shown and any(get(key, slot) for _, slot, _ in members):
            parts.append(f"{name}({','.join(shown)})")
    flags_mask = mask >> OFFSET["tunnel_flags"] & _FLAG_BITS
    if flags_mask:
        parts.append(f"flags({write_flags(get(key, 'tunnel_flags'), flags_mask, _FLAGS, _FLAG_BITS)})")
    return f"tunnel({','.join(parts)})"


def _every(slot: str) -> int:
    return VIEW[slot].mask


def _with_mask(text: str, mask: int, ones: int) -> str:
    return text if mask == ones else f"{text}/{mask:#x}"


def _plain(key: int, mask: int) -> Iterator[str]:
    for name, slot, form in _PARTS:
        shift, ones, _ = VIEW[slot]
        part = mask >> shift & ones
        value = key >> shift & ones
        if not part or (not value and name != "tun_id"):  # the original drops zeros, whatever the mask
            continue
        if form == "ipv4":
            text = format_ipv4(value) + ("" if part == ones else f"/{format_ipv4(part)}")
        elif form == "ipv6":
            text = format_ipv6(value) + ("" if part == ones else f"/{format_ipv6(part)}")
        else:
            text = _with_mask(f"{value:#x}" if form == "hex" else str(value), part, ones)
        yield f"{name}={text}"


def _options(key: int, mask: int, length: int) -> Iterator[str]:
    data = (get(key, "tun_options") >> (256 - length) * 8).to_bytes(length, "big")
    masks = ((mask >> OFFSET["tun_options"] & (1 << 2048) - 1) >> (256 - length) * 8).to_bytes(length, "big")
    at = 0
    while at + 4 <= length:
        size = (data[at + 3] & 31) * 4
        word = f"class={int.from_bytes(data[at : at + 2], 'big'):#x},type={data[at + 2]:#x},len={size}"
        value = int.from_bytes(data[at + 4 : at + 4 + size], "big")
        part = int.from_bytes(masks[at + 4 : at + 4 + size], "big")
        if size:
            text = f"{value:#x}" if value else "0"
            word += "," + (text if part == (1 << size * 8) - 1 else f"{text}/{part:#x}")
        yield "{" + word + "}"
        at += 4 + size


def parse_tunnel(body: str) -> tuple[int, int]:
    """(key, mask) of what stands in the parentheses.  Raises ValueError or KeyError."""
    key = mask = 0
    at = 0
    while at < len(body):
        found = re.compile(r"\s*([a-z0-9_]+)(=|\()").match(body, at)
        if found is None:
            raise ValueError(body)
        name, sign = found.groups()
        if sign == "=":
            end = body.find(",", found.end())
            end = len(body) if end < 0 else end
            slot, form = _SLOT[name]
            value, part = _read(form, body[found.end() : end].strip(), VIEW[slot].ones)
        else:
            end = _closing(body, found.end() - 1)
            value, part = _read_group(name, body[found.end() : end - 1])
            slot = ""
        shift = VIEW[slot].shift if slot else 0
        key |= value << shift
        mask |= part << shift
        if name == "tun_id":
            key |= 8 << OFFSET["tunnel_flags"]
            mask |= 8 << OFFSET["tunnel_flags"]
        at = end + 1 if end < len(body) and body[end] == "," else end
    return key, mask


def _closing(body: str, at: int) -> int:
    depth = 0
    for i in range(at, len(body)):
        depth += {"(": 1, ")": -1}.get(body[i], 0)
        if not depth:
            return i + 1
    raise ValueError(body)


def _read(form: str, text: str, ones: int) -> tuple[int, int]:
    reader = {"ipv4": parse_ipv4, "ipv6": parse_ipv6}.get(form, scan_integer)
    first, slash, second = text.partition("/")
    value, mask = reader(first), reader(second) if slash else ones
    if value is None or mask is None or value > ones or mask > ones:
        raise ValueError(text)
    return value, mask


def _read_group(name: str, body: str) -> tuple[int, int]:
    if name == "flags":
        value, mask = parse_flags(body, _FLAGS, "tunnel", 16) if body else (0, _FLAG_BITS)
        return value << OFFSET["tunnel_flags"], (mask & _FLAG_BITS) << OFFSET["tunnel_flags"]
    if name == "vxlan":
        found = re.fullmatch(r"gbp\(id=([^,]*),flags=([^)]*)\)", body)
        if found is None:
            raise ValueError(body)
        gbp, gbp_mask = _read("dec", found[1], 0xFFFF)
        flags, flags_mask = _read("hex", found[2], 0xFF)
        id_at, flags_at = OFFSET["tun_gbp_id"], OFFSET["tun_gbp_flags"]
        return gbp << id_at | flags << flags_at, gbp_mask << id_at | flags_mask << flags_at
    if name == "geneve":
        return _read_options(body)
    if name in _GROUPS:
        return _read_members(name, body)
    raise KeyError(name)


def _read_members(name: str, body: str) -> tuple[int, int]:
    key = mask = 0
    members = {word: slot for word, slot, _ in _GROUPS[name]}
    for part in body.split(","):
        word, _, text = part.strip().partition("=")
        slot = members[word]
        value, bits = _read("dec", text, VIEW[slot].ones)
        key |= value << OFFSET[slot]
        mask |= bits << OFFSET[slot]
    return key, mask


def _read_options(body: str) -> tuple[int, int]:
    data, masks = b"", b""
    for option in re.findall(r"\{([^}]*)\}", body):
        words = [word.strip() for word in option.split(",")]
        named = dict(word.split("=", 1) for word in words[:3])
        kind, number, size = (scan_integer(named[name]) for name in ("class", "type", "len"))
        if kind is None or number is None or size is None or size % 4 or size > 124:
            raise ValueError(option)
        data += kind.to_bytes(2, "big") + bytes([number, size // 4])
        masks += b"\xff" * 4
        if size:
            value, mask = _read("hex", words[3], (1 << size * 8) - 1)
            data += value.to_bytes(size, "big")
            masks += mask.to_bytes(size, "big")
    if len(data) > 252 or not data:
        raise ValueError(body)
    shift, length = OFFSET["tun_options"], OFFSET["tun_options_length"]
    value = int.from_bytes(data.ljust(256, b"\0"), "big") << shift | len(data) // 4 << length
    return value, int.from_bytes(masks.ljust(256, b"\0"), "big") << shift | 0xFF << length
