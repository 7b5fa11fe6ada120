"""The settings of a tunnel, out of Interface:options, with what is wrong with them in the original's words.

    settings = parse_tunnel("vx0", "vxlan", {"remote_ip": "10.0.0.2", "key": "flow"}, warn)

Addresses are of either family, ints of 128 bits (base/addresses.py).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from trunkline.base.addresses import MAPPED, format_address, is_mapped, parse_address
from trunkline.model.tunnels import DEFAULT_TTL, LEGACY_L3, PTAP, TUNNEL_TYPES, TunnelType

INHERIT: Final = -1  # as tos or ttl: what the packet inside has
_FLOW: Final = "flow"
_GPE: Final = "gpe"
_CERTIFIED: Final = ("remote_cert", "remote_name")  # encryption by keys that somebody negotiates
_IKE: Final = ("psk", *_CERTIFIED)


class TunnelError(Exception):
    """A tunnel cannot be; the text says why, with the interface's name."""


class TunnelSettings(NamedTuple):
    """`local` and `remote` None: whatever the flow says; `local` 0: whatever the route says.

    `in_key` and `out_key` None: the flow says; `has_in_key` and `has_out_key`: the header carries one.
    `tos` and `ttl` may be INHERIT.  `mark` None: packets keep theirs.  The erspan fields are None where the
    flow says.  `extensions` as in dpif/provider.py, TunnelPort.
    """

    type: str
    local: int | None = 0
    remote: int | None = 0
    in_key: int | None = 0
    out_key: int | None = 0
    has_in_key: bool = False
    has_out_key: bool = False
    destination: int = 0
    tos: int = 0
    ttl: int = DEFAULT_TTL
    dont_fragment: bool = True
    csum: bool = False
    sequence: bool = False
    mark: int | None = None
    extensions: frozenset[str] = frozenset()
    mode: str = "legacy_l2"
    erspan_version: int | None = 0
    erspan_index: int | None = 0
    erspan_direction: int | None = 0
    erspan_hardware: int | None = 0
    secret: str = ""  # options:psk: all packets are encrypted by it


Warn = Callable[[str, str], None]
"""Is told (module, text) of what is odd but no reason to give up."""


def leading_number(text: str) -> int:
    """The decimal number that a text begins with, as C's atoi; 0 if there is none."""
    found = re.match(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", text)
    return max(-(1 << 63), min(int(found[1]), (1 << 63) - 1)) if found else 0


def leading_c_number(text: str) -> int:
    """Like C's strtoull with base 0: 0x and 0 prefixes count."""
    found = re.match(r"[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)", text)
    if not found:
        return 0
    digits = found[2]
    if digits[:2] in ("0x", "0X"):
        value = int(digits[2:], 16)
    elif digits[0] == "0":
        octal = re.match(r"0[0-7]*", digits)
        value = int(octal[0], 8) if octal else 0
    else:
        value = int(digits)
    value = min(value, 0xFFFFFFFFFFFFFFFF)
    return -value & 0xFFFFFFFFFFFFFFFF if found[1] == "-" else value


def leading_hexadecimal(text: str) -> int:
    """Like C's strtoll with base 16; no number is 0."""
    found = _HEXADECIMAL.match(text)
    return int(found[1] + found[2], 16) if found else 0


_HEXADECIMAL: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]+)")


def parse_tunnel(name: str, type: str, options: Mapping[str, str], warn: Warn) -> TunnelSettings:
    """Raises TunnelError."""
    reader = _Reader(name, TUNNEL_TYPES[type], options, warn)
    return reader.read()


