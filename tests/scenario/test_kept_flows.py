"""A switch that is killed, or ended, and started again knows its flows: our daemons on dummy devices."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.database_servers import BIN, OURS, Running
from trunkline.model.schemas import schema_text

FRAME = (
    "in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)


class Machine:
    def __init__(self, directory: Path) -> None:
        schema = directory / "vswitch.ovsschema"
        schema.write_text(schema_text("Open_vSwitch"))
        self.database = Running(OURS, schema=str(schema))
        self.directory = self.database.directory
        self.do("ovs-vsctl", "--no-wait", "init")
        self.start()

    def start(self) -> None:
        self.switch = subprocess.Popen(
            [
                str(BIN / "ovs-vswitchd"), f"unix:{self.directory}/db.sock", "--enable-dummy=override",
                "--disable-system", "--pidfile", "--log-file", "-vconsole:off",
            ],
            env=self.database.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.control = f"{self.directory}/ovs-vswitchd.{self.switch.pid}.ctl"
        until = time.monotonic() + 60
        while not self.is_up():
            assert time.monotonic() < until, self.log()
            assert self.switch.poll() is None, self.log()
            time.sleep(0.05)

    def is_up(self) -> bool:
        """Whether the bridges are there: what the log says first when they are."""
        return self.log().count("ovs-vswitchd (Open vSwitch)") > self.started

    @property
    def started(self) -> int:
        return self._started

    _started = 0

    def log(self) -> str:
        path = Path(self.directory, "ovs-vswitchd.log")
        return path.read_text() if path.exists() else ""

    def end(self, how: str) -> None:
        self._started = self.log().count("ovs-vswitchd (Open vSwitch)")
        if how == "kill":
            self.switch.send_signal(signal.SIGKILL)
        else:
            self.appctl(*how.split())
        self.switch.wait(30)

    def do(self, *words: str, input: str | None = None) -> str:
        done = subprocess.run(
            [str(BIN / words[0]), *words[1:]],
            env=self.database.environment,
            capture_output=True,
            text=True,
            timeout=60,
            input=input,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def vsctl(self, *words: str) -> str:
        return self.do("ovs-vsctl", "-t", "30", *words)

    def ofctl(self, *words: str, input: str | None = None) -> str:
        return self.do("ovs-ofctl", *words, input=input)

    def appctl(self, *words: str) -> str:
        return self.do("ovs-appctl", "-t", self.control, *words)

    def state(self, *options: str) -> str:
        """All that OpenFlow shows of br0, times apart."""
        shown = self.ofctl("-O", "OpenFlow15", "dump-flows", "br0", *options)
        for command in ("dump-groups", "dump-group-stats", "dump-meters", "dump-ports-desc"):
            shown += self.ofctl("-O", "OpenFlow15", command, "br0")
        return re.sub(r"(duration|idle_age|xid)=\w[\w.]*,?", "", shown)

    def remove(self) -> None:
        if self.switch.poll() is None:
            self.switch.kill()
            self.switch.wait()
        self.database.remove()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    command = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure"]
    for i in (1, 2):
        command += [
            "--",
            "add-port",
            "br0",
            f"p{i}",
            "--",
            "set",
            "interface",
            f"p{i}",
            f"ofport_request={i}",
        ]
    try:
        made.vsctl(*command)
        made.ofctl("add-flows", "br0", "-", input="".join(flows()))
        made.ofctl("-O", "OpenFlow15", "add-group", "br0", "group_id=5,type=select,bucket=weight:2,actions=1")
        made.ofctl("-O", "OpenFlow15", "add-meter", "br0", "meter=3,kbps,band=type=drop,rate=1000")
        made.ofctl("mod-port", "br0", "p1", "no-flood")
        made.ofctl("--bundle", "add-flow", "br0", "table=20,priority=9,actions=group:5")
        for _ in range(3):
            made.appctl("netdev-dummy/receive", "p1", FRAME)
        yield made
    finally:
        made.remove()


def flows() -> Iterator[str]:
    for i in range(300):
        match = f"table={i % 5 + 1},cookie={i},ip,nw_dst=10.0.1.{i % 250},priority={i}"
        yield f"{match} actions=load:{i}->reg0,2\n"
    yield "udp actions=learn(table=30,idle_timeout=600,eth_type=0x800,ip_src=ip_src,output:in_port),2\n"


def test_killed_ended_and_begun_anew(machine: Machine) -> None:
    before = machine.state()
    assert "table=30" in before
    assert "n_packets=3" in before
    machine.end("kill")
    machine.start()
    assert machine.state() == before  # what somebody has been told is not taken back

    machine.appctl("netdev-dummy/receive", "p1", FRAME)
    machine.ofctl("del-flows", "br0", "table=1")
    machine.ofctl("mod-flows", "br0", "table=2,actions=1")
    before = machine.state()
    assert "n_packets=4" in before
    machine.end("exit")
    machine.start()
    assert machine.state() == before  # statistics, too, when it had the time to write them

    machine.vsctl("set", "Open_vSwitch", ".", "other_config:keep-flows=false")
    assert not Path(machine.directory, "br0.flows").exists()
    machine.end("exit")
    machine.start()
    assert machine.ofctl("dump-flows", "br0", "--no-stats") == ""


def test_counters_are_those_of_the_flow_that_is_there(machine: Machine) -> None:
    """Not of an equal one that was there before, nor from before they were reset; through snapshots, too."""
    sent = "udp,in_port=1,nw_dst=10.0.0.2"

    def change(*lines: str) -> None:
        machine.ofctl("-O", "OpenFlow13", "add-flows", "br0", "-", input="\n".join(lines) + "\n")

    def counts() -> dict[int, int]:
        text = machine.ofctl("dump-flows", "br0", "udp,nw_dst=10.0.0.2")
        found = re.findall(r"table=(4[0-3]), n_packets=(\d+)", text)
        return {int(table): int(packets) for table, packets in found}

    chain = [f"add table={table},{sent},actions=2,resubmit(,{table + 1})" for table in range(40, 44)]
    change(*chain, "modify table=0,udp,actions=resubmit(,40)")
    machine.appctl("netdev-dummy/receive", "p1", FRAME)
    assert counts() == {40: 1, 41: 1, 42: 1, 43: 1}
    change(
        f"delete_strict table=41,{sent}",
        f"add table=41,{sent},actions=2,resubmit(,42)",
        f"add table=42,{sent},reset_counts,actions=2",
        f"delete_strict table=43,{sent}",
    )
    for how in ("kill", "kill", "exit"):
        machine.end(how)
        machine.start()
        assert counts() == {40: 1, 41: 0, 42: 0}
    machine.appctl("netdev-dummy/receive", "p1", FRAME)
    change(chain[3])
    for how in ("exit", "kill"):
        machine.end(how)
        machine.start()
        assert counts() == {40: 2, 41: 1, 42: 1, 43: 0}


def test_what_is_not_taken_up(machine: Machine) -> None:
    """The journal of another bridge of the same name, of another boot, and rubbish."""
    path = Path(machine.directory, "br0.flows")
    machine.end("kill")
    machine.vsctl("--no-wait", "del-br", "br0", "--", "add-br", "br0")
    machine.vsctl("--no-wait", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure")
    machine.start()
    assert machine.ofctl("dump-flows", "br0", "--no-stats") == ""
    machine.ofctl("add-flow", "br0", "actions=drop")
    for damage in (lambda data: data.replace(b'"boot":"', b'"boot":"x'), lambda data: os.urandom(500)):
        machine.end("kill")
        path.write_bytes(damage(path.read_bytes()))
        machine.start()
        assert machine.ofctl("dump-flows", "br0", "--no-stats") == ""
        machine.ofctl("add-flow", "br0", "actions=drop")
    machine.end("exit --cleanup")
    assert not path.exists()
