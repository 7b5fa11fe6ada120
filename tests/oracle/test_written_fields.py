"""Every field that actions can write, in every kind of packet that has it: what leaves is as the original's.

One table holds a flow for each way of writing each field; the source address of a packet picks the flow.
"""

import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.originals import Originals
from support.switches import Lab, OriginalSwitch, OurSwitch, PortSpec
from trunkline.flow.key import VLAN_CFI, pack
from trunkline.flow.values import format_value
from trunkline.jsonrpc.unixctl import Commands
from trunkline.model.fields import FIELDS, Field
from trunkline.openflow import codec
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.messages import FlowMod
from trunkline.openflow.wire import Protocol
from trunkline.packet.build import build
from trunkline.packet.checksum import checksum
from trunkline.upcall.trace import trace_commands

pytestmark = pytest.mark.oracle

LAB = Lab(("br0",), tuple(PortSpec("br0", f"p{i}", i) for i in (1, 2)))
SOURCE = 0x505400000000  # the number of a case is its lowest 16 bits
# prerequisite -> how flows that have it match
MATCHES = {
    "": ("ip", "arp", ""),
    "eth": ("", "ip"),
    "vlan": ("vlan_tci=0x1000/0x1000",),
    "ip": ("ip", "tcp", "icmp", "ip,nw_proto=0"),
    "ipv6": ("ipv6", "udp6", "icmp6"),
    "ip/ipv6": ("ip", "ipv6", "udp"),
    "arp": ("arp", "rarp"),
    "mpls": ("mpls", "mplsm"),
    "nsh": ("dl_type=0x894f",),
    "tcp": ("tcp", "tcp6"),
    "udp": ("udp", "udp6"),
    "sctp": ("sctp", "sctp6"),
    "icmp": ("icmp",),
    "icmp6": ("icmp6",),
    "nd": ("icmp6,icmp_type=135,icmp_code=0", "icmp6,icmp_type=136,icmp_code=0"),
    "nd solicit": ("icmp6,icmp_type=135,icmp_code=0",),
    "nd advert": ("icmp6,icmp_type=136,icmp_code=0",),
}
TYPES = {"arp": 0x0806, "rarp": 0x8035, "mpls": 0x8847, "mplsm": 0x8848, "dl_type=0x894f": 0x894F}
NARROW = {"nw_tos": 0xFC, "nsh_ttl": 0x3F, "nsh_flags": 3}
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmp6": 58}


class Case(NamedTuple):
    field: str
    match: str
    actions: str


def written_fields() -> list[Field]:
    """Those that are in packets; of tunnel options and registers nothing is to be seen there."""
    return [one for one in FIELDS if one.writable and one.prerequisite and one.ids]


def cases(rnd: random.Random) -> list[Case]:
    found = []
    for field in written_fields():
        tagged = field.slot == "vlan_tci" and field.name != "vlan_tci"
        for match in MATCHES["vlan" if tagged else field.prerequisite]:
            found += [Case(field.name, match, text) for text in ways(rnd, field)]
    return found


def ways(rnd: random.Random, field: Field) -> Iterator[str]:
    """set_field whole and in part, load and move."""
    ones = (1 << field.bits) - 1
    value = rnd.getrandbits(field.bits) & NARROW.get(field.name, ones)
    if field.name == "vlan_vid":  # whole, with the bit that says that there is a tag, or not at all
        yield f"set_field:{value | 0x1000}->vlan_vid"
        return
    yield f"set_field:{format_value(field, value, ones)}->{field.name}"
    if field.maskable:
        mask = rnd.getrandbits(field.bits) or 1
        if field.bits == 128:  # the original reads no other masks of these here
            mask = ones - (1 << rnd.randint(1, 127)) + 1
        yield f"set_field:{format_value(field, value & mask, mask)}->{field.name}"
    bits = NARROW.get(field.name, ones).bit_length()
    start = rnd.randrange(bits)
    width = min(rnd.randint(1, 32), bits - start)
    if field.name == "nw_tos":
        start, width = 2, 6
    if field.name in ("nd_reserved", "nd_options_type"):  # of a part the original writes the rest as 0
        start, width = 0, bits
    part = f"{field.ids[0].name}[{start}..{start + width - 1}]"
    yield f"load:{rnd.getrandbits(width):#x}->{part}"
    if field.name == "nd_options_type":  # of which the original reads nothing
        return
    register = f"NXM_NX_REG0[0..{width - 1}]"
    yield f"load:{rnd.getrandbits(width):#x}->{register},move:{register}->{part}"


# ---- packets


