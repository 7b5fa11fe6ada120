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
from trunkline.io.files import socket_path
from trunkline.io.tls import TlsFiles, bootstrap, bootstraps, handshake_error, prepare

if TYPE_CHECKING:
    import ssl


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
) -> BlockingStream:
    """Connects to an active target.

    `directory` is where relative unix paths start (the run directory).  Raises OSError: EAFNOSUPPORT for what
    is no target (`why_not` says more), ECONNREFUSED and so on; TimeoutError after `timeout` seconds.
    """
    dialler = _DIALLER.get()
    if dialler is not None:
        return cast(BlockingStream, dialler(target))
    where = as_target(target, port=port, directory=directory)
    if where.method == "unix":
        connected = _dial_unix(where.host, timeout)
    elif where.method == "ssl":
        address = resolve(where)
        prepared = prepare(tls, server=False)  # what is wrong with the keys shows before anybody is bothered
        connected = _secured(_dial_ip(address, timeout), prepared.context, tls)
    else:
        connected = _dial_ip(resolve(where), timeout)
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


def why_not(text: str, *, port: int = OVSDB_PORT) -> str:
    """What is wrong with a target that dial refused, for a log line; "" if there is no more to say."""
    try:
        parse_target(text, port=port)
    except TargetError as error:
        return str(error)
    return ""


def _dial_unix(path: str, timeout: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        with socket_path(path) as short:
            connection.connect(short)
    except BaseException:
        connection.close()
        raise
    return connection


def numeric_address(target: Target) -> tuple[socket.AddressFamily, str, int]:
    """Family, address and port of a tcp or ssl target.  Raises OSError if the host is no address."""
    family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
    try:
        socket.inet_pton(family, target.host.partition("%")[0])
    except OSError:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT)) from None
    return family, target.host, target.port


def is_numbers(target: Target) -> bool:
    """Whether the host is no name: the resolver would take 10.1 for 10.0.0.1, and so dial somebody else."""
    try:
        socket.inet_aton(target.host)
    except OSError:
        return not target.host.strip("0123456789.")
    return True


def resolve(target: Target) -> tuple[socket.AddressFamily, str, int]:
    """Like `numeric_address`, but asks the resolver for names; blocks meanwhile."""
    try:
        return numeric_address(target)
    except OSError:
        if is_numbers(target):
            raise
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT)) from None
        family, _, _, _, address = found[0]
        return family, str(address[0]), target.port


def _dial_ip(address: tuple[socket.AddressFamily, str, int], timeout: float | None) -> socket.socket:
    family, host, port = address
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection
