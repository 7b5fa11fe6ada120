"""A replica against the server, both sans-I/O: bytes go back and forth by hand."""

# ruff: noqa: E501

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.base.clock import ManualClock
from trunkline.base.json import encoded, loads
from trunkline.jsonrpc.message import Request, encode
from trunkline.model.schemas import schema_text
from trunkline.ovsdb.database import Database
from trunkline.ovsdb.replica import Change, Interest, Outcome, Replica
from trunkline.ovsdb.rows import Transaction
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.server import Server
from trunkline.ovsdb.session import Session

SCHEMA = Schema.from_json(loads(schema_text("Open_vSwitch")))
SERVER_SCHEMA = Schema.from_json(loads(schema_text("_Server")))


def uuids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{next(numbers):08x}-0000-4000-8000-000000000000"


class Lab:
    """A server and clients of it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.server = Server(self.clock, uuids(), Database(SERVER_SCHEMA))
        self.hosted = self.server.add(Database(SCHEMA))
        self.clients: dict[Session, Replica] = {}

    def connect(self, replica: Replica) -> Session:
        session = self.server.connect("test")
        self.clients[session] = replica
        replica.connection_made()
        self.exchange()
        return session

    def lose(self, session: Session) -> None:
        self.server.disconnect(session)
        self.clients.pop(session).connection_lost()

    def exchange(self) -> None:
        busy = True
        while busy:
            busy = False
            for session, replica in self.clients.items():
                data = replica.take_output()
                if data:
                    busy = True
                    self.server.receive(session, data)
            self.server.settle()
            for session, data in self.server.take_output():
                busy = True
                if session in self.clients:
                    self.clients[session].receive(data)

    def commit(self, replica: Replica, transaction: Transaction) -> Outcome:
        token = replica.transact(transaction)
        self.exchange()
        (outcome,) = replica.take_outcomes()
        assert outcome.token == token
        return outcome


def bridges(where: list[object] | None = None, lock: str | None = None) -> Replica:
    interests = [
        Interest("Bridge", ("name", "external_ids", "flood_vlans", "fail_mode"), where),
        Interest("Open_vSwitch"),
    ]
    return Replica(SCHEMA, interests, indexes=[("Bridge", "name")], lock=lock)


def add(*names: str) -> Transaction:
    transaction = Transaction(SCHEMA)
    made = [transaction.insert("Bridge", name=name, flood_vlans=(3, 1)) for name in names]
    transaction.insert("Open_vSwitch", bridges=made)
    return transaction


def test_rows_changes_and_indexes() -> None:
    lab, replica = Lab(), bridges()
    lab.connect(replica)
    assert replica.synchronized
    assert lab.commit(replica, add("br0", "br1")).status == "success"
    (row,) = replica.find("Bridge", "name", "br0")
    assert (row.name, row.external_ids, row.flood_vlans, row.fail_mode) == ("br0", {}, (1, 3), None)
    assert {(change.table, change.old) for change in replica.take_changes()} == {
        ("Bridge", None),
        ("Open_vSwitch", None),
    }
    transaction = Transaction(SCHEMA)
    transaction.set_keys("Bridge", row.uuid, "external_ids", {"a": "b"})
    transaction.mutate("Bridge", row.uuid, "flood_vlans", "delete", (1,))
    transaction.update("Bridge", row.uuid, fail_mode="secure")
    assert lab.commit(replica, transaction).status == "success"
    (change,) = replica.take_changes()
    assert change.old == row
    assert change.new is not None
    assert (change.new.external_ids, change.new.flood_vlans, change.new.fail_mode) == (
        {"a": "b"},
        (3,),
        "secure",
    )
    transaction = Transaction(SCHEMA)
    transaction.wait("Bridge", row.uuid, name="other")
    transaction.update("Bridge", row.uuid, fail_mode=None)
    assert lab.commit(replica, transaction).status == "try_again"
    transaction = Transaction(SCHEMA)
    transaction.remove_keys("Bridge", row.uuid, "external_ids", ["a"])
    transaction.wait("Bridge", row.uuid, name="br0")
    assert lab.commit(replica, transaction).status == "success"
    assert replica.find("Bridge", "name", "br0")[0].external_ids == {}


def test_reconnection_shows_only_differences() -> None:
    lab, replica, other = Lab(), bridges(), bridges()
    session = lab.connect(replica)
    lab.connect(other)
    lab.commit(other, add("br0", "br1"))
    replica.take_changes()
    lab.lose(session)
    assert not replica.synchronized
    assert replica.find("Bridge", "name", "br0")
    transaction = Transaction(SCHEMA)
    transaction.update("Bridge", replica.find("Bridge", "name", "br1")[0].uuid, fail_mode="secure")
    lab.commit(other, transaction)
    lab.connect(replica)
    (change,) = replica.take_changes()
    assert isinstance(change, Change)
    assert change.new is not None
    assert change.new.fail_mode == "secure"


@pytest.mark.parametrize("missing", [[], ["monitor_cond_since"], ["monitor_cond_since", "monitor_cond"]])
def test_older_servers(missing: list[str]) -> None:
    lab, replica = Lab(), bridges()
    seen: list[str] = []
    session = lab.server.connect("test")
    lab.clients[session] = replica
    take = lab.server._take

    def refuse(session: Session, item: object) -> None:
        if isinstance(item, Request):
            seen.append(item.method)
            if item.method in missing:
                session.error(item.id, "unknown method")
                return
        take(session, item)  # type: ignore[arg-type]

    lab.server._take = refuse  # type: ignore[method-assign, assignment]
    replica.connection_made()
    lab.exchange()
    assert replica.synchronized
    lab.commit(replica, add("br0"))
    assert replica.find("Bridge", "name", "br0")[0].flood_vlans == (1, 3)


def test_conditions() -> None:
    lab, replica, other = Lab(), bridges([["name", "==", "br1"]]), bridges()
    lab.connect(replica)
    lab.connect(other)
    lab.commit(other, add("br0", "br1"))
    assert [row.name for row in replica.rows("Bridge").values()] == ["br1"]
    replica.set_condition("Bridge", [["name", "==", "br0"]])
    lab.exchange()
    assert [row.name for row in replica.rows("Bridge").values()] == ["br0"]


def test_locks() -> None:
    lab, first, second = Lab(), bridges(lock="l"), bridges(lock="l")
    session = lab.connect(first)
    lab.connect(second)
    assert (first.has_lock, second.has_lock, second.lock_contended) == (True, False, True)
    assert lab.commit(second, add("br0")).status == "not_locked"
    assert lab.commit(first, add("br0")).status == "success"
    lab.lose(session)
    lab.exchange()
    assert second.has_lock


def test_update_precedes_reply_and_slow_clients_get_merged_updates() -> None:
    lab = Lab()
    slow, busy = lab.server.connect("slow"), lab.server.connect("busy")
    for session in (slow, busy):
        lab.server.receive(
            session, encode(Request("monitor_cond", ["Open_vSwitch", 1, {"Open_vSwitch": {}}], 0))
        )
    lab.server.take_output()
    slow.congested = True
    operations = [{"op": "insert", "table": "Open_vSwitch", "row": {}}]
    for number in range(50):
        lab.server.receive(busy, encode(Request("transact", ["Open_vSwitch", *operations], number)))
        operations = [
            {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}
        ]
    lab.server.settle()
    output = dict(lab.server.take_output())
    text = output[busy].decode()
    assert text.index('"update2"') < text.index('"id":0,"result"')
    assert text.count('"update2"') == 50
    assert slow not in output
    slow.congested = False
    lab.server.settle()
    (merged,) = [data for session, data in lab.server.take_output() if session is slow]
    assert merged.count(b"update2") == 1
    assert b'"next_cfg":49' in merged


def test_silent_clients_are_asked_and_then_closed() -> None:
    lab = Lab()
    session = lab.server.connect("x")
    lab.clock.advance(5)
    lab.server.tick()
    assert b'"echo"' in lab.server.take_output()[0][1]
    lab.clock.advance(5)
    lab.server.tick()
    lab.server.take_output()
    assert lab.server.take_closed() == [session]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                lambda method, params: encoded({"method": method, "params": params, "id": 1}),
                st.sampled_from(
                    ["transact", "monitor", "monitor_cond", "monitor_cond_since", "monitor_cond_change", "lock", "steal",
                     "unlock", "get_schema", "set_db_change_aware", "monitor_cancel", "convert", "cancel"]
                ),
                st.lists(
                    st.recursive(
                        st.sampled_from(["Open_vSwitch", "_Server", "m", "Bridge", "name", True, None, 1, 1.5, "==", "op",
                                         "insert", "columns", "where"]),
                        lambda inner: st.lists(inner, max_size=3)
                        | st.dictionaries(st.sampled_from(["Bridge", "op", "table", "row", "columns", "where", "select"]),
                                          inner, max_size=3),
                        max_leaves=8,
                    ),
                    max_size=4,
                ),
            ),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_whatever_a_client_sends_others_do_not_suffer(chunks: list[bytes]) -> None:
    lab, bystander = Lab(), bridges()
    lab.connect(bystander)
    lab.commit(bystander, add("br0"))
    hostile = lab.server.connect("hostile")
    for chunk in chunks:
        lab.server.receive(hostile, chunk)
        lab.exchange()
    assert lab.commit(bystander, Transaction(SCHEMA)).status == "success"
    assert bystander.find("Bridge", "name", "br0")
    lab.server.disconnect(hostile)