def frame_for(rnd: random.Random, number: int, match: str) -> bytes:
    """A packet that the flow is for.  (Of damaged headers each switch spares others.)"""
    fields = {"dl_src": SOURCE | number, "dl_dst": rnd.getrandbits(48) & ~(1 << 40)}
    if match.startswith("vlan") or rnd.random() < 0.3:
        fields |= {"vlan_tci": VLAN_CFI | rnd.getrandbits(16), "vlan_tpid": rnd.choice((0x8100, 0x88A8))}
    head = build(pack({**fields, "dl_type": 0x1234})[0], b"")[:-2]
    kind, body = packet_for(rnd, match)
    frame = head + kind.to_bytes(2, "big") + body
    return frame + bytes(rnd.choice((0, 0, 0 if "icmp_type" in match else 30)))


def packet_for(rnd: random.Random, match: str) -> tuple[int, bytes]:
    """(Ethernet type, what follows it)."""
    name = match.split(",")[0]
    if name in TYPES:
        return TYPES[name], other(rnd, TYPES[name])
    if "nw_proto=0" in match:
        return 0x0800, ipv4(rnd, 0)
    protocol = PROTOCOLS.get(name.removesuffix("6") if name != "icmp6" else name)
    six = name.endswith("6") or (not protocol and name != "ip" and rnd.random() < 0.5)
    if "icmp_type" in match:
        return 0x86DD, ipv6(rnd, 58, neighbour(rnd, int(match.split("icmp_type=")[1][:3])))
    if protocol is None:
        protocol = rnd.choice((6, 17, 132, 58 if six else 1, 0, 47))
    return (0x86DD, ipv6(rnd, protocol)) if six else (0x0800, ipv4(rnd, protocol))


def other(rnd: random.Random, kind: int) -> bytes:
    if kind in (0x0806, 0x8035):
        return b"\0\1\x08\0\6\4\0" + bytes([rnd.randint(1, 4)]) + rnd.randbytes(20)
    if kind == 0x894F:
        first = rnd.getrandbits(2) << 12 | rnd.getrandbits(6) << 6 | 6
        return first.to_bytes(2, "big") + b"\1\3" + rnd.randbytes(20) + rnd.randbytes(30)
    labels = rnd.randint(1, 4)
    entries = [rnd.getrandbits(32) & ~0x100 | (i == labels - 1) << 8 for i in range(labels)]
    return b"".join(entry.to_bytes(4, "big") for entry in entries) + ipv4(rnd, 17)


def transport(rnd: random.Random, protocol: int, pseudo: bytes) -> bytes:
    """With its checksum; now and then a UDP header has none."""
    if protocol == 6:
        segment = bytearray(rnd.randbytes(12) + b"\x50" + rnd.randbytes(3) + bytes(4) + rnd.randbytes(7))
        at = 16
    elif protocol == 17:
        size = 8 + rnd.randrange(12)
        segment = bytearray(rnd.randbytes(4) + size.to_bytes(2, "big") + bytes(2) + rnd.randbytes(size - 8))
        at = 6
        if rnd.random() < 0.2:
            return bytes(segment)
    elif protocol in (1, 58):
        segment = bytearray(bytes([rnd.choice((8, 0, 3, 128, 135, 136)), rnd.choice((0, 0, 1)), 0, 0]))
        segment += rnd.randbytes(rnd.choice((4, 20, 28)))
        at, pseudo = 2, pseudo if protocol == 58 else b""
    else:
        return rnd.randbytes(rnd.randint(12, 30))
    whole = pseudo + len(segment).to_bytes(4, "big") + bytes([0, 0, 0, protocol]) if pseudo else b""
    value = checksum(whole + bytes(segment) + bytes(len(segment) & 1))
    segment[at : at + 2] = (value or (0xFFFF if protocol == 17 else 0)).to_bytes(2, "big")
    return bytes(segment)


