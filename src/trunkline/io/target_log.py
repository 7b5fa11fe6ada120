"""What the log says of a target that leaves something out, or that nobody could dial, whoever dials it."""

import errno
import os

from trunkline.base.log import Log
from trunkline.base.targets import (
    OVSDB_PORT,
    TargetError,
    lacks_port,
    parse_target,
    port_moved,
    with_port,
)


def explain(target: str, log: Log, port: int = OVSDB_PORT) -> None:
    """Logs what is wrong with a target, or left out; `port` is what is taken for none."""
    if lacks_port(target):
        log.module("stream").warn_once(port_moved(port))
    try:
        parse_target(target, port=port)
    except TargetError as error:
        if str(error):
            log.module("socket_util").err("%s", error)


def report_unreachable(target: str, log: Log, port: int = OVSDB_PORT) -> None:
    """Logs that an IP target is no address that could be dialled (EAFNOSUPPORT)."""
    method = target.partition(":")[0]
    if method in ("tcp", "ssl"):
        reason = os.strerror(errno.EAFNOSUPPORT)
        log.module(f"stream_{method}").err("%s: connect: %s", with_port(target, port), reason)