class _Reader:
    """What has been read of a tunnel's options so far; `problems` become the error if there is one."""

    def __init__(self, name: str, row: TunnelType, options: Mapping[str, str], warn: Warn) -> None:
        self.name = name
        self.row = row
        self.options = options
        self.warn = warn
        self.problems: list[str] = []
        self.found: dict[str, Any] = {"type": row.name, "mode": row.modes[0], "remote": 0}
        if row.port is not None:
            self.found["destination"] = row.port

    def read(self) -> TunnelSettings:
        certified = [key for key in _CERTIFIED if key in self.options]
        if certified:
            raise TunnelError(
                f"{self.name}: options:{certified[0]} asks for IPsec with certificates, which is not there: "
                "packets would go in clear (options:psk is there)"
            )
        for key, text in sorted(self.options.items()):
            reader = _READERS.get(key)
            if key not in _KNOWN or not self._takes(key):
                self.problem(f"unknown {self.row.name} argument '{key}'")
            elif reader is not None:
                reader(self, text)
        for key, last in _LAST.items():  # of which the first that is wrong ends it
            if key in self.options and self._takes(key):
                last(self, self.options[key])
        self._keys()
        self._erspan()
        if not self.row.erspan:  # wrong ones are refused anywhere
            for name in _ERSPAN_SETTINGS:
                self.found.pop(name, None)
        self._mode()
        self._addresses()
        self._secret()
        if self.problems:
            self.warn("netdev_vport", "\n".join(self.problems))
        return TunnelSettings(**self.found)

    def _takes(self, key: str) -> bool:
        row = self.row
        return {
            "dst_port": row.port is not None,
            "exts": bool(row.extensions),
            "seq": row.sequenced,
            "csum": row.summed,
        }.get(key, True)

    def problem(self, text: str) -> None:
        self.problems.append(f"{self.name}: {text}")

    def fail(self, text: str) -> TunnelError:
        self.problem(text)
        whole = "\n".join(self.problems)
        self.warn("netdev_vport", whole)
        return TunnelError(whole)

    def _secret(self) -> None:
        """Raises TunnelError: without encryption nothing may go."""
        secret = self.options.get("psk")
        if secret is None:
            return
        if not self.row.protected:
            raise self.fail(
                f"options:psk is not for tunnels of type {self.row.name}: they cannot be encrypted"
            )
        if not secret:
            raise self.fail("options:psk is empty")
        if not self.found["remote"]:
            raise self.fail("options:psk needs the remote_ip of one host")
        if self.found.get("local", 0) is None:
            raise self.fail("options:psk cannot be with local_ip=flow")
        self.found["secret"] = secret

    # ---- the options

    def address(self, side: str, text: str) -> int | None:
        address = parse_address(text)
        if address is None:
            kind = "IPv6" if ":" in text else "IP"
            self.warn("socket_util", f'"{text}" is not a valid {kind} address')
            self.problem(f"bad {self.row.name} '{side}'")
        return address

    def local_ip(self, text: str) -> None:
        self.found["local"] = None if text == _FLOW else self.address("local_ip", text) or 0

    def remote_ip(self, text: str) -> None:
        if text == _FLOW:
            self.found["remote"] = None
            return
        address = self.address("remote_ip", text)
        if address is None:
            return
        if address >> 120 == 0xFF or (is_mapped(address) and address >> 28 & 0xF == 0xE):
            raise self.fail(f"multicast remote_ip={text} not allowed")
        self.found["remote"] = address

    def tos(self, text: str) -> None:
        if text == "inherit":
            self.found["tos"] = INHERIT
            return
        found = re.fullmatch(r"[ \t\n\v\f\r]*[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+)", text)
        value = leading_c_number(text) if found else 256
        if value > 255 or value & 3:  # the low bits are not for people to choose (RFC 3168)
            self.problem(f"invalid TOS {text}")
        else:
            self.found["tos"] = value

    def ttl(self, text: str) -> None:
        value = INHERIT if text == "inherit" else leading_number(text) & 0xFF
        self.found["ttl"] = value or DEFAULT_TTL

    def dst_port(self, text: str) -> None:
        self.found["destination"] = leading_number(text) & 0xFFFF

    def csum(self, text: str) -> None:
        self.found["csum"] = text == "true"

    def seq(self, text: str) -> None:
        self.found["sequence"] = text == "true"

    def df_default(self, text: str) -> None:
        self.found["dont_fragment"] = text != "false"

    def egress_pkt_mark(self, text: str) -> None:
        self.found["mark"] = leading_number(text) & 0xFFFFFFFF

    def exts(self, text: str) -> None:
        named = [one for one in text.split(",") if one]
        for one in named:
            if one not in self.row.extensions:
                self.problem(f"unknown extension '{one}'")
        self.found["extensions"] = frozenset(named) & self.row.extensions

    def packet_type(self, text: str) -> None:
        if text not in ("legacy_l2", LEGACY_L3, PTAP):
            raise self.fail(f"unknown packet_type '{text}'")
        self.found["mode"] = text

    def payload_type(self, text: str) -> None:
        value = leading_hexadecimal(text)
        if text not in ("ip", "mpls") and not (_HEXADECIMAL.fullmatch(text) and 0 <= value <= 0xFFFF):
            if self.problems:
                self.warn("netdev_vport", "\n".join(self.problems))
            text = f"{self.name}: could not set configuration (Invalid argument)"
            raise TunnelError("\n".join(self.problems) or text)
        if not self.row.payload:
            return
        if text == "mpls":
            self.found["extensions"] = frozenset(("mpls",))
        elif text != "ip":
            self.found["extensions"] = frozenset((f"{value:#06x}",))

    # ---- what follows from several

    def _keys(self) -> None:
        options, found = self.options, self.found
        for one in ("in", "out"):
            text = options.get(f"{one}_key", options.get("key"))
            if text is None:
                continue
            found[f"has_{one}_key"] = True
            found[f"{one}_key"] = None if text == _FLOW else leading_c_number(text)

    def erspan_ver(self, text: str) -> None:
        version = None if text == _FLOW else leading_number(text)
        if version not in (None, 1, 2):
            raise self.fail(f"invalid erspan version: {text}")
        self.found["erspan_version"] = version

    def erspan_idx(self, text: str) -> None:
        self._erspan_part("erspan_index", text, leading_hexadecimal(text), 20, "index")

    def erspan_dir(self, text: str) -> None:
        self._erspan_part("erspan_direction", text, leading_number(text) & 0xFFFFFFFF, 1, "direction")

    def erspan_hwid(self, text: str) -> None:
        self._erspan_part("erspan_hardware", text, leading_hexadecimal(text), 6, "hardware ID")

    def _erspan_part(self, name: str, text: str, value: int, bits: int, words: str) -> None:
        if text != _FLOW and value >> bits:
            raise self.fail(f"invalid erspan {words}: {text}")
        self.found[name] = None if text == _FLOW else value

    def _erspan(self) -> None:
        """What the version does not have, or the flow says, is not from the options."""
        found = self.found
        version = found.get("erspan_version", 0)
        if version is None:
            found.update(dict.fromkeys(_ERSPAN_SETTINGS))
        for name, own in (("erspan_index", 1), ("erspan_direction", 2), ("erspan_hardware", 2)):
            if version not in (None, own):
                found.pop(name, None)

    def _mode(self) -> None:
        name, mode, row = self.row.name, self.found["mode"], self.row
        extensions = self.found.get("extensions", frozenset())
        if name == "vxlan" and mode == LEGACY_L3 and _GPE not in extensions:
            raise self.fail("legacy_l3 configured on VXLAN (without GPE) tunnel that cannot carry L3 traffic")
        if mode == "legacy_l2" and mode not in row.modes:
            raise self.fail(f"legacy_l2 configured on {name} tunnel that cannot carry L2 traffic")
        if mode == LEGACY_L3 and mode not in row.modes:
            raise self.fail(f"legacy_l3 configured on {name} tunnel that cannot carry L3 traffic")

    def _addresses(self) -> None:
        name, remote, local = self.row.name, self.found["remote"], self.found.get("local", 0)
        if remote == 0:
            raise self.fail(f"{name} type requires valid 'remote_ip' argument")
        if local is None and remote is not None:
            raise self.fail(f"{name} type requires 'remote_ip=flow' with 'local_ip=flow'")
        if remote and local and is_mapped(remote) != is_mapped(local):
            raise self.fail("'remote_ip' and 'local_ip' has to be of the same address family")


