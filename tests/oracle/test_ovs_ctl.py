"""ovs-ctl: the original's script and ours, both over the original daemons, say and do the same."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.originals import VSWITCH_SCHEMA, environment
from trunkline.io.pidfile import read_pidfile

SCRIPT = "/usr/share/openvswitch/scripts/ovs-ctl"
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not os.path.exists(SCRIPT), reason="THE ORIGINAL ovs-ctl IS NOT INSTALLED"),
]
DUMMY = "--ovs-vswitchd-options=--enable-dummy=override --disable-system"
QUIET = ["--no-mlockall", "--no-monitor", DUMMY]
# What the original says of the kernel module, which there is none of here, and of limits the sandbox has.
ITS_OWN = re.compile(r"modprobe|kernel module|ulimit|module support")


class Control:
    def __init__(self, which: str, directory: Path) -> None:
        ours = [sys.executable, "-m", "trunkline.cli.ovs_ctl"]
        self.command = [SCRIPT] if which == "theirs" else ours
        self.directory = directory
        (directory / "openvswitch").mkdir(parents=True)
        self.environment = {
            **environment(directory),
            "OVS_BINDIR": "/usr/bin",
            "OVS_SBINDIR": "/usr/sbin",
            "OVS_SYSLOG_METHOD": "null",
        }

    def __call__(self, *arguments: str) -> tuple[int, list[str]]:
        """Exit status and lines, without pids, directories and the like."""
        done = subprocess.run(
            [*self.command, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        text = done.stdout.replace(SCRIPT, "ovs-ctl").replace(str(self.directory), "DIR")
        text = re.sub(r"\S*ovs_ctl/__main__\.py", "ovs-ctl", text)
        text = re.sub(r"pid \d+|\(\d+\)", "PID", text)
        return done.returncode, [line for line in text.splitlines() if not ITS_OWN.search(line)]

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout.replace(str(self.directory), "DIR")


@pytest.fixture
def both(short_directory: Path) -> Iterator[list[Control]]:
    them = [Control(which, short_directory / which) for which in ("theirs", "ours")]
    yield them
    for control in them:
        control("stop")


def same(both: list[Control], *arguments: str) -> tuple[int, list[str]]:
    answers = [control(*arguments) for control in both]
    assert answers[1] == answers[0], arguments
    return answers[0]


def test_a_life(both: list[Control]) -> None:
    for line in (["stop"], ["status"], [], ["start", "stop"], ["nosuch"], ["help", "x"], ["version"]):
        same(both, *line)
    wanted = ["--system-id=random", "--system-type=T", "--system-version=V", "--external-id=a=b", *QUIET]
    assert same(both, *wanted, "start")[0] == 0
    ids = [(control.directory / "openvswitch" / "system-id.conf").read_text().strip() for control in both]
    rows = []
    for control, identity in zip(both, ids, strict=True):
        columns = ("external_ids", "system_type", "system_version", "ovs_version", "db_version")
        rows.append(control.run("ovs-vsctl", "get", "open", ".", *columns).replace(identity, "ID"))
    assert rows[1] == rows[0]
    assert "system-id" in rows[0]
    same(both, "status")
    same(both, *wanted, "start")
    for control in both:
        transient = ["set", "port", "p1", "other_config:transient=true"]
        control.run("ovs-vsctl", "add-br", "br0", "--", "add-port", "br0", "p1", "--", *transient)
        control.run("ovs-vsctl", "add-port", "br0", "p2")
        control.run("ovs-ofctl", "add-flow", "br0", "cookie=7,priority=5,ip,actions=drop")
    same(both, "delete-transient-ports")
    assert [control.run("ovs-vsctl", "list-ports", "br0") for control in both] == ["p2\n", "p2\n"]
    assert same(both, "--system-id=xyz", *QUIET, "restart")[0] == 0
    for control in both:
        flows = control.run("ovs-ofctl", "--no-stats", "dump-flows", "br0")
        assert "cookie=0x7, priority=5,ip actions=drop" in flows
        assert control.run("ovs-vsctl", "get", "open", ".", "external_ids:system-id") == "xyz\n"
    same(both, "--system-id=xyz", *QUIET, "--delete-bridges", "restart")
    assert [control.run("ovs-vsctl", "list-br") for control in both] == ["", ""]
    same(both, "--no-ovs-vswitchd", "stop")
    same(both, "status")
    same(both, "--no-ovsdb-server", "stop")
    assert same(both, "status")[0] == 1


def test_failures(both: list[Control]) -> None:
    bad = ["--no-ovs-vswitchd", "--ovsdb-server-options=--nosuch", "--system-id=x"]
    assert same(both, *bad, "start")[0] == 1
    same(both, "--no-foo", "--bar=1", "stop")
    same(both, "--no-ovs-vswitchd", "--no-monitor", "start")
    same(both, "stop")
    assert same(both, *QUIET, "--system-id=x", "--db-schema=/nosuch", "start")[0] == 1  # conf.db is there


def test_options_that_are_not_there_and_databases_that_are_not(both: list[Control]) -> None:
    missing = "--extra-dbs=/no/such.db relative.db"
    for words in (("start", "-x"), ("-x",), ("status", "--nonsense"), ("--nonsense=1", "version", "-y")):
        same(both, *words)
    started = same(both, *QUIET, "--system-id=random", "--no-ovs-vswitchd", missing, "start")
    assert started[0] == 0
    assert sum("does not exist" in line for line in started[1]) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="NO ROOT, SO NO NETWORK NAMESPACES")
def test_protocols_are_let_in(both: list[Control]) -> None:
    """In a network namespace of its own each time: nobody's firewall is touched."""
    for options in ([], ["--sport=1"], ["--dport=2"], ["--sport=1", "--dport=2", "--protocol=tcp"]):
        twice = 'for i in 1 2; do "$@"; done; iptables-save | grep -e -A'
        answers = []
        for control in both:
            command = [*control.command, "enable-protocol", *options]
            done = subprocess.run(
                ["unshare", "--net", "sh", "-c", twice, "sh", *command],
                env=control.environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            answers.append((done.returncode, done.stdout))
        assert answers[1] == answers[0], options
        assert "Enabling" in answers[0][1]


def test_an_old_database_is_converted(both: list[Control]) -> None:
    text = Path(VSWITCH_SCHEMA).read_text()
    for control in both:
        schema = control.directory / "old.ovsschema"
        old = re.sub(r'"version": "[^"]*"', '"version": "1.0.0"', text)
        schema.write_text(re.sub(r'"cksum": "[^"]*"', '"cksum": "1 2"', old))
        control.run("ovsdb-tool", "create", f"{control.directory}/conf.db", str(schema))
    assert same(both, "--no-ovs-vswitchd", "--no-monitor", "--system-id=x", "start")[0] == 0
    names = [{path.name for path in control.directory.glob("conf.db*")} for control in both]
    assert names[1] == names[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT")
def test_priority_and_directory(short_directory: Path) -> None:
    control = Control("ours", short_directory / "x")
    options = ["--no-ovs-vswitchd", "--no-monitor", "--system-id=x", "--ovsdb-server-priority=3"]
    control(*options, f"--daemon-cwd={short_directory}", "start")
    try:
        pid = read_pidfile(f"{control.directory}/ovsdb-server.pid")
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 3)
        assert os.readlink(f"/proc/{pid}/cwd") == str(short_directory)
    finally:
        control("stop")
