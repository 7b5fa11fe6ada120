"""Which socket address an IP target means: a number, with a scope where IPv6 needs one, or a host's name.

A link-local address means something on one link only, which its scope names (RFC 4007, section 11):
``fe80::1%eth0``, or ``fe80::1%2`` by the number of the interface.
"""

import errno
import os
import socket
from typing import NamedTuple

from trunkline.base.targets import PASSIVE, Target


class Address(NamedTuple):
    """`place` is what connect(2) and bind(2) take: host and port, and for IPv6 flow label and scope."""

    family: socket.AddressFamily
    place: tuple[str, int] | tuple[str, int, int, int]


class ScopeError(OSError):
    """The scope is no interface of this machine; `scope` names it, `reason` says why."""

    def __init__(self, scope: str, reason: str) -> None:
        super().__init__(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        self.scope = scope
        self.reason = reason


def numeric(target: Target) -> Address:
    """Raises OSError: EAFNOSUPPORT if the host is no address; ScopeError if only its scope is wrong.

    A listener without a host is at every address of the machine.
    """
    if not target.host and target.method in PASSIVE:
        return Address(socket.AF_INET, ("0.0.0.0", target.port))
    family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
    host, percent, scope = target.host.partition("%")
    try:
        if percent and family == socket.AF_INET:
            raise OSError
        socket.inet_pton(family, host)
    except OSError:
        raise _unsupported() from None
    if family == socket.AF_INET:
        return Address(family, (host, target.port))
    return Address(family, (host, target.port, 0, _scope(scope)))


def by_name(target: Target) -> Address:
    """Like `numeric`, but asks the resolver for names; blocks meanwhile."""
    try:
        return numeric(target)
    except ScopeError:
        raise
    except OSError:
        if _is_numbers(target.host):
            raise
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _unsupported() from None
    family, _, _, _, (host, _, *more) = found[0]
    if family == socket.AF_INET6:
        return Address(family, (str(host), target.port, 0, int(more[1])))
    return Address(family, (str(host), target.port))


def _scope(text: str) -> int:
    if not text or (text.isascii() and text.isdigit()):
        return int(text or 0) & 0xFFFFFFFF
    try:
        return socket.if_nametoindex(text)
    except OSError as error:
        raise ScopeError(text, os.strerror(error.errno or errno.ENODEV)) from None


def _is_numbers(host: str) -> bool:
    """Whether the host is no name: the resolver would take 10.1 for 10.0.0.1, and so dial somebody else."""
    try:
        socket.inet_aton(host)
    except OSError:
        return not host.strip("0123456789.") or "%" in host
    return True


def _unsupported() -> OSError:
    return OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
