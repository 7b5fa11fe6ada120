"""The commands of ovsdb-tool, by name: what each takes and does (ovsdb-tool(1))."""

import errno
import os
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from trunkline.base.json import Json, JsonError, dumps, loads
from trunkline.base.log import Log
from trunkline.base.version import OPEN_VSWITCH
from trunkline.io.ovsdb_file import (
    DatabaseFile,
    Lock,
    LockError,
    NowhereError,
    check_replaceable,
    create_file,
    followed,
    load_file,
    lock_path,
    read_file,
    remove_temporary,
    replace_file,
    rewrite_file,
    temporary_name,
    whole_name,
)
from trunkline.io.uuids import random_uuid
from trunkline.ovsdb.atoms import is_id
from trunkline.ovsdb.database import Database
from trunkline.ovsdb.errors import ClusteredError, FileError, OvsdbError, syntax_error
from trunkline.ovsdb.log import CLUSTERED, STANDALONE, identify, read_records, snapshot_record
from trunkline.ovsdb.raft_header import RaftHeader, check_address, parse_header
from trunkline.ovsdb.schema import Schema


class Fatal(Exception):
    """The command cannot be done; the text follows the program's name."""


class Call(NamedTuple):
    """A command as it was given; `database` and `schema` are what stands for missing arguments."""

    arguments: list[str]
    database: str
    schema: str
    more: int
    role: str | None
    log: Log

    def argument(self, place: int, default: str = "") -> str:
        return self.arguments[place] if place < len(self.arguments) else default


class Command(NamedTuple):
    """`run` gives the exit status."""

    least: int
    most: int
    run: Callable[[Call], int]


# -- files -------------------------------------------------------------------------------------------------


def _now() -> int:
    return int(time.time() * 1000)


def read_schema(path: str) -> Schema:
    """A schema file.  Raises Fatal, OvsdbError."""
    try:
        with open(path, "rb") as file:
            json = loads(file.read())
    except OSError as error:
        directory = error.errno == errno.EISDIR  # which the originals open, and cannot read
        reason = "error reading JSON stream" if directory else f'error opening "{path}"'
        reason += f": {error.strerror}"
        raise Fatal(f'failed to read schema: "{path}" could not be read as JSON ({reason})') from None
    except JsonError as error:
        raise Fatal(f'failed to read schema: "{path}" could not be read as JSON ({error})') from None
    try:
        return Schema.from_json(json)
    except OvsdbError as error:
        said = f'failed to parse "{path}" as ovsdb schema: {error.details}'
        raise OvsdbError(error.error, said, error.syntax) from None


def read_database(path: str) -> Database:
    """The database in a file, which must be whole.  Raises OvsdbError."""
    database, _, damage = load_file(path)
    if damage is not None:
        raise damage
    return database


def lock(path: str, log: Log) -> Lock:
    """The lock to write `path`.  Raises LockError, with its warning logged."""
    resolve(path, log)
    try:
        return Lock(path)
    except LockError as error:
        _warn(log, path, error)
        raise


def resolve(path: str, log: Log) -> str:
    """The file that symbolic links lead to; `path` itself, with a warning, if they lead nowhere."""
    end = followed(path)
    if os.path.islink(end):
        log.module("util").warn("%s: too many levels of symlinks", path)
    return end


def _warn(log: Log, path: str, error: LockError) -> None:
    logger = log.module("lockfile")
    logger.warn("%s", error.warning)
    if not error.opened:
        logger.warn("%s: failed to lock file: %s", lock_path(path), os.strerror(error.number))


def log_unwritten(log: Log, error: OvsdbError) -> None:
    """Logs that a file could not be written, or not be found any more, if that is what went wrong."""
    if isinstance(error, NowhereError):
        log.module("util").warn("%s", error.warning)
    if isinstance(error, FileError) and error.logged:
        log.module("ovsdb_log").warn("%s", error.logged)


def _schema_of(call: Call) -> Schema:
    return read_schema(call.argument(0, call.schema))


def _first_record(path: str) -> tuple[str, dict[str, Json]]:
    """The magic and the first record of a file, clustered or not."""
    data = read_file(path)
    magic = identify(data, path)
    return magic, next(read_records(data, path, magic)).value


# -- commands ----------------------------------------------------------------------------------------------


def _create(call: Call) -> int:
    path = call.argument(0, call.database)
    schema = read_schema(call.argument(1, call.schema))
    whole_name(path)
    held = lock(path, call.log)
    try:
        create_file(path, [schema.to_json()])
    finally:
        held.release()
    return 0


