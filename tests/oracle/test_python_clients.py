"""PyPI's OVSDB clients, `ovs` (the IDL) and `ovsdbapp`: the same work on the original server and on ours."""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.database_servers import ORIGINAL, OURS, SCHEMA, Client, Running

pytest.importorskip("ovs")
pytest.importorskip("ovsdbapp")
pytestmark = pytest.mark.oracle


@pytest.fixture
def both() -> Iterator[tuple[Running, Running]]:
    servers = Running(ORIGINAL), Running(OURS)
    for server in servers:
        row = {"op": "insert", "table": "Open_vSwitch", "row": {}}
        Client(server).call("transact", ["Open_vSwitch", row])
    yield servers
    for server in servers:
        server.remove()


def work_of_an_agent(api: Any) -> list[object]:
    """Most of what ovsdbapp's Open_vSwitch API offers; what the commands answered."""
    said: list[object] = []

    def do(command: Any) -> None:
        result = command.execute(check_error=False)
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UUID", repr(result))
        said.append(re.sub(r" at 0x[0-9a-f]+", "", text))

    do(api.add_br("br-int"))
    do(api.add_br("br-int", may_exist=True, datapath_type="netdev"))
    do(api.add_br("br-ex"))
    for number in range(5):
        do(api.add_port("br-int", f"tap{number}", type="dummy", external_ids={"iface-id": str(number)}))
    do(api.add_port("br-int", "tap0", may_exist=True))
    do(api.add_port("br-nope", "tap9"))
    do(api.del_port("tap4", "br-int"))
    do(api.del_port("tap4", "br-int", if_exists=True))
    do(api.br_set_external_id("br-int", "key", "value"))
    do(api.br_get_external_id("br-int", "key"))
    do(api.br_set_external_id("br-int", "key", None))
    do(api.iface_set_external_id("tap0", "attached-mac", "00:00:00:00:00:01"))
    do(api.iface_get_external_id("tap0", "attached-mac"))
    do(api.set_controller("br-int", ["tcp:127.0.0.1:6633"]))
    do(api.set_fail_mode("br-int", "secure"))
    do(api.get_controller("br-int"))
    do(api.del_controller("br-int"))
    do(api.db_create("Queue", dscp=3, other_config={"max-rate": "1000"}))
    do(api.db_set("Interface", "tap1", ("ingress_policing_rate", 300), ("options", {"a": "b"})))
    do(api.db_add("Interface", "tap1", "external_ids", {"more": "things"}))
    do(api.db_remove("Interface", "tap1", "options", "a"))
    do(api.db_clear("Interface", "tap1", "external_ids"))
    do(api.db_get("Interface", "tap1", "ingress_policing_rate"))
    do(api.db_set("Interface", "nope", ("type", "x")))
    do(api.add_manager("ptcp:6640:127.0.0.1"))
    do(api.get_manager())
    do(api.remove_manager("ptcp:6640:127.0.0.1"))
    with api.transaction(check_error=True) as transaction:
        transaction.add(api.add_br("br-new"))
        transaction.add(api.add_port("br-new", "p-new"))
        transaction.add(api.db_set("Port", "p-new", ("tag", 7), ("trunks", [1, 2, 3])))
        transaction.add(api.del_br("br-ex"))
    do(api.br_exists("br-ex"))
    do(api.port_to_br("p-new"))
    do(api.iface_to_br("tap3"))
    for listing in (api.list_br(), api.list_ports("br-int"), api.list_ifaces("br-int")):
        said.append(sorted(listing.execute(check_error=True)))
    found = api.db_find("Interface", ("type", "=", "dummy"), columns=["name", "external_ids"]).execute()
    said.append(sorted(map(repr, found)))
    for table, columns in (
        ("Port", ["name", "tag", "trunks"]),
        ("Interface", ["name", "type", "options", "external_ids", "ingress_policing_rate"]),
        ("Bridge", ["name", "fail_mode", "datapath_type", "external_ids"]),
        ("Queue", ["dscp", "other_config"]),
    ):
        rows = api.db_list(table, columns=columns).execute(check_error=True)
        said.append(sorted(map(repr, rows)))
    return said


def test_ovsdbapp_does_the_same(both: tuple[Running, Running]) -> None:
    from ovsdbapp.backend.ovs_idl import connection
    from ovsdbapp.schema.open_vswitch import impl_idl

    said = []
    for server in both:
        with original_switch(server):  # whose answer every transaction waits for
            idl = connection.OvsdbIdl.from_server(f"unix:{server.directory}/db.sock", "Open_vSwitch")
            fresh = type("Api", (impl_idl.OvsdbIdl,), {"_ovsdb_connection": None})  # else a class has but one
            api = fresh(connection.Connection(idl=idl, timeout=10))
            said.append(work_of_an_agent(api))
            api.ovsdb_connection.stop()
    assert said[0] == said[1]
    assert len(said[0]) > 35


@contextmanager
def original_switch(server: Running) -> Iterator[None]:
    words = ["/usr/sbin/ovs-vswitchd", f"unix:{server.directory}/db.sock", "--enable-dummy=override"]
    switch = subprocess.Popen([*words, "--disable-system", "-vconsole:off"], env=server.environment)
    try:
        yield
    finally:
        switch.terminate()
        switch.wait(10)


class Idl:
    """An IDL of the `ovs` library with an index, run by hand."""

    def __init__(self, server: Running) -> None:
        from ovs.db import idl as module

        helper = module.SchemaHelper(SCHEMA)
        for table in ("Open_vSwitch", "Bridge", "Port", "Interface"):
            helper.register_table(table)
        self.idl = module.Idl(f"unix:{server.directory}/db.sock", helper)
        self.idl.index_create("Interface", "by_type").add_column("type")
        self.module = module

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            self.idl.run()
            time.sleep(0.01)


@pytest.mark.parametrize("program", [ORIGINAL, OURS])
def test_an_idl_with_an_index_comes_back_after_a_restart(program: str) -> None:
    server = Running(program)
    try:
        client = Client(server)
        client.call("transact", ["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {}}])
        server.run("/usr/bin/ovs-vsctl", "--no-wait", "add-br", "br0", "--", "add-port", "br0", "p1",
                   "--", "set", "Interface", "p1", "type=tap")  # fmt: skip
        peer = Idl(server)
        rows = peer.idl.tables["Interface"].rows
        peer.until(lambda: len(rows) == 2)
        index = peer.idl.tables["Interface"].rows.indexes["by_type"]
        assert sorted(row.name for row in index) == ["br0", "p1"]
        assert [row.name for row in index][-1] == "p1"  # "internal" comes before "tap"
        before = peer.idl.change_seqno
        server.stop(signal.SIGKILL)
        server.start()
        words = (
            "add-port",
            "br0",
            "p2",
            "--",
            "set",
            "Interface",
            "p2",
            "type=zebra",
            "--",
            "del-port",
            "p1",
        )
        server.run("/usr/bin/ovs-vsctl", "--no-wait", *words)
        peer.until(lambda: [row.name for row in index] == ["br0", "p2"])
        assert peer.idl.change_seqno > before
        bridge = next(iter(peer.idl.tables["Bridge"].rows.values()))
        transaction = peer.module.Transaction(peer.idl)
        bridge.setkey("external_ids", "after", "restart")
        assert transaction.commit_block() == peer.module.Transaction.SUCCESS
        peer.until(lambda: bridge.external_ids.get("after") == "restart")
        peer.idl.close()
    finally:
        server.remove()
