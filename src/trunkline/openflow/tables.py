"""The messages about tables, and the switch's description of itself."""

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.control import Encoded
from trunkline.openflow.entries import read_entries
from trunkline.openflow.properties import number, properties
from trunkline.openflow.style import Style, flags_text, table_text
from trunkline.openflow.wire import DecodeError, EncodeError, Envelope, Protocol

if TYPE_CHECKING:
    from trunkline.openflow.table_abilities import TableFeatures

# ---- description ----

_DESCRIPTION: Final = Struct("!256s256s256s32s256s")
_WIDTHS: Final = (256, 256, 256, 32, 256)


def _string(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _decode_description(envelope: Envelope) -> m.DescriptionReply:
    return m.DescriptionReply(*(_string(raw) for raw in _DESCRIPTION.unpack(envelope.body)))


def _encode_description(protocol: Protocol, message: m.DescriptionReply) -> Encoded:
    raws = (text.encode("utf-8", "surrogateescape")[: width - 1] for text, width in zip(message, _WIDTHS))
    return "OFPST_DESC reply", _DESCRIPTION.pack(*raws)


def _text_description(message: m.DescriptionReply, version: int, style: Style) -> str:
    titles = ("Manufacturer", "Hardware", "Software", "Serial Num", "DP Description")
    return "\n" + "".join(f"{title}: {value}\n" for title, value in zip(titles, message))


# ---- table statistics ----

_TABLE10: Final = Struct("!B3x32sIIIQQ")
_TABLE11: Final = Struct("!B7x32sIIIIIIIIQQ")
_TABLE12: Final = Struct("!B7x32sQQIIQQQQIIIIQQ")
_TABLE13: Final = Struct("!B3xIQQ")


def _decode_table_stats(envelope: Envelope) -> m.TableStatsReply:
    version, body = envelope.version, envelope.body
    layout = {1: _TABLE10, 2: _TABLE11, 3: _TABLE12}.get(version, _TABLE13)
    tables = []
    for position in range(0, len(body), layout.size):
        values = layout.unpack_from(body, position)
        if version == 1:
            table, name, wild, most, active, lookups, matched = values
            stats = m.TableStats(table, active, lookups, matched, _string(name), most, wild)
        elif version == 2:
            table, name, wild, match, instructions, write, apply, config, most, active, lookups, matched = (
                values
            )
            stats = m.TableStats(
                table, active, lookups, matched, _string(name), most, wild, match, instructions, write, apply
            )._replace(miss_config=config)
        elif version == 3:
            table, name, match, wild, write, apply, write_set, apply_set, metadata, metadata_write, *rest = (
                values
            )
            instructions, config, most, active, lookups, matched = rest
            stats = m.TableStats(
                table, active, lookups, matched, _string(name), most, wild, match, instructions,
                write, apply, write_set, apply_set, metadata, metadata_write, config,
            )  # fmt: skip
        else:
            stats = m.TableStats(*values)
        tables.append(stats)
    return m.TableStatsReply(tuple(tables), envelope.more)


def encode_table_stats(version: int, t: m.TableStats) -> bytes:
    name = t.name.encode("utf-8", "surrogateescape")[:31]
    counters = (t.active, t.lookups, t.matched)
    if version == 1:
        return _TABLE10.pack(t.table, name, t.wildcards, t.max_entries, *counters)
    if version == 2:
        actions = (t.instructions, t.write_actions, t.apply_actions)
        bits = (t.wildcards & 0xFFFFFFFF, t.match & 0xFFFFFFFF, *actions, t.miss_config, t.max_entries)
        return _TABLE11.pack(t.table, name, *bits, *counters)
    if version == 3:
        fields = (
            t.match,
            t.wildcards,
            t.write_actions,
            t.apply_actions,
            t.write_set_fields,
            t.apply_set_fields,
        )
        rest = (t.metadata_match, t.metadata_write, t.instructions, t.miss_config, t.max_entries)
        return _TABLE12.pack(t.table, name, *fields, *rest, *counters)
    return _TABLE13.pack(t.table, *counters)


# Which field stands for which bit, in 1.0 and 1.1; from 1.2 on the bit is the field's OXM number.
_FIELDS10: Final = (
    *(
        (1 << 0, "in_port"),
        (1 << 1, "vlan_vid"),
        (1 << 2, "eth_src"),
        (1 << 3, "eth_dst"),
        (1 << 4, "eth_type"),
    ),
    *((1 << 5, "nw_proto"), (1 << 6, "tcp_src"), (1 << 7, "tcp_dst"), (0x3F << 8, "ip_src")),
    *((0x3F << 14, "ip_dst"), (1 << 20, "vlan_pcp"), (1 << 21, "nw_tos")),
)
_FIELDS11: Final = (
    *(
        (1 << 0, "in_port"),
        (1 << 1, "vlan_vid"),
        (1 << 2, "vlan_pcp"),
        (1 << 3, "eth_type"),
        (1 << 4, "nw_tos"),
    ),
    *((1 << 5, "nw_proto"), (1 << 6, "tcp_src"), (1 << 7, "tcp_dst"), (1 << 8, "mpls_label")),
    *((1 << 9, "mpls_tc"), (1 << 11, "eth_src"), (1 << 12, "eth_dst"), (1 << 13, "ip_src")),
    *((1 << 14, "ip_dst"), (1 << 15, "metadata")),
)
_INSTRUCTIONS: Final = 0x3E  # the bits of instructions before 1.3


def _names(rows: tuple[tuple[int, str], ...], bits: int) -> tuple[str, ...]:
    return tuple(name for bit, name in rows if bits & bit)


def _fields12() -> tuple[tuple[int, str], ...]:
    from trunkline.model.fields import FIELDS

    return tuple(
        (1 << code.number, field.name)
        for field in FIELDS
        for code in field.ids
        if code.vendor == "OXM_OF" and code.openflow == "1.2"
    )


def _table_features(t: m.TableStats, version: int) -> "TableFeatures | None":
    """What a table can do, as far as its statistics say."""
    from trunkline.openflow.table_abilities import InstructionFeatures, TableFeatures

    if version == 1:
        fields = _names(_FIELDS10, t.wildcards)
        return TableFeatures(t.table, max_entries=t.max_entries, match=fields, wildcard=fields)
    if version == 2:
        instructions = t.instructions & _INSTRUCTIONS
        side = InstructionFeatures((), instructions, t.write_actions, t.write_actions)  # as the original
        fields = _names(_FIELDS11, t.match | t.wildcards)
        return TableFeatures(
            t.table,
            max_entries=t.max_entries,
            on_match=side,
            on_miss=side,
            match=fields,
            wildcard=fields,
            config=t.miss_config,
        )
    if version == 3:
        rows = _fields12()
        side = InstructionFeatures(
            (),
            t.instructions & _INSTRUCTIONS,
            t.write_actions,
            t.apply_actions,
            _names(rows, t.write_set_fields),
            _names(rows, t.apply_set_fields),
        )
        return TableFeatures(
            t.table,
            "",
            t.metadata_match,
            t.metadata_write,
            t.max_entries,
            side,
            side,
            _names(rows, t.match | t.wildcards),
            wildcard=_names(rows, t.wildcards),
            config=t.miss_config,
        )
    return None


def _text_table_stats(message: m.TableStatsReply, version: int, style: Style) -> str:
    from trunkline.openflow.table_abilities import Shown, tables_text

    rows = [
        Shown(
            t.table,
            t.name or (style.tables or {}).get(t.table, ""),
            f"    active={t.active}, lookup={t.lookups}, matched={t.matched}\n",
            _table_features(t, version),
        )
        for t in message.tables
    ]
    return tables_text(rows, version)


# ---- table-mod, table description ----

_TABLE_MOD: Final = Struct("!B3xI")
_EVICTION: Final = Struct("!HHI")
_WHOLE: Final = 100  # percent
_EVICTION_PROPERTY, _VACANCY_PROPERTY = 2, 3
_VACANCY: Final = Struct("!HHBBBx")


def _decode_table_mod(envelope: Envelope) -> m.TableMod:
    version, body = envelope.version, envelope.body
    table, config = _TABLE_MOD.unpack_from(body)
    if version < 4:
        miss = config & 3
        return m.TableMod(table, miss if miss in of.TABLE_MISS_NAMES else of.OFPTC11_TABLE_MISS_CONTROLLER)
    if version == 4:
        return m.TableMod(table)
    eviction, vacancy = bool(config & of.OFPTC14_EVICTION), bool(config & of.OFPTC14_VACANCY_EVENTS)
    flags, down, up = None, 0, 0
    for kind, value in properties(body, 8):
        if kind == _EVICTION_PROPERTY:
            flags = number(value, 4)
        elif kind == _VACANCY_PROPERTY:
            down, up, now, _ = number(value, 4).to_bytes(4, "big")
            if up < down or max(down, up) > _WHOLE or now:
                raise DecodeError("OFPBPC_BAD_VALUE")
        else:
            raise DecodeError("OFPBRC_BAD_TYPE", f"property {kind} in a table-mod")
    return m.TableMod(table, None, eviction, flags, vacancy, down, up)


def _encode_table_mod(protocol: Protocol, mod: m.TableMod) -> Encoded:
    version = protocol.version
    if version < 4:
        return "OFPT_TABLE_MOD", _TABLE_MOD.pack(mod.table, mod.miss or 0)
    if version == 4:
        if mod.eviction is not None or mod.vacancy is not None:
            raise EncodeError("eviction and vacancy events need OpenFlow 1.4 or later")
        return "OFPT_TABLE_MOD", _TABLE_MOD.pack(mod.table, 0)
    config = (of.OFPTC14_EVICTION if mod.eviction else 0) | (of.OFPTC14_VACANCY_EVENTS if mod.vacancy else 0)
    body = _TABLE_MOD.pack(mod.table, config)
    if mod.eviction_flags is not None:
        body += _EVICTION.pack(_EVICTION_PROPERTY, 8, mod.eviction_flags)
    if mod.vacancy:
        body += _VACANCY.pack(_VACANCY_PROPERTY, 8, mod.vacancy_down, mod.vacancy_up, 0)
    return "OFPT_TABLE_MOD", body


_TABLE_DESCRIPTION: Final = Struct("!HBxI")


def encode_table_description(table: m.TableDescription) -> bytes:
    config = (of.OFPTC14_EVICTION if table.eviction else 0) | (
        of.OFPTC14_VACANCY_EVENTS if table.vacancy else 0
    )
    body = b""
    if table.eviction_flags is not None:
        body += _EVICTION.pack(_EVICTION_PROPERTY, 8, table.eviction_flags)
    if table.vacancy:
        body += _VACANCY.pack(_VACANCY_PROPERTY, 8, table.vacancy_down, table.vacancy_up, table.vacancy_now)
    return _TABLE_DESCRIPTION.pack(8 + len(body), table.table, config) + body


def read_table_description(body: bytes, at: int, version: int) -> tuple[m.TableDescription, int]:
    """The description at `at` and where what follows it starts."""
    if len(body) - at < _TABLE_DESCRIPTION.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    size, table, config = _TABLE_DESCRIPTION.unpack_from(body, at)
    if size < _TABLE_DESCRIPTION.size or at + size > len(body):
        raise DecodeError("OFPBRC_BAD_LEN")
    flags, down, up, now = None, 0, 0, 0
    for kind, value in properties(body, at + 8, at + size):
        if kind == _EVICTION_PROPERTY:
            flags = number(value, 4)
        elif kind == _VACANCY_PROPERTY:
            down, up, now, _ = number(value, 4).to_bytes(4, "big")
    eviction, vacancy = bool(config & of.OFPTC14_EVICTION), bool(config & of.OFPTC14_VACANCY_EVENTS)
    return m.TableDescription(table, eviction, flags, vacancy, down, up, now), at + size


def table_description_text(t: m.TableDescription, style: Style) -> str:
    text = f"  table {table_text(t.table, style)}:\n   eviction={'on' if t.eviction else 'off'}"
    text += f" eviction_flags={_eviction_text(t.eviction_flags)}\n   vacancy={'on' if t.vacancy else 'off'}"
    if t.vacancy:
        text += f" vacancy_down={t.vacancy_down}% vacancy_up={t.vacancy_up}% vacancy={t.vacancy_now}%"
    return text + "\n"


def _text_table_descriptions(message: m.TableDescriptionReply, version: int, style: Style) -> str:
    return "\n" + "\n".join(table_description_text(t, style) for t in message.tables)


def _text_table_mod(mod: m.TableMod, version: int, style: Style) -> str:
    text = (
        " table_id: ALL_TABLES" if mod.table == of.OFPTT_ALL else f" table_id={table_text(mod.table, style)}"
    )
    if mod.miss is not None:
        text += f", flow_miss_config={of.TABLE_MISS_NAMES[mod.miss]}"
    if mod.eviction_flags is not None:
        # The original takes the flags for the setting here.
        shown = {0: "", 1: ", eviction=on", 2: ", eviction=off"}
        text += shown.get(mod.eviction_flags, ", eviction=***error***")
    elif mod.eviction is not None:
        text += f", eviction={'on' if mod.eviction else 'off'}"
    if mod.vacancy is not None:
        text += f", vacancy={'on' if mod.vacancy else 'off'}"
        if mod.vacancy:
            text += f" vacancy:{mod.vacancy_down},{mod.vacancy_up}"
    return text


def _eviction_text(flags: int | None) -> str:
    if flags in (None, 0xFFFFFFFF):
        return "(default)"
    assert flags is not None
    return flags_text(((1, "OTHER"), (2, "IMPORTANCE"), (4, "LIFETIME")), flags, "|", "0")


DECODE: Final[dict[str, Callable[[Envelope], m.Message]]] = {
    "OFPST_DESC request": lambda e: m.DescriptionRequest(),
    "OFPST_DESC reply": _decode_description,
    "OFPST_TABLE request": lambda e: m.TableStatsRequest(),
    "OFPST_TABLE reply": _decode_table_stats,
    "OFPT_TABLE_MOD": _decode_table_mod,
    "OFPST_TABLE_DESC request": lambda e: m.TableDescriptionRequest(),
    "OFPST_TABLE_DESC reply": lambda e: read_entries(
        e, read_table_description, lambda tables: m.TableDescriptionReply(tables, e.more)
    ),
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    m.DescriptionRequest: lambda p, x: ("OFPST_DESC request", b""),
    m.DescriptionReply: _encode_description,
    m.TableStatsRequest: lambda p, x: ("OFPST_TABLE request", b""),
    m.TableMod: _encode_table_mod,
    m.TableDescriptionRequest: lambda p, x: ("OFPST_TABLE_DESC request", b""),
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {
    m.TableStatsReply: lambda p, x: (
        "OFPST_TABLE reply",
        [encode_table_stats(p.version, table) for table in x.tables],
    ),
    m.TableDescriptionReply: lambda p, x: (
        "OFPST_TABLE_DESC reply",
        [encode_table_description(table) for table in x.tables],
    ),
}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    m.DescriptionRequest: lambda x, v, s: "",
    m.DescriptionReply: _text_description,
    m.TableStatsRequest: lambda x, v, s: "",
    m.TableStatsReply: _text_table_stats,
    m.TableMod: _text_table_mod,
    m.TableDescriptionRequest: lambda x, v, s: "",
    m.TableDescriptionReply: _text_table_descriptions,
}
