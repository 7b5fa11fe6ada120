"""What all messages about flows share: cookies beside NXM, matches of 1.1 on, flags.

Nicira's messages carry a cookie to select by as a pseudo field within their NXM match."""

from typing import Final

from trunkline.flow.key import VIEW
from trunkline.flow.match import Match
from trunkline.model import openflow as of
from trunkline.openflow import match11, oxm
from trunkline.openflow.action_effects import Packets
from trunkline.openflow.wire import DecodeError, port_from_wire

ALL_COOKIE: Final = 0xFFFFFFFFFFFFFFFF


# ---- cookies within NXM: the pseudo field 30 of class 1, with eight bytes  ----


def pull_cookie(data: bytes) -> tuple[bytes, int, int]:
    """NXM without its cookie entry, and the cookie and its mask."""
    if b"\0\1\x3c" not in data and b"\0\1\x3d" not in data:
        return data, 0, 0
    position = 0
    while position + 4 <= len(data):
        length = data[position + 3]
        if data[position : position + 3] in (b"\0\1\x3c", b"\0\1\x3d") and length in (8, 16):
            start, end = position + 4, position + 4 + length
            if end > len(data):
                break
            cookie = int.from_bytes(data[start : start + 8], "big")
            mask = int.from_bytes(data[start + 8 : end], "big") if length == 16 else ALL_COOKIE
            if cookie & ~mask:
                raise DecodeError("OFPBMC_BAD_WILDCARDS")
            return data[:position] + data[end:], cookie, mask
        position += 4 + length
    return data, 0, 0


def _cookie_entry(cookie: int, mask: int) -> bytes:
    if not mask:
        return b""
    if mask == ALL_COOKIE:
        return b"\0\1\x3c\x08" + cookie.to_bytes(8, "big")
    return b"\0\1\x3d\x10" + (cookie & mask).to_bytes(8, "big") + mask.to_bytes(8, "big")


def pull_nxm(body: bytes, start: int, length: int, loose: bool = False) -> tuple[Match, int, int, int]:
    """(match, cookie, cookie mask, end) of the NXM of `length` bytes at `start`, padded to eight."""
    end = start + (length + 7) // 8 * 8
    if end > len(body):
        raise DecodeError("OFPBMC_BAD_LEN")
    data, cookie, mask = pull_cookie(body[start : start + length])
    return oxm.decode(data, loose=loose), cookie, mask, end


def nxm_with_cookie(match: Match, cookie: int = 0, mask: int = 0) -> bytes:
    return oxm.encode(match, oxm.NXM) + _cookie_entry(cookie, mask)


def nxm(match: Match, cookie: int = 0, mask: int = 0) -> tuple[int, bytes]:
    """(length, padded bytes)."""
    data = nxm_with_cookie(match, cookie, mask)
    return len(data), data + bytes(-len(data) % 8)


def packets_of(match: Match) -> Packets:
    """What actions need to know of the packets that they are for."""
    tags = match.value >> VIEW["vlan_tci"].shift >> 12 & 1
    return Packets(tags, match.value >> VIEW["nw_proto"].shift & 0xFF)


def flags_from(flags: int, version: int, command: int) -> int:
    known = {1: 7, 2: 3, 3: 7}.get(version, 31)
    if flags & ~known:
        raise DecodeError("OFPFMFC_BAD_FLAGS")
    if version == 1:
        emergency = of.OFPFF_EMERG if flags & 4 else 0
        flags = flags & 3 | emergency
    if version <= 2 and command == of.OFPFC_ADD:
        flags |= of.OFPFF_RESET_COUNTS  # before 1.2 an add always resets
    return flags


def flags_to(flags: int, version: int) -> int:
    if version == 1:
        return flags & 3 | (4 if flags & of.OFPFF_EMERG else 0)
    return flags & {2: 3, 3: 7}.get(version, 31)


def outputs(out_port: int, out_group: int) -> tuple[int, int]:
    return port_from_wire(out_port), out_group


def decode_match11(body: bytes, position: int, version: int, loose: bool = False) -> tuple[Match, int]:
    """A match with its header: the fixed one of 1.1, which later versions may carry as well, or OXM."""
    if len(body) < position + 4:
        raise DecodeError("OFPBMC_BAD_LEN")
    if not body[position] and not body[position + 1]:
        if body[position + 2 : position + 4] != match11.SIZE.to_bytes(2, "big"):
            raise DecodeError("OFPBMC_BAD_LEN")
        return match11.decode(body, position)
    return oxm.decode_oxm_match(body, position, loose=loose)


def encode_match11(match: Match, version: int) -> bytes:
    if version == 2:
        return match11.encode(match)
    return oxm.encode_oxm_match(match, version)
