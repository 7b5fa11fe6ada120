"""Random flow matches as text, in all the forms that ovs-ofctl reads."""

import random

from trunkline.base.addresses import format_ipv4, format_ipv6, format_mac

Words = list[str]


def _integer(rng: random.Random, name: str, bits: int, maskable: bool = True) -> str:
    value = rng.getrandbits(rng.choice((bits, bits, 3)))
    text = rng.choice((str(value), hex(value)))
    if bits > 64:
        text = hex(value)
    if maskable and rng.random() < 0.4:
        text += "/" + hex(rng.choice((rng.getrandbits(bits), (1 << bits) - 1, 0, 0xFF)))
    return f"{name}={text}"


def _mac(rng: random.Random, name: str) -> str:
    text = format_mac(rng.getrandbits(48))
    if rng.random() < 0.3:
        text += "/" + rng.choice(("01:00:00:00:00:00", "ff:ff:ff:00:00:00", format_mac(rng.getrandbits(48))))
    return f"{name}={text}"


def _ipv4(rng: random.Random, name: str) -> str:
    text = format_ipv4(rng.getrandbits(32))
    mask = rng.choice(
        ("", "", f"/{rng.randrange(33)}", "/255.255.0.0", "/" + format_ipv4(rng.getrandbits(32)))
    )
    return f"{name}={text}{mask}"


def _ipv6(rng: random.Random, name: str) -> str:
    value = rng.choice((rng.getrandbits(128), rng.getrandbits(16), 0xFE80 << 112 | rng.getrandbits(8), 0))
    mask = rng.choice(
        ("", "", f"/{rng.randrange(129)}", "/" + format_ipv6(rng.getrandbits(124) | 0xF << 124))
    )
    return f"{name}={format_ipv6(value)}{mask}"


def _flags(rng: random.Random, name: str, flags: tuple[str, ...]) -> str:
    chosen = rng.sample(flags, rng.randrange(1, len(flags)))
    if rng.random() < 0.3:
        return f"{name}={'|'.join(chosen)}"
    return f"{name}=" + "".join(rng.choice("+-") + flag for flag in chosen)


CT_FLAGS = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
VLANS = (
    "dl_vlan=0xffff", "dl_vlan=5,dl_vlan_pcp=2", "dl_vlan=4095", "vlan_vid=0x1005", "vlan_vid=3",
    "dl_vlan_pcp=3", "vlan_vid=0x1003/0x1003", "vlan_tci=0x1123", "vlan_tci=0/0x1000",
    "vlan_tci=0x1000/0x1000,vlan_pcp=1",
)  # fmt: skip
TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")


def _metadata(rng: random.Random) -> Words:
    words = [
        rng.choice(("in_port=3", "in_port=LOCAL", "in_port=controller", "in_port_oxm=7")),
        _integer(rng, "metadata", 64),
        _integer(rng, f"reg{rng.randrange(16)}", 32),
        _integer(rng, f"reg{rng.randrange(16)}", 32),
        _integer(rng, f"xreg{rng.randrange(8)}", 64),
        _integer(rng, f"xxreg{rng.randrange(4)}", 128),
        _integer(rng, "pkt_mark", 32),
        _integer(rng, "conj_id", 32, False),
        _integer(rng, rng.choice(("tun_id", "tunnel_id")), 64),
        _ipv4(rng, "tun_src"),
        _ipv4(rng, "tun_dst"),
        _ipv6(rng, "tun_ipv6_src"),
        _ipv6(rng, "tun_ipv6_dst"),
        _integer(rng, "tun_gbp_id", 16),
        _integer(rng, "tun_gbp_flags", 8, False),
        rng.choice(("tun_flags=oam", "tun_flags=-oam", "tun_flags=+oam")),
        _flags(rng, "ct_state", CT_FLAGS),
        _integer(rng, "ct_zone", 16, False),
        _integer(rng, "ct_mark", 32),
        _integer(rng, "ct_label", 128),
        _integer(rng, "dp_hash", 32),
        _integer(rng, "recirc_id", 32, False),
        "actset_output=2",
        _mac(rng, rng.choice(("dl_src", "eth_src"))),
        _mac(rng, rng.choice(("dl_dst", "eth_dst"))),
        rng.choice((*VLANS, _integer(rng, "vlan_tci", 16))),
    ]  # fmt: skip
    return rng.sample(words, rng.randrange(5))


