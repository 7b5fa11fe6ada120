"""Byte streams between daemons and their peers: one interface over unix, TCP, TLS and memory.

A *target* is the text that OVSDB and OpenFlow use to name an end point (ovsdb(7), "Connection Methods").
Active ones (``unix:FILE``, ``tcp:IP:PORT``, ``ssl:IP:PORT``) are dialled, passive ones (``punix:FILE``,
``ptcp:[PORT][:IP]``, ``pssl:[PORT][:IP]``) are listened on.  Whoever holds a `Stream` cannot tell which of
them it came from; an embedded daemon gets in-memory streams (io/memory.py) with the very same interface.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Protocol

from trunkline.base.log import WARN, Log, RateLimit
from trunkline.base.targets import OVSDB_PORT, PASSIVE, Target, TargetError, parse_target
from trunkline.io.addresses import Address, ScopeError, by_name, numeric
from trunkline.io.files import error_text, socket_path
from trunkline.io.target_log import clear_socket, explain, holds_data, report_unbound, report_unreachable
from trunkline.io.tls import (
    NEEDED,
    Line,
    TlsError,
    TlsFiles,
    bootstrap,
    bootstraps,
    complaints,
    handshake_error,
    prepare,
    report,
    say,
)

if TYPE_CHECKING:
    import ssl


class Stream(Protocol):
    """A connected byte stream, one reader at a time.

    `name` is what log lines call the connection: ``unix:/run/db.sock`` for one that was dialled, ``unix#3``
    or ``tcp:10.0.0.1:4711`` for one that was accepted.  `backlog` is how many written bytes the peer has not
    taken yet.
    """

    @property
    def name(self) -> str: ...

    @property
    def backlog(self) -> int: ...

    @property
    def peer_id(self) -> str | None:
        """The common name in the certificate that the peer showed and that was checked; None without TLS."""
        ...

    def mark(self, dscp: int) -> None:
        """Sends what follows with this DSCP (0 to 63; RFC 2474), where there is IP below."""
        ...

    async def read(self, most: int = 65536) -> bytes:
        """The bytes that have come, at least one; b"" when the peer has ended.  Raises OSError."""
        ...

    def receive(self, receiver: Callable[[bytes], None]) -> None:
        """From now on, calls `receiver` with bytes as they come, at once and without a task, and with b"" at
        the end (also when the connection broke); `read` is not used any more.  For servers of many clients.
        """
        ...

    def pause(self) -> None:
        """Takes no more bytes from the peer, until `resume`."""
        ...

    def resume(self) -> None: ...

    def write(self, data: bytes) -> None:
        """Sends or queues; never blocks and never fails: a broken connection shows in `read`."""
        ...

    async def drain(self) -> None:
        """Waits until what is queued is little (or the connection is gone)."""
        ...

    def when_sent(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once, soon, when nothing is queued (any more), or the connection is gone.

        There is no timer in it: it works while time stands still, too.
        """
        ...

    def close(self) -> None:
        """Sends what is queued, then closes.  No more bytes are received."""
        ...

    def abort(self) -> None:
        """Closes at once; what is queued is lost."""
        ...


class Listener(Protocol):
    """A passive target that accepts.  `target` has the port that was bound (``ptcp:4711:127.0.0.1``)."""

    @property
    def target(self) -> str: ...

    def close(self) -> None:
        """Stops accepting, removes the unix socket file.  Accepted streams live on."""
        ...


Accept = Callable[[Stream], None]


class Dial(Protocol):
    def __call__(self, target: str, *, port: int = OVSDB_PORT) -> Awaitable[Stream]:
        """Connects to an active target, at `port` if it names none.  Raises OSError."""
        ...


class Listen(Protocol):
    def __call__(self, target: str, accept: Accept, *, port: int = OVSDB_PORT) -> Awaitable[Listener]:
        """Listens at a passive target, at `port` if it names none.  Raises OSError."""
        ...


