"""A switch to give packets to: the original's dummy datapath, and ours in memory, behind the same calls."""

import json
import random
import re
import socket
import struct
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from support.originals import Originals
from trunkline.base.clock import ManualClock
from trunkline.ofproto.bridge import Bridge, BridgeConfig
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import EVERY_VLAN, OfPort, PortConfig, PortStatistics, vlan_bits
from trunkline.packet.packet import Packet
from trunkline.sim.datapath import Sim
from trunkline.upcall.datapath import Datapath

LOCAL = 0xFFFE


class PortSpec(NamedTuple):
    """A port of a lab; `peer` makes it a patch port."""

    bridge: str
    name: str
    ofport: int
    mode: str | None = None
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    cvlans: tuple[int, ...] = ()
    qinq_ethtype: str | None = None
    priority_tags: str | None = None
    protected: bool = False
    peer: str | None = None


class Lab(NamedTuple):
    bridges: tuple[str, ...]
    ports: tuple[PortSpec, ...]
    forward_bpdu: bool = False
    flood_vlans: tuple[int, ...] = ()


_DECODER = json.JSONDecoder()


class Control:
    """A control socket; one request at a time."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        deadline = time.monotonic() + 10
        while self._socket.connect_ex(path):  # bound, but not listening yet
            assert time.monotonic() < deadline, path
            time.sleep(0.01)
        self._text = ""

    def __call__(self, method: str, *arguments: str) -> str:
        request = {"id": 0, "method": method, "params": list(arguments)}
        self._socket.sendall(json.dumps(request).encode())
        while True:
            data = self._socket.recv(65536)
            assert data, f"{method}: connection closed"
            self._text += data.decode()
            try:
                reply, end = _DECODER.raw_decode(self._text)
            except json.JSONDecodeError:
                continue  # there is more to come
            self._text = self._text[end:]
            return reply["result"] if reply["error"] is None else "error: " + reply["error"]

    def close(self) -> None:
        self._socket.close()


class Capture:
    """Packets that have been added to a pcap file since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 24

    def new(self) -> list[bytes]:
        data = self.path.read_bytes()
        packets = []
        while self._at + 16 <= len(data):
            length = struct.unpack_from("<I", data, self._at + 8)[0]
            packets.append(data[self._at + 16 : self._at + 16 + length])
            self._at += 16 + length
        return packets


