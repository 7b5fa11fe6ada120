"""Pid files: the decimal pid of a running daemon, and a lock that proves that it runs.

The lock is a POSIX record lock (fcntl(2)) on the whole file, which the original's tools look at as well: a
file that nobody holds is left over, whatever number it holds.  Such locks belong to a process and *vanish
when the process closes any descriptor of the file*; so a pid file that this process holds is never opened
again (`_HELD`), not even by another daemon or a tool that runs in the same process.
"""

import errno
import fcntl
import os
import struct
from typing import Final

_FLOCK: Final = "hhqqixxxx"  # struct flock: type, whence, start, length, pid
_HELD: Final[dict[tuple[int, int], int]] = {}  # device and inode of pid files: who locked it


class PidfileError(OSError):
    """`text` is what the original says after the name of the program."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(number, os.strerror(number))
        self.text = text


class Pidfile:
    """The pid file of this process, held until `remove`, or until the process ends."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._process = os.getpid()
        status = os.fstat(descriptor)
        self._identity = (status.st_dev, status.st_ino)
        _HELD[self._identity] = self._process

    def remove(self) -> None:
        if self._descriptor >= 0:
            if os.getpid() == self._process:
                try:
                    os.unlink(self.path)
                except OSError:
                    pass  # already gone
            _HELD.pop(self._identity, None)
            os.close(self._descriptor)
            self._descriptor = -1


def _is_ours(path: str) -> bool:
    """Whether this process, not the one it was forked from, holds the file."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return _HELD.get((status.st_dev, status.st_ino)) == os.getpid()


def _holder(descriptor: int) -> int:
    """The pid that holds a lock on the file; 0 if nobody does."""
    request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, request))
    return 0 if kind == fcntl.F_UNLCK else pid


def read_pidfile(path: str) -> int:
    """The pid of the daemon that holds the pid file.

    Raises OSError: ENOENT and so on when it cannot be opened, ESRCH when nobody holds it, EINVAL when it is
    held but holds no number.
    """
    if _is_ours(path):
        return os.getpid()
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        holder = _holder(descriptor)
        text = os.read(descriptor, 128).strip()
    finally:
        os.close(descriptor)
    if not holder:
        raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
    if not text.isdigit():
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    if int(text) != holder:
        raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
    return holder


def check_free(path: str) -> None:
    """Raises PidfileError if a running process holds the pid file."""
    try:
        pid = read_pidfile(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH, errno.EINVAL):
            return
        number = error.errno or errno.EIO
        text = f"{path}: pidfile check failed ({os.strerror(number)}), aborting"
        raise PidfileError(number, text) from None
    raise PidfileError(errno.EEXIST, f"{path}: already running as pid {pid}, aborting")


def make_pidfile(path: str, *, overwrite: bool = False) -> Pidfile:
    """Writes and locks the pid file of this process.  Raises PidfileError.

    It is made beside its place and renamed, so that nobody sees one without number or lock.
    """
    if not overwrite:
        check_free(path)
    temporary = f"{path}.tmp"
    step = "create"
    descriptor = -1
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        step = "fcntl(F_SETLK)"
        request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(descriptor, fcntl.F_SETLK, request)
        step = "write"
        os.write(descriptor, f"{os.getpid()}\n".encode())
        step = "rename"
        os.rename(temporary, path)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        number = error.errno or errno.EIO
        text = f"{temporary}: {step} failed ({os.strerror(number)})"
        raise PidfileError(number, text) from None
    return Pidfile(path, descriptor)
