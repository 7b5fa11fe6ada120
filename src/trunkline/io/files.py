"""Small things about files and descriptors that tools and daemons share; no asyncio here."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunkline.base.log import Log

UNIX_PATH_MAX = 107  # bytes of a path that fit into struct sockaddr_un, with its final NUL


@contextmanager
def socket_path(path: str, log: "Log | None" = None) -> Iterator[str]:
    """A name for the unix socket `path` that is short enough for bind(2) and connect(2).

    A longer one is reached through a descriptor of its directory; none has no name.  Raises OSError, and
    tells `log` why.
    """
    if not path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if len(os.fsencode(path)) <= UNIX_PATH_MAX:
        yield path
        return
    directory, name = os.path.split(path)
    logger = log.module("socket_util_unix") if log is not None else None
    try:
        descriptor = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if logger is not None:
            logger.warn("%s: open failed (%s)", directory, error_text(error))
            logger.warn("Unix socket name %s is longer than maximum %d bytes", path, UNIX_PATH_MAX)
        raise
    try:
        short = f"/proc/self/fd/{descriptor}/{name}"
        if len(os.fsencode(short)) > UNIX_PATH_MAX:
            if logger is not None:
                logger.warn("Unix socket name %s is longer than maximum %d bytes", path, UNIX_PATH_MAX)
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        yield short
    finally:
        os.close(descriptor)


def error_text(error: OSError) -> str:
    """What strerror(3) says, without the "[Errno 2]" and the file."""
    return os.strerror(error.errno) if error.errno else str(error)


def lines_of_text(path: str) -> Iterator[tuple[int, str]]:
    """The lines of a file (of the standard input: ``-``) that say something, with their numbers.

    Comments begin with #.  A line ends at a NUL, and bytes that are no UTF-8 are surrogates, as those of
    arguments are.  Raises OSError.
    """
    source = 0 if path == "-" else path
    with open(source, encoding="utf-8", errors="surrogateescape", newline="\n", closefd=path != "-") as file:
        for number, line in enumerate(file, 1):
            text = line.partition("\0")[0].partition("#")[0].strip(" \t\r\n")
            if text:
                yield number, text


def same_file(one: str, other: str) -> bool:
    """Whether two names, which may be links, are of one file that is there."""
    try:
        return os.path.samestat(os.stat(one), os.stat(other))
    except OSError:
        return False
