"""While a database is converted reads go on; who would change it waits, with all that it asks behind."""

from itertools import count

from trunkline.base.clock import ManualClock
from trunkline.base.json import Json, JsonStream, loads
from trunkline.jsonrpc.message import Request, encode
from trunkline.model.schemas import schema_text
from trunkline.ovsdb.database import Database
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.hosted import Hosted
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.server import Converted, Server
from trunkline.ovsdb.session import Session

ZOO = Schema.from_json(
    {"name": "Zoo", "tables": {"T": {"columns": {"n": {"type": "integer"}}, "isRoot": True}}}
)
NEW: Json = {"name": "Zoo", "version": "2.0.0", "tables": {"T": {"columns": {"n": {"type": "integer"}}}}}
READ: Json = {"op": "select", "table": "T", "where": [], "columns": ["n"]}


def insert(number: int) -> Json:
    return {"op": "insert", "table": "T", "row": {"n": number}}


class Lab:
    """A server whose conversions end when the test says so."""

    def __init__(self) -> None:
        numbers = count(1)
        self.server = Server(
            ManualClock(),
            lambda: f"{next(numbers):08x}-0000-4000-8000-000000000000",
            Database(Schema.from_json(loads(schema_text("_Server")))),
        )
        self.zoo = self.server.add(Database(ZOO))
        self.done: list[Converted] = []
        self.server.convert = self._convert
        self.closed: list[Session] = []

    def _convert(self, hosted: Hosted, schema: Json, done: Converted) -> None:
        self.done.append(done)

    def finish(self) -> None:
        self.done.pop(0)(Database(Schema.from_json(NEW)))

    def connect(self, *, aware: bool = True) -> Session:
        session = self.server.connect("test")
        if aware:
            self.ask(session, (0, "set_db_change_aware", [True]))
        return session

    def ask(self, session: Session, *requests: tuple[int, str, list[Json]]) -> dict[Session, list[Json]]:
        data = b"".join(encode(Request(method, params, id_)) for id_, method, params in requests)
        self.server.receive(session, data)
        return self.turn()

    def turn(self) -> dict[Session, list[Json]]:
        """What the clients are sent: results, or notifications."""
        self.server.settle()
        found: dict[Session, list[Json]] = {}
        for session, data in self.server.take_output():
            said = found.setdefault(session, [])
            for item in JsonStream().feed(data):
                assert isinstance(item, dict)
                if item.get("method"):
                    said.append(item["method"])
                else:
                    said.append([item["id"], item["result"] if item["error"] is None else item["error"]])
        self.closed += self.server.take_closed()
        return found


def rows(*numbers: int) -> Json:
    return [{"rows": [{"n": number} for number in numbers]}]


def test_who_waits_and_who_does_not() -> None:
    lab = Lab()
    converter, writer, reader = lab.connect(), lab.connect(), lab.connect()
    lab.ask(writer, (1, "transact", ["Zoo", insert(1)]))
    lab.ask(reader, (1, "monitor", ["Zoo", "m", {"T": {}}]))
    assert lab.ask(converter, (1, "convert", ["Zoo", NEW]), (2, "echo", [])) == {}
    assert lab.ask(reader, (2, "transact", ["Zoo", READ])) == {reader: [[2, rows(1)]]}
    # one request that must wait, and those behind it
    assert lab.ask(writer, (2, "transact", ["Zoo", insert(2)]), (3, "transact", ["Zoo", READ])) == {}
    assert lab.ask(writer, (4, "echo", ["x"])) == {}
    assert lab.ask(reader, (3, "echo", ["y"])) == {reader: [[3, ["y"]]]}
    assert lab.server.deadline() is None or lab.server.deadline() != lab.server.clock.monotonic()
    lab.finish()
    said = lab.turn()
    assert said[converter] == [[1, {}], [2, []]]
    assert said[reader] == ["monitor_canceled"]
    assert [item[0] for item in said[writer]] == [2, 3, 4]
    assert said[writer][1] == [3, rows(2)]
    assert (lab.zoo.database.schema.version, lab.closed) == ("2.0.0", [])


def test_who_does_not_know_of_conversions_is_cut_off() -> None:
    lab = Lab()
    converter, writer = lab.connect(aware=False), lab.connect(aware=False)
    lab.ask(writer, (1, "monitor", ["Zoo", "m", {"T": {}}]))
    lab.ask(converter, (1, "convert", ["Zoo", NEW]))
    assert lab.ask(writer, (2, "transact", ["Zoo", insert(2)]), (3, "echo", [])) == {}
    lab.finish()
    assert lab.turn() == {converter: [[1, {}]]}
    assert lab.closed == [converter, writer]
    assert lab.zoo.database.rows("T") == {}


def test_conversions_that_fail_and_follow_each_other() -> None:
    lab = Lab()
    first, second, writer = lab.connect(), lab.connect(), lab.connect()
    lab.ask(first, (1, "convert", ["Zoo", NEW]))
    lab.ask(second, (1, "convert", ["Zoo", NEW]))
    lab.ask(writer, (1, "transact", ["Zoo", insert(1)]))
    assert len(lab.done) == 1
    lab.done.pop()(OvsdbError("constraint violation", "no"))
    said = lab.turn()
    assert said == {first: [[1, {"error": "constraint violation", "details": "no"}]]}
    assert len(lab.done) == 1  # the second one began, the writer waits on
    lab.server.disconnect(second)
    lab.finish()
    assert [item[0] for item in lab.turn()[writer]] == [1]


def test_a_database_that_goes_meanwhile() -> None:
    lab = Lab()
    converter, writer = lab.connect(), lab.connect()
    lab.ask(converter, (1, "convert", ["Zoo", NEW]))
    lab.ask(writer, (1, "transact", ["Zoo", insert(1)]), (2, "list_dbs", []))
    lab.server.remove("Zoo")
    lab.done.pop()(OvsdbError("canceled", "gone"))
    said = lab.turn()
    assert said[converter] == [[1, {"error": "canceled", "details": "gone"}]]
    assert said[writer] == [[1, "canceled"], [2, ["_Server"]]]
