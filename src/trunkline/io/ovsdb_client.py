"""JSON-RPC to a database server in a blocking way: all that a tool needs.

A tool asks a few questions and ends.  Requests may be pipelined (`send`, `send`, `reply`, `reply`);
notifications that come meanwhile wait for `notifications`; the server's echo requests are answered whenever
the client reads.  Daemons use io/replica_client.py, which never blocks.
"""

import errno
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from trunkline.base.json import Json, JsonError, JsonStream
from trunkline.jsonrpc.message import (
    ErrorReply,
    MessageError,
    Notification,
    Reply,
    Request,
    described,
    encode,
    message,
)

if TYPE_CHECKING:
    from trunkline.base.log import Log

_DBG = 5  # base/log.py, which tools without a log need not import


class ConnectError(Exception):
    """The server cannot be reached; the text is the operating system's unless given, `number` its errno."""

    def __init__(self, number: int, text: str = "") -> None:
        super().__init__(text or os.strerror(number))
        self.number = number


class ConnectionClosed(Exception):
    """The connection ended or broke; the text says how ("End of file", "Connection reset by peer", ...)."""


class RpcError(Exception):
    """The server answered with an error; `error` is its JSON."""

    def __init__(self, error: Json) -> None:
        super().__init__(str(error))
        self.error = error


class BlockingTransport(Protocol):
    """What io/blocking.py gives."""

    def read(self, most: int = ...) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def settimeout(self, seconds: float | None) -> None: ...

    def close(self) -> None: ...


class BlockingClient:
    """One connection.  `remote` is an active target such as ``unix:/run/db.sock`` or ``tcp:127.0.0.1:6640``.

    `timeout` bounds connecting and each single reading, in seconds.  `log` hears every message (module
    jsonrpc, level DBG).  `first_id` is the id of the first request.  Raises ConnectError.
    """

    def __init__(
        self,
        remote: str,
        timeout: float | None = None,
        *,
        directory: str = "",
        transport: BlockingTransport | None = None,
        log: "Log | None" = None,
        first_id: int = 0,
    ) -> None:
        self.remote = remote
        self._log = log
        logger = None if log is None else log.module("jsonrpc")
        self._logger = logger if logger is not None and logger.enabled(_DBG) else None
        self._timeout = timeout
        if transport is None:
            from trunkline.io.blocking import dial

            try:
                transport = dial(remote, timeout, directory=directory, log=log)
            except OSError as error:
                number = errno.ETIMEDOUT if isinstance(error, TimeoutError) else (error.errno or errno.EPROTO)
                raise ConnectError(number) from None
        self._stream = transport
        self._parser = JsonStream()
        self._replies: dict[int, Reply | ErrorReply] = {}
        self._notifications: deque[Notification] = deque()
        self.next_id = first_id

    def call(self, method: str, params: Sequence[Json]) -> Json:
        """The result of one request.  Raises RpcError, ConnectionClosed, TimeoutError."""
        return self.reply(self.send(method, params))

    def send(self, method: str, params: Sequence[Json]) -> int:
        """Sends a request and returns its id for `reply`.  Raises ConnectionClosed."""
        number = self.next_id
        self.next_id += 1
        self._send(Request(method, params, number))
        return number

    def notify(self, method: str, params: Sequence[Json]) -> None:
        self._send(Notification(method, params))

    def reply(self, number: int) -> Json:
        """Waits for the answer to the request `number`.  Raises as `call`."""
        while number not in self._replies:
            self._receive()
        answer = self._replies.pop(number)
        if isinstance(answer, ErrorReply):
            raise RpcError(answer.error)
        return answer.result

    def answered(self, number: int) -> bool:
        """Whether `reply` would return at once."""
        return number in self._replies

    def notifications(self, timeout: float | None = None) -> Iterator[Notification]:
        """Notifications as they come (also those that came before).  Ends when none came for `timeout`
        seconds; raises ConnectionClosed when the peer closes."""
        while True:
            while self._notifications:
                yield self._notifications.popleft()
            self._stream.settimeout(timeout)
            try:
                self._receive()
            except TimeoutError:
                return
            finally:
                self._stream.settimeout(self._timeout)

    def wait(self) -> Notification | None:
        """One more reading of the stream: a notification that has come, or None (a reply came, or nothing
        whole).  Raises as `call`."""
        if not self._notifications:
            self._receive()
        return self._notifications.popleft() if self._notifications else None

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> "BlockingClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Readable when there is something to receive.  Raises AttributeError for an embedder's transport."""
        number: int = self._stream.fileno()  # type: ignore[attr-defined]
        return number

    def _send(self, item: Request | Notification | Reply | ErrorReply) -> None:
        if self._logger is not None:
            self._logger.dbg("%s: send %s", self.remote, described(item))
        self._write(encode(item))

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._broken(error, "SSL_write", "send") from None

    def _receive(self) -> None:
        try:
            data = self._stream.read(1 << 18)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._broken(error, "SSL_read", "receive") from None
        if not data:
            raise ConnectionClosed("End of file")
        try:
            self._parser.check()
            for value in self._parser.feed(data):
                item = message(value)
                if self._logger is not None:
                    self._logger.dbg("%s: received %s", self.remote, described(item))
                self._take(item)
        except (JsonError, MessageError) as error:
            if self._log is not None:
                what = (
                    "error parsing stream"
                    if isinstance(error, JsonError)
                    else "received bad JSON-RPC message"
                )
                self._log.module("jsonrpc").warn("%s: %s: %s", self.remote, what, error)
            raise ConnectionClosed(os.strerror(errno.EPROTO)) from error

    def _broken(self, error: OSError, function: str, doing: str) -> ConnectionClosed:
        """What a failed operation is to the caller; the log is told."""
        reason = os.strerror(error.errno or errno.EPIPE)
        secure = type(error).__name__.startswith("SSL")  # without an import of ssl
        if secure:
            reason = os.strerror(errno.EIO)
        if self._log is not None:
            if secure:
                from trunkline.io.tls import error_words

                self._log.module("stream_ssl").warn("%s: %s", function, error_words(error))
            self._log.module("jsonrpc").warn("%s: %s error: %s", self.remote, doing, reason)
        return ConnectionClosed(reason)

    def _take(self, item: object) -> None:
        if isinstance(item, (Reply, ErrorReply)):
            if type(item.id) is int:
                self._replies[item.id] = item
        elif isinstance(item, Notification):
            self._notifications.append(item)
        elif isinstance(item, Request):
            if item.method == "echo":
                self._send(Reply(item.id, item.params))
            else:
                self._send(ErrorReply(item.id, "unknown method"))
