"""Small things about files and descriptors that tools and daemons share; no asyncio here."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

UNIX_PATH_MAX = 107  # bytes of a path that fit into struct sockaddr_un, with its final NUL


@contextmanager
def socket_path(path: str) -> Iterator[str]:
    """A name for the unix socket `path` that is short enough for bind(2) and connect(2).

    A longer one is reached through a descriptor of its directory; none has no name.  Raises OSError.
    """
    if not path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if len(os.fsencode(path)) <= UNIX_PATH_MAX:
        yield path
        return
    directory, name = os.path.split(path)
    descriptor = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def error_text(error: OSError) -> str:
    """What strerror(3) says, without the "[Errno 2]" and the file."""
    return os.strerror(error.errno) if error.errno else str(error)
