"""Groups: their messages as records, on the wire, and as text.

A group is a number, a type and an ordered list of buckets, each with actions of its own.  OpenFlow 1.1
brought groups; 1.5 numbered buckets, so that one can be inserted or removed, and gave groups properties, of
which the one in use says how a select group chooses a bucket (section 7.3.4.3 of 1.5.1; the property is
Netronome's, described in ovs-ofctl(8)).  For 1.0 there are Nicira messages of 1.5's layout.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.flow.values import format_value
from trunkline.model.fields import FIELD
from trunkline.model.openflow import OFPG_ALL, OFPG_ANY, OFPG_MAX, OFPP_ANY
from trunkline.openflow.action_bits import action_bits_text
from trunkline.openflow.actions import Action
from trunkline.openflow.actions_decode import decode_actions
from trunkline.openflow.actions_encode import encode_actions
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.control import Encoded
from trunkline.openflow.entries import read_entries
from trunkline.openflow.field_lists import decode_masks, encode_masks
from trunkline.openflow.properties import experimental, number, pack_property, properties, unknown_property
from trunkline.openflow.style import Style, duration_text, port_text
from trunkline.openflow.wire import DecodeError, Envelope, Protocol, port_from_wire, port_to_wire

OFPGC_ADD: Final = 0
OFPGC_MODIFY: Final = 1
OFPGC_DELETE: Final = 2
OFPGC_INSERT_BUCKET: Final = 3
OFPGC_REMOVE_BUCKET: Final = 5
OFPGC_ADD_OR_MODIFY: Final = 0x8000
COMMAND_NAMES: Final = {
    OFPGC_ADD: "ADD",
    OFPGC_MODIFY: "MOD",
    OFPGC_DELETE: "DEL",
    OFPGC_ADD_OR_MODIFY: "ADD_OR_MOD",
    OFPGC_INSERT_BUCKET: "INSERT_BUCKET",
    OFPGC_REMOVE_BUCKET: "REMOVE_BUCKET",
}
OFPGT_ALL, OFPGT_SELECT, OFPGT_INDIRECT, OFPGT_FF = range(4)
TYPE_NAMES: Final = ("all", "select", "indirect", "ff")

BUCKET_MAX: Final = 0xFFFFFF00  # larger numbers are reserved
BUCKET_FIRST: Final = 0xFFFFFFFD
BUCKET_LAST: Final = 0xFFFFFFFE
BUCKET_ALL: Final = 0xFFFFFFFF


class Bucket(NamedTuple):
    """`weight` is for select groups; the watched port or group says whether a bucket is alive.

    `number` names the bucket (1.5); before 1.5 buckets are numbered in their order.
    """

    actions: tuple[Action, ...] = ()
    weight: int = 1
    watch_port: int = OFPP_ANY
    watch_group: int = OFPG_ANY
    number: int = BUCKET_ALL


class Selection(NamedTuple):
    """How a select group chooses: `method` "" is the switch's own choice, else ``hash`` or ``dp_hash``.

    `fields` are (name of the field, mask of the bits that count), for ``hash``.
    """

    method: str = ""
    parameter: int = 0
    fields: tuple[tuple[str, int], ...] = ()


class GroupMod(NamedTuple):
    """`command` is OFPGC_*, `type` OFPGT_*.  `command_bucket` says where buckets go in, or which go (1.5)."""

    command: int
    group: int
    type: int = 0
    buckets: tuple[Bucket, ...] = ()
    command_bucket: int = BUCKET_ALL
    selection: Selection = Selection()


class GroupStatsRequest(NamedTuple):
    group: int = OFPG_ALL


class GroupStats(NamedTuple):
    """`buckets` holds (packets, bytes) of each.  Counters are None where unknown, `duration` too."""

    group: int
    references: int
    packets: int | None
    bytes: int | None
    duration: int | None = None
    buckets: tuple[tuple[int | None, int | None], ...] = ()


class GroupStatsReply(NamedTuple):
    groups: tuple[GroupStats, ...]
    more: bool = False


class GroupDescriptionRequest(NamedTuple):
    group: int = OFPG_ALL


class GroupDescription(NamedTuple):
    group: int
    type: int
    buckets: tuple[Bucket, ...]
    selection: Selection = Selection()


class GroupDescriptionReply(NamedTuple):
    groups: tuple[GroupDescription, ...]
    more: bool = False


class GroupFeaturesRequest(NamedTuple):
    pass


class GroupFeaturesReply(NamedTuple):
    """`types` and `capabilities` are bits; most groups and action bits for each type in order of OFPGT_*.

    Bit n of the actions is the action that the version numbers n.
    """

    types: int
    capabilities: int
    most: tuple[int, int, int, int]
    actions: tuple[int, int, int, int]


# ---- buckets ----

_BUCKET11: Final = Struct("!HHII4x")
_BUCKET15: Final = Struct("!HHI")
_WEIGHT, _WATCH_PORT, _WATCH_GROUP = range(3)
_BUCKET_WEIGHT: Final = Struct("!HHHxx")
_BUCKET_WATCH: Final = Struct("!HHI")


def _decode_buckets(data: bytes, version: int, group_type: int) -> tuple[Bucket, ...]:
    """`version` 1 has 1.5's layout with 1.0's actions."""
    read = _decode_bucket11 if 1 < version < 6 else _decode_bucket15
    buckets: list[Bucket] = []
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise DecodeError("OFPGMFC_BAD_BUCKET")
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 8 or at + length > len(data) or (length % 8 and read is _decode_bucket11):
            raise DecodeError("OFPGMFC_BAD_BUCKET")
        bucket = read(data[at : at + length], version, group_type)
        buckets.append(bucket if read is _decode_bucket15 else bucket._replace(number=len(buckets)))
        at += length
    numbers = [bucket.number for bucket in buckets]
    if len(set(numbers)) != len(numbers):
        raise DecodeError("OFPGMFC_BAD_BUCKET", "a bucket number comes twice")
    return tuple(buckets)


def _decode_bucket11(data: bytes, version: int, group_type: int) -> Bucket:
    if len(data) < _BUCKET11.size:
        raise DecodeError("OFPGMFC_BAD_BUCKET")
    _, weight, port, group = _BUCKET11.unpack_from(data)
    return Bucket(decode_actions(data[16:], version), weight, _watched(port), group)


def _watched(port: int) -> int:
    try:
        return port_from_wire(port)
    except DecodeError:
        raise DecodeError("OFPGMFC_BAD_WATCH") from None


def _decode_bucket15(data: bytes, version: int, group_type: int) -> Bucket:
    _, actions_length, own = _BUCKET15.unpack_from(data)
    if actions_length > len(data) - 8:
        raise DecodeError("OFPGMFC_BAD_BUCKET")
    if actions_length % 8:
        raise DecodeError("OFPBRC_BAD_LEN")
    actions = decode_actions(data[8 : 8 + actions_length], version)
    bucket = Bucket(actions, int(group_type == OFPGT_SELECT), number=own)
    for kind, value in properties(data, 8 + actions_length):
        if kind == _WEIGHT:
            if len(value) < 2:
                raise DecodeError("OFPBPC_BAD_LEN")
            bucket = bucket._replace(weight=int.from_bytes(value[:2], "big"))
        elif kind == _WATCH_PORT:
            bucket = bucket._replace(watch_port=_watched(number(value, 4)))
        elif kind == _WATCH_GROUP:
            bucket = bucket._replace(watch_group=number(value, 4))
        else:
            raise unknown_property(kind, "a bucket")
    if own > BUCKET_MAX:
        raise DecodeError("OFPGMFC_BAD_BUCKET", f"bucket number {own}")
    return bucket


def _encode_buckets(buckets: tuple[Bucket, ...], version: int, group_type: int) -> bytes:
    out = b""
    for bucket in buckets:
        actions = encode_actions(bucket.actions, version)
        weight = bucket.weight
        if 1 < version < 6:
            port = port_to_wire(bucket.watch_port)
            out += _BUCKET11.pack(16 + len(actions), weight, port, bucket.watch_group) + actions
            continue
        properties = b""
        if weight or group_type == OFPGT_SELECT:
            properties += _BUCKET_WEIGHT.pack(_WEIGHT, 8, weight)
        if bucket.watch_port != OFPP_ANY:
            properties += _BUCKET_WATCH.pack(_WATCH_PORT, 8, port_to_wire(bucket.watch_port))
        if bucket.watch_group <= OFPG_MAX:
            properties += _BUCKET_WATCH.pack(_WATCH_GROUP, 8, bucket.watch_group)
        head = _BUCKET15.pack(8 + len(actions) + len(properties), len(actions), bucket.number)
        out += head + actions + properties
    return out


# ---- the property that says how a select group selects ----

_SELECTION_METHOD: Final = experimental(0x154D, 1)
_SELECTION: Final = Struct("!4x16sQ")


def _decode_properties(data: bytes, group_type: int, command: int) -> Selection:
    selection = Selection()
    for kind, value in properties(data):
        if kind != _SELECTION_METHOD:
            raise unknown_property(kind, "a group")
        selection = _decode_selection(value, group_type, command)
    return selection


def _decode_selection(data: bytes, group_type: int, command: int) -> Selection:
    if group_type in (OFPGT_ALL, OFPGT_INDIRECT, OFPGT_FF):
        raise DecodeError("OFPBPC_BAD_VALUE", "a selection method is for select groups")
    if command in (OFPGC_DELETE, OFPGC_INSERT_BUCKET, OFPGC_REMOVE_BUCKET):
        raise DecodeError("OFPBPC_BAD_VALUE", "a selection method is for adding and modifying")
    if len(data) < _SELECTION.size:
        raise DecodeError("OFPBPC_BAD_LEN")
    raw, parameter = _SELECTION.unpack_from(data)
    if b"\0" not in raw:
        raise DecodeError("OFPBPC_BAD_VALUE", "the selection method does not end")
    method = raw.split(b"\0", 1)[0].decode("utf-8", "replace")
    if method not in ("hash", "dp_hash"):
        raise DecodeError("OFPBPC_BAD_VALUE", f"selection method {method}")
    rest = data[_SELECTION.size :]
    if rest and method == "dp_hash":
        raise DecodeError("OFPBPC_BAD_VALUE", "dp_hash has no fields")
    return Selection(method, parameter, decode_masks(rest))


def _encode_properties(selection: Selection, version: int) -> bytes:
    if not selection.method:
        return b""
    fields = encode_masks(selection.fields, version if version > 1 else 6)
    head = _SELECTION.pack(selection.method.encode(), selection.parameter)
    return pack_property(_SELECTION_METHOD, head + fields)


# ---- group-mod ----

_MOD11: Final = Struct("!HBxI")
_MOD15: Final = Struct("!HBxIHxxI")


def _decode_mod(envelope: Envelope) -> GroupMod:
    version, body = envelope.version, envelope.body
    if 1 < version < 6:
        command, group_type, group = _MOD11.unpack_from(body)
        mod = GroupMod(command, group, group_type, _decode_buckets(body[8:], version, group_type))
    else:
        command, group_type, group, length, command_bucket = _MOD15.unpack_from(body)
        _check_command_bucket(command, command_bucket)
        if length > len(body) - 16:
            raise DecodeError("OFPBRC_BAD_LEN")
        buckets = _decode_buckets(body[16 : 16 + length], version, group_type)
        selection = _decode_properties(body[16 + length :], group_type, command)
        mod = GroupMod(command, group, group_type, buckets, command_bucket, selection)
    error = group_error(mod)
    if error is not None:
        raise DecodeError(error)
    return mod


def _check_command_bucket(command: int, bucket: int) -> None:
    if command in (OFPGC_INSERT_BUCKET, OFPGC_REMOVE_BUCKET):
        fine = bucket <= BUCKET_MAX or bucket in (BUCKET_FIRST, BUCKET_LAST)
        fine = fine or (command == OFPGC_REMOVE_BUCKET and bucket == BUCKET_ALL)
    else:
        fine = bucket == BUCKET_ALL
    if not fine:
        raise DecodeError("OFPGMFC_BAD_BUCKET", f"command bucket {bucket}")


def group_error(mod: GroupMod) -> str | None:
    """What is wrong with a group-mod in itself: the name of the error, or None."""
    if mod.type >= len(TYPE_NAMES):
        return "OFPGMFC_BAD_TYPE"
    if mod.type == OFPGT_INDIRECT and mod.command != OFPGC_DELETE and len(mod.buckets) != 1:
        return "OFPGMFC_INVALID_GROUP"
    if mod.command not in COMMAND_NAMES:
        return "OFPGMFC_BAD_COMMAND"
    if mod.command == OFPGC_REMOVE_BUCKET and mod.buckets:
        return "OFPGMFC_BAD_BUCKET"
    for bucket in mod.buckets:
        if bucket.weight and mod.type != OFPGT_SELECT and mod.command != OFPGC_INSERT_BUCKET:
            return "OFPGMFC_INVALID_GROUP"
        if mod.type in (OFPGT_ALL, OFPGT_INDIRECT) and _has_liveness(bucket):
            return "OFPGMFC_WATCH_UNSUPPORTED"
        if mod.type == OFPGT_FF and not _has_liveness(bucket):
            return "OFPGMFC_INVALID_GROUP"
    return None


def _has_liveness(bucket: Bucket) -> bool:
    return bucket.watch_port != OFPP_ANY or bucket.watch_group != OFPG_ANY


def _encode_mod(protocol: Protocol, mod: GroupMod) -> Encoded:
    version = protocol.version
    buckets = _encode_buckets(mod.buckets, version, mod.type)
    if 1 < version < 6:
        return "OFPT_GROUP_MOD", _MOD11.pack(mod.command, mod.type, mod.group) + buckets
    head = _MOD15.pack(mod.command, mod.type, mod.group, len(buckets), mod.command_bucket)
    name = "NXT_GROUP_MOD" if version == 1 else "OFPT_GROUP_MOD"
    return name, head + buckets + _encode_properties(mod.selection, version)


def _text_mod(mod: GroupMod, version: int, style: Style) -> str:
    text = f"\n {COMMAND_NAMES[mod.command]} "
    bucket_command = mod.command in (OFPGC_INSERT_BUCKET, OFPGC_REMOVE_BUCKET)
    numbered = version in (1, 6)
    if bucket_command and numbered:
        text += f"command_bucket_id:{bucket_number_text(mod.command_bucket)},"
    group_type = "" if bucket_command else f",type={TYPE_NAMES[mod.type]}"
    head = f"group_id={mod.group}{group_type}"
    return text + head + _group_text(mod.type, mod.buckets, mod.selection, numbered, style)


def bucket_number_text(number: int) -> str:
    return {BUCKET_FIRST: "first", BUCKET_LAST: "last", BUCKET_ALL: "all"}.get(number, str(number))


def _group_text(
    group_type: int, buckets: tuple[Bucket, ...], selection: Selection, numbered: bool, style: Style
) -> str:
    text = ""
    if selection.method:
        text += f",selection_method={selection.method}"
        if selection.parameter:
            text += f",selection_method_param={selection.parameter}"
        text += _fields_text(selection.fields, style)
    for bucket in buckets:
        text += ",bucket="
        if numbered:
            text += f"bucket_id:{bucket.number},"
        if bucket.weight != (group_type == OFPGT_SELECT):
            text += f"weight:{bucket.weight},"
        if bucket.watch_port != OFPP_ANY:
            text += f"watch_port:{port_text(bucket.watch_port, style)},"
        if bucket.watch_group != OFPG_ANY:
            text += f"watch_group:{bucket.watch_group},"
        text += f"actions={format_actions(bucket.actions, style)}"
    return text


def _fields_text(fields: tuple[tuple[str, int], ...], style: Style) -> str:
    if not fields:
        return ""
    words = []
    for name, mask in fields:
        field = FIELD[name]
        full = (1 << field.bits) - 1
        words.append(name if mask == full else f"{name}={format_value(field, mask, full, style.context)}")
    return f",fields={words[0]}" if len(words) == 1 else f",fields({','.join(words)})"


# ---- statistics ----

_NUMBER: Final = Struct("!I4x")
_STATS: Final = Struct("!HxxII4xQQ")
_DURATION: Final = Struct("!II")
_COUNTERS: Final = Struct("!QQ")
_UNKNOWN: Final = 0xFFFFFFFFFFFFFFFF


def _known(value: int) -> int | None:
    return None if value == _UNKNOWN else value


def _wire(value: int | None) -> int:
    return _UNKNOWN if value is None else value


def _decode_stats(envelope: Envelope) -> GroupStatsReply:
    return read_entries(
        envelope,
        _read_stats,
        lambda groups: GroupStatsReply(groups, envelope.more),
        note=" ***parse error***",
    )


def _read_stats(body: bytes, at: int, version: int) -> tuple[GroupStats, int]:
    timed = version >= 4 or version == 1
    least = _STATS.size + (8 if timed else 0)
    if len(body) - at < least:
        raise DecodeError("OFPBRC_BAD_LEN")
    length, group, references, packets, octets = _STATS.unpack_from(body, at)
    if length < least or at + length > len(body):
        raise DecodeError("OFPBRC_BAD_LEN")
    duration = None
    if timed:
        seconds, nanoseconds = _DURATION.unpack_from(body, at + _STATS.size)
        duration = None if seconds == 0xFFFFFFFF else seconds * 10**9 + nanoseconds
    counters = []
    for position in range(at + least, at + length - 15, 16):
        one, two = _COUNTERS.unpack_from(body, position)
        counters.append((_known(one), _known(two)))
    stats = GroupStats(group, references, _known(packets), _known(octets), duration, tuple(counters))
    return stats, at + length


def _encode_stats(version: int, stats: GroupStats) -> bytes:
    timed = version >= 4 or version == 1
    rest = b""
    if timed:
        unknown = (0xFFFFFFFF, 0xFFFFFFFF)
        rest = _DURATION.pack(*(unknown if stats.duration is None else divmod(stats.duration, 10**9)))
    for packets, octets in stats.buckets:
        rest += _COUNTERS.pack(_wire(packets), _wire(octets))
    counters = (_wire(stats.packets), _wire(stats.bytes))
    return _STATS.pack(_STATS.size + len(rest), stats.group, stats.references, *counters) + rest


def _text_stats(reply: GroupStatsReply, version: int, style: Style) -> str:
    text = ""
    for stats in reply.groups:
        text += f"\n group_id={stats.group},"
        if stats.duration is not None:
            text += f"duration={duration_text(stats.duration)},"
        text += f"ref_count={stats.references},"
        text += f"packet_count={_wire(stats.packets)},byte_count={_wire(stats.bytes)}"
        for index, (packets, octets) in enumerate(stats.buckets):
            if packets is not None:
                text += f",bucket{index}:packet_count={packets},byte_count={_wire(octets)}"
    return text


# ---- requests ----


def _decode_number(envelope: Envelope) -> int:
    return int(_NUMBER.unpack_from(envelope.body)[0]) if envelope.body else OFPG_ALL


def _encode_number(name: str, protocol: Protocol, group: int) -> Encoded:
    if protocol.version == 1:
        return f"NXST_{name} request", _NUMBER.pack(group)
    if name == "GROUP_DESC" and protocol.version < 6:
        return f"OFPST_{name} request", b""
    return f"OFPST_{name} request", _NUMBER.pack(group)


def _text_number(request: GroupStatsRequest | GroupDescriptionRequest, version: int, style: Style) -> str:
    return f" group_id={group_text(request.group)}"


def group_text(group: int) -> str:
    return {OFPG_ALL: "ALL", OFPG_ANY: "ANY"}.get(group, str(group))


# ---- descriptions ----

_DESCRIPTION11: Final = Struct("!HBxI")
_DESCRIPTION15: Final = Struct("!HBxIH6x")


def _decode_descriptions(envelope: Envelope) -> GroupDescriptionReply:
    return read_entries(
        envelope, _read_description, lambda groups: GroupDescriptionReply(groups, envelope.more)
    )


def _read_description(body: bytes, at: int, version: int) -> tuple[GroupDescription, int]:
    old = 1 < version < 6
    least = _DESCRIPTION11.size if old else _DESCRIPTION15.size
    if len(body) - at < least:
        raise DecodeError("OFPBRC_BAD_LEN")
    length = int.from_bytes(body[at : at + 2], "big")
    if length < least or at + length > len(body):
        raise DecodeError("OFPBRC_BAD_LEN")
    data = body[at : at + length]
    if old:
        _, group_type, group = _DESCRIPTION11.unpack_from(data)
        buckets = _decode_buckets(data[least:], version, group_type)
        return GroupDescription(group, group_type, buckets), at + length
    _, group_type, group, size = _DESCRIPTION15.unpack_from(data)
    if size > length - least:
        raise DecodeError("OFPBRC_BAD_LEN")
    buckets = _decode_buckets(data[least : least + size], version, group_type)
    selection = _decode_properties(data[least + size :], group_type, OFPGC_ADD)
    return GroupDescription(group, group_type, buckets, selection), at + length


def _encode_description(version: int, group: GroupDescription) -> bytes:
    buckets = _encode_buckets(group.buckets, version, group.type)
    if 1 < version < 6:
        head = _DESCRIPTION11.pack(_DESCRIPTION11.size + len(buckets), group.type, group.group)
        return head + buckets
    rest = buckets + _encode_properties(group.selection, version)
    head = _DESCRIPTION15.pack(_DESCRIPTION15.size + len(rest), group.type, group.group, len(buckets))
    return head + rest


def _text_descriptions(reply: GroupDescriptionReply, version: int, style: Style) -> str:
    text = ""
    for group in reply.groups:
        name = TYPE_NAMES[group.type] if group.type < len(TYPE_NAMES) else "unknown"
        text += f"\n group_id={group.group},type={name}"
        text += _group_text(group.type, group.buckets, group.selection, version in (1, 6), style)
    return text


# ---- features ----

_FEATURES: Final = Struct("!10I")
_TYPE_TITLES: Final = ("all", "select", "indirect", "fast failover")


def _decode_features(envelope: Envelope) -> GroupFeaturesReply:
    types, capabilities, *rest = _FEATURES.unpack(envelope.body)
    most, actions = rest[:4], rest[4:]
    return GroupFeaturesReply(types, capabilities, tuple(most), tuple(actions))


def _nicira(protocol: Protocol) -> str:
    return "NXST" if protocol.version < 3 else "OFPST"


def _text_features(reply: GroupFeaturesReply, version: int, style: Style) -> str:
    text = "\n Group table:\n"
    text += f"    Types:  0x{reply.types:x}\n    Capabilities:  0x{reply.capabilities:x}\n"
    for group_type, title in enumerate(_TYPE_TITLES):
        if reply.types >> group_type & 1:
            actions = action_bits_text(reply.actions[group_type], version) or "<none>"
            text += f"    {title} group:\n       max_groups=0x{reply.most[group_type]:x}\n"
            text += f"       actions: {actions}\n"
    return text


DECODE: Final[dict[str, Callable[[Envelope], Any]]] = {
    "GROUP_MOD": _decode_mod,
    "GROUP request": lambda e: GroupStatsRequest(_decode_number(e)),
    "GROUP reply": _decode_stats,
    "GROUP_DESC request": lambda e: GroupDescriptionRequest(_decode_number(e)),
    "GROUP_DESC reply": _decode_descriptions,
    "GROUP_FEATURES request": lambda e: GroupFeaturesRequest(),
    "GROUP_FEATURES reply": _decode_features,
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    GroupMod: _encode_mod,
    GroupStatsRequest: lambda p, x: _encode_number("GROUP", p, x.group),
    GroupDescriptionRequest: lambda p, x: _encode_number("GROUP_DESC", p, x.group),
    GroupFeaturesRequest: lambda p, x: (f"{_nicira(p)}_GROUP_FEATURES request", b""),
    GroupFeaturesReply: lambda p, x: (
        f"{_nicira(p)}_GROUP_FEATURES reply",
        _FEATURES.pack(x.types, x.capabilities, *x.most, *x.actions),
    ),
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {
    GroupStatsReply: lambda p, x: (
        "NXST_GROUP reply" if p.version == 1 else "OFPST_GROUP reply",
        [_encode_stats(p.version, group) for group in x.groups],
    ),
    GroupDescriptionReply: lambda p, x: (
        "NXST_GROUP_DESC reply" if p.version == 1 else "OFPST_GROUP_DESC reply",
        [_encode_description(p.version, group) for group in x.groups],
    ),
}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    GroupMod: _text_mod,
    GroupStatsRequest: _text_number,
    GroupStatsReply: _text_stats,
    GroupDescriptionRequest: _text_number,
    GroupDescriptionReply: _text_descriptions,
    GroupFeaturesRequest: lambda x, v, s: "",
    GroupFeaturesReply: _text_features,
}
