"""Options are minded one by one, from left to right: --version answers only for what stands before it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from support.database_servers import BIN

pytestmark = pytest.mark.oracle
_TIME = re.compile(r"^[-0-9]+T[:0-9]+Z(?=\|)", re.MULTILINE)
LINES = (
    "ovs-vswitchd --enable-dummy=foo --help",
    "ovs-vswitchd --version --enable-dummy=foo --nosuch",
    "ovs-vswitchd --dpdk --version",
    "ovs-vswitchd --version --dpdk",
    "ovs-vswitchd --syslog-method=foo --version",
    "ovs-ofctl -O foo -t x --version",
    "ovs-ofctl -t x -O foo --nosuch --version",
    "ovs-ofctl --version -O foo",
    "ovs-ofctl -F foo --version",
    "ovs-ofctl --color=foo --version",
    "ovs-ofctl --sort=foo --version",
    "ovs-ofctl --sort=priority -O OpenFlow13 -m --version",
    "ovs-ofctl -P foo --version",
    "ovs-ofctl -vfoo --version",
    "ovs-appctl -vfoo --version",
    "ovs-dpctl --timeout=x --version",
    "ovs-dpctl -t 0 --version",
    "ovsdb-tool --election-timer=99 --version",
    "ovsdb-tool --election-timer=100 --version",
    "ovs-vsctl --version --nosuch",
    "ovs-vsctl -t x --nosuch",
    "ovs-vsctl --commands --db",
    "vtep-ctl --help --nosuch",
    "ovs-appctl --version --format=foo",
    "ovs-appctl --syslog-method=foo --version",
    "ovs-appctl -vfoo --nosuch",
    "ovs-dpctl --help --nosuch",
    "ovs-dpctl -t 0 --nosuch",
    "ovs-ofctl --option -V",
    "ovsdb-tool -vfoo --nosuch",
    "ovs-vswitchd --private-key=/nosuch --version",
    "ovs-vswitchd --certificate=/etc/passwd --version",
    "ovs-vswitchd --ssl-protocols=foo --ssl-ciphers=foo --ca-cert=none --version",
    "ovs-vswitchd --version --private-key=/nosuch",
    "ovs-testcontroller --private-key=/nosuch --version",
    "ovsdb-server --private-key=/nosuch --version",
)


def outcome(program: Path, words: list[str], directory: Path) -> tuple[int, list[str], str]:
    """Exit status, the first line of the answer, and what is complained of, without the program's path."""
    variables = {**os.environ, "OVS_LOGDIR": str(directory), "OVS_RUNDIR": str(directory)}
    done = subprocess.run([program, *words], capture_output=True, text=True, env=variables, timeout=60)
    wrong = _TIME.sub("", done.stderr.replace(f"{program.parent}/", ""))
    return done.returncode, done.stdout.splitlines()[:1], wrong


def original(name: str) -> Path:
    return next(path for path in (Path("/usr/bin") / name, Path("/usr/sbin") / name) if path.exists())


def test_a_wrong_option_counts_where_it_stands(tmp_path: Path) -> None:
    different = {}
    refused = 0
    for line in LINES:
        name, *words = line.split()
        want = outcome(original(name), words, tmp_path)
        got = outcome(BIN / name, words, tmp_path)
        refused += bool(want[0])
        if got != want:
            different[line] = want, got
    assert not different
    assert 0 < refused < len(LINES)


def test_an_empty_file_is_no_cluster(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    words = ["check-cluster", str(tmp_path / "empty")]
    want = outcome(original("ovsdb-tool"), words, tmp_path)
    assert want[0] == 1
    assert outcome(BIN / "ovsdb-tool", words, tmp_path) == want


def test_a_switch_tries_again_to_reach_a_database_of_unknown_kind(tmp_path: Path) -> None:
    for path in (original("ovs-vswitchd"), BIN / "ovs-vswitchd"):
        variables = {**os.environ, "OVS_LOGDIR": str(tmp_path), "OVS_RUNDIR": str(tmp_path)}
        process = subprocess.Popen([path, "foo:bar"], stderr=subprocess.PIPE, text=True, env=variables)
        assert process.stderr is not None
        failures = 0
        for line in process.stderr:  # the time limit of the test is the deadline
            assert process.poll() is None
            failures += "foo:bar: connection attempt failed (Address family not supported" in line
            if failures == 2:
                break
        process.terminate()
        process.stderr.close()
        process.wait(30)
        assert failures == 2
