"""The original OVN on our database server: a small logical network becomes the same southbound database."""

# ruff: noqa: E501  (command lines)

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import BIN, ORIGINAL, OURS
from support.vsctl import UUID, transact

NORTHD = "/usr/bin/ovn-northd"
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.xdist_group("ovn"),  # the network takes long to make
    pytest.mark.skipif(not os.path.exists(NORTHD), reason="NO ORIGINAL ovn-northd"),
]
DATABASES = (("nb", "OVN_Northbound"), ("sb", "OVN_Southbound"))

# One router, two switches with two ports each, ACLs, a load balancer, NAT, DHCP, port groups and a meter.
NETWORK = """
ls-add left
ls-add right
set Logical_Switch left other_config:subnet=10.0.1.0/24 other_config:exclude_ips=10.0.1.1..10.0.1.9
lr-add router -- lrp-add router r-left 00:00:00:00:01:01 10.0.1.1/24 -- lrp-add router r-right 00:00:00:00:02:01 10.0.2.1/24 fd00:2::1/64
lsp-add left l-r -- lsp-set-type l-r router -- lsp-set-addresses l-r router -- lsp-set-options l-r router-port=r-left
lsp-add right r-r -- lsp-set-type r-r router -- lsp-set-addresses r-r router -- lsp-set-options r-r router-port=r-right
lsp-add left l1 -- lsp-set-addresses l1 "00:00:00:00:01:11 10.0.1.11" -- lsp-set-port-security l1 "00:00:00:00:01:11 10.0.1.11"
lsp-add left l2 -- lsp-set-addresses l2 "00:00:00:00:01:12 dynamic"
lsp-add right r1 -- lsp-set-addresses r1 "00:00:00:00:02:11 10.0.2.11 fd00:2::11"
lsp-add right r2 -- lsp-set-addresses r2 unknown
acl-add left to-lport 1000 "outport == \\"l1\\" && ip4.src == 10.0.2.0/24" allow-related
acl-add left from-lport 900 "inport == \\"l2\\" && tcp.dst == 80" drop
--log --severity=info --name=watch acl-add right to-lport 100 "ip6" reject
pg-add group l1 r1 -- acl-add group to-lport 500 "outport == @group && udp" allow
create Address_Set name=hosts addresses="10.0.1.11,10.0.2.11"
lb-add vip 10.0.9.9:80 10.0.1.11:8080,10.0.2.11:8080 tcp -- ls-lb-add left vip -- lr-lb-add router vip
lr-nat-add router dnat_and_snat 172.16.0.11 10.0.1.11
set Logical_Router router options:chassis=gateway
lr-route-add router 192.168.0.0/16 10.0.2.11
lr-policy-add router 10 "ip4.src == 10.0.1.0/24" allow
dhcp-options-create 10.0.1.0/24
meter-add slow drop 100 pktps 10
qos-add left from-lport 10 "ip4" rate=1000 burst=100
lsp-del r2 -- ls-add third -- lsp-add third local -- lsp-set-type local localnet -- lsp-set-addresses local unknown -- lsp-set-options local network_name=physical
"""


