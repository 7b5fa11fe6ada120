"""A passive target of a tool: waits for one peer that connects, and then is a stream like a dialled one."""

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from trunkline.base.log import Log
from trunkline.base.targets import OVSDB_PORT, Target, TargetError, parse_target
from trunkline.io.blocking import BlockingStream
from trunkline.io.files import socket_path
from trunkline.io.tls import TlsFiles, handshake_error, prepare


def accept(
    target: str,
    *,
    log: Log,
    directory: str = "",
    port: int = OVSDB_PORT,
    tls: TlsFiles = TlsFiles(),  # noqa: B008 - an immutable record
    listening: Callable[[str], None] = lambda target: None,
) -> BlockingStream:
    """Listens at a passive target (``punix:``, ``ptcp:``, ``pssl:``) until the first peer has connected.

    `listening` is told the target when peers may come.  Raises OSError, with the original's lines logged.
    """
    try:
        where = parse_target(target, port=port, directory=directory)
    except TargetError:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT)) from None
    with _bound(where, target.partition(":")[2], log) as listener:
        listening(target)
        connected, _ = listener.accept()
    if where.method == "punix":
        os.unlink(where.host)
    if where.method == "pssl":
        try:
            connected = prepare(tls, server=True).context.wrap_socket(connected, server_side=True)
        except OSError as error:
            connected.close()
            raise handshake_error(error, "SSL_accept") from None
    return BlockingStream(target, connected)


def _bound(where: Target, text: str, log: Log) -> socket.socket:
    """A listening socket.  Raises OSError."""
    unix = where.method == "punix"
    family = socket.AF_UNIX if unix else socket.AF_INET6 if ":" in where.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if unix:
            with suppress(OSError):
                os.unlink(where.host)  # left over
            with socket_path(where.host) as short:
                listener.bind(short)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((where.host, where.port))
        listener.listen(1)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno or errno.EIO)
        if unix:
            log.module("fatal_signal").warn('could not unlink "%s" (%s)', where.host, reason)
            log.module("stream_unix").err("%s: binding failed: %s", where.host, reason)
        else:
            log.module("socket_util").err("%s: bind: %s", text, reason)
        raise
    if not unix and not where.port:
        log.module("socket_util").info("%s: listening on port %d", text, listener.getsockname()[1])
    return listener
