"""The answering side of control sockets: a server that runs the `Commands` of a daemon.

Requests of one connection are answered in order; one that is not finished at once (a handler that returns an
awaitable) holds back those behind it on its own connection only.  A message that is no request ends the
connection.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Final

from trunkline.base.counters import Counters
from trunkline.base.json import Json, JsonError, JsonStream, dumps
from trunkline.base.log import DBG, Log
from trunkline.io.loop import Rally
from trunkline.io.streams import Listen, Listener, Stream
from trunkline.jsonrpc.message import MessageError, Reply, Request, encode, message
from trunkline.jsonrpc.unixctl import CommandError, Commands


class ControlServer:
    """The control socket of one daemon."""

    def __init__(self, commands: Commands, log: Log, counters: Counters | None = None) -> None:
        self._commands = commands
        counters = counters or Counters()
        self._opened = counters.counter("pstream_open")
        self.received = counters.counter("unixctl_received")
        self.replied = counters.counter("unixctl_replied")
        self._log = log.module("unixctl")
        self._rpc_log = log.module("jsonrpc")
        self._listener: Listener | None = None
        self._talks: set[_Talk] = set()

    async def start(self, listen: Listen, path: str) -> None:
        """Listens at the unix socket `path`.  Raises OSError."""
        self._opened.add()
        self._listener = await listen(f"punix:{path}", self.accept)

    def accept(self, stream: Stream) -> None:
        talk = _Talk(self, stream)
        self._talks.add(talk)
        stream.receive(talk.receive)

    async def stop(self) -> None:
        """Removes the socket; lets the answers that are on their way be sent."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        talks = list(self._talks)
        waiting = [talk.task for talk in talks if talk.task is not None]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for talk in talks:
            self.end(talk)

    def end(self, talk: "_Talk", complaint: str = "") -> None:
        """Hangs up, after a word to the log."""
        if talk in self._talks:
            if complaint:
                self._rpc_log.warn("%s: %s", talk.stream.name, complaint)
            self._talks.discard(talk)
            talk.stream.close()

    def answer(self, request: Request) -> bytes | Awaitable[str]:
        """The reply to a request, encoded; or the text of one, later."""
        if self._log.enabled(DBG):
            self._log.dbg("received request %s%s, id=%s", request.method, list(request.params), request.id)
        try:
            text = self._commands.run(request.method, _strings(self._commands, request))
        except Exception as error:
            return self.refusal(request, error)
        return encode(Reply(request.id, _line(text))) if isinstance(text, str) else text

    async def answer_later(self, request: Request, text: Awaitable[str]) -> bytes:
        try:
            return encode(Reply(request.id, _line(await text)))
        except Exception as error:
            return self.refusal(request, error)

    def refusal(self, request: Request, error: Exception) -> bytes:
        if isinstance(error, CommandError):
            return _refusal(request.id, str(error))
        self._log.err('"%s" failed: %s: %s', request.method, type(error).__name__, error)
        return _refusal(request.id, f'"{request.method}" failed: {type(error).__name__}: {error}')


class _Talk:
    """One connection; `task` is a request that is being answered."""

    def __init__(self, server: ControlServer, stream: Stream) -> None:
        self.stream = stream
        self.task: asyncio.Task[bytes] | None = None
        self._server = server
        self._rally = Rally()
        self._messages = JsonStream()
        self._waiting: deque[Json] = deque()
        self._ended = False

    def receive(self, data: bytes) -> None:
        self._rally.heard()
        complaint = ""
        try:
            self._waiting += self._messages.feed(data)
            self._messages.check()
        except JsonError as error:
            complaint = f"error parsing stream: {error}"
        self._ended = self._ended or not data or bool(complaint)
        self._go_on()
        if complaint:
            self._server.end(self, complaint)

    def _go_on(self) -> None:
        """Answers what waits; one request that takes longer holds back those behind it."""
        server = self._server
        while self._waiting and self.task is None:
            value = self._waiting.popleft()
            try:
                request = message(value)
            except MessageError as error:
                server.end(self, f"error parsing stream: {error}")
                return
            if not isinstance(request, Request):
                server.end(self, "received unexpected message")
                return
            server.received.add()
            reply = server.answer(request)
            if isinstance(reply, bytes):
                self.stream.write(reply)
                server.replied.add()
                self._rally.said()
            else:
                loop = asyncio.get_running_loop()
                self.task = loop.create_task(server.answer_later(request, reply))
                self.task.add_done_callback(self._answered)
        if self._ended and self.task is None:
            server.end(self)

    def _answered(self, task: "asyncio.Task[bytes]") -> None:
        self.task = None
        if not task.cancelled():
            self.stream.write(task.result())
            self._server.replied.add()
        self._go_on()


_STRINGS: Final = frozenset((str,))


def _strings(commands: Commands, request: Request) -> Sequence[str]:
    """The arguments.  Raises CommandError for one that is no string, after their number was checked."""
    if _STRINGS.issuperset(map(type, request.params)):
        return request.params
    commands.check(request.method, len(request.params))
    raise CommandError(f'"{request.method}" command has non-string argument')


def _refusal(identity: Json, text: str) -> bytes:
    return dumps({"id": identity, "error": _line(text)}).encode("utf-8", "surrogateescape")


def _line(text: str) -> str:
    return text if text.endswith("\n") or not text else f"{text}\n"
