"""monitor and snoop: connect to a switch and show every message that comes, until told to stop.

What is asked of the switch at first is asked in the plain blocking way of all commands.  Then the program may
become a daemon, opens its control socket (ofctl/send, ofctl/barrier, ...), and an event loop serves both.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Sequence
from typing import IO, Any

from trunkline.base.counters import Counters
from trunkline.base.targets import absolute
from trunkline.cli.ovs_ofctl import PROGRAM, Failure
from trunkline.cli.ovs_ofctl.connection import Switch
from trunkline.cli.ovs_ofctl.names import reading, writing
from trunkline.cli.ovs_ofctl.packets import parse_packet_out
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.cli.ovs_ofctl.watching import parse_watch
from trunkline.daemons.commands import common_commands
from trunkline.flow.values import TextError
from trunkline.io import standard_streams
from trunkline.io.alarm import die, hold_signals
from trunkline.io.daemonize import Daemonize
from trunkline.io.files import error_text
from trunkline.io.pidfile import PidfileError
from trunkline.io.streams import Sockets
from trunkline.io.unixctl import ControlServer
from trunkline.jsonrpc.unixctl import Command, CommandError, Commands
from trunkline.openflow import messages as m
from trunkline.openflow.codec import Incoming, decode, encode
from trunkline.openflow.continuations import Resume
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import DecodeError

_ALL = 0xFFFF
ENDED_BY = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


# ---- what is asked of the switch ----


def monitor(tool: Tool, arguments: Sequence[str]) -> int:
    switch = Switch(tool, arguments[0])
    resumes = False
    for word in arguments[1:]:
        if word[:1].isdigit():
            _set_config(switch, miss_send_len=int("".join(c for c in word if c.isdigit())) & 0xFFFF)
        elif word == "invalid_ttl":
            _ask_for_invalid_ttl(switch)
        elif word.startswith("watch:"):
            request = parse_watch(word[6:], switch, reading(tool, arguments[0]))
            for raw, _ in switch.replies(request):
                sys.stdout.write(message_text(raw, tool.style(1)))
            sys.stdout.flush()
        elif word == "resume":
            resumes = True
            _set_config(switch, miss_send_len=_ALL)
        else:
            raise Failure(f'{word}: unsupported "monitor" argument')
    _agree_on_packet_ins(tool, switch)
    return _watch(tool, switch, answers=True, resumes=resumes)


def snoop(tool: Tool, arguments: Sequence[str]) -> int:
    return _watch(tool, Switch(tool, arguments[0], service="snoop"), answers=False)


def _get_config(switch: Switch) -> m.SwitchConfig:
    _, incoming = switch.ask(m.GetConfigRequest())
    if not isinstance(incoming.message, m.GetConfigReply):
        raise Failure(f"{switch.name}: bad reply to config request")
    return incoming.message.config


def _set_config(switch: Switch, *, miss_send_len: int) -> None:
    switch.transact(m.SetConfig(_get_config(switch)._replace(miss_send_len=miss_send_len)))


def _ask_for_invalid_ttl(switch: Switch) -> None:
    config = _get_config(switch)
    if config.invalid_ttl_to_controller:
        return
    switch.transact(m.SetConfig(config._replace(invalid_ttl_to_controller=True)))
    if not _get_config(switch).invalid_ttl_to_controller:
        raise Failure("setting invalid_ttl_to_controller failed (this switch probably doesn't support mode)")


def _agree_on_packet_ins(tool: Tool, switch: Switch) -> None:
    """The richest form that there is, or just that of --packet-in-format."""
    if tool.packet_in_format is not None:
        if switch.transact(m.SetPacketInFormat(tool.packet_in_format)) is not None:
            raise Failure(f"{switch.name}: could not set packet-in format")
        return
    for form in (2, 1) if switch.version == 1 else (2,):
        if switch.transact(m.SetPacketInFormat(form)) is None:
            return


# ---- watching ----


def _watch(tool: Tool, switch: Switch, *, answers: bool, resumes: bool = False) -> int:
    pidfile = ""
    if "pidfile" in tool.process:
        pidfile = absolute(tool.process["pidfile"] or f"{PROGRAM}.pid", tool.directories.run)
    daemonize = Daemonize(
        tool.log,
        detach="detach" in tool.process,
        monitor="monitor" in tool.process,
        change_directory="no-chdir" not in tool.process,
        pidfile=pidfile,
        overwrite="overwrite-pidfile" in tool.process,
        keep_output=True,
    )
    try:
        daemonize.start()
    except PidfileError as error:
        raise Failure(error.text) from None
    tool.log.pid = os.getpid()
    watch = _Watch(tool, switch, answers, resumes)
    try:
        ended_by = asyncio.run(watch.run(daemonize))
    finally:
        daemonize.remove_pidfile()
    if ended_by:
        die(ended_by)
    return 0


class _Watch:
    """A connection being watched, and the commands of the control socket."""

    def __init__(self, tool: Tool, switch: Switch, answers: bool, resumes: bool) -> None:
        self._tool, self._switch = tool, switch
        self._answers, self._resumes = answers, resumes
        self._style = writing(tool, None)._replace(verbosity=tool.verbosity + 2)
        self._output: IO[str] = sys.stderr
        self._is_blocked = False
        self._barriers: dict[int, asyncio.Future[str]] = {}
        self._ended: asyncio.Future[int] | None = None

    async def run(self, daemonize: Daemonize) -> int:
        """Returns the signal that ended it, 0 for the command ``exit``.  Raises Failure."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        sockets = Sockets(self._tool.log, self._tool.directories.run)
        server = await self._serve(sockets)
        for number in ENDED_BY:
            loop.add_signal_handler(number, self._signalled, number)
        daemonize.complete()
        loop.add_reader(self._switch.fileno(), self._readable)
        self._readable()  # what came with the last answer
        try:
            return await self._ended
        finally:
            loop.remove_reader(self._switch.fileno())
            if server is not None:
                await server.stop()
            sockets.close()
            hold_signals()

    async def _serve(self, sockets: Sockets) -> ControlServer | None:
        directories = self._tool.directories
        path = self._tool.process.get("unixctl")
        if path == "none":
            return None
        path = absolute(path, directories.run) if path else f"{directories.run}/{PROGRAM}.{os.getpid()}.ctl"
        commands, counters = Commands(), Counters()
        common = common_commands(PROGRAM, commands, self._tool.log, counters)
        commands.add(*(command for command in common if command.name != "memory/show"), *self._commands())
        server = ControlServer(commands, self._tool.log, counters)
        try:
            await server.start(sockets.listen, path)
        except OSError as error:
            raise Failure(f"{path}: could not initialize control socket ({error_text(error)})") from None
        return server

    def _commands(self) -> list[Command]:
        changes = [
            Command(
                "ofctl/packet-out", '"in_port=<port> packet=<hex data> actions=..."', 1, 1, self._packet_out
            ),
            Command("ofctl/barrier", "", 0, 0, self._barrier),
            Command("ofctl/send", "OFMSG...", 1, _ALL, self._send),
        ]
        shows = [
            Command("exit", "", 0, 0, self._exit),
            Command("ofctl/set-output-file", "FILE", 1, 1, self._set_output),
            Command("ofctl/block", "", 0, 0, lambda _: self._block(True)),
            Command("ofctl/unblock", "", 0, 0, lambda _: self._block(False)),
        ]
        return shows + changes if self._answers else shows

    def _signalled(self, number: int) -> None:
        if self._ended is None or self._ended.done():
            return
        text = signal.strsignal(number)
        self._tool.log.module("fatal_signal").warn("terminating with signal %d (%s)", number, text)
        self._end(number)

    def _end(self, number: int) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(number)

    # ---- messages

    def _readable(self) -> None:
        if self._is_blocked or self._ended is None or self._ended.done():
            return
        try:
            for raw in self._switch.poll():
                self._show(raw)
        except OSError as error:
            self._ended.set_exception(Failure(f"vconn_recv ({error_text(error)})"))
        except EOFError:
            self._ended.set_exception(Failure("vconn_recv (End of file)"))

    def _show(self, raw: bytes) -> None:
        if self._tool.timestamp:
            self._output.write(timestamp())
        self._output.write(message_text(raw, self._style))
        standard_streams.check_reader(self._output)
        try:
            incoming = decode(raw)
        except DecodeError:
            return
        if not self._answers:
            return
        if isinstance(incoming.message, m.EchoRequest):
            reply = encode(self._switch.protocol, m.EchoReply(incoming.message.data), incoming.xid)
            self._switch.write(b"".join(reply))
        elif isinstance(incoming.message, m.PacketIn) and self._resumes:
            self._resume(incoming)
        elif incoming.xid in self._barriers and isinstance(incoming.message, m.BarrierReply):
            self._barriers.pop(incoming.xid).set_result("")

    def _resume(self, incoming: Incoming) -> None:
        packet: m.PacketIn = incoming.message  # type: ignore[assignment]
        if not packet.continuation:
            return  # nobody waits for an answer
        message: Any = Resume(packet)
        raw = b"".join(encode(self._switch.protocol, message, 0))
        self._output.write("send: " + message_text(raw, self._style))
        standard_streams.check_reader(self._output)
        self._switch.write(raw)

    # ---- commands

    def _exit(self, _: Sequence[str]) -> str:
        asyncio.get_running_loop().call_soon(self._end, 0)
        return ""

    def _block(self, blocked: bool) -> str:
        self._is_blocked = blocked
        loop = asyncio.get_running_loop()
        if blocked:
            loop.remove_reader(self._switch.fileno())
        else:
            loop.add_reader(self._switch.fileno(), self._readable)
            loop.call_soon(self._readable)
        return ""

    def _set_output(self, arguments: Sequence[str]) -> str:
        try:
            file = open(arguments[0], "w", encoding="utf-8")  # noqa: SIM115 - it stays open
        except OSError as error:
            raise CommandError(error.strerror or str(error)) from None
        if self._output is not sys.stderr:
            self._output.close()
        self._output = file
        return ""

    def _send(self, arguments: Sequence[str]) -> str:
        lines = []
        for text in arguments:
            try:
                raw = bytes.fromhex(text.replace(" ", ""))
            except ValueError:
                raise CommandError("Trailing garbage in hex data") from None
            if len(raw) < 8:
                raise CommandError("Message too short for OpenFlow")
            self._output.write("send: " + message_text(raw, self._style))
            standard_streams.check_reader(self._output)
            self._switch.write(raw)
            lines.append("sent\n")
        return "".join(lines)

    def _packet_out(self, arguments: Sequence[str]) -> str:
        try:
            message = parse_packet_out(arguments[0], reading(self._tool, self._switch.name))
        except (TextError, Failure) as error:
            raise CommandError(str(error)) from None
        xid = self._tool.next_xid()
        raw = b"".join(encode(self._switch.protocol, message, xid))
        self._output.write(message_text(raw, self._tool.style()))
        standard_streams.check_reader(self._output)
        self._switch.write(raw)
        return ""

    def _barrier(self, _: Sequence[str]) -> Awaitable[str]:
        xid = self._switch.send(m.BarrierRequest())
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._barriers[xid] = future
        return future


def timestamp() -> str:
    """Now, as --timestamp shows it before a message."""
    import time

    now = time.time()
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03d}: "
