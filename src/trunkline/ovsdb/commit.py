"""What the schema makes of a transaction at its end (RFC 7047 sections 3.2 and 4.1.3).

In this order, each step seeing what those before it did:

1. strong references must lead to rows, and a row that others refer to must not be deleted;
2. rows of tables that are no roots vanish when nothing refers to them any more, and what they alone referred
   to vanishes with them;
3. no table may hold more rows than its limit;
4. weak references to rows that are gone are taken out of their columns;
5. no two rows may have the same values in the columns of an index.

Only the rows that the transaction touched are looked at, and those that refer to rows it deletes: counts and
referrers are kept by the tables.
"""

from collections.abc import Callable
from typing import Final

from trunkline.ovsdb.atoms import ZERO_UUID, Uuid, atom_text
from trunkline.ovsdb.database import Change, Changes, Reference, Row, key_of
from trunkline.ovsdb.datum import Datum
from trunkline.ovsdb.errors import CONSTRAINT, OvsdbError
from trunkline.ovsdb.overlay import Overlay, Transaction
from trunkline.ovsdb.types import UNLIMITED, ColumnType

Counts = dict[tuple[str, Uuid], int]
"""By how much the transaction changes the number of strong references to a row."""

INTEGRITY: Final = "referential integrity violation"


def settle(transaction: Transaction) -> Changes:
    """The changes of a transaction, complete.  Raises OvsdbError."""
    touched = [overlay for overlay in transaction.overlays.values() if overlay.rows]
    if not touched:
        return {}
    referring = not all(map(_is_plain, touched))
    if referring:
        counts = _count(transaction, touched)
        _check_deleted(transaction, counts)
        _collect(transaction, counts)
    for overlay in transaction.overlays.values():
        _check_limit(overlay)
    if referring:
        _drop_weak(transaction)
    for overlay in transaction.overlays.values():
        for number in range(len(overlay.state.layout.indexes)):
            _check_index(overlay, number)
    return _changes(transaction)


def _is_plain(overlay: Overlay) -> bool:
    """Whether no reference comes or goes: a root table without any, of which no row was deleted."""
    layout = overlay.state.layout
    return layout.is_root and not layout.strong and not layout.weak and all(overlay.rows.values())


# -- strong references -------------------------------------------------------------------------------------


def _count(transaction: Transaction, touched: list[Overlay]) -> Counts:
    counts: Counts = {}
    for overlay in touched:
        layout = overlay.state.layout
        if not layout.strong:
            continue
        for uuid, row in overlay.rows.items():
            old = overlay.state.rows.get(uuid)
            if old is not None:
                for target in layout.strong_targets(old):
                    counts[target] = counts.get(target, 0) - 1
            if row is not None:
                for target in layout.strong_targets(row):
                    counts[target] = counts.get(target, 0) + 1
                    _check_target(transaction, row, target)
    return counts


def _check_target(transaction: Transaction, row: Row, target: tuple[str, Uuid]) -> None:
    table, uuid = target
    if uuid in transaction.database.tables[table].rows:
        return
    overlay = transaction.overlays.get(table)
    if overlay is not None and overlay.get(uuid) is not None:
        return
    column = next(
        reference.column
        for reference in row.layout.strong
        if target in reference.targets(row.values[reference.place])
    )
    said = (
        f"Table {row.layout.name} column {column} row {row.uuid} references nonexistent row {uuid} "
        f"in table {table}."
    )
    raise OvsdbError(INTEGRITY, said)


def _references(transaction: Transaction, counts: Counts, table: str, uuid: Uuid) -> int:
    """How many strong references to a row there will be."""
    return transaction.database.tables[table].references.get(uuid, 0) + counts.get((table, uuid), 0)


