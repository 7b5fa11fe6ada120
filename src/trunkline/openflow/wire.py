"""The frame of OpenFlow: headers, kinds, ports, and the cutting of a byte stream into messages.

Every message starts with eight bytes: version, type, length (of the whole, header included) and a transaction
id (xid) that pairs replies with requests.  Multipart and experimenter messages tell their kind in further
words; `split` peels all of them off and returns a `Kind` of the table of messages and the body.
"""

from struct import Struct
from typing import Final, NamedTuple

from trunkline.model.openflow import OFPP_MAX
from trunkline.model.openflow_errors import ERRORS, NICIRA, STANDARD
from trunkline.model.openflow_messages import (
    KINDS,
    NICIRA_EXPERIMENTER,
    NXST_REPLY,
    NXST_REQUEST,
    NXT,
    OFPST_REPLY,
    OFPST_REQUEST,
    OFPT,
    ONF_EXPERIMENTER,
    ONFST_REPLY,
    ONFST_REQUEST,
    ONFT,
    Kind,
)

HEADER: Final = Struct("!BBHI")
MULTIPART_MORE: Final = 1
MAX_LENGTH: Final = 0xFFFF
_EXPERIMENTER_TYPE: Final = 4
_EXPERIMENTER_STATISTICS: Final = 0xFFFF
_TWO_WORDS: Final = Struct("!II")


class DecodeError(Exception):
    """A message is not as the specification has it; `error` is the name of the OpenFlow error for it.

    `partial` is as much of the message as could be read, where that is worth showing, and `note` what its
    text then says at the end; `shown` is what the text calls an error that the original does not name.
    """

    def __init__(self, error: str, detail: str = "", partial: object = None) -> None:
        super().__init__(f"{error}: {detail}" if detail else error)
        self.error = error
        self.detail = detail
        self.partial = partial
        self.note = ""
        self.shown = error


def nameless(error: str, detail: str = "") -> DecodeError:
    """A DecodeError that the original has no name for where it shows it."""
    problem = DecodeError(error, detail)
    problem.shown = "<invalid>"
    return problem


class EncodeError(Exception):
    """The version at hand has no way to say this; the text says what."""


class Protocol(NamedTuple):
    """How messages are written on a connection: the version, and for 1.0 the extensions switched on.

    `nxm`: flow messages are Nicira's; `table_id`: a flow-mod's command carries a table; `packet_in`: the
    packet-in format (0 standard, 1 NXT_PACKET_IN, 2 NXT_PACKET_IN2).
    """

    version: int
    nxm: bool = False
    table_id: bool = False
    packet_in: int = 0


class Envelope(NamedTuple):
    """A message peeled: its kind, xid, body, and whether more parts of a multipart message follow."""

    version: int
    xid: int
    kind: Kind
    body: bytes
    more: bool


def _index_kinds() -> tuple[dict[tuple[int, str, int], Kind], dict[tuple[int, str], Kind]]:
    by_number: dict[tuple[int, str, int], Kind] = {}
    by_name: dict[tuple[int, str], Kind] = {}
    for kind in KINDS:
        for version in range(kind.first, kind.last + 1):
            by_number[version, kind.family, kind.number] = kind
            by_name[version, kind.name] = kind
    return by_number, by_name


_BY_NUMBER, _BY_NAME = _index_kinds()
_MULTIPART_TYPES: Final = {
    version: {(16 if version == 1 else 18): False, (17 if version == 1 else 19): True}
    for version in range(1, 7)
}
_EXPERIMENTER_FAMILIES: Final = {
    NICIRA_EXPERIMENTER: (NXT, NXST_REQUEST, NXST_REPLY),
    ONF_EXPERIMENTER: (ONFT, ONFST_REQUEST, ONFST_REPLY),
}
_FAMILY_EXPERIMENTER: Final = {
    family: experimenter for experimenter, families in _EXPERIMENTER_FAMILIES.items() for family in families
}
VERSIONS: Final = range(1, 7)


def kind_named(version: int, name: str) -> Kind:
    """The kind `name` in `version`.  Raises EncodeError where the version has none."""
    try:
        return _BY_NAME[version, name]
    except KeyError:
        raise EncodeError(f"{name} is not in OpenFlow wire version {version}") from None


