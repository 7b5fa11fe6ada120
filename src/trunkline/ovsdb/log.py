"""The file of a standalone database: a schema, then one record a transaction, each with its own checksum
(ovsdb(5)).

    OVSDB JSON <bytes> <SHA-1>
    {"_date":1700000000000,"Bridge":{"<uuid>":{"name":"br0"}},"_is_diff":true,"_comment":"..."}

Nothing here opens a file: bytes come in, bytes go out (io/ovsdb_file.py does the rest).

A row that is not there yet stands with the columns that differ from their defaults, a changed row with the
columns that changed, a deleted one as null; ephemeral columns never stand.  In a record with ``_is_diff``,
which the originals write since 2.15 and ovsdb(5) does not mention, changed columns that may hold several
elements show the *difference* between old and new value:

- of a set, the elements that are in one of the two only;
- of a map, the pairs that came or went; a key whose value changed has its new value;
- anything that holds at most one element shows its new value, as without ``_is_diff``.

So reading a difference is the same operation as writing it.

The originals write two kinds of differences that they cannot read.  One has more elements than its column may
hold.  The other is from a default that is not empty, in a column of several elements: they take it for the
new value, and so lose what they wrote over a restart.  Ours reads both as they were meant, and writes
whole values instead.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from trunkline.base.json import Json, JsonError, dumps, loads
from trunkline.ovsdb.atoms import UUID_PATTERN, Uuid
from trunkline.ovsdb.conditions import column_type
from trunkline.ovsdb.database import Change, Changes, Database, Layout, Row
from trunkline.ovsdb.datum import (
    Datum,
    apply_difference,
    datum_from_json,
    datum_to_json,
    difference,
    is_default,
)
from trunkline.ovsdb.errors import (
    INTERNAL,
    SYNTAX,
    UNKNOWN_COLUMN,
    UNKNOWN_TABLE,
    ClusteredError,
    OvsdbError,
    syntax_error,
)
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.types import UNLIMITED, ColumnType

STANDALONE: Final = "JSON"
CLUSTERED: Final = "CLUSTER"

LONGEST_HEADER: Final = 128  # bytes of a line that may be one
_HEADER: Final = re.compile(rb"OVSDB ([A-Z]+) +([-+]?[0-9]+) ([0-9a-fA-F]{40})\n")
_WORD: Final = 1 << 64


class Record(NamedTuple):
    """`start` and `end` are offsets in the file, of the header and after the data."""

    start: int
    end: int
    value: dict[str, Json]


class LogError(OvsdbError):
    """The file is damaged; all records before `offset` are good, and what follows is to be cut off."""

    def __init__(self, error: str, details: str, offset: int) -> None:
        super().__init__(error, details)
        self.offset = offset


class _Header(NamedTuple):
    magic: str
    length: int
    digest: str
    end: int  # where the data begin


def _header_at(data: bytes, position: int = 0) -> _Header | None:
    """The line before a record.  The length is read as the originals read it: into 64 bits, from which a
    negative one comes out large; 0 and the largest number are none."""
    found = _HEADER.match(data, position)
    if found is None:
        return None
    length = int(found[2]) % _WORD
    if abs(int(found[2])) >= _WORD or length in (0, _WORD - 1):
        return None
    return _Header(found[1].decode(), length, found[3].decode().lower(), found.end())


def identify(data: bytes, name: str) -> str:
    """STANDALONE or CLUSTERED, by the start of a file; `name` is for errors.  Raises OvsdbError."""
    header = _header_at(data)
    if data and header is None:
        raise OvsdbError(INTERNAL, f"{name}: unexpected file format")
    magic = "" if header is None else header.magic
    if magic in (STANDALONE, CLUSTERED):
        return magic
    raise OvsdbError(INTERNAL, f"{name}: cannot identify file type")


def read_records(data: bytes, name: str, magic: str = STANDALONE) -> Iterator[Record]:
    """The records of a file.  Raises LogError at the first that is damaged, after giving those before it."""
    position = 0
    while position < len(data):
        header = _header_at(data, position)
        if header is None or header.magic != magic:
            raise _bad_header(data, position, name)
        start, length = header.end, header.length
        if start + length > len(data):
            said = f"{name}: error reading {length} bytes starting at offset {start} (End of file)"
            raise LogError("I/O error", said, position)
        text = data[start : start + length]
        place = f"{name}: {length} bytes starting at offset {start}"
        found = hashlib.sha1(text).hexdigest()
        if found != header.digest:
            said = f"{place} have SHA-1 hash {found} but should have hash {header.digest}"
            raise LogError(SYNTAX, said, position)
        try:
            value = loads(text)
        except JsonError as error:
            raise LogError(SYNTAX, f"{place} are not valid JSON ({error})", position) from None
        if not isinstance(value, dict):
            raise LogError(SYNTAX, f"{place} are not a JSON object", position)
        yield Record(position, start + length, value)
        position = start + length


def _bad_header(data: bytes, position: int, name: str) -> LogError:
    line = (
        data[position : position + 127]
        .split(b"\n", 1)[0]
        .split(b"\0", 1)[0]
        .decode("utf-8", "surrogateescape")
    )
    if line.startswith("OVSDB "):  # the originals have cut the line up by then
        line = "OVSDB " + line[6:].split(" ", 1)[0]
    return LogError(SYNTAX, f'{name}: parse error at offset {position} in header line "{line}"', position)


def format_record(value: Json, magic: str = STANDALONE) -> bytes:
    """A record as it is appended to a file."""
    text = dumps(value).encode("utf-8", "surrogateescape") + b"\n"
    return header(len(text), hashlib.sha1(text).hexdigest(), magic) + text


# -- records out of changes --------------------------------------------------------------------------------


class _Unreadable(Exception):
    """A difference is one that the originals do not read as it is meant."""


def change_record(
    database: Database, changes: Changes, comment: str, milliseconds: int, *, as_difference: bool = True
) -> dict[str, Json] | None:
    """The record of a transaction, committed `milliseconds` after 1970; None when there is nothing to keep.

    It holds differences, unless one of them could not be read by the originals.  Then, and without
    `as_difference`, it holds whole values.
    """
    if not as_difference:
        return _change_record(database, changes, comment, milliseconds, False)
    try:
        return _change_record(database, changes, comment, milliseconds, True)
    except _Unreadable:
        return _change_record(database, changes, comment, milliseconds, False)


def _change_record(
    database: Database, changes: Changes, comment: str, milliseconds: int, as_difference: bool
) -> dict[str, Json] | None:
    tables: dict[str, Json] = {}
    for table, rows in changes.items():
        layout = database.tables[table].layout
        found: dict[str, Json] = {}
        for uuid, (old, new) in rows.items():
            if new is None:
                found[uuid] = None
            elif old is None:
                found[uuid] = _new_row(layout, new)
            elif (columns := _changed_row(layout, old, new, as_difference)) is not None:
                found[uuid] = columns
        if found:
            tables[table] = found
    if not tables:
        return None
    return _envelope(tables, comment, milliseconds, as_difference)


def snapshot_record(
    database: Database, comment: str, milliseconds: int, *, as_difference: bool = False
) -> dict[str, Json]:
    """One record that makes the whole contents out of nothing: the second of a compacted file.

    Of new rows whole values and differences are the same; `as_difference` only says which it calls them.
    """
    tables: dict[str, Json] = {}
    for table, rows in database.snapshot().items():
        if rows:
            layout = database.tables[table].layout
            tables[table] = {uuid: _new_row(layout, row) for uuid, row in rows.items()}
    return _envelope(tables, comment, milliseconds, as_difference)


PIECE_ROWS: Final = 100
PIECE_SIZE: Final = 65_536


def snapshot_pieces(
    database: Database, comment: str, milliseconds: int, *, as_difference: bool = False
) -> Iterator[bytes]:
    """The text of `snapshot_record`, of the database as it is at the first step, in pieces that are quickly
    made whatever the size of the whole; `header` goes before it.
    """
    tables = [(database.tables[name].layout, rows) for name, rows in database.snapshot().items() if rows]
    yield f'{{"_date":{milliseconds}'.encode()
    for layout, rows in tables:
        texts: list[str] = [f",{dumps(layout.name)}:{{"]
        size, comma = 0, ""
        for uuid, row in rows.items():
            text = dumps(_new_row(layout, row))
            texts.append(f'{comma}"{uuid}":{text}')
            size, comma = size + len(text), ","
            if len(texts) > PIECE_ROWS or size > PIECE_SIZE:
                yield "".join(texts).encode("utf-8", "surrogateescape")
                texts, size = [], 0
        texts.append("}")
        yield "".join(texts).encode("utf-8", "surrogateescape")
    end = ',"_is_diff":true' if as_difference else ""
    end += f',"_comment":{dumps(comment)}}}\n' if comment else "}\n"
    yield end.encode("utf-8", "surrogateescape")


def header(length: int, digest: str, magic: str = STANDALONE) -> bytes:
    """The line before a record of `length` bytes with the SHA-1 `digest`, in hexadecimal digits."""
    return f"OVSDB {magic} {length} {digest}\n".encode()


def compacted_size(start: bytes, read: Callable[[int, int], bytes]) -> int:
    """How long a file was when it was last compacted or made: up to the end of its second record.

    `start` is its beginning, `read` reads (offset, length); 0 for a file that is none.
    """
    first = _header_at(start)
    if first is None:
        return 0
    end = first.end + first.length
    second = _header_at(read(end, 128))
    return end if second is None else end + second.end + second.length


def _envelope(
    tables: dict[str, Json], comment: str, milliseconds: int, as_difference: bool
) -> dict[str, Json]:
    record: dict[str, Json] = {"_date": milliseconds, **tables}
    if as_difference:
        record["_is_diff"] = True
    if comment:
        record["_comment"] = comment
    return record


def _new_row(layout: Layout, row: Row) -> dict[str, Json]:
    return {
        name: datum_to_json(type_, datum)
        for name, type_, default, datum, keep in zip(
            layout.columns, layout.types, layout.defaults, row.values, layout.persistent
        )
        if keep and datum != default
    }


def _changed_row(layout: Layout, old: Row, new: Row, as_difference: bool) -> dict[str, Json] | None:
    columns = {}
    for name, type_, before, after, keep in zip(
        layout.columns, layout.types, old.values, new.values, layout.persistent
    ):
        if keep and before != after:
            shown = difference(type_, before, after) if as_difference else after
            if as_difference and type_.max > 1 and not _is_readable(type_, before, shown):
                raise _Unreadable
            columns[name] = datum_to_json(type_, shown)
    return columns or None


def _is_readable(type_: ColumnType, before: Datum, shown: Datum) -> bool:
    return len(shown) <= type_.max and not (before and is_default(type_, before))


# -- changes out of records --------------------------------------------------------------------------------


class Transcript(NamedTuple):
    """What a record says: the changes, and when and why they were made."""

    changes: Changes
    comment: str
    milliseconds: int | None


def changes_of(
    database: Database, record: dict[str, Json], new_uuid: Callable[[], Uuid], *, each: bool = False
) -> Transcript:
    """What applying `record` to `database` changes; references and indexes are taken on trust.  All rows get
    one version, unless `each` is to have its own.

    Raises OvsdbError.
    """
    as_difference = record.get("_is_diff") is True
    version = "" if each else new_uuid()
    comment, date = record.get("_comment"), record.get("_date")
    special = {"_comment"}  # whatever it is
    if as_difference:
        special.add("_is_diff")
    if type(date) is int:
        special.add("_date")
        if date < 1 << 32:
            date *= 1000  # early versions counted seconds
    changes: Changes = {}
    for table, rows in record.items():
        if table in special:
            continue
        state = database.tables.get(table)
        if state is None:
            raise OvsdbError(UNKNOWN_TABLE, f"No table named {table}.", dumps(record, sort_keys=True))
        if not isinstance(rows, dict):
            raise syntax_error(rows, "object expected")
        found: dict[Uuid, Change] = {}
        reader = _Reader(state.layout, as_difference, version)
        for uuid, json in rows.items():
            if UUID_PATTERN.fullmatch(uuid) is None:
                raise syntax_error(rows, f'"{uuid}" is not a valid UUID')
            uuid = uuid.lower()
            old = state.rows.get(uuid)
            if each and json is not None:
                reader.version = new_uuid()
            new = None if json is None else reader.row(uuid, old, json)
            if new is None and old is None:
                raise OvsdbError(SYNTAX, f"transaction deletes row {uuid} that does not exist")
            found[uuid] = Change(old, new)
        changes[table] = found
    return Transcript(
        changes, comment if isinstance(comment, str) else "", date if type(date) is int else None
    )


class _Reader:
    """Makes rows of one table out of the rows of one record."""

    __slots__ = ("as_difference", "columns", "layout", "version")

    def __init__(self, layout: Layout, as_difference: bool, version: Uuid) -> None:
        self.layout = layout
        self.as_difference = as_difference
        self.version = version
        self.columns = {name: (place, layout.types[place]) for name, place in layout.places.items()}

    def row(self, uuid: Uuid, old: Row | None, json: Json) -> Row:
        """The row after `json` is applied to `old`.  Raises OvsdbError."""
        if not isinstance(json, dict):
            raise syntax_error(json, "row must be JSON object")
        layout = self.layout
        values = list(layout.defaults if old is None else old.values)
        differing = self.as_difference and old is not None
        for name, value in json.items():
            found = self.columns.get(name)
            if found is None:
                if column_type(layout.table, name) is not None:
                    continue
                said = f"No column {name} in table {layout.name}."
                raise OvsdbError(UNKNOWN_COLUMN, said, dumps(json, sort_keys=True))
            place, type_ = found
            if differing and type_.max != 1:
                part = datum_from_json(type_._replace(min=0, max=UNLIMITED), value)
                values[place] = apply_difference(type_, values[place], part)
            else:
                values[place] = datum_from_json(type_, value)
        return Row(layout, uuid, self.version, tuple(values))


def load(
    data: bytes, name: str, new_uuid: Callable[[], Uuid], *, each: bool = False
) -> tuple[Database, int, OvsdbError | None]:
    """The database that a file holds, how many bytes of it are good, and what is wrong with the rest, if
    anything.  `each`: as for `changes_of`.

    Raises OvsdbError when there is not even a schema, or the file is not a standalone database.
    """
    if identify(data, name) == CLUSTERED:
        raise ClusteredError(name)
    records = read_records(data, name)
    first = next(records)
    database = Database(Schema.from_json(first.value))
    good = first.end
    try:
        for record in records:
            database.apply(changes_of(database, record.value, new_uuid, each=each).changes)
            good = record.end
    except OvsdbError as error:
        return database, good, error
    return database, good, None
