"""What all commands share: the options as a record, and talking to a switch."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from trunkline.base.directories import Directories, from_environment
from trunkline.base.log import DBG, Log, RateLimit
from trunkline.base.options import Found
from trunkline.base.targets import OPENFLOW_PORT
from trunkline.cli.ovs_ofctl import PROGRAM, Failure, seconds
from trunkline.flow.values import NO_CONTEXT, TextContext, TextError, parse_port
from trunkline.io import tls_options
from trunkline.io.alarm import end_after, end_by_signals
from trunkline.io.log_options import LogOptionError, apply_option, tool_log
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.actions_text import ActionContext
from trunkline.openflow.codec import Incoming, decode, encode
from trunkline.openflow.control import decode_hello, versions_named
from trunkline.openflow.flow_text import (
    ANY,
    FORMAT_VERSIONS,
    NXM,
    NXM_TID,
    OF10_TID,
    formats_named,
    formats_text,
)
from trunkline.openflow.style import Style
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import HEADER, DecodeError, EncodeError, Envelope, Framer, Protocol, kind_named

_MULTIPART_REPLY: Final = 19  # since 1.1
AnyMessage = tuple[Any, ...]  # a record of openflow/: those of `messages`, or of a family's module
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
        end_after(seconds(argument), tool.log)


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


# ---- connections ----


class _Lost(Failure):
    """The connection is gone."""

    def __init__(self, name: str, doing: str, reason: str) -> None:
        super().__init__(f"{name}: {doing} failed ({reason})")
        self.reason = reason


class Switch:
    """A connection to a switch with its version agreed upon."""

    def __init__(self, tool: Tool, name: str, versions: int = 0, service: str = "mgmt") -> None:
        from trunkline.io.blocking import dial
        from trunkline.io.target_log import explain, report_unreachable
        from trunkline.io.tls import report

        self.tool = tool
        self.name = name
        self._log = tool.log.module("vconn")
        self.target = find_target(tool, name, service)
        tool.log.module("ofctl").dbg("connecting to %s", self.target)
        explain(self.target, tool.log, OPENFLOW_PORT)
        try:
            self._stream = dial(
                self.target,
                directory=tool.directories.run,
                port=OPENFLOW_PORT,
                tls=tls_options.files_from(tool.tls),
                log=tool.log,
            )
        except OSError as error:
            report(tool.log, error)
            report_unreachable(self.target, error.errno or 0, tool.log, OPENFLOW_PORT)
            raise Failure(f"connecting to {self.target} ({_reason(error)})") from None
        self._framer = Framer()
        self._ready: list[bytes] = []
        self.protocol = Protocol(1)
        self._greet(versions or tool.versions)

    def _greet(self, versions: int) -> None:
        top = versions.bit_length() - 1
        self.protocol = Protocol(top)
        try:
            self.send(m.Hello(versions))
        except _Lost as error:
            path = self.target.removeprefix("unix:")
            raise Failure(f"{path}: failed to open socket ({error.reason})") from None
        try:
            raw = self._read()
        except _Lost as error:
            raise Failure(f"{self.name}: failed to connect to socket ({error.reason})") from None
        version, kind, _, xid = HEADER.unpack_from(raw)
        if kind != 0:
            raise Failure(f"{self.name}: OpenFlow peer sent type {kind} before its hello")
        hello = Envelope(version, xid, kind_named(1, "OFPT_HELLO"), raw[8:], False)
        theirs = decode_hello(hello).versions
        common = versions & theirs
        if not common:
            self._log.warn(
                "%s: version negotiation failed (we support %s, peer supports %s)",
                self.target,
                versions_named(versions),
                versions_named(theirs),
            )
            reason = "Protocol error"
            try:  # the peer may have hung up over it already, which is then the reason given
                self.send(m.Error("OFPHFC_INCOMPATIBLE", b"no common version"))
            except _Lost as error:
                reason = error.reason
            raise Failure(f"{self.name}: failed to connect to socket ({reason})")
        self._log.dbg(
            "%s: negotiated OpenFlow version 0x%02x (we support %s, peer supports %s)",
            self.target,
            common.bit_length() - 1,
            versions_named(versions),
            versions_named(theirs),
        )
        self.protocol = Protocol(common.bit_length() - 1)

    @property
    def version(self) -> int:
        return self.protocol.version

    def send(self, message: AnyMessage, xid: int | None = None) -> int:
        """Sends `message`; returns its xid, a new one where none is given."""
        xid = self.tool.next_xid() if xid is None else xid
        known: Any = message
        data = b"".join(encode(self.protocol, known, xid))
        self.write(data)
        return xid

    def write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            raise _Lost(self.name, "send", _reason(error)) from None
        if self._log.enabled(DBG):
            self._log.dbg("%s: sent (Success): %s", self.target, message_text(data).rstrip("\n"))

    def _read(self) -> bytes:
        while not self._ready:
            try:
                data = self._stream.read(1 << 18)
            except OSError as error:
                raise _Lost(self.name, "receive", _reason(error)) from None
            if not data:
                raise _Lost(self.name, "receive", "End of file")
            self._ready = self._framer.feed(data)
            if self._framer.broken and not self._ready:
                raise Failure(f"{self.name}: receive failed (Protocol error)")
        raw = self._ready.pop(0)
        if self._log.enabled(DBG):
            self._log.dbg("%s: received: %s", self.target, message_text(raw).rstrip("\n"))
        return raw

    def receive(self) -> tuple[bytes, Incoming]:
        """The next message; echo requests are answered on the way.  Raises Failure."""
        while True:
            raw = self._read()
            try:
                incoming = decode(raw)
            except DecodeError as error:
                return raw, _unreadable(raw, error)
            if isinstance(incoming.message, m.EchoRequest):
                self.write(encode(self.protocol, m.EchoReply(incoming.message.data), incoming.xid)[0])
                continue
            return raw, incoming

    def replies(self, request: AnyMessage) -> Iterator[tuple[bytes, Incoming]]:
        """Sends a request and yields what answers it, each part.  An error from the switch ends the tool."""
        xid = self.send(request)
        while True:
            raw, incoming = self.receive()
            if incoming.xid != xid:
                continue
            yield raw, incoming
            if not incoming.more:
                return

    def raw_replies(self, request: AnyMessage) -> Iterator[bytes]:
        """As `replies`, of a multipart request of 1.3 and later, undecoded; nothing when an error comes."""
        xid = self.send(request)
        while True:
            raw = self._read()
            if int.from_bytes(raw[4:8], "big") != xid:
                continue
            if raw[1] != _MULTIPART_REPLY or len(raw) < 16:
                return
            yield raw
            if not raw[11] & 1:
                return

    def ask(self, request: AnyMessage) -> tuple[bytes, Incoming]:
        return next(self.replies(request))

    def barrier(self) -> bytes | None:
        """Waits until the switch has done all; the first error it reported, or None."""
        xid = self.send(m.BarrierRequest())
        error = None
        while True:
            raw, incoming = self.receive()
            if incoming.xid == xid and not isinstance(incoming.message, m.Error):
                return error
            if isinstance(incoming.message, m.Error) and error is None:
                error = raw

    def transact(self, message: AnyMessage) -> bytes | None:
        """Sends what has no reply, and a barrier; the error or None."""
        self.send(message)
        return self.barrier()

    def close(self) -> None:
        self._stream.close()

    # ---- for those that watch it

    def fileno(self) -> int:
        return self._stream.fileno()

    def poll(self) -> list[bytes]:
        """The messages that have come.  Raises OSError, and EOFError at the end of the connection."""
        ready, self._ready = self._ready, []
        self._stream.settimeout(0)
        try:
            while not self._framer.broken:
                data = self._stream.read(1 << 18)
                if not data:
                    if ready:
                        break
                    raise EOFError
                ready += self._framer.feed(data)
        except (BlockingIOError, TimeoutError):
            pass
        except OSError as error:
            if type(error).__name__ != "SSLWantReadError":
                raise
        finally:
            self._stream.settimeout(None)
        return ready


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def find_target(tool: Tool, name: str, service: str = "mgmt") -> str:
    """`name` as a target: a target as it is, a bridge's socket, a socket's path.  Raises Failure."""
    if ":" in name:
        return name
    from trunkline.io.blocking import is_socket

    bridge = os.path.join(tool.directories.run, f"{name.rpartition('@')[2]}.{service}")
    for path in (bridge, os.path.join(tool.directories.run, name)):
        if is_socket(path):
            return f"unix:{path}"
    raise Failure(f"{name} is not a bridge or a socket")


class Unreadable(NamedTuple):
    """In place of a message that does not hold what it should; as text it shows what is wrong with it."""

    error: str


def _unreadable(raw: bytes, error: DecodeError) -> Incoming:
    version, kind, _, xid = HEADER.unpack_from(raw)
    more = kind == (17 if version == 1 else _MULTIPART_REPLY) and len(raw) >= 12 and raw[11] & 1
    message: Any = Unreadable(error.shown)
    return Incoming(version, xid, message, "", bool(more))


def listed_flows(raw: bytes, message: object, tool: Tool) -> tuple[m.FlowStats, ...]:
    """The flows of an answer that lists flows.  Raises Failure if it is none, or cannot be read."""
    if isinstance(message, m.FlowStatsReply):
        return message.flows
    wrong = f"parse error in reply ({message.error})" if isinstance(message, Unreadable) else ""
    tool.warn("vconn", wrong or f"received bad reply: {message_text(raw).rstrip(chr(10))}")
    raise Failure("dump flows (Protocol error)")


def complain(raw: bytes, tool: Tool) -> int:
    """Shows the error that a switch answered with; the tool's exit status."""
    sys.stdout.flush()
    sys.stderr.write(message_text(raw, tool.style(1)))
    return 1


