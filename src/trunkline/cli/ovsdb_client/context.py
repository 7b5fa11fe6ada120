"""What every command of ovsdb-client is given, and how it fails."""

import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple, NoReturn

from trunkline.base.json import Json, JsonError, dumps, loads
from trunkline.base.log import Log
from trunkline.dbctl.tables import Style
from trunkline.io import standard_streams
from trunkline.io.ovsdb_client import BlockingClient, ConnectionClosed, RpcError
from trunkline.io.reach import Ways
from trunkline.jsonrpc.message import Notification


class Failure(Exception):
    """Ends the program with status 1; the text follows ``ovsdb-client: ``."""


class Context(NamedTuple):
    """`database` is "" for commands without one.

    `serving` is called when a command that goes on for ever has shown its first answer: the starter of
    --detach may return.  `controlled`: such a command has a control socket.
    `aware`: whether the server is to be told that changes of its databases are understood; None leaves it to
    the command.
    """

    client: BlockingClient
    database: str
    style: Style
    timestamp: bool
    force: bool
    serving: Callable[[], None]
    arguments: list[str]
    ways: Ways
    controlled: bool = False
    aware: bool | None = None

    @property
    def log(self) -> Log:
        return self.ways.log

    def notifications(self) -> Iterator[Notification]:
        """What the server says from now on, for ever.  Raises Failure when the connection ends."""
        try:
            yield from self.client.notifications()
        except ConnectionClosed as error:
            raise Failure(f"{self.client.remote}: receive failed ({error})") from None

    def follow(self, show: Callable[[Notification], None]) -> None:
        """Lets the starter return and shows what the server says from now on, until the connection or, by a
        control command, the program is to end.  Raises Failure."""
        if self.controlled:
            from trunkline.cli.ovsdb_client.control import serve

            serve(self, show)
            return
        self.serving()
        for notification in self.notifications():
            show(notification)

    def call(self, method: str, params: list[Json]) -> Json:
        """The result of a request.  Raises Failure."""
        try:
            return self.client.call(method, params)
        except RpcError as error:
            text = dumps(error.error, sort_keys=True)
            raise Failure(f'RPC request "{method}" failed: {text}') from None

    def set_aware(self, *, unasked: bool) -> None:
        """Tells the server that changes of its databases are understood, unless told not to; without either
        option only if `unasked`.  Raises Failure."""
        if unasked if self.aware is None else self.aware:
            self.call("set_db_change_aware", [True])

    def schema(self) -> Json:
        """The database's schema as the server gives it."""
        return self.call("get_schema", [self.database])

    def transact(self, operations: list[Json], database: str = "") -> Json:
        """The results of operations on the command's database or another.  Raises Failure."""
        try:
            return self.client.call("transact", [database or self.database, *operations])
        except RpcError as error:
            raise Failure(f"transaction returned error: {dumps(error.error, sort_keys=True)}") from None

    def json(self, value: Json) -> None:
        """Prints a JSON value."""
        out(dumps(value, sort_keys=True, pretty=self.style.pretty) + "\n")


def out(text: str) -> None:
    """Prints at once, whatever standard output is.  Raises BrokenPipeError if nobody reads."""
    sys.stdout.write(text)
    standard_streams.check_reader(sys.stdout)


def parse_json(text: str) -> Json:
    """A JSON argument.  Raises Failure."""
    try:
        return loads(text)
    except JsonError as error:
        raise Failure(f'"{text}": {error}') from None


def read_schema(path: str) -> Json:
    """The schema in a file, checked.  Raises Failure."""
    from trunkline.ovsdb.errors import OvsdbError
    from trunkline.ovsdb.schema import Schema

    try:
        with open(path, "rb") as file:
            schema = loads(file.read())
        Schema.from_json(schema)
    except OSError as error:
        why = f'error opening "{path}": {error.strerror}'
        raise Failure(f'failed to read schema: "{path}" could not be read as JSON ({why})') from None
    except JsonError as error:
        raise Failure(f'failed to read schema: "{path}" could not be read as JSON ({error})') from None
    except OvsdbError as error:
        where, kind, what = str(error).rpartition("syntax error: ")
        raise Failure(f'{where}{kind}failed to parse "{path}" as ovsdb schema: {what}') from None
    return schema


def fail(text: str) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.write(f"ovsdb-client: {text}\n")
    raise SystemExit(1)
