"""Compacting a database file in small steps, while transactions go on.

A compacted file is the schema and one record with everything.  That record is made of a snapshot (rows never
change, ovsdb/database.py), a hundred rows a step, and its header, which holds length and checksum, last; so
its text is kept until then.  Transactions are appended to the old file meanwhile, which stays the one that
counts, and also gathered; they are written behind the record.  When only little of that is left the last step
does it all: writes the rest, syncs, renames, goes on with the new file.

    step     snapshot  pieces...  write + sync, a megabyte each...  tail...  rest, rename | cut the old one...
    crash                 the old file is whole; a left-over .tmp is removed by the next   | the new one is

Every step syncs what it wrote, so that none has much to wait for.
"""

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Final

from trunkline.io.ovsdb_file import MODE, DatabaseFile, io_error, remove_temporary, take_place, temporary_name
from trunkline.ovsdb.database import Database
from trunkline.ovsdb.log import format_record, header, snapshot_pieces

STEP: Final = 1 << 20  # bytes written and synced at once
REST: Final = 1 << 16  # bytes of other transactions that the last step may write
CUT: Final = 1 << 26  # bytes of the old file that are given back at once


def compaction(
    file: DatabaseFile,
    comment: str,
    milliseconds: int,
    *,
    database: Database | None = None,
    as_difference: bool = True,
) -> Generator[None, None, None]:
    """Makes the file as short as its data allow, a little at each step.

    The contents are those of the first step and what was committed since; or those of another `database`, in
    which case nothing may be committed meanwhile.  Closing the iterator leaves the
    file as it is.  Raises FileError, with the same effect.
    """
    database = database or file.database
    file.tail = []
    temporary = temporary_name(file.path)
    made, descriptor, failed = False, -1, "create failed"
    try:
        pieces: list[bytes] = []
        digest = hashlib.sha1(usedforsecurity=False)
        for piece in snapshot_pieces(database, comment, milliseconds, as_difference=as_difference):
            digest.update(piece)
            pieces.append(piece)
            yield
        remove_temporary(temporary)
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        made, failed = True, "write failed"
        schema = format_record(database.schema.to_json())
        start = schema + header(sum(map(len, pieces)), digest.hexdigest())
        yield from _write(descriptor, [start, *pieces])
        while sum(map(len, file.tail)) > REST:
            tail, file.tail = file.tail, []
            yield from _write(descriptor, tail)
        _write_all(descriptor, b"".join(file.tail))
        os.fsync(descriptor)
        failed = "replace failed"
        take_place(temporary, file.path)
        made = False
        file.database = database
        old, descriptor = file.adopt(descriptor), -1
    except OSError as error:
        raise io_error(temporary, failed, error.errno, file=temporary) from None
    finally:
        file.tail = None
        if descriptor >= 0:
            os.close(descriptor)
        if made:
            with suppress(OSError):
                os.unlink(temporary)
    yield from _forget(old)


def _write(descriptor: int, pieces: list[bytes]) -> Iterator[None]:
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= STEP:
            yield from _write_synced(descriptor, b"".join(gathered))
            gathered, size = [], 0
    yield from _write_synced(descriptor, b"".join(gathered))


def _write_synced(descriptor: int, data: bytes) -> Iterator[None]:
    for place in range(0, len(data), STEP):
        _write_all(descriptor, data[place : place + STEP])
        os.fdatasync(descriptor)
        yield


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _forget(descriptor: int) -> Iterator[None]:
    """Closes the old file, whose name is gone, after its space was given back bit by bit."""
    try:
        size = os.fstat(descriptor).st_size
        while size > CUT:
            size -= CUT
            os.ftruncate(descriptor, size)
            yield
    finally:
        os.close(descriptor)
