"""A passive target of a tool: waits for one peer that connects, and then is a stream like a dialled one."""

import errno
import os
import socket
from collections.abc import Callable

from trunkline.base.log import Log
from trunkline.base.targets import OVSDB_PORT, Target, TargetError, parse_target
from trunkline.io.addresses import by_name
from trunkline.io.blocking import BlockingStream
from trunkline.io.files import error_text, socket_path
from trunkline.io.target_log import clear_socket, report_unbound
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
    bound = _bound_unix(where.host, log) if where.method == "punix" else _bound_ip(where, text, log)
    bound.listen(1)
    return bound


def _bound_unix(path: str, log: Log) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        clear_socket(path, log)
        with socket_path(path, log) as short:
            bound.bind(short)
    except OSError as error:
        bound.close()
        report_unbound(path, error, log)
        raise
    return bound


def _bound_ip(where: Target, text: str, log: Log) -> socket.socket:
    address = by_name(where)
    bound = socket.socket(address.family, socket.SOCK_STREAM)
    logger = log.module("socket_util")
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address.place)
    except OSError as error:
        bound.close()
        logger.err("%s: bind: %s", text, error_text(error))
        raise
    if not where.port:
        logger.info("%s: listening on port %d", text, bound.getsockname()[1])
    return bound
