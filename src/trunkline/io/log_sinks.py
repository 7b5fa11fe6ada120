"""Where log lines go: standard error, a file, the system log.  Each is a sink of a `Log`."""

import os
import socket
import sys
from typing import Final

from trunkline.base.log import SEVERITY, SYSLOG_TARGET_PATTERN, Log, Sink

DAEMON: Final = 3  # the syslog facility of the local system log (RFC 5424, 6.2.1)


class SinkError(Exception):
    """The text is what the original says of a wrong option, after the program's name."""


def to_stderr(_level: int, line: str) -> None:
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody listens


class LogFile:
    """A log file that may be rotated away: `open`, called again, takes up a new one of the same name, or
    stays with the old one while there can be none."""

    def __init__(self, log: Log, path: str) -> None:
        self.path = path
        self._log = log
        self._descriptor = -1

    def open(self) -> str:
        """Opens the file and says so in the log; gives the reason if it cannot be opened."""
        logger = self._log.module("vlog")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(self.path, flags, 0o660)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            logger.warn("failed to open %s for logging: %s", self.path, reason)
            return reason
        if self._descriptor >= 0:
            if os.path.samestat(os.fstat(descriptor), os.fstat(self._descriptor)):
                os.close(descriptor)
                return ""
            logger.info("closing log file")
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._log.attach_file(self.write, self.open, self.close, self.give)
        logger.info("opened log file %s", self.path)
        return ""

    def write(self, _level: int, line: str) -> None:
        try:
            os.write(self._descriptor, f"{line}\n".encode("utf-8", "surrogateescape"))
        except OSError:
            pass  # a full disk must not stop a switch

    def give(self, uid: int, gid: int) -> None:
        if self._descriptor >= 0:
            os.fchown(self._descriptor, uid, gid)

    def close(self) -> None:
        if self._descriptor >= 0:
            self._log.attach("file", None)
            os.close(self._descriptor)
            self._descriptor = -1


def open_file(log: Log, path: str) -> bool:
    """``--log-file=path``: whether the file could be opened; if not, the log says why."""
    return not LogFile(log, path).open()


class _Datagrams:
    """Lines as datagrams, each with its priority before it."""

    def __init__(self, log: Log, family: int, address: str | tuple[str, int], facility: int) -> None:
        self._log = log
        self._address = address
        self._facility = facility
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def prioritized(self, level: int, line: str) -> None:
        self.plain(level, f"<{self._log.priority(level, facility=self._facility)}>{line}")

    def plain(self, _level: int, line: str) -> None:
        try:
            self._socket.sendto(line.encode("utf-8", "surrogateescape"), self._address)
        except OSError:
            pass  # no system log is there, or it does not keep up


def _libc(log: Log) -> Sink:
    import syslog

    syslog.openlog(log.program, 0, syslog.LOG_DAEMON)

    def write(level: int, line: str) -> None:
        if not line.isascii():  # the module takes neither bytes nor surrogates: such bytes show as \xNN
            line = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        syslog.syslog((log.facility if log.facility is not None else DAEMON) * 8 | SEVERITY[level], line)

    return write


def _udp_address(text: str) -> tuple[int, tuple[str, int]] | None:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except OSError:
        return None
    return (family, (host, int(port))) if port.isdigit() and int(port) <= 65535 else None


def use_syslog(log: Log, method: str = "libc") -> None:
    """``--syslog-method=method``.  Raises SinkError."""
    kind, _, rest = method.partition(":")
    if method == "null":
        log.attach("syslog", None)
        log.syslog_prefix = "none"
    elif method == "libc":
        log.attach("syslog", _libc(log))
    elif kind == "unix" and rest:
        log.attach("syslog", _Datagrams(log, socket.AF_UNIX, rest, DAEMON).prioritized)
    elif kind == "udp" and (found := _udp_address(rest)) is not None:
        log.attach("syslog", _Datagrams(log, *found, DAEMON).prioritized)
    else:
        raise SinkError(f"unsupported syslog method '{method}'")
    if kind in ("unix", "udp"):
        log.syslog_prefix = "<%B>"


def use_syslog_target(log: Log, target: str) -> None:
    """``--syslog-target=HOST:PORT``, lines in the form of SYSLOG_TARGET_PATTERN.  A wrong one is logged."""
    found = _udp_address(target)
    if found is None:
        _, colon, port = target.rpartition(":")
        text = f'{target}: bad port number "{port}"' if colon else f"{target}: port must be specified"
        log.module("socket_util").err("%s", text)
        return
    log.module("vlog").warn("--syslog-target flag is deprecated, use --syslog-method instead")
    log.attach_target(_Datagrams(log, *found, DAEMON).plain)


assert SYSLOG_TARGET_PATTERN.startswith("<%B>1 ")  # the version of RFC 5424 that the receiver is told