_KEYS: Final = frozenset(("key", "in_key", "out_key"))
_ERSPAN_SETTINGS: Final = ("erspan_version", "erspan_index", "erspan_direction", "erspan_hardware")
_ERSPAN: Final = ("erspan_ver", "erspan_idx", "erspan_dir", "erspan_hwid")
_READERS: Final[dict[str, Callable[[_Reader, str], None]]] = {
    name: getattr(_Reader, name)
    for name in (
        *("local_ip", "remote_ip", "tos", "ttl", "dst_port", "csum", "seq", "df_default", "egress_pkt_mark"),
        "exts",
    )
}
_LAST: Final[dict[str, Callable[[_Reader, str], None]]] = {
    name: getattr(_Reader, name)
    for name in ("erspan_hwid", "erspan_dir", "erspan_idx", "payload_type", "erspan_ver", "packet_type")
}
_KNOWN: Final = frozenset((*_READERS, *_LAST, *_KEYS, *_IKE))


# ---- as text


def describe_options(settings: TunnelSettings) -> str:
    """As dpif/show has it: the options that are not the usual ones, by name."""
    row = TUNNEL_TYPES[settings.type]
    parts: dict[str, str] = {}
    parts.update(_key_texts(settings))
    for name, address in (("remote_ip", settings.remote), ("local_ip", settings.local)):
        if address is None:
            parts[name] = _FLOW
        elif address == MAPPED:
            parts[name] = "::ffff:0.0.0.0"
        elif address:
            parts[name] = format_address(address)
    if settings.tos:
        parts["tos"] = "inherit" if settings.tos == INHERIT else f"{settings.tos:#x}"
    if settings.ttl != DEFAULT_TTL:
        parts["ttl"] = "inherit" if settings.ttl == INHERIT else str(settings.ttl)
    if row.port is not None and settings.destination not in (0, row.port):
        parts["dst_port"] = str(settings.destination)
    for name, shown, text in (
        ("csum", settings.csum, "true"),
        ("seq", settings.sequence, "true"),
        ("df_default", not settings.dont_fragment, "false"),
        ("packet_type", settings.mode != row.modes[0], settings.mode),
        ("egress_pkt_mark", settings.mark is not None, str(settings.mark)),
    ):
        if shown:
            parts[name] = text
    if row.erspan:
        parts.update(_erspan_texts(settings))
    return ", ".join(f"{name}={parts[name]}" for name in sorted(parts))