# ---- names ----


class Names(NamedTuple):
    ports: dict[int, str]
    port_numbers: dict[str, int]
    tables: dict[int, str]


def port_list(tool: Tool, name: str, versions: int = 0) -> tuple[m.Port, ...]:
    """All ports of a switch, asked for once and on a connection of its own."""
    if name not in tool.ports:
        tool.ports[name] = _ask_ports(tool, name, versions)
    return tool.ports[name]


def port_called(tool: Tool, name: str, word: str) -> int:
    """A port by number, or by its name, which may be in double quotes, as the switch knows it.

    Raises Failure.
    """
    port = parse_port(word, TextContext(warn=tool.warn))
    if port is None:
        numbers = {port.name: port.number for port in port_list(tool, name)}
        port = parse_port(word, TextContext(port_numbers=numbers))
    if port is None:
        raise Failure(f"{name}: unknown port `{word}'")
    return port


def _ask_ports(tool: Tool, name: str, versions: int) -> tuple[m.Port, ...]:
    switch = Switch(tool, name, versions)
    try:
        message = None
        if switch.version < 4:  # from 1.3 on features have no ports
            message = switch.ask(m.FeaturesRequest())[1].message
        if isinstance(message, m.FeaturesReply) and message.ports is not None and len(message.ports) < 1000:
            return message.ports
        ports: tuple[m.Port, ...] = ()
        for _, part in switch.replies(m.PortDescriptionRequest()):
            if isinstance(part.message, m.PortDescriptionReply):
                ports += part.message.ports
        return ports
    finally:
        switch.close()