def _check_deleted(transaction: Transaction, counts: Counts) -> None:
    for table, overlay in transaction.overlays.items():
        for uuid, row in overlay.rows.items():
            if row is None:
                left = _references(transaction, counts, table, uuid)
                if left:
                    said = f"cannot delete {table} row {uuid} because of {left} remaining reference(s)"
                    raise OvsdbError(INTEGRITY, said)


def _collect(transaction: Transaction, counts: Counts) -> None:
    """Deletes rows that nothing refers to, from tables that are no roots."""
    tables = transaction.database.tables
    doubtful = [
        (table, uuid)
        for table, overlay in transaction.overlays.items()
        if not overlay.state.layout.is_root
        for uuid, row in overlay.rows.items()
        if row is not None
    ]
    doubtful += [
        target for target, change in counts.items() if change < 0 and not tables[target[0]].layout.is_root
    ]
    while doubtful:
        table, uuid = doubtful.pop()
        overlay = transaction.overlay(table)
        row = overlay.get(uuid)
        if row is None or _references(transaction, counts, table, uuid):
            continue
        overlay.put(uuid, None)
        for target in row.layout.strong_targets(row):
            counts[target] = counts.get(target, 0) - 1
            if not tables[target[0]].layout.is_root:
                doubtful.append(target)


# -- limits ------------------------------------------------------------------------------------------------


def _check_limit(overlay: Overlay) -> None:
    table = overlay.state.layout.table
    if table.max_rows == UNLIMITED:
        return
    before = overlay.state.rows
    count = len(before)
    added = False
    for uuid, row in overlay.rows.items():
        if row is None:
            count -= uuid in before
        elif uuid not in before:
            count += 1
            added = True
    if added and count > table.max_rows:
        said = (
            f'transaction causes "{table.name}" table to contain {count} rows, greater than the '
            f"schema-defined limit of {table.max_rows} row(s)"
        )
        raise OvsdbError(CONSTRAINT, said)


# -- weak references ---------------------------------------------------------------------------------------


def _drop_weak(transaction: Transaction) -> None:
    tables = transaction.database.tables
    doubtful: dict[tuple[str, Uuid], None] = {}
    for table, overlay in transaction.overlays.items():
        weak = bool(overlay.state.layout.weak)
        for uuid, row in overlay.rows.items():
            if row is None:
                doubtful.update(dict.fromkeys(tables[table].referrers.get(uuid, ())))
            elif weak:
                doubtful[table, uuid] = None

    def exists(table: str, uuid: Uuid) -> bool:
        overlay = transaction.overlays.get(table)
        found = tables[table].rows.get(uuid) if overlay is None else overlay.get(uuid)
        return found is not None

    for table, uuid in doubtful:
        overlay = transaction.overlay(table)
        row = overlay.get(uuid)
        if row is not None:
            _prune(overlay, row, exists)


def _prune(overlay: Overlay, row: Row, exists: Callable[[str, Uuid], bool]) -> None:
    values = list(row.values)
    for reference in row.layout.weak:
        held = values[reference.place]
        kept = _kept(reference, held, exists)
        if len(kept) == len(held):
            continue
        if len(kept) < row.layout.types[reference.place].min:
            raise _emptied(overlay, row, reference, held)
        values[reference.place] = kept
    if (merged := tuple(values)) != row.values:
        overlay.change(row, merged)


def _kept(reference: Reference, held: Datum, exists: Callable[[str, Uuid], bool]) -> Datum:
    key, value = reference.key, reference.value
    if not reference.is_map:
        assert key is not None
        return tuple([atom for atom in held if exists(key, atom)])
    return tuple(
        [
            (one, other)
            for one, other in held
            if (key is None or exists(key, one)) and (value is None or exists(value, other))
        ]
    )


