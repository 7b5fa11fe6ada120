"""A passive target of a tool: waits for one peer that connects, and then is a stream like a dialled one."""

import os
import socket

from trunkline.base.targets import OVSDB_PORT, parse_target
from trunkline.io.blocking import BlockingStream
from trunkline.io.files import socket_path
from trunkline.io.tls import TlsFiles, context, handshake_error


def accept(
    target: str,
    *,
    directory: str = "",
    port: int = OVSDB_PORT,
    tls: TlsFiles = TlsFiles(),  # noqa: B008 - an immutable record
) -> BlockingStream:
    """Listens at a passive target (``punix:``, ``ptcp:``, ``pssl:``) until the first peer has connected.

    Raises OSError, TargetError.
    """
    where = parse_target(target, port=port, directory=directory)
    if where.method == "punix":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with socket_path(where.host) as short:
            listener.bind(short)
    else:
        family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((where.host, where.port))
    with listener:
        listener.listen(1)
        connected, _ = listener.accept()
    if where.method == "punix":
        os.unlink(where.host)
    if where.method == "pssl":
        try:
            connected = context(tls, server=True).wrap_socket(connected, server_side=True)
        except OSError as error:
            connected.close()
            raise handshake_error(error, "SSL_accept") from None
    return BlockingStream(target, connected)