def _ip_words(rng: random.Random) -> Words:
    return [
        _integer(rng, "nw_ttl", 8, False),
        _integer(rng, rng.choice(("nw_tos", "ip_dscp")), 6, False),
        _integer(rng, rng.choice(("nw_ecn", "ip_ecn")), 2, False),
        "nw_frag=" + rng.choice(("no", "yes", "first", "not_later")),
    ]


def _ports(rng: random.Random, protocol: str) -> Words:
    names = (f"{protocol}_src", f"{protocol}_dst") if rng.random() < 0.5 else ("tp_src", "tp_dst")
    words = [_integer(rng, name, 16) for name in names]
    return [*words, _flags(rng, "tcp_flags", TCP_FLAGS)] if protocol == "tcp" else words


def _transport(rng: random.Random, six: bool) -> tuple[str, Words]:
    protocol = rng.choice(("tcp", "udp", "sctp", "icmp"))
    suffix = "6" if six else ""
    if protocol != "icmp":
        return protocol + suffix, _ports(rng, protocol)
    kind = rng.choice(("3", "135", "136"))
    words = [f"icmp_type={kind}"]
    if six and kind == "3":
        words = ["icmpv6_type=3,icmpv6_code=1"]
    elif six:
        words[0] += "," + rng.choice(
            (_ipv6(rng, "nd_target"), "icmp_code=0", "nd_reserved=5", "nd_options_type=1")
        )
        words.append(_mac(rng, "nd_sll" if kind == "135" else "nd_tll") + f",icmp_type={kind}")
    else:
        words.append(_integer(rng, "icmp_code", 8, False))
    return "icmp" + suffix, words


def _packet(rng: random.Random) -> tuple[str, Words]:
    kind = rng.randrange(9)
    if kind < 5:
        six = kind > 2
        name, words = _transport(rng, six)
        if rng.random() < 0.3:
            name, words = ("ipv6" if six else "ip"), []
            if rng.random() < 0.5:
                words = [_integer(rng, rng.choice(("nw_proto", "ip_proto")), 8, False)]
        addresses = [_ipv6(rng, "ipv6_src"), _ipv6(rng, "ipv6_dst"), _integer(rng, "ipv6_label", 20)]
        if not six:
            addresses = [
                _ipv4(rng, rng.choice(("nw_src", "ip_src"))),
                _ipv4(rng, rng.choice(("nw_dst", "ip_dst"))),
            ]
        return name, addresses + words + _ip_words(rng)
    if kind == 5:
        return rng.choice(("arp", "rarp", "dl_type=0x806")), [
            _integer(rng, "arp_op", 2, False), _ipv4(rng, "arp_spa"),
            _ipv4(rng, rng.choice(("nw_dst", "arp_tpa"))), _mac(rng, "arp_sha"), _mac(rng, "arp_tha"),
        ]  # fmt: skip
    if kind == 6:
        return rng.choice(("mpls", "mplsm")), [
            _integer(rng, "mpls_label", 20, False), _integer(rng, "mpls_tc", 3, False),
            _integer(rng, "mpls_bos", 1, False), _integer(rng, "mpls_ttl", 8, False),
        ]  # fmt: skip
    if kind == 7:
        return f"dl_type={rng.choice(('0x88cc', '35020', '0x05ff', '0x1234'))}", []
    return "", []


def random_match(rng: random.Random) -> str:
    """A match whose fields have their prerequisites: the packet's type first, the rest in any order."""
    name, words = _packet(rng)
    chosen = rng.sample(words, rng.randrange(len(words) + 1)) + _metadata(rng)
    rng.shuffle(chosen)
    return ",".join([name, *chosen] if name else chosen)