def _emptied(overlay: Overlay, row: Row, reference: Reference, held: Datum) -> OvsdbError:
    inserted = "" if row.uuid in overlay.state.rows else " (inserted within this transaction)"
    place = f'column "{reference.column}" in "{row.layout.name}" row {row.uuid}{inserted}'
    if any(uuid == ZERO_UUID for _, uuid in reference.targets(held)):
        said = (
            f"Weak reference {place} contained all-zeros UUID (probably as the default value for this "
            "column) but deleting this value caused a constraint volation because this column is not allowed "
            "to be empty."
        )
    else:
        said = (
            f"Deletion of {len(held)} weak reference(s) to deleted (or never-existing) rows from {place} "
            "caused this column to become empty, but constraints on this column disallow an empty column."
        )
    return OvsdbError(CONSTRAINT, said)


# -- indexes -----------------------------------------------------------------------------------------------


def _check_index(overlay: Overlay, number: int) -> None:
    layout = overlay.state.layout
    places = layout.indexes[number]
    committed = overlay.state.indexes[number]
    seen: dict[tuple[Datum, ...], Row] = {}
    for uuid, row in overlay.rows.items():
        if row is None:
            continue
        key = key_of(row.values, places)
        other = seen.get(key)
        if other is None:
            holder = committed.get(key)
            if holder is not None and holder != uuid and holder not in overlay.rows:
                other = overlay.state.rows[holder]
        if other is not None:
            raise _duplicate(overlay, places, row, other)
        seen[key] = row


def _duplicate(overlay: Overlay, places: tuple[int, ...], row: Row, other: Row) -> OvsdbError:
    layout = overlay.state.layout
    names = _and([f'"{layout.columns[place]}"' for place in places])
    said = (
        f'Transaction causes multiple rows in "{layout.name}" table to have identical values '
        f"({_key_text(row, places)}) for index on {'columns' if len(places) > 1 else 'column'} {names}.  "
        f"First row, with UUID {other.uuid}, {_history(overlay, places, other)}.  "
        f"Second row, with UUID {row.uuid}, {_history(overlay, places, row)}."
    )
    return OvsdbError(CONSTRAINT, said)


def _history(overlay: Overlay, places: tuple[int, ...], row: Row) -> str:
    old = overlay.state.rows.get(row.uuid)
    if old is None:
        return "was inserted by this transaction"
    if row.uuid not in overlay.rows:
        return "existed in the database before this transaction and was not modified by the transaction"
    if key_of(old.values, places) == key_of(row.values, places):
        return (
            "existed in the database before this transaction, which modified some of the row's columns "
            "but not any columns in this index"
        )
    return f"had the following index values before the transaction: {_key_text(old, places)}"


def _and(words: list[str]) -> str:
    if len(words) < 3:
        return " and ".join(words)
    return ", ".join(words[:-1]) + f", and {words[-1]}"


def _key_text(row: Row, places: tuple[int, ...]) -> str:
    return _and([datum_words(row.layout.types[place], row.values[place]) for place in places])


def datum_words(type_: ColumnType, datum: Datum) -> str:
    """A datum in the words of an error message."""
    if type_.value is not None:
        value = type_.value.type
        pairs = [f"{atom_text(type_.key.type, one)}={atom_text(value, other)}" for one, other in datum]
        return pairs[0] if type_.max == 1 and pairs else "{" + ", ".join(pairs) + "}"
    text = ", ".join(atom_text(type_.key.type, atom) for atom in datum)
    return text if type_.max == 1 and datum else f"[{text}]"


# -- the outcome -------------------------------------------------------------------------------------------


def _changes(transaction: Transaction) -> Changes:
    changes: Changes = {}
    for table, overlay in transaction.overlays.items():
        rows = {}
        before = overlay.state.rows
        for uuid, new in overlay.rows.items():
            old = before.get(uuid)
            if old is None and new is None:
                continue
            if old is not None and new is not None and old.version == new.version:
                if old.values == new.values:
                    continue
                new = Row(new.layout, uuid, transaction.new_uuid(), new.values)
            rows[uuid] = Change(old, new)
        if rows:
            changes[table] = rows
    return changes