class Central:
    """A database server with both databases, and the original northd."""

    def __init__(self, program: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ovn"))
        names = ("RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR")
        directories = {f"{kind}_{name}": str(self.directory) for kind in ("OVS", "OVN") for name in names}
        self.environment = {**os.environ, **directories}
        for short, _ in DATABASES:
            schema = f"/usr/share/ovn/ovn-{short}.ovsschema"
            subprocess.run([BIN / "ovsdb-tool", "create", self.directory / f"{short}.db", schema], check=True)
        self.running = [
            self.start(
                program,
                f"--remote=punix:{self.socket}",
                *(f"{self.directory}/{name}.db" for name, _ in DATABASES),
            )
        ]
        self.until(self.socket.exists)

    @property
    def socket(self) -> Path:
        return self.directory / "db.sock"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.directory / "out").open("ab") as out:
            return subprocess.Popen(words, env=self.environment, stdout=out, stderr=out)

    def start_northd(self) -> None:
        remotes = (f"--ovnnb-db=unix:{self.socket}", f"--ovnsb-db=unix:{self.socket}")
        self.running.append(
            self.start(NORTHD, *remotes, f"--unixctl={self.directory}/northd.ctl", "-vconsole:off")
        )

    def until(self, condition: Any, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.directory / "out").read_text()
            time.sleep(0.02)

    def tool(self, name: str, *words: str) -> str:
        command = [f"/usr/bin/{name}", f"--db=unix:{self.socket}", "--timeout=20", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def remove(self) -> None:
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            process.wait(10)
        shutil.rmtree(self.directory)


@pytest.fixture(scope="module")
def centrals() -> Iterator[tuple[Central, Central]]:
    """One on the original server, one on ours, with the same network."""
    both = Central(ORIGINAL), Central(OURS)
    try:
        for central in both:
            fixed = (
                'options:svc_monitor_mac="02:00:00:00:00:01"',
                'options:mac_prefix="0a:00:00"',
            )  # else by chance
            central.tool("ovn-nbctl", "init", "--", "set", "NB_Global", ".", *fixed)
            central.start_northd()
            for line in NETWORK.strip().splitlines():
                central.tool(
                    "ovn-nbctl", "--wait=sb", *shlex.split(line)
                )  # one after the other: numbers are given out in the order of arrival
        yield both
    finally:
        for central in both:
            central.remove()


def southbound(central: Central) -> dict[str, list[str]]:
    """The rows of every table without what differs from run to run: uuids, cookies, and numbers given out in
    the order of hash tables."""
    schema = json.loads(Path("/usr/share/ovn/ovn-sb.ovsschema").read_text())
    tables = sorted(schema["tables"])
    results = transact(
        central.socket,
        *({"op": "select", "table": table, "where": []} for table in tables),
        database="OVN_Southbound",
    )
    found = {}
    for table, result in zip(tables, results, strict=True):
        rows = []
        for row in result["rows"]:
            for column in ("_uuid", "_version", "tunnel_key", "nb_cfg_timestamp", "datapaths"):
                row.pop(column, None)
            text = UUID.sub(
                "UUID", json.dumps({name: unordered(value) for name, value in sorted(row.items())})
            )
            rows.append(re.sub(r"(stage-hint\\?\", \\?\")[0-9a-f]{8}", r"\1SHORT", text))
        found[table] = sorted(rows)
    return found


def unordered(value: Any) -> Any:
    """Sets and maps in one order; maps of references by their form alone."""
    if isinstance(value, list) and value and value[0] in ("set", "map"):
        return [value[0], sorted(value[1], key=lambda item: UUID.sub("UUID", json.dumps(item)))]
    return value


def test_the_same_southbound_database(centrals: tuple[Central, Central]) -> None:
    theirs, mine = map(southbound, centrals)
    for table, rows in theirs.items():
        assert mine[table] == rows, table
    assert len(theirs["Logical_Flow"]) > 250
    assert len(theirs["Port_Binding"]) == 8


def test_the_tools_show_the_same(centrals: tuple[Central, Central]) -> None:
    shown = []
    for central in centrals:
        central.tool("ovn-sbctl", "--may-exist", "chassis-add", "node1", "geneve", "127.0.0.1")
        central.tool("ovn-sbctl", "--", "lsp-bind", "l1", "node1")
        central.tool("ovn-nbctl", "--wait=sb", "sync")
        texts = [central.tool("ovn-nbctl", *words) for words in (
            ["ls-list"], ["lr-list"], ["acl-list", "left"], ["lb-list"], ["lr-route-list", "router"], ["lr-nat-list", "router"],
            ["lsp-list", "right"], ["--format=csv", "--columns=name,up,type", "list", "Logical_Switch_Port"], ["lsp-get-up", "l1"],
        )]  # fmt: skip
        texts += [central.tool("ovn-sbctl", *words) for words in (
            ["show"], ["lflow-list"], ["--columns=logical_port,type", "--format=csv", "list", "Port_Binding"],
        )]  # fmt: skip
        shown.append(["\n".join(sorted(UUID.sub("UUID", text).splitlines())) for text in texts])
    for theirs, mine in zip(*shown, strict=True):
        assert theirs == mine
    assert "l1" in shown[0][9]


def test_northd_follows_our_server_through_a_restart(centrals: tuple[Central, Central]) -> None:
    """Reconnection by monitor_cond_since: what changes afterwards arrives."""
    ours = centrals[1]
    ours.running[0].terminate()
    ours.running[0].wait(10)
    names = (f"{ours.directory}/{name}.db" for name, _ in DATABASES)
    ours.running[0] = ours.start(OURS, f"--remote=punix:{ours.socket}", *names)
    ours.until(ours.socket.exists)
    for central in centrals:  # both, so that the other tests find them alike
        central.tool("ovn-nbctl", "--wait=sb", "ls-add", "after", "--", "lsp-add", "after", "port-after")
    assert "port-after" in ours.tool("ovn-sbctl", "--bare", "--columns=logical_port", "list", "Port_Binding")