class OriginalSwitch:
    """The original's vswitchd; each lab takes the place of the one before."""

    def __init__(self, originals: Originals) -> None:
        self.originals = originals
        originals.start_database()
        originals.start_switch()
        pid = (originals.directory / "ovs-vswitchd.pid").read_text().strip()
        self.control = Control(f"{originals.directory}/ovs-vswitchd.{pid}.ctl")
        self._serial = 0
        self._bridges: tuple[str, ...] = ()
        self.captures: dict[str, Capture] = {}

    def vsctl(self, *arguments: str) -> None:
        done = self.originals.run("ovs-vsctl", f"--db={self.originals.database}", "-t", "20", *arguments)
        assert done.returncode == 0, done.stderr

    def build(self, lab: Lab) -> None:
        self._serial += 1
        command: list[str] = []
        for bridge in self._bridges:
            command += ["--", "del-br", bridge]
        if command:
            self.vsctl(*command)
        command = []
        for bridge in lab.bridges:
            command += ["--", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=dummy"]
            command += [f"other-config:forward-bpdu={str(lab.forward_bpdu).lower()}"]
            if lab.flood_vlans:
                command += ["flood_vlans=" + ",".join(map(str, lab.flood_vlans))]
        self.captures = {}
        for port in lab.ports:
            command += self._port(port)
        self.vsctl(*command)
        self._bridges = lab.bridges

    def _port(self, port: PortSpec) -> list[str]:
        options = ["--", "add-port", port.bridge, port.name, "--", "set", "interface", port.name]
        options.append(f"ofport_request={port.ofport}")
        if port.peer is not None:
            options += ["type=patch", f"options:peer={port.peer}"]
        else:
            path = self.originals.directory / f"{port.name}.{self._serial}.pcap"
            self.captures[port.name] = Capture(path)
            options += ["type=dummy", f"options:tx_pcap={path}"]
        options += ["--", "set", "port", port.name, f"protected={str(port.protected).lower()}"]
        if port.mode:
            options.append(f"vlan_mode={port.mode}")
        if port.tag is not None:
            options.append(f"tag={port.tag}")
        if port.trunks:
            options.append("trunks=" + ",".join(map(str, port.trunks)))
        if port.cvlans:
            options.append("cvlans=" + ",".join(map(str, port.cvlans)))
        if port.qinq_ethtype:
            options.append(f"other-config:qinq-ethtype={port.qinq_ethtype}")
        if port.priority_tags:
            options.append(f"other-config:priority-tags={port.priority_tags}")
        return options

    def receive(self, port: str, frame: bytes) -> dict[str, list[bytes]]:
        """What comes out of which port."""
        self.deliver(port, frame)
        self.control("revalidator/purge")
        out = {name: capture.new() for name, capture in self.captures.items()}
        return {name: packets for name, packets in out.items() if packets}

    def deliver(self, port: str, frame: bytes) -> None:
        """Gives a packet to a port and waits until it has been looked at."""
        before = self._seen()
        answer = self.control("netdev-dummy/receive", port, frame.hex())
        assert not answer.startswith("error"), answer
        deadline = time.monotonic() + 10
        while self._seen() == before:
            assert time.monotonic() < deadline, "the original has not looked at the packet"

    def _seen(self) -> int:
        """Packets that the datapath has looked up so far."""
        found = re.search(r"hit:(\d+) missed:(\d+)", self.control("dpctl/show"))
        assert found is not None
        return int(found[1]) + int(found[2])

    def macs(self, bridge: str) -> set[tuple[int, int, str]]:
        rows = [line.split() for line in self.control("fdb/show", bridge).splitlines()[1:]]
        return {(LOCAL if row[0] == "LOCAL" else int(row[0]), int(row[1]), row[2]) for row in rows}

    def stop(self) -> None:
        self.control.close()
        self.originals.stop()


class NoDevices:
    """Devices that count nothing."""

    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        return PortStatistics()

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None:
        raise AssertionError("nobody asked for that")


class OurSwitch:
    """The core in this process: bridges, upcalls and sim, with ports that are lists."""

    def __init__(self, *, vlan_limit: int = 1) -> None:
        self.vlan_limit = vlan_limit
        self.clock = ManualClock()
        self.out: dict[str, list[bytes]] = {}
        self.build(Lab((), ()))

    def build(self, lab: Lab) -> None:
        self.fabric = Fabric(NoDevices())
        self.sim = Sim("ovs-dummy", self.clock, vlan_limit=self.vlan_limit)
        self.datapath = Datapath("dummy", self.sim, self.fabric, self.clock)
        self.bridges = {}
        self.numbers = {}
        for i, name in enumerate(lab.bridges):
            config = BridgeConfig(
                name, i + 1, forward_bpdu=lab.forward_bpdu, flood_vlans=vlan_bits(lab.flood_vlans)
            )
            bridge = self.bridges[name] = Bridge(config, self.fabric, self.clock)
            number = self.sim.port_add(name, "dummy-internal", 100 + i)
            bridge.add_interface(OfPort(name, LOCAL, i, number, type="dummy-internal"))
            bridge.set_port(PortConfig(name, (LOCAL,)))
        for spec in lab.ports:
            self.plug(spec)

    def plug(self, spec: PortSpec) -> None:
        bridge = self.bridges[spec.bridge]
        number = None
        if spec.peer is None:
            number = self.numbers[spec.name] = self.sim.port_add(spec.name, "dummy")
            self.sim.attach(number, lambda packet: self.out.setdefault(spec.name, []).append(packet.frame))
        bridge.add_interface(OfPort(spec.name, spec.ofport, spec.ofport, number, spec.peer, "dummy"))
        bridge.set_port(port_config(spec))

    def receive(self, port: str, frame: bytes) -> dict[str, list[bytes]]:
        self.out = {}
        self.sim.receive(self.numbers[port], [Packet(frame)])
        self.datapath.run()
        self.datapath.fetch_statistics()  # what a megaflow has counted teaches the bridge where the sender is
        self.datapath.run()
        return self.out

    def macs(self, bridge: str) -> set[tuple[int, int, str]]:
        found = set()
        for entry in self.bridges[bridge].macs.entries():
            ofport = self.bridges[bridge].ports[entry.port].interfaces[0]
            found.add((ofport, entry.vlan, entry.mac.to_bytes(6, "big").hex(":")))
        return found


def port_config(spec: PortSpec) -> PortConfig:
    mode = spec.mode or ("access" if spec.tag is not None else "trunk")
    return PortConfig(
        spec.name,
        (spec.ofport,),
        mode,
        spec.tag,
        vlan_bits(spec.trunks) if spec.trunks else EVERY_VLAN,
        vlan_bits(spec.cvlans) if spec.cvlans else EVERY_VLAN,
        0x8100 if spec.qinq_ethtype == "802.1q" else 0x88A8,
        spec.priority_tags or "never",
        spec.protected,
    )


def random_lab(rnd: random.Random) -> Lab:
    """Two bridges joined by patch ports (or three in a row), with ports of any VLAN mode."""
    bridges = ("br0", "br1", "br2")[: rnd.choice((1, 2, 2, 3))]
    ports = []
    for bridge in bridges:
        for i in range(1, rnd.choice((2, 3, 4)) + 1):
            ports.append(random_port(rnd, bridge, f"{bridge}p{i}", i))
    for i, (left, right) in enumerate(pairwise(bridges)):
        names = f"patch{i}a", f"patch{i}b"
        ports.append(random_port(rnd, left, names[0], 10)._replace(peer=names[1]))
        ports.append(random_port(rnd, right, names[1], 11)._replace(peer=names[0]))
    return Lab(bridges, tuple(ports), rnd.random() < 0.2, (20,) if rnd.random() < 0.2 else ())


VLANS = (0, 10, 20, 30)


def random_port(rnd: random.Random, bridge: str, name: str, ofport: int) -> PortSpec:
    mode = rnd.choice((None, None, "access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel"))
    tag = rnd.choice((10, 20, 30)) if mode not in (None, "trunk") or rnd.random() < 0.4 else None
    if mode == "trunk":
        tag = None
    trunks = (
        tuple(sorted(rnd.sample(VLANS, rnd.randint(1, 3)))) if mode != "access" and rnd.random() < 0.4 else ()
    )
    if mode is None and tag is not None:
        trunks = ()
    return PortSpec(
        bridge,
        name,
        ofport,
        mode,
        tag,
        trunks,
        tuple(sorted(rnd.sample(VLANS, 2))) if mode == "dot1q-tunnel" and rnd.random() < 0.4 else (),
        rnd.choice((None, "802.1ad", "802.1q")) if mode == "dot1q-tunnel" else None,
        rnd.choice((None, None, "always", "if-nonzero", "never")),
        rnd.random() < 0.2,
    )


HOSTS = tuple(f"50540000000{i}" for i in range(1, 7))
ODD = (
    "ffffffffffff",
    "01005e000001",
    "0180c2000000",
    "0180c200000e",
    "01000ccccccc",
    "333300000001",
    "00e02b000000",
)


def random_frame(rnd: random.Random) -> bytes:
    to = rnd.choice(HOSTS) if rnd.random() < 0.8 else rnd.choice(ODD)
    tags = b""
    for _ in range(rnd.choice((0, 0, 0, 1, 1, 1, 2))):
        tci = rnd.choice(VLANS) | rnd.choice((0, 0, 3, 7)) << 13
        tags += struct.pack("!HH", rnd.choice((0x8100, 0x8100, 0x8100, 0x88A8)), tci)
    body = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 46, 7, 0, 64, 17, 0, b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02"
    )
    body += struct.pack("!HHHH", rnd.choice((1, 2)), 53, 26, 0) + bytes(18)
    return bytes.fromhex(to + rnd.choice(HOSTS)) + tags + b"\x08\x00" + body
