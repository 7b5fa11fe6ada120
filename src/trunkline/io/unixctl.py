"""The answering side of control sockets: a server that runs the `Commands` of a daemon.

Requests of one connection are answered in order; one that is not finished at once (a handler that returns an
awaitable) holds back those behind it on its own connection only.  A message that is no request ends the
connection.
"""

import asyncio
from collections.abc import Sequence

from trunkline.base.json import Json, JsonError, JsonStream, dumps
from trunkline.base.log import Log
from trunkline.io.streams import Listen, Listener, Stream
from trunkline.jsonrpc.message import MessageError, Reply, Request, encode, message
from trunkline.jsonrpc.unixctl import CommandError, Commands


class ControlServer:
    """The control socket of one daemon."""

    def __init__(self, commands: Commands, log: Log) -> None:
        self._commands = commands
        self._log = log.module("unixctl")
        self._rpc_log = log.module("jsonrpc")
        self._listener: Listener | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listen: Listen, path: str) -> None:
        """Listens at the unix socket `path`.  Raises OSError."""
        self._listener = await listen(f"punix:{path}", self.accept)

    def accept(self, stream: Stream) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Removes the socket; lets the answers that are on their way be sent."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, stream: Stream) -> None:
        messages = JsonStream()
        try:
            while data := await stream.read():
                for value in messages.feed(data):
                    request = message(value)
                    if not isinstance(request, Request):
                        self._rpc_log.warn("%s: received unexpected message", stream.name)
                        return
                    stream.write(await self.answer(request))
                    await stream.drain()
                messages.check()
        except (JsonError, MessageError) as error:
            self._rpc_log.warn("%s: error parsing stream: %s", stream.name, error)
        except OSError as error:
            self._rpc_log.warn("%s: receive error: %s", stream.name, error.strerror)
        finally:
            stream.close()

    async def answer(self, request: Request) -> bytes:
        """The reply to a request, encoded."""
        self._log.dbg("received request %s%s, id=%s", request.method, list(request.params), request.id)
        try:
            text = self._commands.run(request.method, _strings(self._commands, request))
            if not isinstance(text, str):
                text = await text
        except CommandError as error:
            return _refusal(request.id, str(error))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._log.err('"%s" failed: %s: %s', request.method, type(error).__name__, error)
            return _refusal(request.id, f'"{request.method}" failed: {type(error).__name__}: {error}')
        return encode(Reply(request.id, _line(text)))


def _strings(commands: Commands, request: Request) -> Sequence[str]:
    """The arguments.  Raises CommandError for one that is no string, after their number was checked."""
    if all(isinstance(parameter, str) for parameter in request.params):
        return request.params
    commands.check(request.method, len(request.params))
    raise CommandError(f'"{request.method}" command has non-string argument')


def _refusal(identity: Json, text: str) -> bytes:
    return dumps({"id": identity, "error": _line(text)}).encode("utf-8", "surrogateescape")


def _line(text: str) -> str:
    return text if text.endswith("\n") or not text else f"{text}\n"
