"""The kernel's program puts packets into tunnels and takes them out as `sim` does.

Random packets and headers, both ways by test runs.  What the program writes is compared with what
packet/tunnels.py writes; for what it takes off the keys and frames that come up are compared with those that
come out of `sim`.
"""

import errno
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.frames import random_frame
from support.kernel_datapath import ALWAYS, PORT, Both, difference, marker, seen
from trunkline.base.addresses import MAPPED
from trunkline.bpf import headers, probe
from trunkline.bpf.system_calls import BpfError
from trunkline.dpif import actions as dp
from trunkline.dpif.provider import TunnelPort
from trunkline.flow import key as layout
from trunkline.io.ways import Way
from trunkline.packet import tunnels as outer
from trunkline.packet.build import build
from trunkline.packet.checksum import pseudo_header
from trunkline.packet.tunnels import TUNNEL, Kind, Outer

pytestmark = pytest.mark.system
LOOPBACK = 1
LEFT_ALONE = 0xFFFFFFFF  # TC_ACT_UNSPEC
SENT = 7  # TC_ACT_REDIRECT
DROPPED = 2  # TC_ACT_SHOT
MTU = 1500
ETHERNET = 14
LEAST = 18  # bytes of a frame with a tag
HERE = {4: MAPPED | 0x0A090001, 6: 0xFD00 << 112 | 1}
THERE = {4: MAPPED | 0x0A090002, 6: 0xFD00 << 112 | 2}
PORTS = {
    "vxlan": TunnelPort("vxlan", 4789),
    "policy": TunnelPort("vxlan", 4790, frozenset(("gbp",))),
    "geneve": TunnelPort("geneve", 6081),
    "gre": TunnelPort("gre"),
    "ip6gre": TunnelPort("ip6gre"),
    "erspan": TunnelPort("erspan"),
    "ip6erspan": TunnelPort("ip6erspan"),
    "gtpu": TunnelPort("gtpu", 2152),
    "lisp": TunnelPort("lisp", 4341),
    "bareudp": TunnelPort("bareudp", 6635),
}
LAYER_3 = ("gtpu", "lisp", "bareudp")


class Network:
    """A host whose every destination lies behind one neighbour, and that packets come to by no device."""

    def news(self) -> bool:
        return False

    def encrypts(self) -> bool:
        return False

    def links(self) -> dict[int, Any]:
        return {LOOPBACK: None}

    def addresses(self) -> dict[int, list[int]]:
        return {0: list(HERE.values())}

    def way(self, destination: int, source: int, mark: int, links: object) -> Way:
        family = 4 if destination >> 32 == MAPPED >> 32 else 6
        return Way(LOOPBACK, destination, source or HERE[family], MTU)

    def close(self) -> None:
        pass


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    if obstacle := probe.obstacle():
        pytest.skip(f"NO KERNEL DATAPATH: {obstacle}")
    monkeypatch.setattr(headers, "HostNetwork", Network)
    made = Both(str(tmp_path))
    for datapath in (made.sim, made.kernel):
        for number, (name, tunnel) in enumerate(PORTS.items(), 20):
            datapath.port_add(name, tunnel.type, number, tunnel)
        datapath.set_tunnel_source_ports((50000, 50100))
    made.kernel._ports.add_underlay(LOOPBACK)  # known to the program, which is not attached there
    yield made
    made.close()


def number_of(name: str) -> int:
    return 20 + list(PORTS).index(name)


def random_options(rng: random.Random) -> bytes:
    options = b""
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        words = rng.choice((0, 1, 1, 2, 5, 20, 31))
        one = rng.randbytes(2) + bytes((rng.getrandbits(7), words)) + rng.randbytes(words * 4)
        if len(options) + len(one) <= 252:
            options += one
    return options


def random_fields(rng: random.Random, name: str, family: int) -> int:
    """The fields of a tunnel from here to there."""
    tunnel = PORTS[name]
    fields = {
        "tun_tos": rng.getrandbits(8),
        "tun_ttl": rng.randrange(1, 256),
        "tun_tp_dst": tunnel.destination,
    }
    mirrors = "erspan" in name
    flags = rng.choice((0, layout.TUN_DF)) | rng.choice((0, 0, layout.TUN_CSUM))
    flags |= layout.TUN_SEQ if "gre" in name and rng.random() < 0.5 else 0
    if tunnel.type != "gre" or rng.random() < 0.5:
        flags |= layout.TUN_KEY
        fields["tun_id"] = rng.getrandbits(32 if "gre" in tunnel.type or name == "gtpu" else 24)
    if mirrors:
        flags &= ~layout.TUN_CSUM
        fields |= {"tun_id": rng.randrange(1024), "tun_erspan_ver": rng.choice((1, 2))}
        if fields["tun_erspan_ver"] == 1:
            fields["tun_erspan_idx"] = rng.getrandbits(20)
        else:
            fields |= {"tun_erspan_dir": rng.randrange(2), "tun_erspan_hwid": rng.randrange(64)}
    if name == "geneve":
        flags |= rng.choice((0, layout.TUN_OAM))
        options = random_options(rng)
        fields["tun_options"] = int.from_bytes(options.ljust(256, b"\0"), "big")
        fields["tun_options_length"] = len(options) // 4
    if name == "policy" and rng.random() < 0.7:
        fields |= {
            "tun_gbp_id": rng.randrange(1, 1 << 16),
            "tun_gbp_flags": rng.choice((0, 0x08, 0x40, 0x48)),
        }
    fields["tunnel_flags"] = flags
    if family == 4:
        fields |= {"tun_src": HERE[4] & 0xFFFFFFFF, "tun_dst": THERE[4] & 0xFFFFFFFF}
    else:
        fields |= {"tun_ipv6_src": HERE[6], "tun_ipv6_dst": THERE[6]}
    return layout.pack(fields)[0]


