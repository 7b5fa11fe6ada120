"""What a switch's log says of messages that are refused: the original's words, for whoever reads its log.

One line names the error that goes back and the kind of message; where already the header is wrong (an unknown
type, a length that the kind cannot have), another says how.
"""

from trunkline.model.openflow_messages import KINDS
from trunkline.openflow.wire import HEADER, DecodeError, split

_MULTIPART_AT = 16
_MULTIPART_AT_10 = 12


def refused_as(raw: bytes) -> str:
    """The kind of a message that is refused, "invalid" if its header names none."""
    try:
        return split(raw).kind.name
    except DecodeError as error:
        return _named(error) or "invalid"


def header_complaint(raw: bytes) -> str | None:
    """What is wrong with a message's header, or None."""
    try:
        split(raw)
    except DecodeError as error:
        version, kind, _, _ = HEADER.unpack_from(raw)
        what = f"version {version}, type {kind}"
        match error.error:
            case "OFPBRC_BAD_TYPE":
                return f"unknown OpenFlow message ({what})"
            case "OFPBRC_BAD_STAT":
                return f"unknown OpenFlow message ({what}, stat {_number(raw, 8, 2)})"
            case "OFPBRC_BAD_VENDOR" | "OFPBRC_BAD_SUBTYPE":
                return _of_experimenter(raw, error, what)
            case "OFPBRC_BAD_LEN":
                return _length_complaint(raw, error)
    return None


def _number(raw: bytes, at: int, octets: int) -> int:
    return int.from_bytes(raw[at : at + octets], "big")


def _of_experimenter(raw: bytes, error: DecodeError, what: str) -> str:
    at = 8
    if "multipart" in error.detail or _number(raw, 8, 2) == 0xFFFF:
        at = _MULTIPART_AT_10 if raw[0] == 1 else _MULTIPART_AT
        what += f", stat {_number(raw, 8, 2)}"
    vendor, subtype = _number(raw, at, 4), _number(raw, at + 4, 4)
    if error.error == "OFPBRC_BAD_VENDOR":
        return f"OpenFlow message has unknown vendor 0x{vendor:x}"
    return f"unknown OpenFlow message ({what}, vendor 0x{vendor:x}, subtype {subtype})"


def _named(error: DecodeError) -> str | None:
    name, found, _ = error.detail.partition(" with a body of ")
    return name if found else None


def _length_complaint(raw: bytes, error: DecodeError) -> str | None:
    name = _named(error)
    kind = next((one for one in KINDS if one.name == name and one.first <= raw[0] <= one.last), None)
    if kind is None:
        return None
    body = int(error.detail.split()[-2])
    least = len(raw) - body + kind.minimum
    if kind.step == 0:
        wanted = f"expected length {least}"
    elif kind.step == 1:
        wanted = f"expected length at least {least} bytes"
    else:
        wanted = f"must be exactly {least} bytes or longer by an integer multiple of {kind.step} bytes"
    return f"received {name} with incorrect length {len(raw)} ({wanted})"
