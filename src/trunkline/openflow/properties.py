"""Properties, as OpenFlow 1.4 puts them into its messages: type, length, value, padding to eight bytes.

The length counts the header's four bytes and not the padding (OpenFlow 1.5.1, section 7.2.2, for example).
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final

from trunkline.openflow.wire import DecodeError

_HEADER: Final = Struct("!HH")


def properties(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each property from `start` on.  Raises DecodeError where one does not fit."""
    end = len(data)
    while start < end:
        if end - start < 4:
            raise DecodeError("OFPBPC_BAD_LEN")
        kind, size = _HEADER.unpack_from(data, start)
        after = start + (size + 7) // 8 * 8
        if size < 4 or after > end:
            raise DecodeError("OFPBPC_BAD_LEN")
        yield kind, data[start + 4 : start + size]
        start = after


def pack_property(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return _HEADER.pack(kind, size) + value + bytes(-size % 8)


def number(value: bytes, octets: int) -> int:
    """The number that a property's value is.  Raises DecodeError when it has another size."""
    if len(value) != octets:
        raise DecodeError("OFPBPC_BAD_LEN")
    return int.from_bytes(value, "big")
