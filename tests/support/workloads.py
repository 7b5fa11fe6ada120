"""Flow tables as clouds and routers have them, as lines for ovs-ofctl, and traffic for them, as frames."""

import random
import struct
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import NamedTuple

GATEWAY = 0x020000000001


class Workload(NamedTuple):
    """`packet` makes a frame and the OpenFlow port where it comes in."""

    flows: list[str]
    packet: Callable[[], tuple[int, bytes]]


def mac(address: int) -> str:
    return ":".join(f"{octet:02x}" for octet in address.to_bytes(6, "big"))


def ipv4(address: int) -> str:
    return str(IPv4Address(address))


def frame(
    source: int, target: int, nw_src: int, nw_dst: int, protocol: int, tp_src: int, tp_dst: int, ttl: int = 64
) -> bytes:
    """TCP or UDP without data; checksums of IP only."""
    transport = struct.pack("!HH", tp_src, tp_dst)
    transport += (
        struct.pack("!IIHHHH", 1, 1, 0x5010, 8192, 0, 0) if protocol == 6 else struct.pack("!HH", 8, 0)
    )
    head = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(transport), 0, 0, ttl, protocol, 0, nw_src, nw_dst)
    total = sum(struct.unpack("!10H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:]
    return target.to_bytes(6, "big") + source.to_bytes(6, "big") + b"\x08\x00" + head + transport


class Machine(NamedTuple):
    port: int
    network: int
    mac: int
    address: int


def pipeline(rnd: random.Random, ports: int = 3, pairs: int = 2000) -> Workload:
    """Nine tables: port, port security, two to pass, access lists, L2, L3, egress, output."""
    machines = [
        Machine(
            1 + i % ports,
            i % 4 + 1,
            10 << 40 | rnd.getrandbits(32),
            10 << 24 | i % 4 << 16 | i // 1000 << 8 | i // 4 % 250,
        )
        for i in range(2000)
    ]
    flows = [
        "table=2,priority=0,actions=resubmit(,3)",
        "table=3,priority=0,actions=resubmit(,4)",
        "table=7,priority=0,actions=resubmit(,8)",
    ]
    for p in range(1, ports + 1):
        flows += [
            f"table=0,priority=9,in_port={p},actions=set_field:{p}->reg14,resubmit(,1)",
            f"table=8,priority=9,reg15={p},actions=output:{p}",
            f"table=7,priority=9,reg15={p},ipv6,actions=drop",
        ]
    for one in machines:
        flows += [
            f"table=1,priority=90,ip,reg14={one.port},dl_src={mac(one.mac)},nw_src={ipv4(one.address)},"
            f"actions=set_field:{one.network}->metadata,resubmit(,2)",
            f"table=5,priority=50,metadata={one.network},dl_dst={mac(one.mac)},"
            f"actions=set_field:{one.port}->reg15,resubmit(,7)",
        ]
    for network in range(1, 5):
        flows += [
            f"table=4,priority=0,metadata={network},actions=resubmit(,5)",
            f"table=5,priority=60,ip,metadata={network},dl_dst={mac(GATEWAY)},"
            "actions=set_field:100->metadata,resubmit(,6)",
        ]
    flows += _access_lists(rnd, machines)
    routes = _routes(rnd)
    for i, (address, length) in enumerate([(0, 0), *routes]):
        match = f",nw_dst={ipv4(address)}/{length}" if length else ""
        flows.append(
            f"table=6,priority={2 * length + 1},ip,metadata=100{match},actions=dec_ttl,"
            f"mod_dl_src:{mac(GATEWAY)},mod_dl_dst:0c:00:00:00:00:01,"
            f"set_field:{1 + i % ports}->reg15,resubmit(,7)"
        )

    def packet() -> tuple[int, bytes]:
        one = random.Random(rnd.randrange(pairs))  # who talks with whom is limited, connections are not
        came = one.choice(machines)
        other = one.choice(machines[came.network - 1 :: 4])
        target, nw_dst = other.mac, other.address
        if one.random() < 0.4:
            target, nw_dst = GATEWAY, one.choice(routes)[0] | one.getrandbits(8)
        port = rnd.choice((22, 53, 80, 443, 3306, 8080)) if rnd.random() < 0.7 else rnd.getrandbits(16)
        protocol = rnd.choice((6, 6, 6, 17))
        made = frame(came.mac, target, came.address, nw_dst, protocol, rnd.getrandbits(15) | 1 << 15, port)
        return came.port, made

    return Workload(flows, packet)


def _access_lists(rnd: random.Random, machines: list[Machine]) -> list[str]:
    """5,000 rules over sets of ten addresses."""
    lists: dict[tuple[int, str, str], str] = {}
    while len(lists) < 5000:
        network, priority = rnd.randrange(4), rnd.choice((1001, 1002, 1500, 2000))
        kind = rnd.randrange(10)
        port = rnd.choice((22, 25, 53, 80, 123, 443, 3306, 5432, 8080, 8443))
        verdict = "resubmit(,5)" if rnd.random() < 0.7 else "drop"
        for one in rnd.sample(machines[network::4], 10):
            if kind < 5:
                end = f"nw_src={ipv4(one.address)}"
            elif kind < 9:
                end = f"nw_dst={ipv4(one.address)}"
            else:
                end = f"nw_src={ipv4(one.address & ~0xFF)}/24"
            if kind < 9:
                transport = f"tcp,tp_dst={port}" if kind < 7 else f"tcp,tp_dst={1024 << kind - 6:#x}/0xfc00"
            else:
                transport = "udp"
            text = f"table=4,priority={priority},{transport},metadata={network + 1},{end},actions={verdict}"
            lists[network, end, transport] = text
    return list(lists.values())


def _routes(rnd: random.Random) -> list[tuple[int, int]]:
    routes: set[tuple[int, int]] = set()
    while len(routes) < 1000:
        length = rnd.choice((8, 12, 16, 20, 22, 24, 24, 24, 26, 28, 32))
        routes.add((rnd.getrandbits(32) >> 32 - length << 32 - length, length))
    return sorted(routes)


def transport_rules(rnd: random.Random) -> Workload:
    """10,000 rules for single connections; all else goes out of port 2."""
    ends = [10 << 24 | rnd.getrandbits(24) for _ in range(500)]
    rules = {
        (rnd.choice(ends), rnd.choice(ends), rnd.getrandbits(16), rnd.getrandbits(16)) for _ in range(10_000)
    }
    flows = [
        f"priority=9,tcp,nw_src={ipv4(a)},nw_dst={ipv4(b)},tp_src={c},tp_dst={d},actions=drop"
        for a, b, c, d in sorted(rules)
    ]
    flows.append("priority=0,actions=output:2")

    def packet() -> tuple[int, bytes]:
        a, b = (rnd.choice((rnd.choice(ends), 10 << 24 | rnd.getrandbits(24))) for _ in "ab")
        return 1, frame(1, 2, a, b, 6, rnd.getrandbits(16), rnd.getrandbits(16))

    return Workload(flows, packet)


def services(rnd: random.Random) -> Workload:
    """A firewall by networks and services, 2,000 rules of four priorities."""
    flows = ["priority=0,actions=output:2"]
    for _ in range(2000):
        length = rnd.choice((16, 20, 24, 28))
        network = (10 << 24 | rnd.getrandbits(24)) >> 32 - length << 32 - length
        side = rnd.choice(("nw_src", "nw_dst"))
        port = rnd.choice(("", f",tp_dst={rnd.choice((22, 53, 80, 443, 8080))}"))
        verdict = rnd.choice(("output:3", "drop"))
        priority = rnd.randint(1, 4) * 100 + length
        flows.append(f"priority={priority},tcp,{side}={ipv4(network)}/{length}{port},actions={verdict}")
    unique = {text.split(",actions")[0]: text for text in flows}  # no two of one match

    def packet() -> tuple[int, bytes]:
        a, b = (10 << 24 | rnd.getrandbits(24) for _ in "ab")
        return 1, frame(1, 2, a, b, rnd.choice((6, 6, 17)), rnd.getrandbits(16), rnd.choice((22, 80, 443, 9)))

    return Workload(list(unique.values()), packet)


WORKLOADS: dict[str, Callable[[random.Random], Workload]] = {
    "nine tables": pipeline,
    "10,000 connections": transport_rules,
    "networks and services": services,
}