def _rewrite(call: Call, schema: Schema | None, target: str | None, verb: str) -> int:
    """Writes the database anew: `target`, or in its place; under `schema`, or its own."""
    path = resolve(call.argument(0, call.database), call.log)
    if target == "":
        check_replaceable(target)
    target = target and resolve(target, call.log)
    try:
        held = lock(target or path, call.log)
    except LockError as error:
        raise Fatal(error.details) from None
    try:
        database = read_database(path)
        if schema is not None:
            from trunkline.ovsdb.conversion import convert

            database = convert(database, schema, random_uuid, file=True)
        comment = f"{verb} by ovsdb-tool {OPEN_VSWITCH}"
        records: list[Json] = [database.schema.to_json(), snapshot_record(database, comment, _now())]
        if target is None:
            _clear(temporary_name(path), call.log)
            rewrite_file(path, records)
        else:
            replace_file(target, records)
    except LockError as error:
        raise Fatal(error.details) from None
    finally:
        held.release()
    return 0


def _clear(temporary: str, log: Log) -> None:
    """Removes what a crash left of an earlier attempt, and nothing that may be anybody's.

    Raises LockError (it is a database in use), OvsdbError.
    """
    if os.path.lexists(temporary):
        held = lock(temporary, log)
        try:
            check_replaceable(temporary)
            remove_temporary(temporary)
        finally:
            held.release()


def _target(call: Call, place: int) -> str | None:
    return call.arguments[place] if place < len(call.arguments) else None


def _compact(call: Call) -> int:
    return _rewrite(call, None, _target(call, 1), "compacted")


def _convert(call: Call) -> int:
    schema = read_schema(call.argument(1, call.schema))
    return _rewrite(call, schema, _target(call, 2), "converted")


def _needs_conversion(call: Call) -> int:
    schema = read_schema(call.argument(1, call.schema))
    held = read_database_schema(call.argument(0, call.database))
    print("no" if held == schema else "yes")
    return 0


def read_database_schema(path: str) -> Schema:
    """The schema in a standalone file.  Raises OvsdbError."""
    if identify(read_file(path), path) == CLUSTERED:
        raise ClusteredError(path)
    return Schema.from_json(_first_record(path)[1])


def _db_name(call: Call) -> int:
    path = call.argument(0, call.database)
    magic, first = _first_record(path)
    print(parse_header(first).name if magic == CLUSTERED else Schema.from_json(first).name)
    return 0


def _db_version(call: Call) -> int:
    print(read_database_schema(call.argument(0, call.database)).version)
    return 0


def _db_cksum(call: Call) -> int:
    print(read_database_schema(call.argument(0, call.database)).cksum)
    return 0


def _schema_name(call: Call) -> int:
    print(_schema_of(call).name)
    return 0


def _schema_version(call: Call) -> int:
    print(_schema_of(call).version)
    return 0


def _schema_cksum(call: Call) -> int:
    print(_schema_of(call).cksum)
    return 0


def _version(text: str) -> tuple[int, ...]:
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise Fatal(f"{text}: not an OVSDB version number in format x.y.z")
    return tuple(map(int, parts))


_RELATIONS: Final[dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "!=": lambda a, b: a != b,
}


def _compare_versions(call: Call) -> int:
    one, operator, other = call.arguments
    versions = _version(one), _version(other)
    if operator not in _RELATIONS:
        raise Fatal(f"{operator}: not a relational operator")
    return 0 if _RELATIONS[operator](*versions) else 2


def _transaction(call: Call, write: bool) -> int:
    path = call.arguments[0] if len(call.arguments) == 2 else call.database
    text = call.arguments[-1]
    if not write:
        database = read_database(path)
        params = _params(text)
        print(dumps(_execute(call, database, params, path), sort_keys=True))
        return 0
    whole_name(path)
    resolve(path, call.log)
    try:
        file = DatabaseFile.open(path)
    except LockError as error:
        _warn(call.log, path, error)
        raise
    try:
        if file.damage is not None:
            raise file.damage
        params = _params(text)
        print(dumps(_execute(call, file.database, params, file), sort_keys=True))
    finally:
        file.close()
    return 0


def _params(text: str) -> Json:
    """A transaction, which is looked at only when the database has been read.  Raises Fatal."""
    try:
        return loads(text)
    except JsonError as error:
        raise Fatal(f'"{text}": {error}') from None


def _execute(call: Call, database: Database, params: Json, file: DatabaseFile | str) -> Json:
    """The results of a transaction, which is carried out in `file`; of a mere name it is tried only."""
    from trunkline.ovsdb.log import change_record
    from trunkline.ovsdb.rbac import Access
    from trunkline.ovsdb.transaction import execute

    if not isinstance(params, list):
        return syntax_error(params, "array expected").to_json()
    if not params or params[0] != database.schema.name:
        return syntax_error(params, "database name expected as first parameter").to_json()
    access = Access(call.role, None) if call.role else None
    execution = execute(database, params[1:], new_uuid=random_uuid, access=access)
    if execution.blocked:
        return [{"error": "not supported", "details": "triggers not supported"}]
    if execution.changes:
        record = change_record(database, execution.changes, execution.comment, _now())
        if record is not None:
            try:
                if isinstance(file, str):
                    size = os.stat(file).st_size
                    raise FileError(f"{file}: cannot truncate to length {size}", os.strerror(errno.EINVAL))
                file.append([record])
                file.sync()
            except FileError as error:
                log_unwritten(call.log, error)
                return [*execution.results, error.to_json()]
    return execution.results


