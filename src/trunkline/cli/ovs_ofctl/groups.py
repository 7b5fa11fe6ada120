"""Commands about groups."""

from collections.abc import Sequence

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.bundles import check_version, read_lines, send_bundle
from trunkline.cli.ovs_ofctl.connection import Switch, complain
from trunkline.cli.ovs_ofctl.flows import usable_formats
from trunkline.cli.ovs_ofctl.inspect import print_replies
from trunkline.cli.ovs_ofctl.names import reading
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.flow.values import TextError
from trunkline.model.openflow import OFPG_ALL, OFPG_ANY
from trunkline.openflow import groups as g
from trunkline.openflow.formats import ANY
from trunkline.openflow.groups_text import ParsedGroup, parse_group
from trunkline.openflow.style import integer


def add_group(tool: Tool, arguments: Sequence[str]) -> int:
    return _group_mod(tool, arguments, g.OFPGC_ADD)


def add_groups(tool: Tool, arguments: Sequence[str]) -> int:
    return _group_mod_file(tool, arguments[0], arguments[1], None)


def mod_group(tool: Tool, arguments: Sequence[str]) -> int:
    return _group_mod(tool, arguments, g.OFPGC_ADD_OR_MODIFY if tool.may_create else g.OFPGC_MODIFY)


def del_groups(tool: Tool, arguments: Sequence[str]) -> int:
    return _group_mod(tool, arguments, g.OFPGC_DELETE)


def insert_buckets(tool: Tool, arguments: Sequence[str]) -> int:
    return _group_mod(tool, arguments, g.OFPGC_INSERT_BUCKET)


def remove_buckets(tool: Tool, arguments: Sequence[str]) -> int:
    return _group_mod(tool, arguments, g.OFPGC_REMOVE_BUCKET)


def _group_mod(tool: Tool, arguments: Sequence[str], command: int) -> int:
    name = arguments[0]
    if len(arguments) > 1 and arguments[1] == "-":
        return _group_mod_file(tool, name, "-", command)
    context = reading(tool, name)
    return _send(tool, name, [parse_group(arguments[1] if len(arguments) > 1 else "", command, context)])


def _group_mod_file(tool: Tool, name: str, path: str, command: int | None) -> int:
    context = reading(tool, name)
    groups = []
    for number, line in read_lines(path):
        try:
            groups.append(parse_group(line, command, context))
        except TextError as error:
            raise Failure(f"{path}:{number}: {error}") from None
    return _send(tool, name, groups)


def _send(tool: Tool, name: str, groups: list[ParsedGroup]) -> int:
    if tool.bundle:
        return send_bundle(tool, name, [group.mod for group in groups])
    formats = ANY
    for group in groups:
        formats &= group.formats
    usable_formats(tool, formats)
    switch = Switch(tool, name)
    for group in groups:
        check_version(group.mod, switch.version)
        error = switch.transact(group.mod)
        if error is not None:
            return complain(error, tool)
    switch.close()
    return 0


def dump_groups(tool: Tool, arguments: Sequence[str]) -> int:
    group = OFPG_ALL
    if len(arguments) > 1:
        word = arguments[1]
        number = integer(word)
        if word.upper() in ("ALL", "ANY"):
            group = OFPG_ALL if word.upper() == "ALL" else OFPG_ANY
        elif number is not None and number <= 0xFFFFFFFF:
            group = number
        else:
            tool.warn(
                "ofp_group",
                f"{word} is not a valid group ID.  (Valid group IDs are 32-bit nonnegative integers or the "
                "keywords ANY or ALL.)",
            )
    return print_replies(tool, arguments[0], g.GroupDescriptionRequest(group), tool.style(1))


def dump_group_stats(tool: Tool, arguments: Sequence[str]) -> int:
    group = OFPG_ALL
    context = reading(tool, arguments[0])
    if len(arguments) > 1:
        group = parse_group(arguments[1], g.OFPGC_DELETE, context).mod.group
    return print_replies(tool, arguments[0], g.GroupStatsRequest(group), tool.style(1))


def dump_group_features(tool: Tool, arguments: Sequence[str]) -> int:
    return print_replies(tool, arguments[0], g.GroupFeaturesRequest(), tool.style(1))
