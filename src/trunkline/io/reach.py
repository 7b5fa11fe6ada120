"""How a tool comes to a server: one target, or several that are tried in turn, with the originals' log lines.

The log is part of what an administrator reads when a tool cannot connect: module reconnect tells the states
of the attempts (ovsdb(7) on reconnecting), stream_unix, stream_tcp, socket_util and stream_ssl tell why one
failed.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from trunkline.base.log import Log
from trunkline.base.targets import TargetError, is_passive, parse_target
from trunkline.io.ovsdb_client import BlockingClient, ConnectError
from trunkline.io.target_log import explain, report_unreachable

if TYPE_CHECKING:
    from trunkline.io.tls import TlsFiles

DELAYS: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds between rounds of attempts; the last one holds on."""


class Ways(NamedTuple):
    """What connecting needs: the run directory, the TLS files (read when a target wants them), the log.

    `waiting` is told a passive target once the tool listens there.
    """

    directory: str
    tls: "Callable[[], TlsFiles]"
    log: Log
    waiting: Callable[[str], None] = lambda target: None


def connect(
    target: str, ways: Ways, *, first_id: int = 0, started: Callable[[], None] = lambda: None
) -> BlockingClient:
    """One attempt.  Raises ConnectError, with the reason logged as the originals log it.

    `started` is called once, when what can be known to be wrong beforehand has been logged.
    """
    explain(target, ways.log)
    surely = target.startswith(("unix:", "tcp:")) and _is_numeric(target)
    if surely:
        started()
    try:
        if is_passive(target):
            from trunkline.io.blocking_listener import accept

            stream = accept(
                target, directory=ways.directory, tls=ways.tls(), log=ways.log, listening=ways.waiting
            )
            started()
            return BlockingClient(target, transport=stream, log=ways.log, first_id=first_id)
        if target.startswith("ssl:"):
            from trunkline.io.blocking import dial

            stream = dial(target, directory=ways.directory, tls=ways.tls())
            started()
            return BlockingClient(target, transport=stream, log=ways.log, first_id=first_id)
        client = BlockingClient(target, directory=ways.directory, log=ways.log, first_id=first_id)
        if not surely:
            started()
        return client
    except (OSError, ConnectError) as error:
        number = error.number if isinstance(error, ConnectError) else error.errno or errno.EPROTO
        if target.startswith("unix:"):
            path = parse_target(target, directory=ways.directory).host
            ways.log.module("stream_unix").dbg("%s: connection failed (%s)", path, os.strerror(number))
        elif isinstance(error, OSError) and (target.startswith("ssl:") or is_passive(target)):
            from trunkline.io.tls import report

            report(ways.log, error)
        report_unreachable(target, number, ways.log)
        if not surely:
            started()
        raise ConnectError(number) from None


def _is_numeric(target: str) -> bool:
    from trunkline.io.addresses import numeric

    try:
        where = parse_target(target)
        return where.method == "unix" or bool(numeric(where))
    except (TargetError, OSError):
        return False


def connect_in_turn(
    targets: Sequence[str],
    ways: Ways,
    *,
    suits: Callable[[BlockingClient], str] = lambda client: "",
    retry: bool = False,
) -> BlockingClient:
    """The first connection that suits; `suits` says why one does not, "" if it does.

    Without `retry` every target is tried once.  Raises ConnectError with the last reason.
    """
    logger = ways.log.module("reconnect")
    logger.dbg("%s: entering BACKOFF", targets[0])
    next_id = 0
    for delay in _delays():
        for place, target in enumerate(targets):

            def connecting(target: str = target) -> None:
                logger.info("%s: connecting...", target)
                logger.dbg("%s: entering CONNECTING", target)

            try:
                client = connect(target, ways, first_id=next_id, started=connecting)
            except ConnectError as error:
                failure = error
                logger.info("%s: connection attempt failed (%s)", target, error)
            else:
                logger.info("%s: connected", target)
                logger.dbg("%s: entering ACTIVE", target)
                reason = suits(client)
                if not reason:
                    return client
                failure = ConnectError(errno.ETIMEDOUT, reason)
                next_id = client.next_id
                client.close()
                logger.dbg("%s: entering RECONNECT", target)
                logger.info("%s: connection attempt timed out", target)
            if retry and delay > 1 and place == len(targets) - 1:
                logger.info("%s: waiting %g seconds before reconnect", target, delay)
            logger.dbg("%s: entering BACKOFF", target)
        if not retry:
            raise failure
        time.sleep(delay)
    raise AssertionError


def _delays() -> Iterator[float]:
    yield from DELAYS
    while True:
        yield DELAYS[-1]