class TransportStream(asyncio.Protocol):
    """A Stream over an asyncio transport, that is over a socket, with TLS or without."""

    HIGH = 262_144  # bytes that wait for `read` before the peer is held back

    __slots__ = (
        "_buffer",
        "_drained",
        "_ended",
        "_error",
        "_held",
        "_made",
        "_name",
        "_receiver",
        "_sent",
        "_transport",
        "_waiter",
    )

    def __init__(self, name: str = "", made: "Callable[[TransportStream], None] | None" = None) -> None:
        self._name = name
        self._made = made
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._receiver: Callable[[bytes], None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._sent: list[Callable[[], None]] = []  # who waits for nothing to be queued
        self._ended = False
        self._error: OSError | None = None
        self._held = False  # reading is paused because of the buffer

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._made is not None:
            self._made(self)

    def data_received(self, data: bytes) -> None:
        if self._receiver is not None:
            self._receiver(data)
            return
        self._buffer += data
        if len(self._buffer) > self.HIGH and not self._held:
            self._held = True
            self.pause()
        self._wake()

    def eof_received(self) -> bool:
        return False  # the transport closes itself, after what is queued

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        if isinstance(exc, OSError):
            self._error = exc
        self._wake()
        self.resume_writing()
        # The receiver knows the stream's owner, and that the stream: not to be left to the cyclic collector.
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver(b"")

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        if self._sent:
            sent, self._sent = self._sent, []
            if self._transport is not None and not self._ended:
                self._transport.set_write_buffer_limits()
            for callback in sent:
                asyncio.get_running_loop().call_soon(callback)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # what the owner calls

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    @property
    def backlog(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def peer_id(self) -> str | None:
        certificate = self._transport.get_extra_info("peercert") if self._transport is not None else None
        subject = certificate.get("subject", ()) if certificate else ()
        return next((value for part in subject for name, value in part if name == "commonName"), None)

    def mark(self, dscp: int) -> None:
        below = self._transport.get_extra_info("socket") if self._transport is not None else None
        try:
            if below is not None and below.family == socket.AF_INET:
                below.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
            elif below is not None and below.family == socket.AF_INET6:
                below.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
        except OSError:
            pass  # the connection is gone already, which its reader will hear

    async def read(self, most: int = 65536) -> bytes:
        while not self._buffer and not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = bytes(self._buffer[:most])
        if not data and self._error is not None:
            raise self._error
        del self._buffer[:most]
        if self._held and len(self._buffer) <= self.HIGH // 2:
            self._held = False
            self.resume()
        return data

    def receive(self, receiver: Callable[[bytes], None]) -> None:
        self._receiver = receiver
        if self._held:
            self._held = False
            self.resume()
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            receiver(data)
        if self._ended:
            receiver(b"")

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        if self._drained is not None:
            await self._drained

    def when_sent(self, callback: Callable[[], None]) -> None:
        if self._transport is None or self._ended or not self.backlog:
            asyncio.get_running_loop().call_soon(callback)
            return
        self._sent.append(callback)
        self._transport.set_write_buffer_limits(high=0, low=0)

    def close(self) -> None:
        self._receiver = None
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._receiver = None
        if self._transport is not None:
            self._transport.abort()


class SocketListener:
    """A Listener on a socket of the machine."""

    def __init__(self, target: str, server: asyncio.Server, path: str, closed: Callable[..., None]) -> None:
        self.target = target
        self._server = server
        self._path = path
        self._closed = closed

    def close(self) -> None:
        self._server.close()
        if self._path:
            try:
                if not holds_data(self._path):
                    os.unlink(self._path)
            except OSError:
                pass  # somebody else was quicker, or the directory has gone
            self._path = ""
        self._closed(self)


class _Handshake(asyncio.Protocol):
    """An accepted connection until TLS stands; keeps what the peer says right behind its handshake."""

    def __init__(self, start: Callable[["_Handshake"], Coroutine[None, None, None]]) -> None:
        self.transport: asyncio.Transport | None = None
        self.early = b""
        self._start = start
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()
        self._task = asyncio.ensure_future(self._start(self))

    def data_received(self, data: bytes) -> None:
        self.early += data


class Sockets:
    """The machine's sockets: `dial` and `listen` for the Env of a daemon that is a process.

    `directory` is where relative unix paths start.  `tls` holds the files of ``ssl:`` and ``pssl:``;
    `set_tls` replaces it at any time, for later connections.  What goes wrong with a target is logged as the
    original logs it, and raised as OSError; that a connection could not be accepted, by module
    `accept_module`.
    """

    accept_module = "stream"

    def __init__(self, log: Log, directory: str = "", tls: TlsFiles = TlsFiles()) -> None:  # noqa: B008
        self.tls = tls
        self._directory = directory
        self._log = log
        self._count = 0
        self._listeners: set[SocketListener] = set()
        self._contexts: dict[bool, ssl.SSLContext] = {}  # the last good ones, of a server and of a client
        # What was said of the settings: not once more with every connection.
        self._said: set[Line] = set(complaints(tls)) if _given(tls) else set()
        self._limits = RateLimit(10, 25), RateLimit(10, 25), RateLimit()

    def close(self) -> None:
        """Closes every listener."""
        for listener in list(self._listeners):
            listener.close()

    def set_tls(self, files: TlsFiles) -> None:
        """Other settings, and what is wrong with them."""
        self.tls = files
        lines = complaints(files) if _given(files) else []
        self._said = set(lines)
        say(self._log, lines)

    # active

    async def dial(self, target: str, *, port: int = OVSDB_PORT) -> Stream:
        """Connects.  Raises OSError."""
        where = self._parse(target, port)
        loop = asyncio.get_running_loop()
        stream = TransportStream(target)
        if where.method == "unix":
            connection = await self._dial_unix(where.host)
            await loop.create_unix_connection(lambda: stream, sock=connection)
            return stream
        security = self._context(server=False) if where.method == "ssl" else None
        connection = await self._dial_ip(target, where)
        hostname = "" if security is not None else None
        try:
            transport, _ = await loop.create_connection(
                lambda: stream, sock=connection, ssl=security, server_hostname=hostname
            )
            if security is not None and bootstraps(self.tls):
                stream.abort()
                raise bootstrap(self.tls, transport.get_extra_info("ssl_object"))
        except OSError as error:
            wrong = handshake_error(error, "SSL_connect") if security is not None else error
            report(self._log, wrong)
            raise wrong from None
        return stream

    def _parse(self, text: str, port: int) -> Target:
        explain(text, self._log, port)
        try:
            return parse_target(text, port=port, directory=self._directory)
        except TargetError:
            report_unreachable(text, errno.EAFNOSUPPORT, self._log, port)
            raise _unsupported() from None

    async def _dial_unix(self, path: str) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with socket_path(path, self._log) as short:
                await asyncio.get_running_loop().sock_connect(connection, short)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _dial_ip(self, text: str, target: Target) -> socket.socket:
        try:
            address = await self._resolve(target)
            return await self._connect(address)
        except OSError as error:
            report_unreachable(text, error.errno or 0, self._log, target.port)
            raise

    async def _connect(self, address: Address) -> socket.socket:
        connection = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            await asyncio.get_running_loop().sock_connect(connection, address.place)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _resolve(self, target: Target) -> Address:
        try:
            return numeric(target)
        except ScopeError:
            raise
        except OSError:
            pass
        try:
            return await asyncio.get_running_loop().run_in_executor(None, by_name, target)
        except OSError:
            self._log.module("dns_resolve").warn("%s: failed to resolve", target.host)
            raise

    def _context(self, *, server: bool) -> "ssl.SSLContext":
        """What is wrong with the settings is logged once; what is missing, with every connection.

        Where there were good ones before, those go on: a typing error in the database must not cut off
        everybody who could mend it.
        """
        kept = self._contexts.get(server)
        try:
            prepared = prepare(self.tls, server=server)
        except TlsError as error:
            self._say_new([*error.complaints, *error.lines])
            if kept is None:
                raise
            return kept
        self._say_new(prepared.lines)
        if kept is not None and not prepared.trusts:
            return kept
        if not bootstraps(self.tls):
            self._contexts[server] = prepared.context
        return prepared.context

    def _say_new(self, lines: Sequence[Line]) -> None:
        new = [line for line in lines if line not in self._said]
        say(self._log, new)
        self._said.update(line for line in new if NEEDED not in line[1])

    # passive

    async def listen(self, target: str, accept: Accept, *, port: int = OVSDB_PORT) -> Listener:
        """Listens; every connection is given to `accept`.  Raises OSError."""
        where = self._parse(target, port)
        if where.method not in PASSIVE:
            raise _unsupported()
        loop = asyncio.get_running_loop()
        if where.method == "punix":
            bound = self._bind_unix(where.host)
            server: asyncio.Server = await loop.create_unix_server(self._accepted(accept, "unix"), sock=bound)
            return self._listening(SocketListener(target, server, where.host, self._listeners.discard))
        bound = self._bind_ip(target.partition(":")[2], await self._resolve(where))
        factory = self._accepted(accept, where.method[1:])
        port = bound.getsockname()[1]
        if where.port == 0:
            shown = target.partition(":")[2]
            self._log.module("socket_util").info("%s: listening on port %d", shown, port)
        text = f"{where.method}:{port}" + (f":{bracketed(where.host)}" if where.host else "")
        made = self._secured(factory, text) if where.method == "pssl" else factory
        server = await loop.create_server(made, sock=bound)
        return self._listening(SocketListener(text, server, "", self._listeners.discard))

    def _listening(self, listener: SocketListener) -> SocketListener:
        self._listeners.add(listener)
        return listener

    def _accepted(self, accept: Accept, method: str) -> Callable[[], TransportStream]:
        def made(stream: TransportStream) -> None:
            stream.name = self._peer(method, stream)
            accept(stream)

        return lambda: TransportStream("", made)

    def _secured(self, factory: Callable[[], TransportStream], target: str) -> Callable[[], asyncio.Protocol]:
        """Puts TLS under the streams that `factory` makes for the listener at `target`.

        The files are read for each connection: a listener may be there before its keys, and keys may change.
        """
        return lambda: _Handshake(lambda handshake: self._start_tls(handshake, factory, target))

    async def _start_tls(
        self, handshake: _Handshake, factory: Callable[[], TransportStream], target: str
    ) -> None:
        from trunkline.io.tls_accept import Refused, accept_tls

        transport = handshake.transport
        assert transport is not None
        address = transport.get_extra_info("peername") or ("", 0)
        name = f"ssl:{bracketed(str(address[0]))}:{address[1]}"
        try:
            secured = await accept_tls(transport, handshake, self._context(server=True))
        except Refused as refused:
            error = handshake_error(refused.error, "SSL_accept")
            lines = error.lines if isinstance(error, TlsError) else ()
            say(self._log, lines, self._limits[0])
            if refused.first[:2] == b'{"':
                text = f"{name}: received JSON-RPC data on SSL channel"
                say(self._log, [(WARN, text)], self._limits[1])
            reason = error_text(error)
            logger = self._log.module("jsonrpc")
            logger.warn("%s: receive error: %s", name, reason, limit=self._limits[2])
            self._log.module("reconnect").warn("%s: connection dropped (%s)", name, reason)
            return
        except OSError as error:
            transport.abort()  # the keys are not there
            if self.accept_module:
                logger = self._log.module(self.accept_module)
                logger.warn("%s: accept failed: %s", target, error_text(error))
            return
        stream = factory()
        secured.set_protocol(stream)
        stream.connection_made(secured)
        if handshake.early:
            stream.data_received(handshake.early)

    def _peer(self, method: str, stream: TransportStream) -> str:
        if method == "unix":
            self._count += 1
            return f"unix#{self._count - 1}"
        assert stream._transport is not None
        address = stream._transport.get_extra_info("peername") or ("", 0)
        return f"{method}:{bracketed(str(address[0]))}:{address[1]}"

    def _bind_unix(self, path: str) -> socket.socket:
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            clear_socket(path, self._log)
            os.fchmod(bound.fileno(), 0o770)  # before it has a name: nobody slips in
            with socket_path(path, self._log) as short:
                bound.bind(short)
            bound.listen(64)
        except OSError as error:
            bound.close()
            report_unbound(path, error, self._log)
            raise
        return bound

    def _bind_ip(self, text: str, address: Address) -> socket.socket:
        bound = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address.place)
            bound.listen(64)
        except OSError as error:
            bound.close()
            self._log.module("socket_util").err("%s: bind: %s", text, error_text(error))
            raise
        return bound


def _given(files: TlsFiles) -> bool:
    return any(value is not None for value in files)


def bracketed(host: str) -> str:
    """An address as targets show it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def _unsupported() -> OSError:
    return OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
