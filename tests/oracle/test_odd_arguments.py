"""Arguments that are no UTF-8, outputs that cannot be written and other rare command lines."""

import os
import re
import subprocess

import pytest

from support.database_servers import BIN, ORIGINAL, Running

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not os.path.exists(ORIGINAL), reason="the original is not installed"),
]

SETUP = [
    "ovs-vsctl --no-wait --all destroy bridge -- --all destroy open_vswitch",
    "ovs-vsctl --no-wait add-br b0",
]
LINES = [
    r"ovs-vsctl --no-wait set bridge b0 external-ids:a=$B",
    r"ovs-vsctl --no-wait set bridge b0 external-ids:$B=1",
    r"ovs-vsctl --no-wait br-set-external-id b0 a $B",
    r"ovs-vsctl --no-wait br-get-external-id b0 $B",
    r"ovs-vsctl --no-wait add-br b$B",
    r"ovs-vsctl --no-wait add-port b0 p$B",
    r"ovs-vsctl --no-wait br-exists b$B",
    r"ovs-vsctl --no-wait list-ports b$B",
    r"ovs-vsctl --no-wait get bridge $B name",
    r"ovs-vsctl --no-wait get $B b0 name",
    r"ovs-vsctl --no-wait find bridge name=$B",
    r"ovs-vsctl --no-wait remove bridge b0 external-ids $B",
    r"ovs-vsctl --no-wait comment $B",
    r"ovs-vsctl --no-wait --columns=$B list bridge",
    r"ovs-vsctl $B",
    r"ovs-vsctl --db=unix:$B show",
    r"ovs-vsctl --log-file=/nope/$B --version",
    r"ovs-vsctl --no-wait set-manager $B",
    r"ovs-vsctl --help >/dev/full",
    r"ovs-vsctl --version >/dev/full",
    r"ovs-vsctl --no-wait list bridge >/dev/full",
    r"ovs-vsctl --no-wait destroy open_vswitch . -- --id=@x create open_vswitch",
    r"ovs-vsctl --no-wait --if-exists --if-exists del-port nop",
    r"ovs-vsctl --no-wait --may-exist --may-exist add-port b0 p1",
    r"ovs-vsctl --no-wait set-controller b0 bogus:x tcp:1:2",
    r"ovs-vsctl --no-wait add-aa-mapping bnone x y",
    r"ovs-vsctl --no-wait del-aa-mapping bnone 1 y",
    r"ovs-appctl --log-file=/nope/x --version",
    r"ovs-ofctl --log-file=/nope/x --version",
    r"ovsdb-client --log-file=/nope/x --version",
    r"ovs-appctl -t /$B x",
    r"ovs-appctl --log-file -t /nosuch version",
    r"ovs-ofctl --log-file parse-flow actions=1",
    r"ovs-dpctl --log-file --version | head -1",
    r"ovsdb-tool -v db-name /nosuch",
    r"ovs-vsctl --log-file= --version",
    r"ovs-ofctl $B",
    r"ovs-ofctl parse-flows - < <(printf 'priority=3,$B=1,actions=drop\n')",
    r"ovs-ofctl parse-flows - < <(printf 'priority=1,actions=drop\0priority=2\npriority=7,actions=drop')",
    r"ovs-ofctl parse-flows - < <(printf '# $B\npriority=9,actions=drop\rpriority=4,actions=1\n')",
    r"ovs-ofctl parse-flows - < <(printf 'actions=drop#x\n\x0bpriority=4,actions=1\x0c\n')",
    r"ovs-ofctl parse-flows - < <(printf '\xc2\xa0actions=drop\n')",
    r"ovs-ofctl parse-key-value < <(printf 'eth()$B\n')",
    r"ovs-ofctl parse-actions OpenFlow10 < <(printf '$B\n')",
    r"ovs-ofctl show $B",
    r"ovs-ofctl parse-flow actions=$B",
    r"ovsdb-tool $B",
    r"ovsdb-tool db-name /$B",
    r"ovsdb-tool db-name /",
    r"ovsdb-tool schema-name /",
    r"ovsdb-client dump unix:$B",
    r"ovs-vsctl --db=tcp:127.0.0.1 show",
    r"ovs-vsctl --db=tcp:nohost.invalid show",
    r"ovs-vsctl --db=tcp:[::1 show",
    r"ovsdb-server ~/conf.db --unixctl=none",
    r"ovsdb-tool create-cluster j.db /nope tcp:1:1",
    r"ovsdb-tool join-cluster j.db 9 y z",
    r"ovsdb-tool join-cluster j.db N tcp:1:1 z",
    r"ovsdb-tool join-cluster j.db N tcp:1:1 tcp:1:1",
    r"""ovsdb-client query nope '["x"]'""",
    r"""ovsdb-client transact nope '["x"]'""",
    r"""ovsdb-client transact nope nope '["x"]'""",
]  # fmt: skip


def outcomes(server: Running, directory: str) -> list[tuple[str, int, bytes, bytes]]:
    """Runs the lines one after the other; each with its status and what it printed."""
    found = []
    environment = {b"B": b"\xff", **{os.fsencode(k): os.fsencode(v) for k, v in server.environment.items()}}
    unwritable = [line for line in LINES if "--log-file " in line]
    for place, line in enumerate([*SETUP, *LINES, *unwritable]):
        environment[b"OVS_LOGDIR"] = (
            b"/nope" if place >= len(SETUP + LINES) else os.fsencode(server.directory)
        )
        program = f"{directory}/{line}"
        if line.startswith("ovsdb-server"):  # another one holds the lock
            program = program.replace("/usr/bin", "/usr/sbin").replace("~", server.directory)
        done = subprocess.run(["sh", "-c", program], env=environment, capture_output=True, timeout=30)
        out, errors = (
            text.replace(os.fsencode(server.directory), b"DIR") for text in (done.stdout, done.stderr)
        )
        errors = re.sub(rb"(?m)^\d{4}-[^|]*\|\d+\|", b"", errors).replace(f"{directory}/".encode(), b"")
        if line not in SETUP:
            found.append((line, done.returncode, out, errors))
    return found


@pytest.fixture(scope="module")
def server() -> Running:
    return Running(ORIGINAL)


def test_the_same_as_the_original(server: Running) -> None:
    try:
        theirs = outcomes(server, "/usr/bin")
        ours = outcomes(server, str(BIN))
        assert [one for one in zip(theirs, ours) if one[0] != one[1]] == []
    finally:
        server.remove()


def test_a_configuration_that_destroys_its_own_counter() -> None:
    """There is nothing to wait for then; the switch is not asked."""
    server = Running(ORIGINAL)
    try:
        server.run(str(BIN / "ovs-vsctl"), "--no-wait", "init")
        done = server.run(str(BIN / "ovs-vsctl"), "--timeout=5", "destroy", "open_vswitch", ".")
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        server.remove()
