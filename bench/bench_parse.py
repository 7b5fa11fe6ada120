"""How fast a frame becomes a key, a key a frame, and a field is rewritten: microseconds, one core."""

import timeit

from trunkline.flow.key import pack
from trunkline.flow.text import format_match, parse_match
from trunkline.packet.build import build
from trunkline.packet.packet import Packet
from trunkline.packet.parse import parse
from trunkline.packet.rewrite import set_fields

FOUR = {"dl_type": 0x0800, "nw_src": 0x0A000001, "nw_dst": 0x0A000002, "nw_ttl": 64, "dl_src": 1, "dl_dst": 2}
SIX = {"dl_type": 0x86DD, "ipv6_src": 1, "ipv6_dst": 2, "nw_ttl": 64, "dl_src": 1, "dl_dst": 2}
TAG = {"vlan_tci": 0x1005, "vlan_tpid": 0x8100}
FRAMES = {
    "TCP over IPv4": {**FOUR, "nw_proto": 6, "tp_dst": 80, "tcp_flags": 0x10},
    "UDP over IPv4": {**FOUR, "nw_proto": 17, "tp_dst": 53},
    "ICMP": {**FOUR, "nw_proto": 1, "icmp_type": 8},
    "TCP over IPv4, tagged": {**FOUR, **TAG, "nw_proto": 6, "tp_dst": 80, "tcp_flags": 0x10},
    "TCP over IPv6": {**SIX, "nw_proto": 6, "tp_dst": 80, "tcp_flags": 0x10},
    "ARP": {"dl_type": 0x0806, "arp_op": 1, "arp_spa": 1, "arp_tpa": 2, "dl_src": 1, "dl_dst": 2},
}
LIMIT = 8.0  # microseconds for TCP over IPv4


def microseconds(code: str, **names: object) -> float:
    timer = timeit.Timer(code, globals=names)
    return min(timer.repeat(5, 20000)) / 20000 * 1e6


def run() -> list[tuple[str, str]]:
    """Rows of (what, how fast)."""
    rows = []
    for name, fields in FRAMES.items():
        frame = build(pack(fields)[0])
        took = microseconds("parse(frame)", parse=parse, frame=frame)
        rows.append(
            (f"parse {name}", f"{took:.2f} us" + (f" (limit {LIMIT})" if name == "TCP over IPv4" else ""))
        )
    key = pack(FRAMES["TCP over IPv4"])[0]
    packet = Packet(build(key))
    value, mask = pack(dl_dst=7, nw_dst=9)
    names = {"set_fields": set_fields, "packet": packet, "key": key, "value": value, "mask": mask}
    rows.append(
        (
            "set MAC and IPv4 address",
            f"{microseconds('set_fields(packet, key, value, mask)', **names):.2f} us",
        )
    )
    text = "priority=5,tcp,in_port=1,nw_src=10.0.0.0/8,tp_dst=80".removeprefix("priority=5,")
    rows.append(
        ("read a match", f"{microseconds('parse_match(text)', parse_match=parse_match, text=text):.2f} us")
    )
    match = parse_match(text)
    took = microseconds("format_match(match)", format_match=format_match, match=match)
    rows.append(("write a match", f"{took:.2f} us"))
    return rows


if __name__ == "__main__":
    for what, figure in run():
        print(f"{what:30} {figure}")