def split(data: bytes) -> Envelope:
    """Peels a whole message.  Raises DecodeError with the error that the specification has for it."""
    version, kind_type, length, xid = HEADER.unpack_from(data)
    if version not in VERSIONS:
        raise DecodeError("OFPBRC_BAD_VERSION", f"version {version}")
    if length != len(data):
        raise DecodeError("OFPBRC_BAD_LEN", f"length {length} in a message of {len(data)} bytes")
    reply = _MULTIPART_TYPES[version].get(kind_type)
    more = False
    if reply is not None:
        kind, start, more = multipart_kind(data, version, reply)
    elif kind_type == _EXPERIMENTER_TYPE:
        kind, start = _experimenter_kind(data, version), 16
    else:
        found = _BY_NUMBER.get((version, OFPT, kind_type))
        if found is None:
            raise DecodeError("OFPBRC_BAD_TYPE", f"type {kind_type}")
        kind, start = found, 8
    extra = length - start - kind.minimum
    if extra < 0 or (extra and (kind.step == 0 or extra % kind.step)):
        raise DecodeError("OFPBRC_BAD_LEN", f"{kind.name} with a body of {length - start} bytes")
    return Envelope(version, xid, kind, data[start:], more)


def padded_number(body: bytes) -> int:
    """The 16 bits behind six bytes that must be 0: the whole of some messages.  Raises DecodeError."""
    if any(body[:6]):
        raise DecodeError("NXBRC_MUST_BE_ZERO")
    return int.from_bytes(body[6:8], "big")


_TABLE_FEATURES: Final = 12  # the one request that is carried out part by part: see parts.py


def multipart_kind(data: bytes, version: int, reply: bool) -> tuple[Kind, int, bool]:
    """The kind of a multipart message, where its body begins, and whether more of it follows.

    Raises DecodeError.
    """
    start = 12 if version == 1 else 16
    if len(data) < start:
        raise DecodeError("OFPBRC_BAD_LEN", "multipart header")
    number = int.from_bytes(data[8:10], "big")
    more = bool(data[11] & MULTIPART_MORE) and (reply or number == _TABLE_FEATURES)
    if number != _EXPERIMENTER_STATISTICS:
        kind = _BY_NUMBER.get((version, OFPST_REPLY if reply else OFPST_REQUEST, number))
        if kind is None:
            raise DecodeError("OFPBRC_BAD_STAT", f"multipart type {number}")
        return kind, start, more
    if len(data) < start + (4 if version == 1 else 8):
        raise DecodeError("OFPBRC_BAD_LEN", "experimenter multipart header")
    experimenter = int.from_bytes(data[start : start + 4], "big")
    families = _EXPERIMENTER_FAMILIES.get(experimenter)
    if families is None:
        raise DecodeError("OFPBRC_BAD_VENDOR", f"experimenter 0x{experimenter:x}")
    if len(data) < start + (12 if version == 1 else 8):
        raise DecodeError("OFPBRC_BAD_LEN", "experimenter multipart header")
    _, subtype = _TWO_WORDS.unpack_from(data, start)
    kind = _BY_NUMBER.get((version, families[2 if reply else 1], subtype))
    if kind is None:
        raise DecodeError("OFPBRC_BAD_SUBTYPE", f"experimenter multipart type {subtype}")
    return kind, start + (12 if version == 1 else 8), more


def _experimenter_kind(data: bytes, version: int) -> Kind:
    if len(data) < 16:
        raise DecodeError("OFPBRC_BAD_LEN", "experimenter header")
    experimenter = int.from_bytes(data[8:12], "big")
    families = _EXPERIMENTER_FAMILIES.get(experimenter)
    if families is None:
        raise DecodeError("OFPBRC_BAD_VENDOR", f"experimenter 0x{experimenter:x}")
    subtype = int.from_bytes(data[12:16], "big")
    kind = _BY_NUMBER.get((version, families[0], subtype))
    if kind is None:
        raise DecodeError("OFPBRC_BAD_SUBTYPE", f"experimenter type {subtype}")
    return kind


