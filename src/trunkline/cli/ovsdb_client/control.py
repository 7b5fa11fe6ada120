"""The control socket of an ovsdb-client in the background: ovs-appctl speaks to it.

A command that goes on for ever (monitor*, lock, steal) reads its connection in the blocking way.  Under
--detach, and only there, the original opens a control socket, too; then an event loop serves both: what the
connection says is shown as before, and control commands ask more of the server (another condition, another
lock) or hold back what it says (ovsdb-client/block).  What the server answers to them is shown by lock and
steal, and passed over by monitor*, which says "condition changed" before the server has looked at it.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from trunkline.base.counters import Counters
from trunkline.base.json import Json, JsonError, loads
from trunkline.cli.ovsdb_client.context import Context, Failure
from trunkline.daemons.commands import common_commands
from trunkline.io.files import error_text
from trunkline.io.ovsdb_client import ConnectionClosed, RpcError
from trunkline.io.streams import Sockets
from trunkline.io.unixctl import ControlServer
from trunkline.jsonrpc.message import Notification
from trunkline.jsonrpc.unixctl import Command, Commands

_PROGRAM: Final = "ovsdb-client"
_AT_ONCE: Final = 50  # notifications shown before control commands have their turn again
_PATIENCE: Final = 0.001  # seconds: whether more has come already

_LOCK_METHODS: Final = ("lock", "steal", "unlock")


def serve(context: Context, show: Callable[[Notification], None]) -> None:
    """Shows notifications until the command ``exit``.  Raises Failure when the connection ends."""
    asyncio.run(_Service(context, show).run())


class _Service:
    def __init__(self, context: Context, show: Callable[[Notification], None]) -> None:
        self._context, self._show = context, show
        self._client = context.client
        self._locks = context.arguments[0] in _LOCK_METHODS
        self._asked: list[int] = []  # requests whose answers have not come
        self._blocked = False
        self._ended: asyncio.Future[None] | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        directory, log = self._context.ways.directory, self._context.log
        path = f"{directory}/{_PROGRAM}.{os.getpid()}.ctl"
        sockets, commands, counters = Sockets(log, directory), Commands(), Counters()
        common = common_commands(_PROGRAM, commands, log, counters)
        commands.add(*(command for command in common if command.name != "memory/show"), *self._commands())
        server = ControlServer(commands, log, counters)
        try:
            await server.start(sockets.listen, path)
        except OSError as error:
            raise Failure(f"{path}: could not initialize control socket ({error_text(error)})") from None
        _remove_when_killed(path)
        self._context.serving()
        loop.add_reader(self._client.fileno(), self._readable)
        self._readable()  # what came with the last answer
        try:
            await self._ended
        finally:
            loop.remove_reader(self._client.fileno())
            await server.stop()
            sockets.close()

    def _commands(self) -> list[Command]:
        commands = [Command("exit", "", 0, 0, self._exit)]
        if self._locks:
            return commands + [Command(name, "LOCK", 1, 1, self._asking(name)) for name in _LOCK_METHODS]
        return [
            *commands,
            Command("ovsdb-client/cond_change", "TABLE COND", 2, 2, self._change_condition),
            Command("ovsdb-client/block", "", 0, 0, lambda _: self._block(True)),
            Command("ovsdb-client/unblock", "", 0, 0, lambda _: self._block(False)),
        ]

    # -- what the server says

    def _readable(self) -> None:
        if self._blocked or self._ended is None or self._ended.done():
            return
        loop = asyncio.get_running_loop()
        try:
            for shown, notification in enumerate(self._client.notifications(_PATIENCE)):
                self._show_answers()
                self._show(notification)
                if shown == _AT_ONCE:
                    loop.call_soon(self._readable)
                    return
            self._show_answers()
        except ConnectionClosed as error:
            self._ended.set_exception(Failure(f"{self._client.remote}: receive failed ({error})"))
        except Failure as error:
            self._ended.set_exception(error)

    def _show_answers(self) -> None:
        for number in [number for number in self._asked if self._client.answered(number)]:
            self._asked.remove(number)
            try:
                result = self._client.reply(number)
            except RpcError:
                continue  # as the original, which shows no refusals
            if self._locks:
                self._context.json(result)

    # -- control commands

    def _exit(self, _: Sequence[str]) -> str:
        asyncio.get_running_loop().call_soon(self._end)
        return ""

    def _end(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _asking(self, method: str) -> Callable[[Sequence[str]], str]:
        def ask(arguments: Sequence[str]) -> str:
            self._send(method, [arguments[0]])
            return ""

        return ask

    def _change_condition(self, arguments: Sequence[str]) -> str:
        table, text = arguments
        try:
            condition = loads(text)
        except JsonError as error:
            condition = str(error)  # the server refuses it: a condition is no string
        self._send("monitor_cond_change", [None, None, {table: [{"where": condition}]}])
        return "condition changed\n"

    def _send(self, method: str, params: list[Json]) -> None:
        try:
            self._asked.append(self._client.send(method, params))
        except ConnectionClosed:
            return  # reading finds out, and says so

    def _block(self, blocked: bool) -> str:
        self._blocked = blocked
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._client.fileno())
        if not blocked:
            loop.add_reader(self._client.fileno(), self._readable)
            loop.call_soon(self._readable)
        return ""


def _remove_when_killed(path: str) -> None:
    """Lets the handlers of signals that end the program remove the socket first."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        handler = signal.getsignal(number)
        if not callable(handler):
            continue

        def end(
            number: int,
            frame: FrameType | None,
            handler: Callable[[int, FrameType | None], object] = handler,
        ) -> None:
            try:
                os.unlink(path)
            except OSError:
                pass
            handler(number, frame)

        signal.signal(number, end)