def _key_texts(settings: TunnelSettings) -> dict[str, str]:
    def text(key: int | None) -> str:
        return _FLOW if key is None else str(key)

    if not settings.has_in_key and not settings.has_out_key:
        return {}
    if settings.has_in_key and settings.has_out_key and settings.in_key == settings.out_key:
        return {"key": text(settings.in_key)}
    parts = {}
    if settings.has_in_key:
        parts["in_key"] = text(settings.in_key)
    if settings.has_out_key:
        parts["out_key"] = text(settings.out_key)
    return parts


def _erspan_texts(settings: TunnelSettings) -> dict[str, str]:
    version = settings.erspan_version

    def text(value: int | None) -> str:
        return _FLOW if value is None else f"{value:#x}"

    if version is None:
        return dict.fromkeys(_ERSPAN, _FLOW)
    parts = {"erspan_ver": str(version)}
    if version == 1:
        parts["erspan_idx"] = text(settings.erspan_index)
    elif version == 2:
        direction = settings.erspan_direction
        parts["erspan_dir"] = _FLOW if direction is None else str(direction)
        parts["erspan_hwid"] = text(settings.erspan_hardware)
    return parts


def describe_tunnel(settings: TunnelSettings, datapath_port: int) -> str:
    """As ofproto/list-tunnels and the log have it."""

    def end(address: int | None) -> str:
        return _FLOW if address is None else format_address(address)

    def key(number: int | None) -> str:
        return _FLOW if number is None else f"{number:#x}" if number else "0"

    text = f"{settings.type}: {end(settings.local)}->{end(settings.remote)}, key={key(settings.in_key)}, "
    text += f"{settings.mode}, dp port={datapath_port}"
    if settings.out_key != settings.in_key:
        text += f", out_key={key(settings.out_key)}"
    text += f", ttl={'inherit' if settings.ttl == INHERIT else settings.ttl}"
    if settings.tos:
        text += f", tos={'inherit' if settings.tos == INHERIT else f'{settings.tos:#x}'}"
    if not settings.dont_fragment:
        text += ", df=false"
    if settings.csum:
        text += ", csum=true"
    return text