def join(version: int, kind_name: str, xid: int, body: bytes, more: bool = False) -> bytes:
    """A whole message from its kind's name and its body.  Raises EncodeError."""
    kind = kind_named(version, kind_name)
    family = kind.family
    if family == OFPT:
        return HEADER.pack(version, kind.number, _checked(8 + len(body)), xid) + body
    experimenter = _FAMILY_EXPERIMENTER.get(family)
    if family in (NXT, ONFT):
        assert experimenter is not None
        head = _TWO_WORDS.pack(experimenter, kind.number)
        return HEADER.pack(version, _EXPERIMENTER_TYPE, _checked(16 + len(body)), xid) + head + body
    reply = family in (OFPST_REPLY, NXST_REPLY, ONFST_REPLY)
    number = kind.number if experimenter is None else _EXPERIMENTER_STATISTICS
    head = number.to_bytes(2, "big") + (b"\0\1" if more else b"\0\0") + (b"" if version == 1 else bytes(4))
    if experimenter is not None:
        head += _TWO_WORDS.pack(experimenter, kind.number) + (bytes(4) if version == 1 else b"")
    message_type = (16 if version == 1 else 18) + reply
    return HEADER.pack(version, message_type, _checked(8 + len(head) + len(body)), xid) + head + body


def _checked(length: int) -> int:
    if length > MAX_LENGTH:
        raise EncodeError(f"a message of {length} bytes is longer than {MAX_LENGTH}")
    return length


class Framer:
    """Cuts a stream of bytes into whole messages.  `broken` is set once a length under 8 has been seen.

    `bad_length` is that length.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self.broken = False
        self.bad_length = 0

    def feed(self, data: bytes) -> list[bytes]:
        buffer = self._buffer + data if self._buffer else data
        messages: list[bytes] = []
        start, end = 0, len(buffer)
        while end - start >= 8 and not self.broken:
            length = buffer[start + 2] << 8 | buffer[start + 3]
            if length < 8:
                self.broken = True
                self.bad_length = length
            elif start + length > end:
                break
            else:
                messages.append(buffer[start : start + length])
                start += length
        self._buffer = buffer[start:]
        return messages


# ---- ports ----


def port_from_wire(port: int) -> int:
    """A 32-bit port of OpenFlow 1.1 on as the 16-bit number used inside.  Raises DecodeError."""
    if port < OFPP_MAX:
        return port
    if port >= 0xFFFFFF00:
        return port & 0xFFFF
    raise DecodeError("OFPBAC_BAD_OUT_PORT", f"port {port} is outside the supported range")


def port_to_wire(port: int) -> int:
    return port | 0xFFFF0000 if port >= OFPP_MAX else port


# ---- errors ----


def _index_errors() -> tuple[
    dict[tuple[int, int, int, int], str], dict[tuple[int, str], tuple[int, int, int]]
]:
    by_number: dict[tuple[int, int, int, int], str] = {}
    by_name: dict[tuple[int, str], tuple[int, int, int]] = {}
    for error in ERRORS:
        for version in range(error.first, error.last + 1):
            by_number[version, error.vendor, error.type, error.code] = error.name
            by_name.setdefault((version, error.name), (error.vendor, error.type, error.code))
    return by_number, by_name


_ERROR_BY_NUMBER, _ERROR_BY_NAME = _index_errors()


def error_name(version: int, vendor: int, error_type: int, code: int) -> str | None:
    return _ERROR_BY_NUMBER.get((version, vendor, error_type, code))


def error_number(version: int, name: str) -> tuple[int, int, int]:
    """(vendor, type, code) of an error.  One that the version cannot say is NXBRC_UNENCODABLE_ERROR."""
    numbers = _ERROR_BY_NAME.get((version, name)) or _ERROR_BY_NAME.get((version, "NXBRC_UNENCODABLE_ERROR"))
    return numbers if numbers is not None else (NICIRA, 1, 0x208)


__all__ = [
    "HEADER",
    "STANDARD",
    "DecodeError",
    "EncodeError",
    "Envelope",
    "Framer",
    "Protocol",
    "error_name",
    "error_number",
    "join",
    "kind_named",
    "port_from_wire",
    "port_to_wire",
    "split",
]
