"""The methods of the database protocol (RFC 7047 section 4.1, ovsdb-server(7)), by name in `METHODS`.

Each takes the server, the session that asks, and the request; it answers by `session.reply` or raises
OvsdbError, which the server sends as the request's error.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from trunkline.base.json import Json, dumps
from trunkline.jsonrpc.message import Request
from trunkline.ovsdb.errors import OvsdbError, syntax_error
from trunkline.ovsdb.hosted import ZERO, Hosted
from trunkline.ovsdb.locks import LockError
from trunkline.ovsdb.monitor import TableMonitor, parse_requests, parse_where_member
from trunkline.ovsdb.session import Monitor, Session, Waiting

if TYPE_CHECKING:
    from trunkline.ovsdb.server import Server

_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NO_LOCKS: Final = "lock and unlock methods not allowed, DB server is read only."
_UUID_LENGTHS: Final = [8, 4, 4, 4, 12]


def hosted_of(server: "Server", request: Request) -> Hosted:
    """The database that a request names first."""
    params = list(request.params)
    if not params or type(params[0]) is not str:
        text = f"{request.method} request params must begin with <db-name>"
        raise syntax_error(params, text)
    hosted = server.databases.get(params[0])
    if hosted is None:
        text = f"{request.method} request specifies unknown database {params[0]}"
        raise OvsdbError("unknown database", text, dumps(params, sort_keys=True))
    if not hosted.available:
        text = (
            f"{request.method} request specifies database {hosted.name} which is not yet available because "
            "it has not completed joining its cluster"
        )
        raise OvsdbError("database not available", text)
    return hosted


def echo(server: "Server", session: Session, request: Request) -> None:
    session.reply(request.id, request.params)


def list_dbs(server: "Server", session: Session, request: Request) -> None:
    session.reply(request.id, list(server.databases))


def get_schema(server: "Server", session: Session, request: Request) -> None:
    session.reply_text(request.id, hosted_of(server, request).schema_text)


def get_server_id(server: "Server", session: Session, request: Request) -> None:
    session.reply(request.id, server.id)


def set_db_change_aware(server: "Server", session: Session, request: Request) -> None:
    if len(request.params) != 1 or type(request.params[0]) is not bool:
        text = "set_db_change_aware: true or false parameter expected"
        raise syntax_error(list(request.params), text)
    session.aware = request.params[0]
    session.reply(request.id, {})


def transact(server: "Server", session: Session, request: Request) -> None:
    hosted = hosted_of(server, request)
    now = server.clock.monotonic()
    server.run(Waiting(session, request.id, hosted, list(request.params[1:]), now, None))


def convert(server: "Server", session: Session, request: Request) -> None:
    hosted = hosted_of(server, request)
    if len(request.params) != 2 or server.convert is None:
        raise syntax_error(request.params, "array expected")
    if hosted is server.own:
        raise OvsdbError("not allowed", f"{hosted.name} is built in and cannot be converted")
    if session.access is not None and session.access.role:
        text = f'"convert" of database {hosted.name} (only the root role may convert databases)'
        raise session.access.refusal(text, "")
    if hosted.forward is not None:
        server.forward(Waiting(session, request.id, hosted, list(request.params[1:]), 0.0, None), "convert")
        return
    server.begin_conversion(Waiting(session, request.id, hosted, list(request.params[1:]), 0.0, None))


def lock(server: "Server", session: Session, request: Request) -> None:
    if server.read_only or session.read_only:
        session.error(request.id, _NO_LOCKS)
        return
    name = _lock_name(request)
    try:
        owned, notices = server.locks.lock(session, name, steal=request.method == "steal")
    except LockError as error:
        raise syntax_error(list(request.params), str(error)) from None
    server.tell(notices)
    session.reply(request.id, {"locked": owned})
    server.retry_waiting = True


def unlock(server: "Server", session: Session, request: Request) -> None:
    if server.read_only or session.read_only:
        session.error(request.id, _NO_LOCKS)
        return
    name = _lock_name(request)
    try:
        notices = server.locks.unlock(session, name)
    except LockError as error:
        raise syntax_error(list(request.params), f"unlock: {error}") from None
    session.reply(request.id, {})
    server.tell(notices)


def monitor(server: "Server", session: Session, request: Request) -> None:
    hosted = hosted_of(server, request)
    params = list(request.params)
    method = request.method
    wanted = {"monitor": 3, "monitor_cond": 3, "monitor_cond_since": 4}[method]
    if len(params) < wanted or (len(params) > wanted and method != "monitor"):
        raise syntax_error(params, "invalid parameters")
    id_text = dumps(params[1], sort_keys=True)
    if id_text in session.monitors:
        raise syntax_error(params[1], "duplicate monitor ID")
    version = 1 if method == "monitor" else 2
    tables = parse_requests(hosted.database.schema, params[2], version)
    last_id = _transaction_id(params[3]) if wanted == 4 else ZERO
    update = {"monitor": "update", "monitor_cond": "update2", "monitor_cond_since": "update3"}[method]
    shape = hosted.shape(version, tables)
    monitor = Monitor(session, hosted, params[1], update, shape)
    shape.members[monitor] = None
    session.monitors[id_text] = monitor
    if wanted == 3:
        session.reply_text(request.id, shape.initial(hosted.database, hosted.generation))
        return
    missed = hosted.since(last_id)
    if missed is None:
        text = shape.initial(hosted.database, hosted.generation)
    else:
        text = shape.update(missed) or "{}"
    found = "false" if missed is None else "true"
    session.reply_text(request.id, f'[{found},"{hosted.last_id}",{text}]')


def monitor_cancel(server: "Server", session: Session, request: Request) -> None:
    if len(request.params) != 1:
        session.error(request.id, "invalid parameters")
        return
    monitor = session.monitors.pop(dumps(request.params[0], sort_keys=True), None)
    if monitor is None:
        session.error(request.id, "unknown monitor")
        return
    monitor.hosted.leave(monitor.shape, monitor)
    session.reply(request.id, {})


def monitor_cond_change(server: "Server", session: Session, request: Request) -> None:
    params = list(request.params)
    if len(params) != 3:
        raise syntax_error(params, "invalid parameters")
    key, new_key = (dumps(id_, sort_keys=True) for id_ in params[:2])
    monitor = session.monitors.get(key)
    if monitor is None:
        raise syntax_error(params[0], "unknown monitor session")
    if new_key != key and new_key in session.monitors:
        raise syntax_error(params[1], "duplicate monitor ID")
    if type(params[2]) is not dict:
        raise syntax_error(params[2], "monitor-cond-change-requests must be object")
    tables = _new_conditions(monitor, params[2])
    monitor.catch_up()
    text = _recondition(monitor, tables) if monitor.shape.version != 1 else ""  # which has no conditions
    del session.monitors[key]
    monitor.id, monitor.id_text = params[1], dumps(params[1])
    session.monitors[new_key] = monitor
    if text:
        monitor.send(text)
    session.reply(request.id, {})


def _recondition(monitor: Monitor, tables: dict[str, TableMonitor]) -> str:
    """The update that tells what the monitor sees now and did not, and the other way round; "" if nothing."""
    before = monitor.shape
    after = monitor.hosted.shape(2, tables)
    text = before.recondition(monitor.hosted.database, after)
    monitor.hosted.leave(before, monitor)
    monitor.shape = monitor.hosted.shape(2, tables)
    monitor.shape.members[monitor] = None
    return text


def _new_conditions(monitor: Monitor, requests: dict[str, Json]) -> dict[str, TableMonitor]:
    """The monitor's tables after a monitor_cond_change.  Raises OvsdbError."""
    tables = dict(monitor.shape.tables)
    schema = monitor.hosted.database.schema
    for name, items in requests.items():
        if name not in schema.tables:
            raise OvsdbError("syntax error", f"no table named {name}")
        if name not in tables:
            raise OvsdbError("syntax error", f"no table named {name} in monitor session")
        if type(items) is not list:
            raise OvsdbError("syntax error", f"table {name} no monitor-cond-change JSON array")
        for item in items:
            if type(item) is not dict:
                raise OvsdbError("syntax error", f"Parsing table {name} failed: Object expected.")
            if "columns" in item:
                raise syntax_error(item, "changing columns is unsupported")
            for member, value in item.items():
                if member != "where":
                    text = f"Member '{member}' is present but not allowed here."
                    raise syntax_error(item, f"Parsing table {name} failed: {text}")
                if type(value) is not list:
                    text = "Type mismatch for member 'where'."
                    raise syntax_error(item, f"Parsing table {name} failed: {text}")
            where = item.get("where") or None
            matches = parse_where_member(schema.tables[name], where)
            tables[name] = tables[name]._replace(where=where, matches=matches)
    return tables


