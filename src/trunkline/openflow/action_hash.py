"""multipath, bundle and bundle_load: actions that choose by a hash of the packet.

`multipath` stores the number of a link in a field; `bundle` outputs to one of its member ports, and
`bundle_load` stores that port instead.
"""

import re
from struct import Struct
from typing import Final

from trunkline.flow.values import TextError
from trunkline.model.fields import FIELD
from trunkline.openflow import actions as a
from trunkline.openflow import oxm
from trunkline.openflow.action_words import ActionContext, c_atoi, known_port, parse_subfield, subfield_text
from trunkline.openflow.style import Style, port_text
from trunkline.openflow.wire import DecodeError

_MULTIPATH: Final = Struct("!HH2xHHI2xH")
_BUNDLE: Final = Struct("!HHHIHH")
_MEMBER_TYPE: Final = 2  # the header of NXM_OF_IN_PORT says that members are ports
_MOST_MEMBERS: Final = 2048


def _tokens(text: str) -> list[str]:
    return [word for word in text.replace(" ", ",").split(",") if word]


def _bundle_tokens(text: str, most: int) -> list[str]:
    """The first words end at commas, the one before the members at a colon, and those at brackets too."""
    found = re.match(rf"[, ]*((?:[^, ]+[, ]+){{{most - 1}}})[ :]*([^ :]+):?(.*)$", text)
    if found is None:
        return []
    return [*_tokens(found.group(1)), found.group(2), *re.findall(r"[^], []+", found.group(3))]


# ---- multipath ----


def read_multipath(text: str, context: ActionContext) -> a.Multipath:
    words = _tokens(text)
    if len(words) < 6:
        raise TextError(f"{text}: not enough arguments to multipath action")
    fields, basis, algorithm, links, argument, destination = words[:6]
    if fields not in a.HASH_FIELDS:
        raise TextError(f"{text}: unknown fields `{fields}'")
    if algorithm not in a.MULTIPATH_ALGORITHMS:
        raise TextError(f"{text}: unknown algorithm `{algorithm}'")
    count = c_atoi(links)
    if not 1 <= count <= 65536:
        raise TextError(f"{text}: n_links {count} is not in valid range 1 to 65536")
    field, offset, bits = parse_subfield(destination)
    if bits < 16 and count > 1 << bits:
        raise TextError(
            f"{text}: {bits}-bit destination field has {1 << bits} possible values, "
            f"less than specified n_links {count}"
        )
    return a.Multipath(
        fields,
        c_atoi(basis) & 0xFFFF,
        algorithm,
        count,
        c_atoi(argument) & 0xFFFFFFFF,
        a.Subfield(field.name, offset, bits),
    )


def write_multipath(x: a.Multipath, style: Style) -> str:
    destination = subfield_text(*x.destination)
    return f"multipath({x.fields},{x.basis},{x.algorithm},{x.links},{x.argument},{destination})"


def encode_multipath(x: a.Multipath) -> tuple[int, bytes]:
    """(subtype, body)."""
    place = x.destination.offset << 6 | x.destination.bits - 1
    fields, algorithm = a.HASH_FIELDS.index(x.fields), a.MULTIPATH_ALGORITHMS.index(x.algorithm)
    head = _MULTIPATH.pack(fields, x.basis, algorithm, x.links - 1, x.argument, place)
    return 10, head + oxm.encode_header(x.destination.field, oxm.NXM)


def decode_multipath(body: bytes) -> a.Multipath:
    fields, basis, algorithm, last, argument, place = _MULTIPATH.unpack_from(body)
    field, _ = oxm.decode_header(body, _MULTIPATH.size, "OFPBAC_BAD_SET_TYPE")
    offset, bits = place >> 6, (place & 0x3F) + 1
    if fields >= len(a.HASH_FIELDS):
        raise DecodeError("OFPBAC_BAD_ARGUMENT", f"unsupported fields {fields}")
    if algorithm >= len(a.MULTIPATH_ALGORITHMS):
        raise DecodeError("OFPBAC_BAD_ARGUMENT", f"unsupported algorithm {algorithm}")
    if bits < 16 and last >= 1 << bits:
        raise DecodeError("OFPBAC_BAD_ARGUMENT", f"{bits}-bit destination for {last + 1} links")
    destination = _writable(field.name, offset, bits)
    return a.Multipath(
        a.HASH_FIELDS[fields], basis, a.MULTIPATH_ALGORITHMS[algorithm], last + 1, argument, destination
    )


