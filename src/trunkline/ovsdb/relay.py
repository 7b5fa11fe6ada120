"""A relay database: a copy of another server's database, and a way for transactions to it (ovsdb(7), "Relay
Service Model"); sans-I/O.

`Upstream` is the conversation over one connection to the relay source; `Relay` is what stays when connections
come and go: the data (in the caller's hands), the id of the last transaction, and transactions on their way.

    we ask                          it answers                then
    ------------------------------  ------------------------  ------------------------------------------------
    set_db_change_aware             {}                        we hear of conversions instead of being cut off
    monitor_cond of _Server         a row of each database    its schema; one not connected: try another
      an error (an old server)      ->                        get_schema
                                    monitor_canceled          it was converted: get_schema
    monitor_cond_since, all tables  [found, id, updates]      what was missed, or all of it; update3 follow
      "unknown method"              ->                        monitor_cond, then monitor
    transact, convert               results                   the client's answer

A transaction is first executed here, for reads and for errors; one that would change something is passed on
as the client wrote it, and waits while there is no connection.  Its updates come over the same connection
before its results, so the client sees them in that order.  If the connection breaks in between nobody can say
whether it was committed: the client is told "canceled".
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from trunkline.base.json import Json, JsonError, JsonStream, dumps, loads
from trunkline.jsonrpc.asking import Asking
from trunkline.jsonrpc.message import ErrorReply, Message, Notification, Request, message
from trunkline.jsonrpc.message import MessageError as BadMessage
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.database import Change, Changes, Database, Layout, Row
from trunkline.ovsdb.datum import Datum, apply_difference, datum_from_json
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.hosted import ZERO
from trunkline.ovsdb.replication import BrokenConversation
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.types import UNLIMITED

PREFIX: Final = "relay:"
_METHODS: Final = ("monitor_cond_since", "monitor_cond", "monitor")  # the best first
_UPDATES: Final = {"update3": 2, "update2": 1, "update": 1}  # the place of the updates in the parameters
CANCELED: Final[Json] = "canceled"

Answer = Callable[[Json, Json], None]
"""Takes a result and an error, one of them None."""


def parse_relay(text: str) -> tuple[str, list[str]] | None:
    """Name and targets of ``relay:DB:TARGET[,TARGET]...``; None when it is not of this form."""
    name, colon, targets = text.removeprefix(PREFIX).partition(":")
    return (name, targets.split(",") if targets else ["invalid:"]) if colon else None


class Host(NamedTuple):
    """What the relay does to its server."""

    database: Callable[[], Database]
    schema: Callable[[Json], None]
    """The database begins anew, empty, with this schema."""
    commit: Callable[[Changes, str], None]
    """Changes, and the id of the last transaction in them ("" if the source gives none)."""
    synchronized: Callable[[], None]


class Forwarded(NamedTuple):
    """A request of a client; `wanted` says whether the client is still there."""

    method: str
    params: list[Json]
    answer: Answer
    wanted: Callable[[], bool]


class Relay:
    """One relay database.  `receive`, `take_output` and `probe` are those of the present connection."""

    def __init__(self, name: str, host: Host, new_uuid: Callable[[], Uuid]) -> None:
        self.name: Final = name
        self.host: Final = host
        self.new_uuid: Final = new_uuid
        self.schema: Json = None
        self.last_id = ZERO
        self.waiting: list[Forwarded] = []
        self.upstream: Upstream | None = None

    def begin(self) -> "Upstream":
        """A connection was made."""
        self.upstream = Upstream(self)
        return self.upstream

    def ended(self) -> None:
        """The connection is gone."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.cancel()

    def forward(self, method: str, params: list[Json], answer: Answer, wanted: Callable[[], bool]) -> None:
        """Passes a request on, now or when there is a connection."""
        self.waiting.append(Forwarded(method, params, answer, wanted))
        if self.upstream is not None:
            self.upstream.pass_on()


