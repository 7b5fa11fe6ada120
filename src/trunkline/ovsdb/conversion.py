"""The rows of a database, understood anew under another schema (ovsdb-tool(1), ovsdb-client(1) "convert").

Tables and columns that the new schema has not are dropped, new columns get their defaults, and everything
else must be valid under the new schema, constraints, references and indexes included.
"""

from collections.abc import Callable

from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.commit import settle
from trunkline.ovsdb.database import Database, Row
from trunkline.ovsdb.datum import datum_from_json, datum_to_json
from trunkline.ovsdb.overlay import Transaction
from trunkline.ovsdb.schema import Schema


def convert(
    database: Database, schema: Schema, new_uuid: Callable[[], Uuid], *, file: bool = False
) -> Database:
    """A new database of `schema` with the rows of `database`, which stays as it is.  Raises OvsdbError.

    A `file` does not hold what is the default: there that becomes the default of the new column, as with the
    original's tool.  The server, which has it, converts it like any other value.
    """
    converted = Database(schema)
    transaction = Transaction(converted, new_uuid, lambda name: False, 0.0, False)
    for name, rows in database.snapshot().items():
        state = converted.tables.get(name)
        if state is None or not rows:
            continue
        overlay = transaction.overlay(name)
        layout, before = state.layout, database.tables[name].layout
        common = [
            (
                place,
                before.places[column],
                before.types[before.places[column]],
                layout.types[place],
                before.defaults[before.places[column]],
            )
            for column, place in layout.places.items()
            if column in before.places
        ]
        for uuid, row in rows.items():
            values = list(layout.defaults)
            for place, old_place, old_type, new_type, default in common:
                datum = row.values[old_place]
                if old_type != new_type:
                    if file and datum == default:
                        continue
                    datum = datum_from_json(new_type, datum_to_json(old_type, datum))
                values[place] = datum
            overlay.put(uuid, Row(layout, uuid, row.version, tuple(values)))
    converted.apply(settle(transaction))
    return converted