def _query(call: Call) -> int:
    return _transaction(call, False)


def _transact(call: Call) -> int:
    return _transaction(call, True)


def _show_log(call: Call) -> int:
    from trunkline.cli.ovsdb_tool.show_log import show_records

    path = call.argument(0, call.database)
    data = read_file(path)
    if identify(data, path) == CLUSTERED:
        _first_record(path)
        raise Fatal(f"{path}: show-log of clustered databases is not implemented")
    for piece in show_records(read_records(data, path), call.more):
        sys.stdout.write(piece)
    return 0


def _is(call: Call, magic: str) -> int:
    path = call.arguments[0]
    return 0 if identify(read_file(path), path) == magic else 2


def _db_is_standalone(call: Call) -> int:
    return _is(call, STANDALONE)


def _db_is_clustered(call: Call) -> int:
    return _is(call, CLUSTERED)


def _raft_header(call: Call) -> RaftHeader:
    path = call.arguments[0]
    magic, first = _first_record(path)
    if magic != CLUSTERED:
        raise Fatal(f"{path}: not a clustered database")
    return parse_header(first)


def _db_cid(call: Call) -> int:
    cluster_id = _raft_header(call).cluster_id
    if cluster_id is None:
        sys.stderr.write(f"{call.arguments[0]}: cluster ID not yet known\n")
        return 2
    print(cluster_id)
    return 0


def _db_sid(call: Call) -> int:
    print(_raft_header(call).server_id)
    return 0


def _db_local_address(call: Call) -> int:
    print(_raft_header(call).local_address)
    return 0


def _create_cluster(call: Call) -> int:
    if not os.path.exists(call.arguments[1]):
        read_file(call.arguments[1])  # says why not
    check_address(call.arguments[2])
    return _clustered(call)


def _join_cluster(call: Call) -> int:
    name, addresses = call.arguments[1], call.arguments[2:]
    if not is_id(name):
        text = f'{name}: not a valid schema name (use "schema-name" command to find the correct name)'
        raise Fatal(text)
    for address in addresses:
        check_address(address)
    if addresses[0] in addresses[1:]:
        raise OvsdbError("ovsdb error", "remote addresses cannot be the same as the local address")
    return _clustered(call)


def _check_cluster(call: Call) -> int:
    for path in call.arguments:
        data = read_file(path)
        if not data:  # no header either
            raise OvsdbError("syntax error", "Parsing raft header failed: Object expected.")
        if identify(data, path) != CLUSTERED:
            raise OvsdbError("ovsdb error", f"{path}: cannot identify file type")
        parse_header(next(read_records(data, path, CLUSTERED)).value)
    return _clustered(call)


def _cluster_to_standalone(call: Call) -> int:
    if identify(read_file(call.arguments[1]), call.arguments[1]) != CLUSTERED:
        raise Fatal("Database is not clustered db.\n")  # the original, too, leaves an empty line
    return _clustered(call)


def _clustered(call: Call) -> int:
    raise Fatal("clustered databases are not implemented; use a standalone database (create)")


MANY: Final = 1 << 30
COMMANDS: Final[dict[str, Command]] = {
    "create": Command(0, 2, _create),
    "create-cluster": Command(3, 3, _create_cluster),
    "join-cluster": Command(4, MANY, _join_cluster),
    "compact": Command(0, 2, _compact),
    "convert": Command(0, 3, _convert),
    "needs-conversion": Command(0, 2, _needs_conversion),
    "db-name": Command(0, 1, _db_name),
    "db-version": Command(0, 1, _db_version),
    "db-cksum": Command(0, 1, _db_cksum),
    "db-cid": Command(1, 1, _db_cid),
    "db-sid": Command(1, 1, _db_sid),
    "db-local-address": Command(1, 1, _db_local_address),
    "db-is-clustered": Command(1, 1, _db_is_clustered),
    "db-is-standalone": Command(1, 1, _db_is_standalone),
    "schema-name": Command(0, 1, _schema_name),
    "schema-version": Command(0, 1, _schema_version),
    "schema-cksum": Command(0, 1, _schema_cksum),
    "compare-versions": Command(3, 3, _compare_versions),
    "query": Command(1, 2, _query),
    "transact": Command(1, 2, _transact),
    "show-log": Command(0, 1, _show_log),
    "check-cluster": Command(1, MANY, _check_cluster),
    "cluster-to-standalone": Command(2, 2, _cluster_to_standalone),
}
