"""What all commands share: the options as a record, and how a command is carried out."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from trunkline.base.directories import Directories, from_environment
from trunkline.base.log import Log, RateLimit
from trunkline.base.options import Found
from trunkline.cli.ovs_ofctl import PROGRAM, Failure, seconds
from trunkline.flow.values import NO_CONTEXT, TextContext, TextError
from trunkline.io import tls_options
from trunkline.io.alarm import end_after, end_by_signals
from trunkline.io.log_options import LogOptionError, apply_option, tool_log
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.flow_text import (
    ANY,
    FORMAT_VERSIONS,
    formats_named,
    formats_text,
)
from trunkline.openflow.style import Style
from trunkline.openflow.wire import EncodeError

_PACKET_IN_FORMATS: Final = {
    "standard": 0,
    "openflow10": 0,
    "nxt_packet_in": 1,
    "nxm": 1,
    "nxt_packet_in2": 2,
}
_BUNDLE_VERSIONS: Final = 1 << 4 | 1 << 5 | 1 << 6


class Tool:
    """The options of one run, and the xid of its next message."""

    def __init__(self, log: Log, directories: Directories) -> None:
        self.log = log
        self.directories = directories
        self.versions = 1 << 1  # the default allows 1.0 alone; --protocols widens
        self.formats = ANY
        self.strict = self.read_only = self.readd = self.bundle = self.may_create = False
        self.verbosity = 0
        self.names: bool | None = None
        self.statistics = True
        self.sort: list[tuple[str, bool]] = []  # (field, descending)
        self.colors: Mapping[str, str] | None = None
        self.tls: Found = []
        self.packet_in_format: int | None = None
        self.timestamp = False
        self.process: dict[str, str] = {}  # the options of daemons, as given
        self._monitors = 0
        self.xid = 0
        self.notes = RateLimit(1, 5)  # of what is left out of matches
        self.tables: dict[str, dict[int, str]] = {}  # names of tables likewise
        self.ports: dict[str, tuple[m.Port, ...]] = {}  # of switches that were asked already

    def style(self, more: int = 0, *, port_names: Mapping[int, str] = MappingProxyType({})) -> Style:
        """How messages are shown, `more` verbosely than the options say."""
        plain = not port_names and self.colors is None
        context = NO_CONTEXT if plain else TextContext(port_names=port_names, colors=self.colors)
        return Style(self.verbosity + more, context)

    def next_monitor(self) -> int:
        """A number for a flow monitor."""
        self._monitors += 1
        return self._monitors - 1

    def next_xid(self) -> int:
        self.xid += 1
        return self.xid

    def warn(self, module: str, text: str) -> None:
        self.log.module(module).warn("%s", text)

    @property
    def accept_names(self) -> bool:
        return self.names is not False

    @property
    def show_names(self) -> bool:
        return self.names if self.names is not None else sys.stdout.isatty()


def make_tool(options: Found) -> Tool:
    tool = take_options(options)
    if tool.bundle:
        tool.versions = tool.versions & _BUNDLE_VERSIONS or 1 << 5
    _check_formats(tool)
    return tool


def take_options(options: Found) -> Tool:
    """The tool as these options make it, minded in their order.  Raises Failure for a wrong one."""
    log = tool_log(PROGRAM)
    directories = from_environment(os.environ)
    tool = Tool(log, directories)
    for name, argument in options:
        try:
            apply_option(log, name, argument, directories)
        except LogOptionError as error:
            raise Failure(str(error)) from None
        _apply(tool, name, argument or "")
    return tool


def _check_formats(tool: Tool) -> None:
    """The allowed versions and the allowed flow formats must have something in common."""
    allowed = sum(bits for bits, version in FORMAT_VERSIONS.items() if tool.versions >> version & 1)
    if not allowed & tool.formats:
        versions = ", ".join(
            name for version, name in of.VERSION_NAMES.items() if tool.versions >> version & 1
        )
        raise Failure(
            f"None of the enabled OpenFlow versions ({versions}) supports any of the enabled flow formats "
            f"({formats_text(tool.formats)}).  (Use -O to enable additional OpenFlow versions or -F to "
            "enable additional flow formats.)"
        )


def _apply(tool: Tool, name: str, argument: str) -> None:
    if name in ("detach", "no-chdir", "pidfile", "overwrite-pidfile", "monitor", "unixctl"):
        tool.process[name] = argument
    elif name == "timestamp":
        tool.timestamp = True
    elif name == "packet-in-format":
        if argument not in _PACKET_IN_FORMATS:
            raise Failure(f"unknown packet-in format `{argument}'")
        tool.packet_in_format = _PACKET_IN_FORMATS[argument]
    elif name == "may-create":
        tool.may_create = True
    elif name == "protocols":
        tool.versions = _versions(argument)
    elif name == "flow-format":
        formats = formats_named(argument)
        if formats is None:
            raise Failure(f"{argument}: unknown flow protocol")
        tool.formats = formats
    elif name in ("strict", "readd", "bundle"):
        setattr(tool, name, True)
    elif name == "read-only":
        tool.read_only = True
    elif name == "more":
        tool.verbosity += 1
    elif name in ("names", "no-names"):
        tool.names = name == "names"
    elif name in ("stats", "no-stats"):
        tool.statistics = name == "stats"
    elif name in ("sort", "rsort"):
        if argument:
            _check_sort_key(argument)
        tool.sort.append((argument or "priority", name == "rsort"))
    elif name == "color":
        when = argument or "auto"
        if when not in ("always", "never", "auto"):
            raise Failure(f"incorrect value `{argument}' for --color")
        if when == "always" or (when == "auto" and sys.stdout.isatty()):
            from trunkline.flow.colors import colors_from

            tool.colors = colors_from(os.environ.get("OVS_COLORS", ""))
    elif tls_options.mind(tool.log, name, argument):
        tool.tls.append((name, argument))
    elif name == "timeout":
        end_after(seconds(argument))


def _check_sort_key(name: str) -> None:
    from trunkline.model.fields import FIELD

    if name != "priority" and name not in FIELD:
        raise Failure(f"{name}: unknown field name")


def _versions(argument: str) -> int:
    versions = 0
    for word in argument.replace(",", " ").split():
        version = of.VERSION_BY_NAME.get(word)
        if version is None:
            raise Failure(f'Unknown OpenFlow version: "{word}"')
        versions |= 1 << version
    if not versions:
        raise Failure(f'Unknown OpenFlow version: "{argument}"')
    return versions


def run_command(tool: Tool, run: Callable[[Tool, Sequence[str]], int | None], arguments: list[str]) -> int:
    """Carries out a command; what it raises becomes a Failure."""
    end_by_signals(tool.log)
    try:
        return run(tool, arguments) or 0
    except TextError as error:
        text, _, warning = str(error).partition("\0")
        if warning:
            tool.warn("ofp_actions", warning)
        raise Failure(text) from None
    except EncodeError as error:
        raise Failure(str(error)) from None
