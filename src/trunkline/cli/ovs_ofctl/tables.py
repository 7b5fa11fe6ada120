"""Commands about tables and queues: their features, their configuration, their names."""

import sys
from collections.abc import Sequence

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.connection import Switch, complain
from trunkline.cli.ovs_ofctl.inspect import print_replies
from trunkline.cli.ovs_ofctl.names import port_called, reading_tables
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.actions_text import parse_table
from trunkline.openflow.style import Style, integer
from trunkline.openflow.table_abilities import TEXT as FEATURES_TEXT
from trunkline.openflow.table_abilities import TableFeatures, TableFeaturesReply, TableFeaturesRequest
from trunkline.openflow.text import message_text

_MODIFY: int = 1  # OFPTFC_MODIFY of 1.5
_NAME_OCTETS = 31


def dump_table_features(tool: Tool, arguments: Sequence[str]) -> int:
    switch = Switch(tool, arguments[0])
    if switch.version < 4:
        raise Failure("dump-table-features needs OpenFlow 1.3 or later ('-O OpenFlow13')")
    tables: tuple[TableFeatures, ...] = ()
    for raw, incoming in switch.replies(TableFeaturesRequest()):
        if not isinstance(incoming.message, TableFeaturesReply):
            sys.stdout.write(message_text(raw, tool.style(1)))
            return 0
        tables += incoming.message.tables
    switch.close()
    text = FEATURES_TEXT[TableFeaturesReply](TableFeaturesReply(tables), switch.version, Style())
    sys.stdout.write(text.removeprefix("\n") + "\n")
    return 0


def dump_table_description(tool: Tool, arguments: Sequence[str]) -> int:
    switch = Switch(tool, arguments[0])
    if switch.version < 5:
        raise Failure("dump-table-desc needs OpenFlow 1.4 or later ('-O OpenFlow14')")
    switch.close()
    tool.xid = 0
    return print_replies(tool, arguments[0], m.TableDescriptionRequest(), tool.style(1))


# ---- mod-table ----

_LAST = 254
_MISS = {
    "controller": of.OFPTC11_TABLE_MISS_CONTROLLER,
    "continue": of.OFPTC11_TABLE_MISS_CONTINUE,
    "drop": of.OFPTC11_TABLE_MISS_DROP,
}


def mod_table(tool: Tool, arguments: Sequence[str]) -> int:
    name, word, setting = arguments
    context = reading_tables(tool, name)
    table = of.OFPTT_ALL if word.lower() == "all" else parse_table(word, context)
    if table is None:
        raise Failure(f'unknown table "{word}"')
    new_name = setting.partition(":")[2] if setting.startswith("name:") and table != of.OFPTT_ALL else None
    mod = m.TableMod(table)
    versions: tuple[int, ...] = (4, 5, 6)
    if new_name is None:
        mod, versions = _parse_setting(table, setting)
    usable = sum(1 << version for version in versions)
    if not tool.versions & usable:
        wanted = ", ".join(of.VERSION_NAMES[version] for version in versions)
        raise Failure(f"table_mod '{setting}' requires one of the OpenFlow versions {wanted}")
    switch = Switch(tool, name, tool.versions & usable)
    if new_name is not None:
        error = _rename(switch, table, new_name)
    elif mod.miss is not None:
        error = switch.transact(mod)
    else:
        error = _configure(switch, mod)
    switch.close()
    return 0 if error is None else complain(error, tool)


def _parse_setting(table: int, setting: str) -> tuple[m.TableMod, tuple[int, ...]]:
    """What is to be sent, and the versions that have it."""
    if setting in _MISS:
        if table == _LAST and setting == "continue":
            raise Failure("last table's flow miss handling can not be continue")
        return m.TableMod(table, _MISS[setting]), (2, 3)
    key, _, value = setting.partition(":")
    if setting in ("evict", "noevict"):
        return m.TableMod(table, None, setting == "evict"), (5, 6)
    if setting == "novacancy":
        return m.TableMod(table, None, None, None, False), (5, 6)
    if key == "vacancy":
        down, up = _parse_vacancy(value)
        return m.TableMod(table, None, None, None, True, down, up), (5, 6)
    raise Failure(f"invalid table_mod setting {setting}")


