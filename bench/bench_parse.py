"""How fast a frame becomes a key, a key a frame, and a field is rewritten: microseconds, one core."""

from collections.abc import Iterator

from bench.measure import Row, microseconds
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


def run() -> Iterator[Row]:
    for name, fields in FRAMES.items():
        frame = build(pack(fields)[0])
        took = microseconds("parse(frame)", {"parse": parse, "frame": frame})
        yield Row(f"parse {name}", took, None, "us", LIMIT if name == "TCP over IPv4" else None)
    key = pack(FRAMES["TCP over IPv4"])[0]
    value, mask = pack(dl_dst=7, nw_dst=9)
    names = {"set_fields": set_fields, "packet": Packet(build(key)), "key": key, "value": value, "mask": mask}
    took = microseconds("set_fields(packet, key, value, mask)", names)
    yield Row("set MAC and IPv4 address", took, None, "us")
    match_text = "tcp,in_port=1,nw_src=10.0.0.0/8,tp_dst=80"
    took = microseconds("parse_match(text)", {"parse_match": parse_match, "text": match_text}, 2000)
    yield Row("read a match", took, None, "us")
    match = parse_match(match_text)
    took = microseconds("format_match(match)", {"format_match": format_match, "match": match}, 2000)
    yield Row("write a match", took, None, "us")