def _transaction_id(json: Json) -> str:
    if type(json) is not str:
        raise syntax_error(json, "last-txn-id must be string")
    groups = [len(part) for part in json.split("-")]
    if groups != _UUID_LENGTHS or not set(json) <= set("0123456789abcdefABCDEF-"):
        raise syntax_error(json, "last-txn-id must be UUID format.")
    return json.lower()


def _lock_name(request: Request) -> str:
    """The <id> that a lock request names: letters, digits and underscores, no digit first."""
    params = list(request.params)
    name = params[0] if len(params) == 1 else None
    if type(name) is str and name and name[0] in _LETTERS and set(name) <= _LETTERS | set("0123456789"):
        return name
    raise syntax_error(params, f"{request.method} request params must be <id>")


METHODS: Final[dict[str, Callable[["Server", Session, Request], None]]] = {
    "cancel": lambda server, session, request: session.error(request.id, "unknown method"),
    "convert": convert,
    "echo": echo,
    "get_schema": get_schema,
    "get_server_id": get_server_id,
    "list_dbs": list_dbs,
    "lock": lock,
    "monitor": monitor,
    "monitor_cancel": monitor_cancel,
    "monitor_cond": monitor,
    "monitor_cond_change": monitor_cond_change,
    "monitor_cond_since": monitor,
    "set_db_change_aware": set_db_change_aware,
    "steal": lock,
    "transact": transact,
    "unlock": unlock,
}
CONDITIONAL: Final = frozenset({"monitor_cond", "monitor_cond_change", "monitor_cond_since"})
