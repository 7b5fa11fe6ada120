"""Connection methods: the texts that name where to connect to or to listen (ovsdb(7), "Connection Methods").

``tcp:10.0.0.1:6640``, ``ssl:[fe80::1%eth0]:6640``, ``unix:db.sock``; ``ptcp:6640:127.0.0.1``, ``pssl:``,
``punix:/run/db.sock``.  A missing port is OVSDB's 6640, or OpenFlow's 6653 for who passes that.  An address
is numeric here: names of hosts are for a resolver, which is I/O.
"""

from typing import Final, NamedTuple

OVSDB_PORT: Final = 6640
OPENFLOW_PORT: Final = 6653
ACTIVE: Final = ("tcp", "ssl", "unix")
PASSIVE: Final = ("ptcp", "pssl", "punix")


class TargetError(ValueError):
    """Not a connection method; the text says what is wrong, "" if merely the method is unknown."""


class Target(NamedTuple):
    """`method` is one of ACTIVE or PASSIVE.  For unix methods `host` is the path and `port` is 0.

    A passive method without an address has `host` "", which means every address.
    """

    method: str
    host: str
    port: int


def is_active(target: str) -> bool:
    return target.partition(":")[0] in ACTIVE and ":" in target


def is_passive(target: str) -> bool:
    return target.partition(":")[0] in PASSIVE and ":" in target


def parse_target(text: str, *, port: int = OVSDB_PORT, directory: str = "") -> Target:
    """Raises TargetError.  Relative unix paths are taken from `directory`."""
    method, colon, rest = text.partition(":")
    if not colon:
        raise TargetError("")
    if method in ("unix", "punix"):
        return Target(method, absolute(rest, directory), 0)
    if method in ("tcp", "ssl"):
        if lacks_port(text):
            rest = f"{rest}:{port}"
        return Target(method, *_address(rest, port if method == "ssl" else None))
    if method in ("ptcp", "pssl"):
        return Target(method, *_passive_address(rest, port))
    raise TargetError("")


def lacks_port(text: str) -> bool:
    """Whether an active IP target leaves the port to the default."""
    method, _, rest = text.partition(":")
    return method in ("tcp", "ssl") and len([part for part in rest.split(":") if part]) < 2


def with_port(text: str, port: int) -> str:
    """An active target as log lines show it: with the default port where it leaves the port out."""
    return f"{text}:{port}" if lacks_port(text) else text


def port_moved(port: int) -> str:
    """What to tell whoever leaves the port out: the default was another before IANA had given a number."""
    protocol, before = ("OpenFlow", 6633) if port == OPENFLOW_PORT else ("OVSDB", 6632)
    return f"The default {protocol} port number has changed from {before} to {port}"


def absolute(path: str, directory: str) -> str:
    """`path` as seen from `directory`, which is the run directory for sockets and pid files."""
    return path if path.startswith("/") or not directory else f"{directory}/{path}"


def _address(text: str, default: int | None) -> tuple[str, int]:
    host, port = _split(text)
    if port is not None:
        return host, _port(port, text)
    if default is None:
        raise TargetError(f"{text}: port must be specified")
    return host.removeprefix("["), default


def _passive_address(text: str, default: int) -> tuple[str, int]:
    port, _, address = text.partition(":")
    number = _port(port, text) if port else default
    host, more = _split(address) if address else ("", None)
    if more is not None or (":" in host and not address.startswith("[")):
        raise TargetError(f"{text}: port must be specified")
    return host, number


def _split(text: str) -> tuple[str, str | None]:
    """Host and port, of which IPv6 addresses stand in brackets."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket and ":" in text.replace("::", ""):
            return text, None
        if rest and not rest.startswith(":"):
            return text, None
        return host, rest[1:] if rest else None
    host, colon, port = text.partition(":")
    if ":" in port:
        return text, None
    return host, port if colon else None


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise TargetError(f'{whole}: bad port number "{text}"')
    return int(text)