def table_names(tool: Tool, name: str) -> dict[int, str]:
    """The names of a switch's tables, asked for once and on a connection of its own."""
    if name not in tool.tables:
        tool.tables[name] = _ask_table_names(tool, name)
    return tool.tables[name]


def _ask_table_names(tool: Tool, name: str) -> dict[int, str]:
    """1.0 to 1.2 tell them with statistics, later versions with features."""
    switch = Switch(tool, name)
    try:
        if switch.version >= 4:
            from trunkline.openflow.table_abilities import TableFeaturesRequest

            return _names_in_features(switch.raw_replies(TableFeaturesRequest()))
        found: dict[int, str] = {}
        for _, part in switch.replies(m.TableStatsRequest()):
            if isinstance(part.message, m.TableStatsReply):
                found.update({t.table: t.name for t in part.message.tables if t.name})
        return found
    finally:
        switch.close()


def _names_in_features(replies: Iterator[bytes]) -> dict[int, str]:
    """Just the names: a switch tells hundreds of properties of 254 tables, which take long to read."""
    found: dict[int, str] = {}
    for raw in replies:
        at = 16
        while at + 40 <= len(raw):
            length = int.from_bytes(raw[at : at + 2], "big")
            name = raw[at + 8 : at + 40].partition(b"\0")[0].decode(errors="replace")
            if name:
                found[raw[at + 2]] = name
            at += max(length, 8)
    return found


def names_of(tool: Tool, name: str) -> Names:
    tables = table_names(tool, name)
    ports: dict[int, str] = {}
    numbers: dict[str, int] = {}
    for port in port_list(tool, name):
        ports[port.number] = port.name
        numbers.setdefault(port.name, port.number)
    return Names(ports, numbers, tables)


def reading(tool: Tool, name: str | None) -> ActionContext:
    """How names in flows are to be read for the switch `name`."""
    if name is None or not tool.accept_names:
        return ActionContext(TextContext(warn=tool.warn))
    names = names_of(tool, name)
    by_name = {text: number for number, text in names.tables.items()}
    return ActionContext(TextContext(port_numbers=names.port_numbers, warn=tool.warn), by_name)


def reading_tables(tool: Tool, name: str) -> ActionContext:
    """As `reading`, where only tables have names."""
    if not tool.accept_names:
        return ActionContext(TextContext(warn=tool.warn))
    by_name = {text: number for number, text in table_names(tool, name).items()}
    return ActionContext(TextContext(warn=tool.warn), by_name)


def writing(tool: Tool, name: str | None) -> Style:
    """How numbers in flows are to be shown for the switch `name`."""
    if name is None or not tool.show_names:
        return tool.style()._replace(statistics=tool.statistics)
    names = names_of(tool, name)
    style = tool.style(port_names=names.ports)
    return style._replace(tables=names.tables, statistics=tool.statistics)


def with_format(switch: Switch, formats: int) -> int:
    """Agrees with the switch on the first of `formats` that its version has; switches extensions on.

    Returns the format.  Raises Failure when there is none.
    """
    for bit, version in FORMAT_VERSIONS.items():
        if not formats & bit or version != switch.version:
            continue
        if bit & (NXM | NXM_TID):
            switch.send(m.SetFlowFormat(of.NXFF_NXM))
            error = switch.barrier()
            if error is not None:
                continue
            switch.protocol = switch.protocol._replace(nxm=True)
        if bit & (OF10_TID | NXM_TID):
            switch.send(m.FlowModTableId(True))
            error = switch.barrier()
            if error is not None:
                continue
            switch.protocol = switch.protocol._replace(table_id=True)
        return bit
    raise Failure(f"{switch.name}: no usable flow format among {formats_text(formats)}")