class Upstream(Asking):
    """One connection to the relay source."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self.synchronized = False
        self._relay: Final = relay
        self._parser: Final = JsonStream()
        self._expected: dict[int, str] = {}
        self._forwarded: dict[int, Forwarded] = {}
        self._method = 0  # index in _METHODS
        self._ask("set_db_change_aware", [True])
        request: Json = {"Database": [{"columns": ["name", "connected", "schema"]}]}
        self._ask("monitor_cond", ["_Server", ["monid", "_Server"], request], "_Server")
        self._servers: dict[str, dict[str, Json]] = {}  # rows of _Server

    def pass_on(self) -> None:
        """Sends what clients wait for, once the data are there that they were checked against."""
        if self.synchronized:
            for item in [item for item in self._relay.waiting if item.wanted()]:
                self._forwarded[self._next_id] = item
                self._ask(item.method, item.params, "forwarded")
            self._relay.waiting.clear()

    def cancel(self) -> None:
        for item in self._forwarded.values():
            item.answer(None, CANCELED)
        self._forwarded.clear()

    def receive(self, data: bytes) -> None:
        """Raises BrokenConversation."""
        try:
            for value in self._parser.feed(data):
                self._take(message(value))
            self._parser.check()
        except (JsonError, BadMessage, OvsdbError) as error:
            raise BrokenConversation(str(error)) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BrokenConversation(f"malformed message ({type(error).__name__}: {error})") from None

    def _ask(self, method: str, params: list[Json], what: str = "") -> None:
        self._expected[self._request(method, params)] = what or method

    def _take(self, item: Message) -> None:
        if isinstance(item, Request):
            self._answer(item)
        elif isinstance(item, Notification):
            self._notified(item)
        elif type(item.id) is int:
            what = self._expected.pop(item.id, "")
            if what == "forwarded":
                refusal = isinstance(item, ErrorReply)
                result, error = (None, item.error) if isinstance(item, ErrorReply) else (item.result, None)
                self._forwarded.pop(item.id).answer(result, CANCELED if refusal and error is None else error)
            elif isinstance(item, ErrorReply):
                self._refused(what, item.error)
            else:
                self._answered(what, item.result)

    def _answered(self, what: str, result: Json) -> None:
        if what == "_Server":
            self._server_rows(result)
            self._server_changed()
        elif what == "get_schema":
            self._schema_came(result)
        elif what == "monitor_cond_since":
            found, last_id, updates = result
            self._apply(updates, last_id, whole=not found)
            self._synchronized()
        elif what in _METHODS:
            self._apply(result, "", whole=True)
            self._synchronized()

    def _refused(self, what: str, error: Json) -> None:
        if what == "_Server":
            self._ask("get_schema", [self._relay.name])
        elif what in _METHODS and error == "unknown method" and self._method + 1 < len(_METHODS):
            self._method += 1
            self._monitor()
        elif what != "set_db_change_aware":
            raise BrokenConversation(f"{what}: {error if isinstance(error, str) else dumps(error)}")

    def _notified(self, item: Notification) -> None:
        own = ["monid", self._relay.name]
        if item.method == "monitor_canceled" and list(item.params) == [own]:  # a conversion
            self.synchronized = False
            self._ask("get_schema", [self._relay.name])
            return
        place = _UPDATES.get(item.method)
        if place is None:
            return
        if item.params[0] == ["monid", "_Server"]:
            self._server_rows(item.params[place])
            self._server_changed()
        elif item.params[0] == own and self.synchronized:
            self._apply(item.params[place], item.params[1] if item.method == "update3" else "", whole=False)

    # -- the source's own databases -------------------------------------------------------------------------

    def _server_rows(self, updates: dict[str, Json]) -> None:
        for uuid, update in updates.get("Database", {}).items():
            for kind, columns in update.items():
                if kind == "delete":
                    self._servers.pop(uuid, None)
                else:
                    self._servers.setdefault(uuid, {}).update(columns)

    def _server_changed(self) -> None:
        name = self._relay.name
        row = next((row for row in self._servers.values() if row.get("name") == name), None)
        if row is None:
            raise BrokenConversation(f"the server has no database {name}")
        if not row.get("connected"):
            raise BrokenConversation(f"the server's database {name} is not connected to its storage")
        schema = row.get("schema")
        if isinstance(schema, str):
            self._schema_came(loads(schema))

    def _schema_came(self, schema: Json) -> None:
        relay = self._relay
        if schema != relay.schema or relay.schema is None:
            if Schema.from_json(schema).name != relay.name:
                raise BrokenConversation("the server's schema has another name")
            self.synchronized = False
            relay.host.schema(schema)
            relay.schema, relay.last_id = schema, ZERO
        elif self.synchronized or any(what in _METHODS for what in self._expected.values()):
            return
        self._monitor()

    def _monitor(self) -> None:
        relay, method = self._relay, _METHODS[self._method]
        tables: Json = {table: [{}] for table in relay.host.database().tables}
        params: list[Json] = [relay.name, ["monid", relay.name], tables]
        if method == "monitor_cond_since":
            params.append(relay.last_id)
        self._ask(method, params)

    def _synchronized(self) -> None:
        self.synchronized = True
        self._relay.host.synchronized()
        self.pass_on()

    def _apply(self, updates: dict[str, Json], last_id: str, *, whole: bool) -> None:
        relay = self._relay
        database = relay.host.database()
        changes = changes_of_updates(database, updates, relay.new_uuid(), whole=whole)
        if last_id:
            relay.last_id = last_id
        if changes:
            relay.host.commit(changes, "" if last_id == ZERO else last_id)


# -- updates as changes ------------------------------------------------------------------------------------


def changes_of_updates(
    database: Database, updates: Mapping[str, Json], version: Uuid, *, whole: bool
) -> Changes:
    """What <table-updates> or <table-updates2> change; `whole`: rows that are not in them are gone.

    What a server says is taken on trust: references and indexes are its business.  Raises OvsdbError.
    """
    changes: Changes = {}
    for name, state in database.tables.items():
        rows: Mapping[str, Json] = updates.get(name, {})
        found: dict[Uuid, Change] = {}
        for uuid, update in rows.items():
            old = state.rows.get(uuid)
            new = _row(state.layout, uuid, old, update, version)
            if old is None or new is None or old.values != new.values:
                found[uuid] = Change(old, new)
        if whole:
            for uuid, row in state.rows.items():
                if uuid not in rows:
                    found[uuid] = Change(row, None)
        if found:
            changes[name] = found
    return changes


def _row(layout: Layout, uuid: Uuid, old: Row | None, update: dict[str, Json], version: Uuid) -> Row | None:
    """The row after a <row-update> or <row-update2>; of `version` if that does not say."""
    for columns in update.values():
        if columns and "_version" in columns:
            version = columns["_version"][1]
    if "modify" in update:
        if old is None:
            raise OvsdbError("ovsdb error", f"update of row {uuid}, which is not there")
        values = list(old.values)
        for name, json in update["modify"].items():
            place = layout.places.get(name)
            if place is not None:
                values[place] = _modified(layout, place, values[place], json)
        return Row(layout, uuid, version, tuple(values))
    columns = next((update[kind] for kind in ("initial", "insert", "new") if kind in update), None)
    if columns is None:
        return None
    values = list(layout.defaults if "new" not in update or old is None else old.values)
    for name, json in columns.items():
        place = layout.places.get(name)
        if place is not None:  # the originals send _version, too
            values[place] = datum_from_json(layout.types[place], json)
    return Row(layout, uuid, version, tuple(values))


def _modified(layout: Layout, place: int, before: Datum, json: Json) -> Datum:
    type_ = layout.types[place]
    if type_.max == 1:
        return datum_from_json(type_, json)
    part = datum_from_json(type_._replace(min=0, max=UNLIMITED), json)
    return apply_difference(type_, before, part)
