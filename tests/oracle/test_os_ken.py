"""os-ken, an independent controller, in charge of the original and of ours at once, in each of its versions.

One process of it serves both switches; what it sees of the two must be the same.  The applications of
old releases of os-ken (simple_switch_13 and its kind; PyPI has them up to 1.x) are run where they are to be
found: as os_ken.app.*, or where tools/setup.sh has put them; OS_KEN_APPS may name another directory.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.switch_pair import Pair, Switch
from support.waiting import until

pytestmark = pytest.mark.oracle
pytest.importorskip("os_ken", reason="os-ken is not installed: pip install os-ken")

HERE = Path(__file__).resolve().parent.parent / "support"
APPLICATIONS = Path(os.environ.get("OS_KEN_APPS", f"{sys.prefix}/share/os-ken-applications"))
VERSIONS = (1, 3, 4, 5, 6)
NAMES = {1: "1.0", 3: "1.2", 4: "1.3", 5: "1.4", 6: "1.5"}
IDENTIFIERS = (0xAA, 0xBB)
A, B, EVERYBODY = "505400000a01", "505400000a02", "ffffffffffff"
ARP = A + "0806" + "0001080006040001" + A + "0a000001" + "0" * 12 + "0a000002" + "00" * 18
ARP_REPLY = B + "0806" + "0001080006040002" + B + "0a000002" + A + "0a000001" + "00" * 18
ICMP = "0800450000540000400040010000{}{}{}00000000000100" + "01" + "61" * 56
PINGS = (
    (1, EVERYBODY + ARP),
    (2, A + ARP_REPLY),
    (1, B + A + ICMP.format("0a000001", "0a000002", "08")),
    (2, A + B + ICMP.format("0a000002", "0a000001", "00")),
    (1, B + A + ICMP.format("0a000001", "0a000002", "08")),
    (2, A + B + ICMP.format("0a000002", "0a000001", "00")),
)


class OsKen:
    """The controller's process and what its applications have said."""

    def __init__(self, version: int, *applications: str) -> None:
        command = [sys.executable, str(HERE / "os_ken_controller.py"), str(version), *applications]
        self._log = tempfile.TemporaryFile("a+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._log, stdin=subprocess.DEVNULL, text=True
        )
        self.said: list[list[Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        until(lambda: self.said or self._process.poll() is not None)
        assert self.said, self.text()
        self.port = self.said[0][1]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(json.loads(line))

    def of(self, identifier: int, kind: str | None = None) -> list[list[Any]]:
        """What was said of a switch, without its identifier."""
        return [one[1:] for one in list(self.said) if one[0] == identifier and kind in (None, one[1])]

    def text(self) -> str:
        """The log."""
        self._log.seek(0)
        return self._log.read()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(10)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    directory = Path(tempfile.mkdtemp(prefix="tl.", dir="/tmp"))
    pair = Pair(directory)
    pair.ours.vsctl("set", "bridge", "br0", "other-config:datapath-id=00000000000000bb")
    try:
        yield pair
    finally:
        pair.stop()
        shutil.rmtree(directory, ignore_errors=True)


def in_charge(pair: Pair, version: int, *applications: str) -> OsKen:
    """os-ken with its applications, connected with both bridges, whose tables were emptied before."""
    for switch in pair.both:
        switch.ofctl("del-flows", "br0")
        switch.ofctl("-OOpenFlow13", "del-groups", "br0")
        switch.ofctl("-OOpenFlow13", "del-meters", "br0")
    controller = OsKen(version, *applications)
    for switch in pair.both:
        switch.vsctl(
            *("set-controller", "br0", f"tcp:127.0.0.1:{controller.port}"),
            *("--", "set", "controller", "br0", "connection_mode=out-of-band"),
        )
    return controller


def leave(pair: Pair, controller: OsKen) -> None:
    for switch in pair.both:
        switch.vsctl("del-controller", "br0")
    controller.stop()
    assert "internal error" not in pair.ours.log()


def flows(switch: Switch) -> list[str]:
    text = switch.ofctl("dump-flows", "br0", "--no-stats", "-OOpenFlow13").stdout
    return sorted(line for line in text.splitlines() if "OFPST" not in line)


def sent(switch: Switch) -> list[int]:
    """Packets that have left p1 to p4."""
    text = switch.ofctl("dump-ports", "br0").stdout
    return [int(re.search(rf'port +"?p?{n}"?: rx.*\n *tx pkts=(\d+)', text)[1]) for n in range(1, 5)]  # type: ignore[index]


def ping(switch: Switch, controller: OsKen) -> None:
    """Two machines behind p1 and p2 resolve and ping each other; each frame must come to the other."""
    for port, frame in PINGS:
        before = sent(switch)
        switch.control("netdev-dummy/receive", f"p{port}", frame)
        broadcast = frame.startswith(EVERYBODY)
        out = [2, 3, 4] if broadcast else [3 - port]
        expected = [count + (n in out) for n, count in enumerate(before, 1)]
        until(
            lambda e=expected: sent(switch) == e,
            shown=lambda e=expected: (sent(switch), e, controller.text()),
        )


@pytest.mark.parametrize("version", VERSIONS, ids=NAMES.values())
def test_a_learning_switch(pair: Pair, version: int) -> None:
    controller = in_charge(pair, version, str(HERE / "os_ken_learning.py"))
    try:
        for switch, identifier in zip(pair.both, IDENTIFIERS, strict=True):
            until(lambda i=identifier: controller.of(i, "features"), shown=controller.text)
            if version > 1:
                until(lambda switch=switch: flows(switch))
            ping(switch, controller)
            until(lambda switch=switch: len(flows(switch)) >= 2)
            switch.vsctl("add-port", "br0", "p5", "--", "set", "interface", "p5", "ofport_request=5")
            until(lambda i=identifier: [0, 5, "p5"] in [s[1:] for s in controller.of(i, "port-status")])
            switch.vsctl("del-port", "p5")
            until(lambda i=identifier: [1, 5, "p5"] in [s[1:] for s in controller.of(i, "port-status")])
            switch.ofctl("del-flows", "br0", f"dl_dst={':'.join(re.findall('..', A))}")
            until(lambda i=identifier: controller.of(i, "flow-removed"))
        assert flows(pair.original) == flows(pair.ours)
        for kind in ("features", "packet-in", "flow-removed", "error"):
            left, right = (controller.of(identifier, kind) for identifier in IDENTIFIERS)
            assert left == right
        assert not controller.of(IDENTIFIERS[1], "error")
    finally:
        leave(pair, controller)


# Ages differ from one moment to the next, addresses of dummy devices by chance; the length of an output to a
# port that is no controller means nothing, and ours keeps none; ports of 1.5 have some of Intel's there.
VARYING = {"datapath_id", "data", "hw_addr", "max_len", "duration_sec", "duration_nsec"}


def steady(value: Any) -> Any:
    """What is to be the same."""
    if isinstance(value, dict):
        value = {key: one for key, one in value.items() if key not in VARYING}
        if "OFPPortStats" in value:
            value["OFPPortStats"].pop("length", None)
            properties = value["OFPPortStats"].get("properties", [])
            value["OFPPortStats"]["properties"] = [
                one for one in properties if "OFPPortStatsPropEthernet" in one
            ]
        if value.get("field") == "duration":
            return None
        return {key: steady(one) for key, one in value.items()}
    if isinstance(value, list):  # the order of ports is that of a hash table in the original
        found = [steady(one) for one in value]
        return sorted(found, key=json.dumps) if str(value).count("'port_no'") >= len(found) else found
    return value


@pytest.mark.parametrize("version", VERSIONS, ids=NAMES.values())
def test_every_question_is_answered_as_the_original_does(pair: Pair, version: int) -> None:
    controller = in_charge(pair, version, str(HERE / "os_ken_asking.py"))
    try:
        for identifier in IDENTIFIERS:
            until(lambda i=identifier: controller.of(i, "done"), shown=controller.text)
        left, right = ([steady(one) for one in controller.of(identifier)] for identifier in IDENTIFIERS)
        for original, ours in zip(left, right, strict=False):
            if (
                version == 3 and original[0] == "OFPTableStatsRequest"
            ):  # what tables of 1.2 can do is said otherwise
                continue
            assert original == ours
        assert len(left) == len(right) > 9
    finally:
        leave(pair, controller)


def application(name: str) -> str | None:
    """Where an application that os-ken once shipped is to be found."""
    if (APPLICATIONS / f"{name}.py").exists():
        return f"os_ken.app.{name}"
    try:
        found = importlib.util.find_spec(f"os_ken.app.{name}")
    except ImportError:
        return None
    return f"os_ken.app.{name}" if found is not None else None


SHIPPED = {
    "simple_switch": 1,
    "simple_switch_12": 3,
    "simple_switch_13": 4,
    "simple_switch_14": 5,
    "simple_switch_15": 6,
    "simple_monitor_13": 4,
}


@pytest.mark.parametrize("name", SHIPPED)
def test_applications_of_os_ken(pair: Pair, name: str) -> None:
    where = application(name)
    if where is None:
        pytest.skip(f"this os-ken comes without {name}; OS_KEN_APPS may name a directory that has it")
    version = SHIPPED[name]
    controller = in_charge(pair, version, where)
    try:
        for switch in pair.both:
            identifier = "170" if switch is pair.original else "187"
            until(lambda i=identifier: f"datapath_id={i}" in controller.text(), shown=controller.text)
            if version > 3:  # before, a miss goes to the controller by itself
                until(lambda switch=switch: flows(switch))
            ping(switch, controller)
            until(lambda switch=switch: len(flows(switch)) >= 2)
        assert flows(pair.original) == flows(pair.ours)
        assert "Traceback" not in controller.text()
        assert "OFPErrorMsg(" not in controller.text()
    finally:
        leave(pair, controller)
