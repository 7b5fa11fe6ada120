"""Commands about meters, which OpenFlow has since 1.3."""

from collections.abc import Sequence

from trunkline.cli.ovs_ofctl.connection import AnyMessage, Switch, complain, with_format
from trunkline.cli.ovs_ofctl.flows import usable_formats
from trunkline.cli.ovs_ofctl.inspect import print_replies
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.openflow import meters as o
from trunkline.openflow.meters_text import FORMATS, parse_meter


def add_meter(tool: Tool, arguments: Sequence[str]) -> int:
    return _meter_mod(tool, arguments[0], parse_meter(arguments[1], o.OFPMC_ADD))


def mod_meter(tool: Tool, arguments: Sequence[str]) -> int:
    return _meter_mod(tool, arguments[0], parse_meter(arguments[1], o.OFPMC_MODIFY))


def del_meters(tool: Tool, arguments: Sequence[str]) -> int:
    return _meter_mod(tool, arguments[0], o.MeterMod(o.OFPMC_DELETE, _asked(arguments)))


def _asked(arguments: Sequence[str]) -> int:
    """The meter that a command is about; all without any."""
    if len(arguments) < 2:
        return o.METER_ALL
    return parse_meter(arguments[1], o.OFPMC_DELETE).meter


def _meter_mod(tool: Tool, name: str, mod: o.MeterMod) -> int:
    formats = usable_formats(tool, FORMATS)
    switch = Switch(tool, name)
    with_format(switch, formats)
    error = switch.transact(mod)
    switch.close()
    return 0 if error is None else complain(error, tool)


def _print(tool: Tool, name: str, request: AnyMessage) -> int:
    usable_formats(tool, FORMATS)
    return print_replies(tool, name, request, tool.style(1))


def dump_meters(tool: Tool, arguments: Sequence[str]) -> int:
    return _print(tool, arguments[0], o.MeterConfigRequest(_asked(arguments)))


def meter_stats(tool: Tool, arguments: Sequence[str]) -> int:
    return _print(tool, arguments[0], o.MeterStatsRequest(_asked(arguments)))


def meter_features(tool: Tool, arguments: Sequence[str]) -> int:
    return _print(tool, arguments[0], o.MeterFeaturesRequest())