def _writable(name: str, offset: int, bits: int) -> a.Subfield:
    if offset + bits > oxm.width(name):
        raise DecodeError("OFPBAC_BAD_SET_LEN", name)
    if not FIELD[name].writable:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", name)
    return a.Subfield(name, offset, bits)


# ---- bundle ----


def read_bundle(text: str, context: ActionContext, load: bool = False) -> a.Bundle:
    """`load`: for bundle_load, whose fifth argument is where the port goes."""
    most = 6 if load else 5
    words = _bundle_tokens(text, most)
    if len(words) < most:
        raise TextError(f"{text}: not enough arguments to bundle action")
    fields, basis, algorithm, member_type = words[:4]
    delimiter = words[most - 1]
    if delimiter.lower() not in ("members", "slaves"):
        raise TextError(f"{text}: missing member delimiter, expected `members', got `{delimiter}'")
    members = []
    for word in words[most:]:
        port = known_port(word, context)
        if port is None:
            raise TextError(f"{word}: bad port number")
        members.append(port)
    if fields not in a.HASH_FIELDS:
        raise TextError(f"{text}: unknown fields `{fields}'")
    if algorithm not in a.BUNDLE_ALGORITHMS:
        raise TextError(f"{text}: unknown algorithm `{algorithm}'")
    if member_type != "ofport":
        raise TextError(f"{text}: unknown member_type `{member_type}'")
    destination = None
    if load:
        field, offset, bits = parse_subfield(words[4])
        destination = a.Subfield(field.name, offset, bits)
    return a.Bundle(fields, c_atoi(basis) & 0xFFFF, algorithm, tuple(members), destination)


def write_bundle(x: a.Bundle, style: Style) -> str:
    name, destination = "bundle", ""
    if x.destination is not None:
        name, destination = "bundle_load", f"{subfield_text(*x.destination)},"
    members = ",".join(port_text(port, style) for port in x.members)
    return f"{name}({x.fields},{x.basis},{x.algorithm},ofport,{destination}members:{members})"


def encode_bundle(x: a.Bundle) -> tuple[int, bytes]:
    """(subtype, body)."""
    place, header = 0, b""
    if x.destination is not None:
        place = x.destination.offset << 6 | x.destination.bits - 1
        header = oxm.encode_header(x.destination.field, oxm.NXM)
    algorithm, fields = a.BUNDLE_ALGORITHMS.index(x.algorithm), a.HASH_FIELDS.index(x.fields)
    head = _BUNDLE.pack(algorithm, fields, x.basis, _MEMBER_TYPE, len(x.members), place)
    members = b"".join(port.to_bytes(2, "big") for port in x.members)
    return 12 if x.destination is None else 13, head + header.ljust(8, b"\0") + members


def decode_bundle(body: bytes, load: bool = False) -> a.Bundle:
    algorithm, fields, basis, _, count, place = _BUNDLE.unpack_from(body)
    if len(body) < _BUNDLE.size + 8:
        raise DecodeError("OFPBAC_BAD_LEN")
    start = _BUNDLE.size + 8
    field = oxm.decode_header(body, _BUNDLE.size, "OFPBAC_BAD_SET_TYPE")[0] if load else None
    if len(body) - start < 2 * count:
        raise DecodeError("OFPBAC_BAD_LEN")
    if count > _MOST_MEMBERS:
        raise DecodeError("OFPBAC_BAD_ARGUMENT", "too many members")
    if fields >= len(a.HASH_FIELDS):
        raise DecodeError("OFPBAC_BAD_ARGUMENT", f"unsupported fields {fields}")
    if algorithm >= len(a.BUNDLE_ALGORITHMS):
        raise DecodeError("OFPBAC_BAD_ARGUMENT", f"unsupported algorithm {algorithm}")
    destination = None
    if field is not None:
        offset, bits = place >> 6, (place & 0x3F) + 1
        if bits < 16:
            raise DecodeError(
                "OFPBAC_BAD_ARGUMENT", "bundle_load action requires at least 16 bit destination"
            )
        destination = a.Subfield(field.name, offset, bits)
    elif place or any(body[_BUNDLE.size : start]):
        raise DecodeError("OFPBAC_BAD_ARGUMENT", "bundle action has nonzero reserved fields")
    members = Struct(f"!{count}H").unpack_from(body, start)
    if destination is not None:
        _writable(*destination)
    for port in members:
        if port >= 0xFF00 and port not in (0xFFF8, 0xFFFE, 0xFFFF):
            raise DecodeError("OFPBAC_BAD_OUT_PORT", f"member {port}")
    return a.Bundle(a.HASH_FIELDS[fields], basis, a.BUNDLE_ALGORITHMS[algorithm], members, destination)