def _parse_vacancy(value: str) -> tuple[int, int]:
    thresholds = []
    words = [word for word in value.split(",") if word]
    for position, what in enumerate(("down", "up")):
        if len(words) <= position:
            raise Failure(f"Vacancy {what} value missing")
        number = integer(words[position])
        if number is None or number > 100:
            raise Failure(f'Invalid vacancy {what} value "{words[position]}"')
        thresholds.append(number)
    down, up = thresholds
    if up < down:
        raise Failure(
            "Invalid vacancy range, vacancy up should be greater than vacancy down (OFPBPC_BAD_VALUE)"
        )
    return down, up


def _configure(switch: Switch, mod: m.TableMod) -> bytes | None:
    """Eviction and vacancy are set together, so what is not to change is asked for first."""
    if mod.table != of.OFPTT_ALL:
        return switch.transact(_completed(switch, mod))
    for table in range(254):
        error = switch.transact(_completed(switch, mod._replace(table=table)))
        if error is not None:
            return error
    return None


def _completed(switch: Switch, mod: m.TableMod) -> m.TableMod:
    for _, incoming in switch.replies(m.TableDescriptionRequest()):
        for table in getattr(incoming.message, "tables", ()):
            if table.table == mod.table and mod.vacancy is None:
                mod = mod._replace(
                    vacancy=table.vacancy, vacancy_down=table.vacancy_down, vacancy_up=table.vacancy_up
                )
            if table.table == mod.table and mod.eviction is None:
                mod = mod._replace(eviction=table.eviction, eviction_flags=table.eviction_flags)
    return mod


def _rename(switch: Switch, table: int, name: str) -> bytes | None:
    """Before 1.5 all tables are sent back, the one with its new name."""
    parts: list[tuple[TableFeatures, ...]] = []
    for raw, incoming in switch.replies(TableFeaturesRequest()):
        if not isinstance(incoming.message, TableFeaturesReply):
            return raw
        parts.append(incoming.message.tables)
    short = name.encode()[:_NAME_OCTETS].decode(errors="ignore")
    if switch.version >= 6:
        found = next((t for part in parts for t in part if t.table == table), None)
        if found is None:
            raise Failure(f"{switch.name}: switch has no table {table}")
        request = TableFeaturesRequest((found._replace(name=short, command=_MODIFY),))
        xid = switch.send(request)
    else:
        xid = switch.tool.next_xid()
        for number, part in enumerate(parts, 1):
            tables = tuple(t._replace(name=short) if t.table == table else t for t in part)
            switch.send(TableFeaturesRequest(tables, number < len(parts)), xid)
    while True:
        raw, incoming = switch.receive()
        if isinstance(incoming.message, m.Error):
            return raw
        if incoming.xid == xid and not incoming.more:
            return None


# ---- queues ----


def queue_get_config(tool: Tool, arguments: Sequence[str]) -> int:
    name = arguments[0]
    port, queue = of.OFPP_ANY, of.OFPQ_ALL
    if len(arguments) > 1 and arguments[1].upper() not in ("ANY", "ALL"):
        port = port_called(tool, name, arguments[1])
    if len(arguments) > 2 and arguments[2].upper() not in ("ANY", "ALL"):
        number = integer(arguments[2])
        if number is None:
            raise Failure(f"invalid queue_id '{arguments[2]}'")
        queue = number
    switch = Switch(tool, name)
    ports = [port]
    if switch.version == 1 and port == of.OFPP_ANY:  # 1.0 asks for one port at a time
        ports = [p.number for p in _all_ports(switch) if p.number < of.OFPP_MAX]
    for one in ports:
        for raw, _ in switch.replies(m.QueueConfigRequest(one, queue)):
            sys.stdout.write(message_text(raw, tool.style(1)))
    switch.close()
    return 0


def _all_ports(switch: Switch) -> list[m.Port]:
    _, incoming = switch.ask(m.FeaturesRequest())
    found: list[m.Port] = list(getattr(incoming.message, "ports", None) or ())
    for _, part in switch.replies(m.PortDescriptionRequest()):
        if isinstance(part.message, m.PortDescriptionReply):
            found = list(part.message.ports)
    return sorted(found, key=lambda port: port.number)
