"""Role-based access control (ovsdb-server(7), 3.2 and 4.1.3): what a client of a certain role may write.

A remote may have a *role* (column ``role`` of its row).  In a database whose schema has a table RBAC_Role, a
client of such a remote may change only what the role's permissions say; one without a role may do anything.
Who the client is, its *id*, is the common name of the certificate that it showed; without one it may change
nothing.

    RBAC_Role        name, permissions: map of a table's name to a row of the permission table
    its permissions  authorization: columns, or column:key of maps, of which one must hold the client's id for
                                    a row to be the client's; "" makes every row everybody's
                     insert_delete: whether rows of the client may be inserted and deleted
                     update:        the columns that may be changed in rows of the client

As in the original a ``column:key`` in `update` allows nothing, and only columns of one string, or of none,
and values of string maps are compared with the id.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from trunkline.ovsdb.atoms import AtomicType
from trunkline.ovsdb.database import Database, Layout, Row, TableState
from trunkline.ovsdb.datum import Datum
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.types import ColumnType

ROLES: Final = "RBAC_Role"
PERMISSION_ERROR: Final = "permission error"
_FORBIDDEN: Final = {
    "insert": 'row insertion into table "{}"',
    "update": 'modification of table "{}"',
    "mutate": 'mutate operation on table "{}"',
    "delete": 'row deletion from table "{}"',
}


class Access(NamedTuple):
    """Who asks: the role of the remote, and the client's id, None when it showed no certificate."""

    role: str
    client: str | None

    def refusal(self, what: str, end: str = ".") -> OvsdbError:
        client = "(null)" if self.client is None else self.client
        said = f'RBAC rules for client "{client}" role "{self.role}" prohibit {what}{end}'
        return OvsdbError(PERMISSION_ERROR, said)


class Permission(NamedTuple):
    """What a role may do in one table."""

    authorization: Datum
    insert_delete: bool
    update: Datum


NO_PERMISSION: Final = Permission((), False, ())


def applies(database: Database, access: Access | None) -> bool:
    """Whether the client's changes are to be checked at all."""
    return access is not None and bool(access.role) and ROLES in database.tables


def check(
    database: Database,
    access: Access,
    operation: str,
    layout: Layout,
    rows: Iterable[Row],
    columns: Iterable[str] = (),
) -> None:
    """Raises OvsdbError unless the client may do `operation` ("insert", "update", "mutate", "delete").

    `rows` are those to be inserted, or as they were before; `columns` those that an update or mutate changes.
    """
    permission = None if access.client is None else _permission(database, access.role, layout.name)
    if permission is not None:
        client = access.client or ""
        changing = operation in ("update", "mutate")
        if all(_may(permission, client, row, changing, columns) for row in rows):
            return
    raise access.refusal(_FORBIDDEN[operation].format(layout.name))


def _may(permission: Permission, client: str, row: Row, changing: bool, columns: Iterable[str]) -> bool:
    if not any(_names(row, str(item), client) for item in permission.authorization):
        return False
    if changing:
        return all(column in permission.update for column in columns)
    return permission.insert_delete


def _names(row: Row, item: str, client: str) -> bool:
    """Whether `item` of an authorization makes `row` the client's."""
    if not item:
        return True
    words = [word for word in item.split(":") if word]
    place = row.layout.places.get(words[0]) if words else None
    if place is None:
        return False
    type_ = row.layout.types[place]
    if ":" in item:
        return len(words) > 1 and _is_string_map(type_) and (words[1], client) in row.values[place]
    single = type_.key.type is AtomicType.STRING and type_.value is None and type_.max == 1
    return single and row.values[place] == (client,)


def _is_string_map(type_: ColumnType) -> bool:
    return (
        type_.value is not None
        and type_.key.type is AtomicType.STRING
        and type_.value.type is AtomicType.STRING
    )


def _permission(database: Database, role: str, table: str) -> Permission | None:
    """The row of the permission table that holds for `role` and `table`."""
    state = database.tables[ROLES]
    row = _role(state, role)
    place = state.layout.places.get("permissions")
    if row is None or place is None:
        return None
    type_ = state.layout.types[place]
    target = type_.value.ref_table if type_.value is not None else None
    for name, uuid in row.values[place] if target is not None else ():
        if name == table:
            found = database.tables[str(target)].rows.get(uuid)
            return None if found is None else _read(found)
    return None


def _role(state: TableState, role: str) -> Row | None:
    place = state.layout.places.get("name")
    if place is None:
        return None
    if (place,) in state.layout.indexes:
        uuid = state.indexes[state.layout.indexes.index((place,))].get(((role,),))
        return None if uuid is None else state.rows[uuid]
    return next((row for row in state.rows.values() if row.values[place] == (role,)), None)


def _read(row: Row) -> Permission:
    places = row.layout.places
    if not {"authorization", "insert_delete", "update"} <= places.keys():
        return NO_PERMISSION
    authorization, allowed, update = (
        row.values[places[name]] for name in ("authorization", "insert_delete", "update")
    )
    return Permission(authorization, allowed == (True,), update)
