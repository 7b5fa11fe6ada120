"""Lists of fields in messages: plain headers, or headers with the bits of each that count.

A header is that of a match entry (NXM or OXM) without its value; where bits are given, they stand where the
value would be.
"""

from collections.abc import Sequence

from trunkline.model.fields import FIELD
from trunkline.openflow import oxm
from trunkline.openflow.wire import DecodeError


def decode_masks(data: bytes) -> tuple[tuple[str, int], ...]:
    """(field, mask of the bits that count) of each entry.  Raises DecodeError with an OFPBMC_* error."""
    entries: list[tuple[str, int]] = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            raise DecodeError("OFPBMC_BAD_LEN")
        try:
            field, start = oxm.decode_header(data, at)
        except DecodeError as error:
            raise DecodeError("OFPBMC_BAD_FIELD", error.detail) from None
        if data[at + 2] & 1:
            raise DecodeError("OFPBMC_BAD_MASK", field.name)
        end = at + 4 + data[at + 3]
        if end - start != field.octets:
            raise DecodeError("OFPBMC_BAD_LEN" if end > start else "OFPBMC_BAD_FIELD", field.name)
        if end > len(data):
            raise DecodeError("OFPBMC_BAD_LEN", field.name)
        mask = int.from_bytes(data[start:end], "big")
        ones = (1 << field.bits) - 1
        if not field.maskable and mask != ones:
            raise DecodeError("OFPBMC_BAD_MASK", field.name)
        if any(name == field.name for name, _ in entries):
            raise DecodeError("OFPBMC_DUP_FIELD", field.name)
        entries.append((field.name, mask))
        at = end
    return tuple(entries)


def encode_masks(entries: Sequence[tuple[str, int]], version: int) -> bytes:
    out = b""
    for name, mask in entries:
        out += oxm.encode_header(name, version) + mask.to_bytes(FIELD[name].octets, "big")
    return out
