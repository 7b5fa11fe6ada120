"""Controllers of bridges: the original and ours with the same configuration and the same controllers."""

import re
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.outcomes import Side
from support.ovsdb_peer import Peer
from support.waiting import until

pytestmark = pytest.mark.oracle

Sides = tuple[Side, Side]
HEADER = struct.Struct("!BBHI")
HELLO, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY, PACKET_IN, BARRIER = 0, 2, 3, 5, 6, 10, 18
FAIL_OPEN = "priority=15790320,actions=NORMAL"
PACKET = (
    "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),"
    "ipv4(src=1.1.1.1,dst=1.1.1.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)


class Controller:
    """Accepts switches on a TCP port of its own; remembers the messages of the last one."""

    def __init__(self, port: int = 0, *, greets: bool = True, answers: bool = True, version: int = 1) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(5)
        self.port = self._listener.getsockname()[1]
        self.messages: list[bytes] = []
        self.connections = 0
        self._greets, self._answers, self._version = greets, answers, version
        self._peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.messages = []
            try:
                self._serve(self._peer)
            except OSError:
                pass

    def _serve(self, peer: socket.socket) -> None:
        peer.sendall(HEADER.pack(self._version, HELLO, 8, 1))
        if self._greets and self._version == 1:
            peer.sendall(HEADER.pack(1, FEATURES_REQUEST, 8, 2) + HEADER.pack(1, BARRIER, 8, 3))
        buffer = b""
        while data := peer.recv(65536):
            buffer += data
            while len(buffer) >= 8 and len(buffer) >= (length := int.from_bytes(buffer[2:4], "big")):
                message, buffer = buffer[:length], buffer[length:]
                self.messages.append(message)
                if message[1] == ECHO_REQUEST and self._answers:
                    peer.sendall(
                        HEADER.pack(self._version, ECHO_REPLY, 8, int.from_bytes(message[4:8], "big"))
                    )

    def send(self, message: bytes) -> None:
        assert self._peer is not None
        self._peer.sendall(message)

    def kinds(self) -> list[int]:
        return [message[1] for message in list(self.messages)]

    def hang_up(self) -> None:
        if self._peer is not None:
            self._peer.close()

    def stop(self) -> None:
        for one in (self._listener, self._peer):
            if one is not None:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                one.close()
        self._thread.join(10)


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory(prefix="con.", dir="/tmp") as directory:
        both = Side(Path(directory) / "o", ours=False), Side(Path(directory) / "t", ours=True)
        yield both
        for side in both:
            side.stop()


@pytest.fixture(params=(0, 1), ids=("original", "ours"))
def side(request: pytest.FixtureRequest, sides: Sides) -> Iterator[Side]:
    """One of the two, with a bridge of two ports."""
    one = sides[request.param]
    add = "add-br br0 -- set Bridge br0 datapath_type=dummy -- add-port br0 p1 -- add-port br0 p2"
    one.vsctl(*add.split())
    yield one
    one.vsctl("clear", "Open_vSwitch", ".", "bridges")


def flows(side: Side) -> str:
    """All flows of table 0, hidden ones too, without their ages."""
    text = side.control("bridge/dump-flows", "br0")
    lines = [line for line in text.splitlines() if "table_id=254" not in line]
    return "\n".join(sorted(re.sub(r"duration=\d+s, ", "", line) for line in lines))


def status(side: Side) -> dict[str, Any]:
    """Controllers by target: whether connected, role, and status."""
    columns = ("target", "is_connected", "role", "status")
    try:
        rows = side.rows("Controller", columns)
    except (OSError, AssertionError, KeyError):  # the server gives up who is silent for long
        side.database = Peer(side.directory / "db.sock")
        rows = side.rows("Controller", columns)
    return {row["target"]: (row["is_connected"], row["role"], dict(row["status"][1])) for row in rows}


def set_controller(side: Side, *targets: str, **columns: str) -> None:
    settings = [f"{name}={value}" for name, value in columns.items()]
    side.vsctl(
        *("set-controller", "br0", *targets),
        *(("--", "set", "Controller", "br0", *settings) if settings else ()),
    )


TARGETS = (
    *("foo:bar", "punix:xx", "punix:DIR/other.ctl", "punix:DIR/sub/x", "punix:DIR/br0.extra"),
    *("unix:/tmp/x.sock", "unix:DIR/yy", "unix:zz", "tcp:127.0.0.1:1", "ptcp:99999"),
)


def said_of_targets(side: Side, before: int) -> set[str]:
    """What the log says of controllers beyond its first `before` characters."""
    text = side.log()[before:].replace(str(side.directory), "DIR")
    modules = "bridge|connmgr|rconn|socket_util"
    lines = re.findall(rf"^\S+?\|\d+\|((?:{modules})\|\S+?\|.*(?:br0|99999).*)$", text, re.MULTILINE)
    wanted = ("unsupported", "Not ", "added primary", "waiting 1", "99999", "connection failed", ".extra")
    return {line for line in lines if any(word in line for word in wanted)}


def test_what_is_said_of_targets_is_the_same(sides: Sides) -> None:
    said = []
    for side in sides:
        side.control("vlog/disable-rate-limit")
        side.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy")
        before = len(side.log())
        set_controller(side, *(target.replace("DIR", str(side.directory)) for target in TARGETS))
        deadline = time.monotonic() + 15
        told: set[str] = set()
        shown: dict[str, Any] = {}
        while len(told) < 16 or sum(1 for one in shown.values() if one[2]) < 3:
            told = said_of_targets(side, before)
            shown = {
                target.replace(str(side.directory), "DIR"): (connected, role, found.get("last_error"))
                for target, (connected, role, found) in status(side).items()
            }
            assert time.monotonic() < deadline, (sorted(told), shown)
            time.sleep(0.1)
        side.vsctl("clear", "Open_vSwitch", ".", "bridges")
        said.append((told, shown))
    assert not said[0][0] ^ said[1][0]
    assert said[0][1] == said[1][1]


def test_a_controller_is_connected_and_shown(side: Side) -> None:
    controller = Controller()
    try:
        target = f"tcp:127.0.0.1:{controller.port}"
        set_controller(side, target, connection_mode="out-of-band")
        until(lambda: FEATURES_REPLY in controller.kinds())
        connected, role, found = until(lambda: status(side)[target][0] and status(side)[target])
        assert (connected, role, found["state"]) == (True, "other", "ACTIVE")
        assert found.keys() - {"last_error"} == {"sec_since_connect", "state"}
        assert "is_connected: true" in side.vsctl("show").stdout
        role_request = HEADER.pack(1, 4, 20, 9) + struct.pack("!III", 0x2320, 10, 1)
        controller.send(role_request)
        until(lambda: status(side)[target][1] == "master")
        before = controller.connections
        assert side.control("bridge/reconnect", "br0") == ""
        until(lambda: controller.connections > before and FEATURES_REPLY in controller.kinds())
        assert until(lambda: "sec_since_disconnect" in status(side)[target][2])
        assert side.control("bridge/reconnect", "nobody").startswith("error: Unknown bridge")
        assert f"br0<->{target}: disconnecting" in side.log()
        controller.hang_up()
        until(lambda: f"br0<->{target}: connection closed by peer" in side.log())
    finally:
        controller.stop()


def test_a_bridge_without_its_controller_fails_open(side: Side) -> None:
    side.vsctl("set-fail-mode", "br0", "standalone")
    assert flows(side) == "n_packets=0, n_bytes=0, priority=0,actions=NORMAL"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    silent: Controller | None = None
    try:
        set_controller(side, f"tcp:127.0.0.1:{port}", connection_mode="out-of-band", inactivity_probe="1000")
        assert flows(side) == ""
        side.ofctl("add-flow", "br0", "priority=9,actions=drop")
        until(lambda: FAIL_OPEN in flows(side))
        assert "priority=9" not in flows(side)
        assert side.ofctl("dump-flows", "br0").count("\n") == 1
        side.ofctl("add-flow", "br0", "priority=10,actions=drop")
        side.ofctl("del-flows", "br0", "in_port=3")
        silent = Controller(port, greets=False)
        # A controller that is connected and says nothing is asked by packets from nobody.
        until(lambda: PACKET_IN in silent.kinds())
        packet = next(one for one in silent.messages if one[1] == PACKET_IN)
        assert (len(packet), packet[8:18].hex()) == (60, "ffffffff002afffe0000")
        assert packet[18:24].hex() == "ffffffffffff"
        assert packet[30:40].hex() == "80350001080006040003"
        silent.send(HEADER.pack(1, BARRIER, 8, 7))
        until(lambda: FAIL_OPEN not in flows(side))
        assert flows(side) == "n_packets=0, n_bytes=0, priority=10,actions=drop"
        silent.stop()
        until(lambda: FAIL_OPEN in flows(side))
        assert "priority=10" not in flows(side)
        side.vsctl("del-controller", "br0")
        until(lambda: flows(side) == "n_packets=0, n_bytes=0, priority=0,actions=NORMAL")
        until(lambda: side.log().count("|fail_open|WARN|No longer in fail-open mode") >= 2)
        assert "|fail_open|WARN|Could not connect to controller (or switch failed controller's" in side.log()
    finally:
        if silent is not None:
            silent.stop()


def test_a_silent_controller_is_given_up(side: Side) -> None:
    controller = Controller(answers=False)
    try:
        target = f"tcp:127.0.0.1:{controller.port}"
        side.vsctl("set-fail-mode", "br0", "secure")
        set_controller(side, target, connection_mode="out-of-band", inactivity_probe="5000")
        until(lambda: ECHO_REQUEST in controller.kinds())
        text = f"br0<->{target}: no response to inactivity probe after 5 seconds, disconnecting"
        until(lambda: f"|rconn|ERR|{text}" in side.log())
        until(lambda: controller.connections >= 2)
        assert until(lambda: status(side)[target][2].get("last_error")) == "Connection timed out"
    finally:
        controller.stop()


def test_who_snoops_sees_what_goes_to_controllers(side: Side) -> None:
    controller = Controller()
    try:
        side.vsctl("set-fail-mode", "br0", "secure")
        set_controller(side, f"tcp:127.0.0.1:{controller.port}", connection_mode="out-of-band")
        until(lambda: FEATURES_REPLY in controller.kinds())
        snooper = socket.socket(socket.AF_UNIX)
        snooper.connect(f"{side.directory}/br0.snoop")
        snooper.settimeout(10)
        snooper.sendall(HEADER.pack(1, HELLO, 8, 1))
        buffer = b""
        while len(buffer) < 8:
            buffer += snooper.recv(65536)
        time_out = time.monotonic() + 10
        while HEADER.pack(1, BARRIER + 1, 8, 0x77) not in buffer:  # until the switch knows the snooper
            assert time.monotonic() < time_out
            controller.send(HEADER.pack(1, BARRIER, 8, 0x77))
            buffer += snooper.recv(65536)
        side.ofctl("add-flow", "br0", "priority=3,actions=controller")
        side.control("netdev-dummy/receive", "p1", PACKET)
        until(lambda: PACKET_IN in controller.kinds())
        sent = next(one for one in controller.messages if one[1] == PACKET_IN)
        while sent not in buffer:
            buffer += snooper.recv(65536)
        assert HEADER.pack(1, BARRIER, 8, 0x77) in buffer
        snooper.close()
    finally:
        controller.stop()


def snooper_of(side: Side) -> socket.socket | None:
    """Who listens in, in 1.0, after the hellos; None where the switch hangs up."""
    snooper = socket.socket(socket.AF_UNIX)
    snooper.connect(f"{side.directory}/br0.snoop")
    snooper.settimeout(20)
    try:
        snooper.sendall(HEADER.pack(1, HELLO, 8, 1))
        hello = snooper.recv(8, socket.MSG_WAITALL)
        if len(hello) == 8:
            assert hello[:2] == bytes((6, HELLO))  # every version, whatever the bridge speaks
            return snooper
    except OSError:
        pass
    snooper.close()
    return None


def heard_from(snooper: socket.socket, controllers: list[Controller]) -> set[int]:
    """Which controllers' barriers (of 1.3) are heard, by their places; asked until the switch knows the
    snooper."""
    deadline = time.monotonic() + 30
    data = b""
    while not barriers_in(data):
        assert time.monotonic() < deadline
        for place, controller in enumerate(controllers):
            before = controller.kinds().count(21)
            controller.send(HEADER.pack(4, 20, 8, 0x70 + place))
            until(lambda one=controller, before=before: one.kinds().count(21) > before)  # type: ignore[misc]
        snooper.settimeout(0.3)  # whatever else comes does so before long; nothing is expected
        try:
            while more := snooper.recv(65536):
                data += more
        except TimeoutError:
            pass
    return {xid - 0x70 for xid in barriers_in(data)}


def barriers_in(data: bytes) -> set[int]:
    """The transactions of the replies to barriers (of 1.3)."""
    found = set()
    while len(data) >= 8:
        _, kind, length, xid = HEADER.unpack_from(data)
        if kind == 21:
            found.add(xid)
        data = data[length:]
    return found


ROLES = {"other": 1, "primary": 2, "secondary": 3}


def take_roles(controllers: list[Controller], roles: tuple[str, ...]) -> None:
    """Each controller asks for its role in 1.3, the primary one last."""
    order = sorted(range(len(roles)), key=lambda place: roles[place] == "primary")
    for place in order:
        controller = controllers[place]
        before = controller.kinds().count(25)
        body = struct.pack("!I4xQ", ROLES[roles[place]], 1)
        controller.send(HEADER.pack(4, 24, 24, 0x60) + body)
        until(lambda one=controller, before=before: one.kinds().count(25) > before)  # type: ignore[misc]


def test_who_snoops_hears_one_controller_of_any_version(side: Side) -> None:
    side.vsctl("set-fail-mode", "br0", "secure", "--", "set", "Bridge", "br0", "protocols=OpenFlow13")
    assert snooper_of(side) is None  # there is nobody to listen to
    controllers = [Controller(version=4) for _ in range(3)]
    try:
        targets = [f"tcp:127.0.0.1:{one.port}" for one in controllers]
        set_controller(side, *targets)
        until(lambda: all(status(side).get(target, (False,))[0] for target in targets))
        for roles, expected in {
            ("other", "primary", "secondary"): {1},
            ("secondary", "other", "secondary"): {1},
            ("primary", "other", "other"): {0},
            ("secondary", "secondary", "primary"): {2},
        }.items():
            take_roles(controllers, roles)
            snooper = until(lambda: snooper_of(side))
            assert heard_from(snooper, controllers) == expected
            snooper.close()
        snooper = until(lambda: snooper_of(side))
        take_roles(controllers, ("primary", "secondary", "secondary"))
        assert heard_from(snooper, controllers) == {2}  # chosen once
        side.vsctl("del-controller", "br0")
        snooper.settimeout(20)
        while snooper.recv(65536):
            pass
        snooper.close()
    finally:
        for controller in controllers:
            controller.stop()


def test_packets_to_a_controller_are_limited(side: Side) -> None:
    controller = Controller()
    try:
        side.vsctl("set-fail-mode", "br0", "secure")
        target = f"tcp:127.0.0.1:{controller.port}"
        set_controller(
            side,
            target,
            connection_mode="out-of-band",
            controller_rate_limit="100",
            controller_burst_limit="25",
        )
        until(lambda: FEATURES_REPLY in controller.kinds())
        side.ofctl("add-flow", "br0", "priority=3,actions=controller")
        for _ in range(300):
            side.control("netdev-dummy/receive", "p1", PACKET)

        def settled() -> dict[str, int] | None:
            """Once what is told of packets is what has come; the original's device loses some of a burst."""
            found = status(side)[target][2]
            counts = {key[10:]: int(value) for key, value in found.items() if key.startswith("packet-in-")}
            if not counts or counts["action-backlog"] or not counts["action-dropped"]:
                return None
            told = counts["action-bypassed"] + counts["action-queued"]
            if told < (300 if side.ours else 200):
                return None
            arrived = told - counts["action-dropped"]
            return counts if controller.kinds().count(PACKET_IN) == arrived else None

        counts = until(settled)
        assert counts["action-bypassed"] + counts["action-queued"] <= 300
        assert counts["action-queued"] > counts["action-dropped"]
        assert {name for name in counts if name.startswith("miss-")} == {
            f"miss-{name}" for name in ("bypassed", "queued", "dropped", "backlog")
        }
    finally:
        controller.stop()


def test_a_controller_may_be_told_nothing_unasked(side: Side) -> None:
    controller = Controller()
    try:
        side.vsctl("set-fail-mode", "br0", "secure")
        target = f"tcp:127.0.0.1:{controller.port}"
        set_controller(side, target, connection_mode="out-of-band", enable_async_messages="false")
        until(lambda: FEATURES_REPLY in controller.kinds())
        side.ofctl("add-flow", "br0", "priority=3,actions=controller")
        side.control("netdev-dummy/receive", "p1", PACKET)
        side.vsctl("add-port", "br0", "p3")
        controller.send(HEADER.pack(1, BARRIER, 8, 8))
        until(lambda: controller.kinds().count(BARRIER + 1) == 2)
        assert not {PACKET_IN, 12} & set(controller.kinds())
    finally:
        controller.stop()


def test_a_bridge_listens_for_controllers(side: Side) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    extra = f"punix:{side.directory}/br0.extra"
    set_controller(side, f"ptcp:{port}:127.0.0.1", extra)
    for target in (f"tcp:127.0.0.1:{port}", extra[1:]):
        until(lambda target=target: "n_tables:254" in side.ofctl("show", target))
    assert flows(side) == "n_packets=0, n_bytes=0, priority=0,actions=NORMAL"
    assert all(found[0] is False and found[2] == {} for found in status(side).values())
    side.vsctl("del-controller", "br0")

    def refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    until(refused)
    assert f'br0: removed service controller "ptcp:{port}:127.0.0.1"' in side.log()


def test_packets_to_a_controller_are_marked(side: Side) -> None:
    controller = Controller()
    try:
        side.vsctl("set-fail-mode", "br0", "secure")
        columns = {"connection_mode": "out-of-band", "other_config:dscp": "34"}
        set_controller(side, f"tcp:127.0.0.1:{controller.port}", **columns)
        until(lambda: FEATURES_REPLY in controller.kinds())
        show = ["ss", "-Htn", "--tos", "dst", f"127.0.0.1:{controller.port}"]
        until(lambda: f"tos:{34 << 2:#x}" in subprocess.run(show, capture_output=True, text=True).stdout)
    finally:
        controller.stop()


class Reader:
    """A peer of a bridge that reads only when it is told to."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self._data = b""
        peer.settimeout(60)

    def until(self, xid: int) -> list[bytes]:
        """All messages up to the reply to the barrier with that number."""
        self.socket.sendall(HEADER.pack(1, BARRIER, 8, xid))
        found: list[bytes] = []
        end = HEADER.pack(1, BARRIER + 1, 8, xid)
        while not found or found[-1] != end:
            while len(self._data) < 8 or len(self._data) < int.from_bytes(self._data[2:4], "big"):
                data = self.socket.recv(65536)
                assert data
                self._data += data
            length = int.from_bytes(self._data[2:4], "big")
            found.append(self._data[:length])
            self._data = self._data[length:]
        return found


QUEUES = (  # of the bridge, of the controller: how many packets may wait
    ("", "", 100),
    ("10", "", 10),
    ("", "20", 20),
    ("10", "150", 150),
    ("513", "", 100),
    ("0", "", 100),
    ("many", "", 100),
)


@pytest.mark.parametrize("service", [False, True], ids=("primary", "service"))
def test_packets_that_wait_for_a_controller_that_does_not_read(sides: Sides, service: bool) -> None:
    """It gets what the kernel holds, and behind it as many as may wait; those that came first."""
    counts: list[list[int]] = []
    for side in sides:
        add = "add-br br0 -- set Bridge br0 datapath_type=dummy fail_mode=secure -- add-port br0 p1"
        side.vsctl(*add.split())
        counts.append([])
        for of_bridge, of_controller, _ in QUEUES:
            if service and of_controller:
                continue
            side.vsctl("clear", "Bridge", "br0", "other_config")
            if of_bridge:
                side.vsctl("set", "Bridge", "br0", f"other_config:controller-queue-size={of_bridge}")
            counts[-1].append(packets_of_a_silent_reader(side, of_controller, service))
        side.vsctl("clear", "Open_vSwitch", ".", "bridges")
    sizes = [size for _, own, size in QUEUES if not (service and own)]
    for found in counts:
        assert [count - found[0] for count in found] == [size - 100 for size in sizes]


def send_to_controllers(side: Side, count: int) -> None:
    """Numbered packets, all of them carried out: by messages, for a device may lose what comes too fast."""
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(str(side.directory / "br0.mgmt"))
    peer.sendall(HEADER.pack(1, HELLO, 8, 1))
    reader = Reader(peer)
    to_controller = struct.pack("!HHHH", 0, 8, 0xFFFD, 0xFFFF)
    for i in range(count):
        frame = bytes.fromhex("5054000000075054000000051234") + i.to_bytes(4, "big") + bytes(1400)
        body = struct.pack("!IHH", 0xFFFFFFFF, 0xFFFF, 8) + to_controller + frame
        peer.sendall(HEADER.pack(1, 13, 8 + len(body), 5) + body)
        reader.until(6)  # each is sent by itself: how many the kernel takes depends on that
    for _ in range(5):
        side.control("ofproto/list")  # the original tells of packets in a later turn of its loop
    peer.close()


def packets_of_a_silent_reader(side: Side, of_controller: str, service: bool) -> int:
    listener = socket.socket(socket.AF_UNIX)
    if service:
        listener.connect(str(side.directory / "br0.mgmt"))
        reader = Reader(listener)
        hello = HEADER.pack(1, 9, 12, 2) + b"\0\0\xff\xff"  # and it wants packets, whole
    else:
        path = f"{side.directory}/silent.{time.monotonic_ns()}"
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(60)
        columns = {"inactivity_probe": "0"}
        if of_controller:
            columns["controller_queue_size"] = of_controller
        set_controller(side, f"unix:{path}", **columns)
        reader = Reader(listener.accept()[0])
        hello = b""
    reader.socket.sendall(HEADER.pack(1, HELLO, 8, 1) + hello)
    reader.until(3)
    send_to_controllers(side, 400)
    numbers = [int.from_bytes(one[32:36], "big") for one in reader.until(4) if one[1] == PACKET_IN]
    assert numbers == list(range(len(numbers)))
    if not service:
        side.vsctl("del-controller", "br0")
    reader.socket.close()
    listener.close()
    return len(numbers)