def written(
    name: str,
    fields: int,
    frame: bytes,
    family: int,
    source_port: int,
    sequence: int = 0,
    *,
    back: bool = False,
) -> bytes:
    """The whole frame, with a checksum of UDP only where it is asked for; `back`: the other way."""
    tunnel = PORTS[name]
    counted = bool(layout.get(fields, "tunnel_flags") & layout.TUN_SEQ)
    kind = Kind(tunnel.type, tunnel.destination, counted, tunnel.extensions)
    frame = frame[ETHERNET:] if name in LAYER_3 else frame
    ends = (THERE, HERE) if back else (HERE, THERE)
    header = outer.header(kind, Outer(0, 0, ends[0][family], ends[1][family]), fields)
    if family == 6 and tunnel.destination and not layout.get(fields, "tunnel_flags") & layout.TUN_CSUM:
        header = header[:60] + bytes(2) + header[62:]
    return outer.push(header, frame, source_port, sequence)


def families(name: str) -> tuple[int, ...]:
    return (6,) if name.startswith("ip6") else (4,) if name in ("gre", "erspan") else (4, 6)


def inner_frame(rng: random.Random, name: str) -> bytes:
    while len(frame := random_frame(rng)) < LEAST or (name in LAYER_3 and not is_ip(frame)):
        pass
    return frame


def is_ip(frame: bytes) -> bool:
    """It could be, at least: the first byte behind the Ethernet header says so, too."""
    return (frame[12:14], frame[14] >> 4) in ((b"\x08\0", 4), (b"\x86\xdd", 6))


_SET = TUNNEL & ~layout.bits("tun_metadata", "tun_metadata_present")


@pytest.mark.parametrize("name", PORTS)
def test_headers_are_the_same(both: Both, name: str) -> None:
    rng = random.Random(name)
    compared = sent_up = number = 0
    for trial in range(300):
        frame = inside = inner_frame(rng, name)
        family = rng.choice(families(name))
        fields = random_fields(rng, name, family)
        output = (
            (dp.PopEth(), dp.Output(number_of(name))) if name in LAYER_3 else (dp.Output(number_of(name)),)
        )
        actions: tuple[Any, ...] = (dp.Set(fields, _SET), *output)
        if name not in LAYER_3 and rng.random() < 0.3:  # a tag beside the packet
            vid = rng.randrange(4096)
            actions = (dp.PushVlan(0x8100, layout.VLAN_CFI | vid), *actions)
            inside = frame[:12] + b"\x81\0" + vid.to_bytes(2, "big") + frame[12:]
        both.put(both.key_of(frame), ALWAYS, actions)
        try:
            run = both.program.test_run(frame, struct.pack("=48xII136x", PORT, 0), room=400)
        except BpfError as error:
            if error.errno != errno.EINVAL:
                raise
            both.clear()  # the kernel makes no packet of it
            continue
        if run.value == SENT:
            at = 34 if family == 4 else 54
            port = int.from_bytes(run.frame[at : at + 2], "big")
            expected = written(name, fields, inside, family, port, number)
            number += outer.is_sequenced(expected)
            assert run.frame.hex() == expected.hex(), f"trial {trial}"
            assert not PORTS[name].destination or 50000 <= port < 50100
            compared += 1
        else:
            both.kernel.upcalls(10)
            sent_up += 1
        both.clear()
    assert compared > 140, (compared, sent_up)


def unfinished(packet: bytes, family: int) -> bytes:
    """With the outer UDP checksum, if there is one, left to hardware, as between machines on one host."""
    at = 34 if family == 4 else 54
    if packet[23 if family == 4 else 20] != 17 or packet[at + 6 : at + 8] == bytes(2):
        return packet
    size = 4 if family == 4 else 16
    ends = packet[at - 2 * size : at - size], packet[at - size : at]
    total = pseudo_header(*ends, 17, len(packet) - at)
    return packet[: at + 6] + total.to_bytes(2, "big") + packet[at + 8 :]