def ipv4(rnd: random.Random, protocol: int) -> bytes:
    addresses = rnd.randbytes(8)
    body = transport(rnd, protocol, addresses)
    options = rnd.randbytes(rnd.choice((0, 0, 0, 4, 12)))
    fragment = rnd.choice((0, 0, 0, 0x4000, 0x2000, 0x2007, 0x0007))
    head = bytearray([0x45 + len(options) // 4, rnd.getrandbits(8)])
    head += (
        (20 + len(options) + len(body)).to_bytes(2, "big") + rnd.randbytes(2) + fragment.to_bytes(2, "big")
    )
    head += bytes([rnd.randint(1, 255), protocol, 0, 0]) + addresses + options
    head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
    return bytes(head) + body


def ipv6(rnd: random.Random, protocol: int, segment: bytes | None = None) -> bytes:
    addresses = rnd.randbytes(32)
    if segment is None:
        body = transport(rnd, protocol, addresses)
    else:
        whole = addresses + len(segment).to_bytes(4, "big") + bytes([0, 0, 0, 58]) + segment
        body = segment[:2] + checksum(whole).to_bytes(2, "big") + segment[4:]
    following = protocol
    if rnd.random() < 0.3:
        body, following = bytes([following, 0]) + bytes(6) + body, 60
    elif rnd.random() < 0.2:
        body, following = bytes([following, 0, 7, rnd.choice((0, 1))]) + bytes(4) + body, 43
    if rnd.random() < 0.2:
        bits = rnd.choice((b"\0\0", b"\0\1", b"\0\x08"))
        body, following = bytes([following, 0]) + bits + rnd.randbytes(4) + body, 44
    first = (6 << 28 | rnd.getrandbits(28)).to_bytes(4, "big")
    return first + len(body).to_bytes(2, "big") + bytes([following, rnd.randint(1, 255)]) + addresses + body


def neighbour(rnd: random.Random, kind: int) -> bytes:
    """The original writes into the first link-layer address that there is and no other, so there is one."""
    kinds = rnd.choice(((), (1,), (2,), (1, 5), (5, 2), (5, 1, 14), (5,)))
    options = b"".join(bytes([one, 1]) + rnd.randbytes(6) for one in kinds)
    return bytes([kind, 0, 0, 0]) + rnd.randbytes(20) + options


# ---- the comparison


@pytest.fixture(scope="module")
def original_switch() -> Iterator[OriginalSwitch]:
    with tempfile.TemporaryDirectory(prefix="wrt") as directory:
        switch = OriginalSwitch(Originals(Path(directory)))
        switch.build(LAB)
        yield switch
        switch.stop()


def install(original: OriginalSwitch, ours: OurSwitch, flows: list[str]) -> None:
    target = f"unix:{original.originals.directory}/br0.mgmt"
    done = original.originals.run(
        "ovs-ofctl", "-O", "OpenFlow15", "--bundle", "add-flows", target, "-", input="\n".join(flows)
    )
    assert done.returncode == 0, done.stderr
    for flow in flows:
        mod = codec.decode(codec.encode(Protocol(6), parse_flow(flow, 0).mod, 1)[0]).message
        assert isinstance(mod, FlowMod)
        ours.bridges["br0"].flows.apply(mod, 6, "test")


def trace(ours: OurSwitch, *arguments: str) -> str:
    commands = Commands()
    commands.add(*trace_commands({"dummy": ours.datapath}))
    got = commands.run("ofproto/trace", list(arguments))
    assert isinstance(got, str)
    return got


def comparable(text: str) -> str:
    """A trace without the megaflow, and which bits are set: that is a matter of which were looked at."""
    text = re.sub(r"\nMegaflow: .*", "", text)
    return re.sub(r"set\(\w+\([^)]*\)\)", lambda found: re.sub(r"=[^,)]*", "", found[0]), text)


def original_is_wrong(field: str, text: str, frame: bytes) -> bool:
    """Cases of docs/differences.md: the original leaves fields alone, or breaks checksums and payloads.

    `text` is the trace.
    """
    flow = text.splitlines()[0]
    if re.search(r"Flow: ip.*nw_proto=0|arp_op=0", flow):
        return True  # IP protocol 0, or a header that is cut
    if field.startswith("nsh_") and "nsh_mdtype=1" not in flow:
        return True  # it names context fields that are not there, or not those that are
    if "rarp" in flow and field.startswith("arp_"):
        return True
    if "nw_frag=later" in flow and field in ("ip_src", "ip_dst", "icmp_type", "icmp_code"):
        return True
    following = frame[frame.find(b"\x86\xdd") + 8 :][:1]
    if following == b"\x2c":  # a fragment header
        return field in ("ipv6_src", "ipv6_dst", "nd_reserved", "nd_options_type")
    if following == b"\x2b":  # a routing header
        return field in ("ipv6_src", "nd_reserved", "nd_options_type")
    return following == b"\x3c" and field in ("nd_reserved", "nd_options_type")


def test_every_written_field_reaches_the_packet(original_switch: OriginalSwitch) -> None:
    rnd = random.Random(1)
    ours = OurSwitch()
    ours.build(LAB)
    found = cases(rnd)
    flows = ["priority=0,actions=output:2"]
    for number, case in enumerate(found, 1):
        match = f"dl_src={(SOURCE | number).to_bytes(6, 'big').hex(':')}"
        flows.append(f"{match},{case.match}{',' if case.match else ''}actions={case.actions},output:2")
    install(original_switch, ours, flows)
    written: set[str] = set()
    for number, case in enumerate(found, 1):
        for _ in range(3):
            frame = frame_for(rnd, number, case.match)
            where = (number, *case, frame.hex())
            arguments = ("br0", "in_port=1", frame.hex())
            want = comparable(original_switch.control("ofproto/trace", *arguments))
            if original_is_wrong(case.field, want, frame):
                continue
            assert comparable(trace(ours, *arguments)) == want, (*where, want)
            sent = original_switch.receive("p1", frame)
            assert ours.receive("p1", frame) == sent, (*where, sent)
            if sent and sent["p2"] != [frame]:
                written.add(case.field)
    assert written == {field.name for field in written_fields()}
