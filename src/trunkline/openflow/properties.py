"""Properties, as OpenFlow 1.4 puts them into its messages: type, length, value, padding to eight bytes.

The length counts the header's four bytes and not the padding (OpenFlow 1.5.1, section 7.2.2, for example).
Type 0xffff leaves the meaning to an experimenter, whose number and whose own type come first in the value;
here such a property has the one number ``experimenter << 32 | type``.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final

from trunkline.openflow.wire import DecodeError

_HEADER: Final = Struct("!HH")
_EXPERIMENTER: Final = Struct("!HHII")
_EXPERIMENTER_TYPE: Final = 0xFFFF
_PADDED: Final = 2


def properties(
    data: bytes,
    start: int = 0,
    end: int | None = None,
    experimenters: tuple[int, ...] = (_EXPERIMENTER_TYPE,),
) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each property in data[start:end].  Raises DecodeError where one does not fit.

    `experimenters` are the types that experimenters own: some messages have two.
    """
    end = len(data) if end is None else end
    while start < end:
        if end - start < 4:
            raise DecodeError("OFPBPC_BAD_LEN")
        kind, size = _HEADER.unpack_from(data, start)
        after = start + (size + 7) // 8 * 8
        if size < 4 or after > end:
            raise DecodeError("OFPBPC_BAD_LEN")
        header = 4
        if kind in experimenters:
            header = _EXPERIMENTER.size
            if size < header:
                raise DecodeError("OFPBPC_BAD_LEN")
            _, _, experimenter, own_type = _EXPERIMENTER.unpack_from(data, start)
            if not experimenter:
                raise DecodeError("OFPBPC_BAD_EXPERIMENTER")
            kind = experimenter << 32 | own_type
        yield kind, data[start + header : start + size]
        start = after


def experimental(experimenter: int, own_type: int) -> int:
    """The number of an experimenter's property, as `properties` gives it."""
    return experimenter << 32 | own_type


def unknown_property(kind: int, owner: str) -> DecodeError:
    """The error for a property that nobody knows."""
    if kind >> 32:
        detail = f"property {kind & 0xFFFFFFFF} of experimenter 0x{kind >> 32:x} in {owner}"
        return DecodeError("OFPBPC_BAD_EXP_TYPE", detail)
    return DecodeError("OFPBPC_BAD_TYPE", f"property {kind} in {owner}")


def pack_property(kind: int, value: bytes) -> bytes:
    if kind >> 32:
        value = kind.to_bytes(8, "big") + value
        kind = _EXPERIMENTER_TYPE
    size = 4 + len(value)
    return _HEADER.pack(kind, size) + value + bytes(-size % 8)


def number(value: bytes, octets: int) -> int:
    """The number that a property's value is.  Raises DecodeError when it has another size.

    What has one or two octets is padded within the property, so more may come after it.
    """
    if len(value) < octets or (len(value) > octets > _PADDED):
        raise DecodeError("OFPBPC_BAD_LEN")
    return int.from_bytes(value[:octets], "big")
