"""Streams for tools: the targets of io/streams.py, dialled and read in a blocking way.

A tool has one connection and nothing else to do, so it needs no event loop, and must not pay for the import
of one.  The names and errors are those of the asynchronous streams.

A program that embeds the daemons runs the tools in its own process as well, against in-memory streams: within
`dialling`, what the tools dial is the embedder's to answer.
"""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol, cast

from trunkline.base.targets import OVSDB_PORT, Target, TargetError, parse_target
from trunkline.io.addresses import Address, by_name
from trunkline.io.files import socket_path
from trunkline.io.tls import TlsFiles, bootstrap, bootstraps, handshake_error, prepare

if TYPE_CHECKING:
    import ssl

    from trunkline.base.log import Log


class BlockingStream:
    """A connected stream.  `name` is the target.  Operations raise TimeoutError after the set time."""

    __slots__ = ("name", "socket")

    def __init__(self, name: str, connected: socket.socket) -> None:
        self.name = name
        self.socket = connected

    def read(self, most: int = 65536) -> bytes:
        """At least one byte; b"" when the peer has ended.  Raises OSError."""
        return self.socket.recv(most)

    def write(self, data: bytes) -> None:
        """Sends all of it.  Raises OSError."""
        self.socket.sendall(data)

    def settimeout(self, seconds: float | None) -> None:
        """How long each later operation may take; None: for ever."""
        self.socket.settimeout(seconds)

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        if hasattr(self.socket, "unwrap"):
            try:
                self.socket.settimeout(0)
                self.socket.unwrap()  # says good-bye within TLS; the peer's answer is not waited for
            except (OSError, ValueError):
                pass  # no answer yet, or the connection is gone
        self.socket.close()


class Conversation(Protocol):
    """What an embedder gives in place of a BlockingStream; there is no file to wait on."""

    def read(self, most: int = 65536) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def settimeout(self, seconds: float | None) -> None: ...

    def close(self) -> None: ...


Dialler = Callable[[str], Conversation]
_DIALLER: Final[ContextVar[Dialler | None]] = ContextVar("dialler", default=None)


@contextmanager
def dialling(dialler: Dialler | None) -> Iterator[None]:
    """Within the context, `dial` asks `dialler`, which raises OSError for what it does not know; with None it
    goes to the machine's sockets."""
    token = _DIALLER.set(dialler)
    try:
        yield
    finally:
        _DIALLER.reset(token)


def dial(
    target: str,
    timeout: float | None = None,
    *,
    directory: str = "",
    port: int = OVSDB_PORT,
    tls: TlsFiles = TlsFiles(),  # noqa: B008 - an immutable record
    log: "Log | None" = None,
) -> BlockingStream:
    """Connects to an active target.

    `directory` is where relative unix paths start (the run directory).  `log` hears of names too long for a
    socket.  Raises OSError: EAFNOSUPPORT for what is no target (target_log says more), ECONNREFUSED and so
    on; TimeoutError after `timeout` seconds.
    """
    dialler = _DIALLER.get()
    if dialler is not None:
        return cast(BlockingStream, dialler(target))
    where = as_target(target, port=port, directory=directory)
    if where.method == "unix":
        connected = _dial_unix(where.host, timeout, log)
    elif where.method == "ssl":
        address = by_name(where)
        prepared = prepare(tls, server=False)  # what is wrong with the keys shows before anybody is bothered
        connected = _secured(_dial_ip(address, timeout), prepared.context, tls)
    else:
        connected = _dial_ip(by_name(where), timeout)
    return BlockingStream(target, connected)


def _secured(connected: socket.socket, security: "ssl.SSLContext", files: TlsFiles) -> socket.socket:
    """The same connection with TLS.  Raises OSError."""
    try:
        secured = security.wrap_socket(connected)
    except OSError as error:
        connected.close()
        raise handshake_error(error, "SSL_connect") from None
    if bootstraps(files):
        outcome = bootstrap(files, secured)
        secured.close()
        raise outcome
    return secured


def is_socket(path: str) -> bool:
    """Whether there is a unix socket of this name; whether anybody listens is another matter."""
    dialler = _DIALLER.get()
    try:
        if dialler is not None:
            dialler(f"unix:{path}").close()
            return True
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def as_target(text: str, *, port: int = OVSDB_PORT, directory: str = "") -> Target:
    """An active target as tools take it.  Raises OSError with EAFNOSUPPORT, as connecting would."""
    try:
        target = parse_target(text, port=port, directory=directory)
    except TargetError:
        target = None
    if target is None or target.method.startswith("p"):
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    return target


def _dial_unix(path: str, timeout: float | None, log: "Log | None") -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        with socket_path(path, log) as short:
            connection.connect(short)
    except BaseException:
        connection.close()
        raise
    return connection


def _dial_ip(address: Address, timeout: float | None) -> socket.socket:
    connection = socket.socket(address.family, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(address.place)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection
