"""A database file on disk: its lock, appending with fsync, and being replaced as a whole.

Writers hold a POSIX record lock on ``.NAME.~lock~`` beside the file, as the original does; readers hold
none, for records are only ever appended and a half-written one is recognized.  Such a lock belongs to the
process and goes when the process closes *any* descriptor of the lock file: so a lock file that this process
has open is never opened again (`_HELD`), and a second lock on it is refused here.

A damaged tail is cut off when the first record is appended, not before: whoever only reads changes nothing.

A file takes the place of another by being written under a name of its own and renamed.  What is overwritten
by that must be a database, or nothing yet: `check_replaceable` says of anything else that it is in the way.
"""

import errno
import fcntl
import gc
import os
import stat
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from trunkline.base.json import Json
from trunkline.io.files import error_text
from trunkline.io.uuids import random_uuid
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.database import Database
from trunkline.ovsdb.errors import INTERNAL, FileError, OvsdbError
from trunkline.ovsdb.log import LONGEST_HEADER, STANDALONE, compacted_size, format_record, identify, load
from trunkline.ovsdb.schema import Schema

MODE: Final = 0o660  # less the umask
LINKS: Final = 10  # symbolic links to follow from one to the next
_FLOCK: Final = "hhqqixxxx"  # struct flock: type, whence, start, length, pid
_HELD: Final[set[tuple[int, int]]] = set()  # device and inode of the lock files this process holds


class LockError(OvsdbError):
    """The lock file cannot be had.  `warning` is what the original logs about it (module lockfile),
    `lock` is the lock file's name, `number` errno, EAGAIN when rights are missing;
    `opened` says whether the file could at least be opened.
    """

    def __init__(self, path: str, lock: str, number: int, warning: str, *, opened: bool = True) -> None:
        super().__init__("I/O error", f"{path}: failed to lock lockfile ({os.strerror(number)})")
        self.number = number
        self.lock = lock
        self.warning = f"{lock}: {warning}"
        self.opened = opened


class NowhereError(OvsdbError):
    """The working directory is gone, so a relative name says nothing.  `warning` is for the log (module
    util)."""

    def __init__(self, error: OSError) -> None:
        super().__init__("I/O error", "could not determine current working directory")
        self.warning = f"getcwd failed ({error_text(error)})"


def whole_name(path: str) -> str:
    """`path` from the root on.  Raises NowhereError."""
    if path.startswith("/"):
        return path
    try:
        return os.path.join(os.getcwd(), path)
    except OSError as error:
        raise NowhereError(error) from None


def io_error(path: str, what: str, number: int | None, *, fatal: bool = False, file: str = "") -> FileError:
    """`file` is given where something could not be written, which is logged."""
    logged = f"{os.path.abspath(file)}: {what}" if file else ""
    return FileError(f"{path}: {what}", os.strerror(number or errno.EIO), fatal=fatal, logged=logged)


def followed(path: str) -> str:
    """Where a chain of symbolic links ends, in the words of the links; `path` when it has no end."""
    end = path
    for _ in range(LINKS):
        try:
            end = os.path.join(os.path.dirname(end), os.readlink(end))
        except OSError:
            return end
    return path


def lock_path(path: str) -> str:
    """The lock file of `path`; of the file itself when `path` is a symbolic link."""
    directory, name = os.path.split(followed(path))
    return os.path.join(directory, f".{name}.~lock~")


class Lock:
    """A lock held until `release`, or until the process ends."""

    __slots__ = ("_descriptor", "_identity", "path")

    def __init__(self, path: str, name: str = "") -> None:
        """Locks the lock file of the database file `path`.  Raises LockError, with `name` for the file."""
        self.path = lock_path(path)
        name = name or path
        beside = os.path.join(os.path.dirname(name), os.path.basename(self.path))
        shown = self.path if os.path.islink(path) else beside
        known: tuple[int, int] | None = None
        try:
            before = os.stat(self.path)
            known = (before.st_dev, before.st_ino)
        except FileNotFoundError:
            pass
        except OSError as error:
            said = f"failed to stat lock file: {error.strerror}"
            raise LockError(name, shown, _lock_number(error), said, opened=False) from None
        if known in _HELD:
            said = "cannot lock file because this process has already locked it"
            raise LockError(name, shown, errno.EDEADLK, said)
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            said = f"failed to open lock file: {error.strerror}"
            raise LockError(name, shown, _lock_number(error), said, opened=False) from None
        request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLK, request)
        except OSError as error:
            pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, request))[4]
            os.close(descriptor)
            said = f"cannot lock file because it is already locked by pid {pid}"
            raise LockError(name, shown, error.errno or errno.EAGAIN, said) from None
        status = os.fstat(descriptor)
        self._descriptor = descriptor
        self._identity = (status.st_dev, status.st_ino)
        _HELD.add(self._identity)

    def release(self) -> None:
        if self._descriptor >= 0:
            _HELD.discard(self._identity)
            os.close(self._descriptor)
            self._descriptor = -1


