"""What the log says of a target that leaves something out, or that nobody could dial, whoever dials it."""

import errno
import os
import stat
from typing import Final

from trunkline.base.log import Log
from trunkline.base.targets import (
    OVSDB_PORT,
    Target,
    TargetError,
    lacks_port,
    parse_target,
    port_moved,
    with_port,
)
from trunkline.io.files import error_text

# What connect(2) finds by itself, before anything is sent: the target cannot be meant as it stands.
_AT_ONCE: Final = (errno.EAFNOSUPPORT, errno.EINVAL, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EACCES)


def explain(target: str, log: Log, port: int = OVSDB_PORT) -> None:
    """Logs what is wrong with a target, or left out; `port` is what is taken for none."""
    if lacks_port(target):
        log.module("stream").warn_once(port_moved(port))
    try:
        where = parse_target(target, port=port)
        if "%" in where.host and where.method not in ("unix", "punix"):
            _explain_scope(where, target.partition(":")[2], log)
    except TargetError as error:
        if str(error):
            log.module("socket_util").err("%s", error)


def _explain_scope(where: Target, text: str, log: Log) -> None:
    from trunkline.io.addresses import ScopeError, numeric

    try:
        numeric(where)
    except ScopeError as error:
        log.module("socket_util").err('%s: bad IPv6 scope "%s" (%s)', text, error.scope, error.reason)
    except OSError:
        pass  # no address: whoever dials it says so


def report_unreachable(target: str, number: int, log: Log, port: int = OVSDB_PORT) -> None:
    """Logs that an IP target could not even be tried, if that is what the error `number` says."""
    method = target.partition(":")[0]
    if method in ("tcp", "ssl") and number in _AT_ONCE:
        logger = log.module(f"stream_{method}")
        logger.err("%s: connect: %s", with_port(target, port), os.strerror(number))


def holds_data(path: str) -> bool:
    """Whether a name is of a file, pipe or device: a slip of somebody who meant a socket, and not ours to
    remove.  What else is there says for itself why it cannot be removed."""
    try:
        kind = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISSOCK(kind) or stat.S_ISDIR(kind))


def clear_socket(path: str, log: Log) -> None:
    """Removes the unix socket that an earlier process left at `path`, and logs why it cannot.

    Raises OSError: something else is there (FileExistsError if it is a file).
    """
    if holds_data(path):
        log.module("socket_util_unix").warn("%s: in the way of a socket, and none itself: not removed", path)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        reason = error_text(error)
        log.module("socket_util_unix").warn('unlinking "%s": %s', path, reason)
        raise


def report_unbound(path: str, error: OSError, log: Log) -> None:
    """Logs that there can be no unix socket at `path`, nor is anything to be removed there."""
    try:
        if not holds_data(path):
            os.unlink(path)
    except OSError as other:
        reason = error_text(other)
        log.module("fatal_signal").warn('could not unlink "%s" (%s)', path, reason)
    log.module("stream_unix").err("%s: binding failed: %s", path, error_text(error))