@pytest.mark.parametrize("name", PORTS)
def test_packets_come_out_the_same(both: Both, name: str) -> None:
    rng = random.Random(f"in {name}")
    ingress = both.kernel.program("ingress")
    tunnel, number = PORTS[name], number_of(name)
    compared = left = 0
    for trial in range(400):
        frame = inner_frame(rng, name)
        family = rng.choice(families(name))
        fields = random_fields(rng, name, family)
        packet = written(name, fields, frame, family, rng.randrange(1024, 65536), back=True)
        if rng.random() < 0.2:
            packet = unfinished(packet, family)
        damage = rng.random() < 0.2
        if damage:
            at = rng.randrange(ETHERNET, min(len(packet), 100))
            packet = packet[:at] + rng.randbytes(1) + packet[at + 1 :]
        popped = outer.pop(tunnel.type, packet, tunnel.extensions)
        if name in LAYER_3:
            frame = bytes(12) + frame[12:]
        key = layout.put(both.sim.key_of(frame, number), "recirc_id", 0)
        if popped is not None and popped.carries:
            key = layout.put(key, "packet_type", 1 << 16 | popped.carries)
        if popped is not None and rng.random() < 0.8:  # a flow for such packets, which looks at some of it
            mask = ALWAYS | layout.bits("tun_id", "tun_src", "tun_dst", "tunnel_flags")
            if name == "geneve":
                mask |= layout.MASK["tun_options_length"] | rng.choice(
                    (0, layout.MASK["tun_options"], rng.getrandbits(2048) << layout.OFFSET["tun_options"])
                )
            both.put(key | popped.key, mask, (marker(rng), marker(rng)))
        run = ingress.test_run(packet, room=400)
        if run.value == LEFT_ALONE:
            left += 1
            both.clear()
            continue
        theirs = [seen(one) for one in both.kernel.upcalls(100)]
        both.sim.receive_tunneled(number, [] if popped is None else [popped])
        mine = [seen(one) for one in both.sim.upcalls(100)]
        assert not difference(mine, theirs), f"trial {trial}"
        compared += len(theirs)
        both.clear()
    assert compared > 140, (compared, left)


@pytest.mark.parametrize("name", ["geneve", "vxlan", "gre", "gtpu", "lisp"])
@pytest.mark.parametrize("protocol", [6, 17])
def test_unfinished_checksums_inside(both: Both, name: str, protocol: int) -> None:
    """What the sender has left to hardware stays so; the checksum around it is right once that is done."""
    rng = random.Random(f"unfinished {name} {protocol}")
    ingress = both.kernel.program("ingress")
    for _ in range(10):
        size = rng.randrange(0, 1300)
        key, _ = layout.pack(
            dl_type=0x0800, nw_proto=protocol, nw_src=rng.getrandbits(32), nw_dst=rng.getrandbits(32),
            tp_src=rng.getrandbits(16), tp_dst=5, dl_src=5, dl_dst=6, nw_ttl=64, tcp_flags=16,
        )  # fmt: skip
        finished = build(key, payload=rng.randbytes(size))
        at = 50 if protocol == 6 else 40
        total = pseudo_header(finished[26:30], finished[30:34], protocol, len(finished) - 34)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        frame = finished[:at] + total.to_bytes(2, "big") + finished[at + 2 :]
        fields = random_fields(rng, name, 4) | layout.TUN_CSUM << layout.OFFSET["tunnel_flags"]
        bare = name in LAYER_3
        popping = (dp.PopEth(),) if bare else ()
        both.put(both.key_of(frame), ALWAYS, (dp.Set(fields, _SET), *popping, dp.Output(number_of(name))))
        run = both.program.test_run(frame, struct.pack("=48xII136x", PORT, 0), room=400)
        assert run.value == SENT
        frame, finished = (one[ETHERNET:] if bare else one for one in (frame, finished))
        whole = run.frame[: -len(frame)] + finished
        popped = outer.pop(PORTS[name].type, whole)
        assert popped is not None
        assert popped.frame[ETHERNET if bare else 0 :] == finished
        back = run.frame[:26] + run.frame[30:34] + run.frame[26:30] + run.frame[34:]  # to this host
        assert ingress.test_run(back, room=400).value not in (LEFT_ALONE, SENT)
        [up] = [seen(one) for one in both.kernel.upcalls(10)]
        assert up.frame[ETHERNET if bare else 0 :] == frame
        at = len(back) - len(frame) + bare
        wrong = back[:at] + bytes((back[at] ^ 2,)) + back[at + 1 :]
        assert ingress.test_run(wrong, room=400).value == DROPPED
        assert not both.kernel.upcalls(10)
        both.clear()