def _lock_number(error: OSError) -> int:
    return errno.EAGAIN if error.errno == errno.EACCES else error.errno or errno.EIO


def read_file(path: str, name: str = "") -> bytes:
    """The whole file, or the start of one that is no database.

    Raises OvsdbError, whose text has `name` for the file when one is given.
    """
    whole_name(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise io_error(name or path, "open failed", error.errno) from None
    try:
        start = os.read(descriptor, 1 << 24)
        if not start.startswith(b"OVSDB "):
            return start  # no database, and perhaps a device without an end
        return b"".join([start, *iter(lambda: os.read(descriptor, 1 << 24), b"")])
    except OSError as error:
        raise io_error(name or path, "read error", error.errno) from None
    finally:
        os.close(descriptor)


def load_file(
    path: str, new_uuid: Callable[[], Uuid] = random_uuid, name: str = "", *, each: bool = False
) -> tuple[Database, int, OvsdbError | None]:
    """`log.load` of a file.  The cyclic collector rests meanwhile: it would take half of the time and find
    nothing.

    Raises OvsdbError, whose text has `name` for the file when one is given.
    """
    data = read_file(path, name)
    collecting = gc.isenabled()
    gc.disable()
    try:
        return load(data, name or path, new_uuid, each=each)
    finally:
        if collecting:
            gc.enable()


def _write_all(descriptor: int, data: bytes, offset: int = 0) -> None:
    done = os.pwrite(descriptor, data, offset)
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def sync_directory(path: str) -> None:
    """Makes a rename or a new name in the directory of `path` durable."""
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_file(path: str, records: Sequence[Json], name: str = "") -> None:
    """A new file with these records, durable at return.  Raises OvsdbError (it exists, no space, ...), whose
    text has `name` for the file when one is given.

    A symbolic link that leads nowhere yet is followed: Debian's /etc/openvswitch/conf.db is one.
    """
    target = followed(path)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    except OSError as error:
        raise io_error(name or path, "create failed", error.errno) from None
    try:
        _write_all(descriptor, b"".join(map(format_record, records)))
        os.fsync(descriptor)
    except OSError as error:
        os.unlink(target)
        raise io_error(name or path, "write failed", error.errno, file=name or path) from None
    finally:
        os.close(descriptor)


def replace_file(path: str, records: Sequence[Json]) -> None:
    """Makes `path` a file with these records or puts one in its place, keeping its owner and mode, all or
    nothing.  Raises OvsdbError: something else than a database is there, or no space, ...
    """
    path = followed(path)
    check_replaceable(path)
    temporary = os.path.join(os.path.dirname(path), f".trunkline-{os.getpid()}.tmp")
    remove_temporary(temporary)
    _replace(path, temporary, path, records)


def rewrite_file(path: str, records: Sequence[Json]) -> None:
    """`replace_file` of a locked database by way of `temporary_name`, as in the originals; that must be free.

    Raises OvsdbError.
    """
    temporary = temporary_name(path)
    _replace(path, temporary, temporary, records)


def _replace(path: str, temporary: str, name: str, records: Sequence[Json]) -> None:
    """`name` is what is blamed when there is no space."""
    create_file(temporary, records, name)
    try:
        take_place(temporary, path)
    except OSError as error:
        os.unlink(temporary)
        raise io_error(path, "replace failed", error.errno) from None


def check_replaceable(path: str) -> None:
    """Refuses to overwrite anything but a standalone database and an empty file.  Raises OvsdbError."""
    if not path:
        raise io_error(path, "create or open failed", errno.ENOENT)
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISCHR(kind) or stat.S_ISBLK(kind) or stat.S_ISFIFO(kind):
            raise OvsdbError(INTERNAL, f"{path}: not a regular file")
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise io_error(path, "create or open failed", error.errno) from None
    try:
        start = os.read(descriptor, LONGEST_HEADER)
    except OSError as error:
        raise io_error(path, "read error", error.errno) from None
    finally:
        os.close(descriptor)
    if start and identify(start, path) != STANDALONE:
        raise OvsdbError(INTERNAL, f"{path}: cannot identify file type")


def temporary_name(path: str) -> str:
    """The name of the file that is to take the place of `path`."""
    return f"{followed(path)}.tmp"


def remove_temporary(temporary: str) -> None:
    """Removes what a crash left over; the lock on the file itself is ours.  Raises FileError."""
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise FileError(f"failed to remove {temporary}", error_text(error)) from None


def take_place(temporary: str, path: str) -> None:
    """Renames a file that is on the disk already, keeping mode and, if it may be, owner and group of `path`.

    Raises OSError.
    """
    target = followed(path)
    if os.path.exists(target):
        status = os.stat(target)
        for owner, group in ((-1, status.st_gid), (status.st_uid, -1)):
            with suppress(PermissionError):  # another user's: what is written is ours now
                os.chown(temporary, owner, group)
        with suppress(PermissionError):
            os.chmod(temporary, status.st_mode & 0o7777)
    os.rename(temporary, target)
    sync_directory(target)


class DatabaseFile:
    """A standalone database, loaded and locked for writing.

    `name` is what the user calls it.
    `damage` is what was wrong with the end of the file, if anything; the records before it are in `database`.
    `commits` counts records since the file was opened or last replaced, `compacted_size` is how long it was
    after that.  `tail`, if it is a list, gathers what is appended while a compaction writes another file.
    """

    def __init__(
        self, path: str, lock: Lock, database: Database, size: int, damage: OvsdbError | None, name: str = ""
    ) -> None:
        self.path: Final = path
        self.name: Final = name or path
        self.database = database
        self.damage = damage
        self.size = size  # bytes of good records
        self._lock: Final = lock
        self._cut = damage is not None
        self._unsynced = False
        self._descriptor = self._open()
        self.tail: list[bytes] | None = None
        self.commits = 0
        read = os.pread
        self.compacted_size = compacted_size(
            read(self._descriptor, 128, 0), lambda offset, length: read(self._descriptor, length, offset)
        )

    @classmethod
    def open(
        cls, path: str, new_uuid: Callable[[], Uuid] = random_uuid, name: str = "", *, each: bool = False
    ) -> "DatabaseFile":
        """`new_uuid` makes versions, of each row or of each record.

        Raises OvsdbError: no such file, locked by another process (LockError), no database.

        Its text has `name` for the file when one is given: what the user called it.
        """
        name = name or path
        if os.path.isdir(os.path.dirname(followed(path)) or "."):  # else there is no place for a lock file
            try:
                number = errno.EISDIR if stat.S_ISDIR(os.stat(path).st_mode) else 0
            except OSError as error:
                number = error.errno or errno.EIO
            if number not in (0, errno.EACCES):
                raise io_error(name, "open failed", number)
        lock = Lock(path, name)
        try:
            database, size, damage = load_file(path, new_uuid, name, each=each)
            return cls(path, lock, database, size, damage, name)
        except OvsdbError:
            lock.release()
            raise

    @classmethod
    def create(cls, path: str, schema: Schema) -> "DatabaseFile":
        """Makes the file, which must not exist, empty but for the schema.  Raises OvsdbError."""
        lock = Lock(path)
        try:
            create_file(path, [schema.to_json()])
        except OvsdbError:
            lock.release()
            raise
        return cls(path, lock, Database(schema), os.path.getsize(path), None)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise io_error(self.path, "open failed", error.errno) from None

    def append(self, records: Sequence[Json]) -> None:
        """Writes records at the end; call `sync` before anyone is told that they are durable.

        Raises FileError; then the file is as it was before, unless the error is fatal.
        """
        data = b"".join(map(format_record, records))
        try:
            if self._cut:
                os.ftruncate(self._descriptor, self.size)
                self._cut = False
            _write_all(self._descriptor, data, self.size)
        except OSError as error:
            try:
                os.ftruncate(self._descriptor, self.size)
            except OSError as worse:
                what, number = "truncation failed", worse.errno
                raise io_error(self.name, what, number, fatal=True, file=self.path) from None
            raise io_error(self.name, "write failed", error.errno, file=self.path) from None
        self.size += len(data)
        self.commits += 1
        self._unsynced = True
        if self.tail is not None:
            self.tail.append(data)

    def sync(self) -> None:
        """Returns when all that was appended is on the disk.  Raises FileError, which is fatal."""
        if self._unsynced:
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                raise io_error(self.name, "fsync failed", error.errno, fatal=True) from None
            self._unsynced = False

    def adopt(self, descriptor: int) -> int:
        """Goes on with the file `descriptor`, which is on the disk in the place of the old one.

        Gives the descriptor of the old file, to be closed: long files take the system long to forget.
        """
        old, self._descriptor = self._descriptor, descriptor
        self.size = self.compacted_size = os.fstat(descriptor).st_size
        self._cut = self._unsynced = False
        self.commits = 0
        self.tail = None
        return old

    def close(self) -> None:
        """Releases the lock; the object is of no more use."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._lock.release()
