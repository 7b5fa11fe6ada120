"""Random flows as text, valid ones, for comparing with the original."""

import random

_KINDS = ("", "ip", "tcp", "udp", "sctp", "icmp", "arp", "ipv6", "tcp6", "udp6", "icmp6", "mpls", "rarp")


def _mac(r: random.Random) -> str:
    return ":".join(f"{r.randrange(256):02x}" for _ in range(6))


def _ipv4(r: random.Random) -> str:
    address = ".".join(str(r.randrange(256)) for _ in range(4))
    return address + r.choice(("", "", f"/{r.randrange(1, 33)}"))


def _ipv6(r: random.Random) -> str:
    return r.choice(("fe80::1", "2001:db8::/32", "::1", "2001:db8:1:2:3:4:5:6", "fc00::/7"))


def _u16(r: random.Random) -> str:
    return r.choice((str(r.randrange(65536)), f"0x{r.randrange(65536):x}/0x{r.randrange(1, 65536):x}"))


def match(r: random.Random) -> list[str]:
    kind = r.choice(_KINDS)
    words = [kind] if kind else []
    if r.random() < 0.4:
        words.append(f"in_port={r.choice((1, 2, 77, 'LOCAL', 'CONTROLLER'))}")
    if r.random() < 0.3:
        words.append(f"dl_src={_mac(r)}" + r.choice(("", "", "/ff:ff:ff:00:00:00")))
    if r.random() < 0.3:
        words.append(f"dl_dst={_mac(r)}" + r.choice(("", "", "/01:00:00:00:00:00")))
    if r.random() < 0.3:
        words.append(r.choice((f"dl_vlan={r.randrange(4096)}", "vlan_tci=0", "vlan_tci=0x1000/0x1000")))
        if words[-1].startswith("dl_vlan") and r.random() < 0.4:
            words.append(f"dl_vlan_pcp={r.randrange(8)}")
    if r.random() < 0.3:
        words.append(f"reg{r.randrange(16)}={_u16(r)}")
    if r.random() < 0.2:
        words.append(f"metadata={_u16(r)}")
    if r.random() < 0.2:
        words.append(f"tun_id={_u16(r)}")
    if r.random() < 0.1:
        words.append(f"ct_mark={_u16(r)}")
    if r.random() < 0.1:
        words.append(r.choice(("ct_state=+trk-new", "pkt_mark=5", "ct_zone=3", "tun_src=1.2.3.4")))
    four = kind in ("ip", "tcp", "udp", "sctp", "icmp")
    six = kind in ("ipv6", "tcp6", "udp6", "icmp6")
    if four and r.random() < 0.6:
        words.append(f"nw_src={_ipv4(r)}")
    if four and r.random() < 0.6:
        words.append(f"nw_dst={_ipv4(r)}")
    if six and r.random() < 0.6:
        words.append(f"ipv6_src={_ipv6(r)}")
    if six and r.random() < 0.4:
        words.append(f"ipv6_dst={_ipv6(r)}")
    if (four or six) and r.random() < 0.3:
        words.append(r.choice(("nw_tos=16", "nw_ecn=2", "nw_ttl=64", "nw_frag=no", "nw_frag=first")))
    if kind in ("tcp", "udp", "sctp", "tcp6", "udp6") and r.random() < 0.6:
        words.append(f"tp_dst={_u16(r)}")
    if kind == "tcp" and r.random() < 0.3:
        words.append("tcp_flags=+syn-ack")
    if kind == "icmp" and r.random() < 0.5:
        words.append(f"icmp_type={r.randrange(256)}")
    if kind == "icmp6" and r.random() < 0.5:
        words.append("icmp_type=135,icmp_code=0,nd_target=fe80::5")
    if kind == "arp" and r.random() < 0.6:
        words.append(
            r.choice((f"arp_spa={_ipv4(r)}", "arp_op=1", f"arp_sha={_mac(r)}", f"arp_tpa={_ipv4(r)}"))
        )
    if kind == "mpls" and r.random() < 0.6:
        words.append(r.choice(("mpls_label=100", "mpls_tc=3", "mpls_bos=1")))
    return words


_ACTIONS = (
    "output:1", "2", "LOCAL", "in_port", "normal", "flood", "all", "controller", "controller:128",
    "controller(reason=no_match,id=5)", "controller(userdata=01.02.aa,pause)", "output(port=3,max_len=100)",
    "output:NXM_NX_REG0[]", "output:reg1[3..9]", "enqueue:1:5", "mod_vlan_vid:7", "mod_vlan_pcp:3",
    "strip_vlan",
    "mod_dl_src:00:11:22:33:44:55", "mod_dl_dst:00:11:22:33:44:55", "mod_nw_src:1.2.3.4",
    "mod_nw_dst:4.3.2.1",
    "mod_nw_tos:32", "mod_tp_src:80", "mod_tp_dst:81", "set_field:5->reg3", "set_field:0x10/0xf0->reg3",
    "set_field:00:11:22:33:44:55->eth_dst", "set_field:77->metadata", "set_field:5->tun_id",
    "set_field:9->pkt_mark",
    "set_field:0x123456789abcdef->xreg1", "set_field:1->xxreg0", "load:5->NXM_NX_REG0[]", "load:1->reg2[31]",
    "load:0xff->reg2[3..20]", "load:7->xxreg1[64..90]", "load:0x55->OXM_OF_METADATA[0..31]",
    "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]", "move:reg0[0..7]->reg5[8..15]", "move:tun_id[0..31]->reg1",
    "push:reg0", "push:NXM_OF_ETH_SRC[3..20]", "pop:reg1[0..5]", "set_tunnel:5", "set_tunnel:0x123456789",
    "set_tunnel64:7", "set_queue:4", "pop_queue", "resubmit:3", "resubmit(,7)", "resubmit(2,9)", "exit",
    "note:01.02.03", "note:01.02.03.04.05.06.07", "sample(probability=5,collector_set_id=6)",
    "sample(probability=5,collector_set_id=6,obs_domain_id=7,obs_point_id=8,sampling_port=9,ingress)",
    "ct_clear", "fin_timeout(idle_timeout=3)", "group:9", "clone(output:1,set_field:5->reg0)",
    "delete_field:tun_metadata3", "push:xxreg0[5..100]",
)  # fmt: skip


# What OpenFlow 1.1 and later refuse beside a match that does not ask for the right kind of packet.
_MODERN = tuple(x for x in _ACTIONS if not x.startswith(("mod_", "strip_vlan", "fin_timeout")))


def actions(r: random.Random, modern: bool = False) -> str:
    if r.random() < 0.1:
        return "drop"
    chosen = r.sample(_MODERN if modern else _ACTIONS, r.randint(1, 4))
    if r.random() < 0.1:
        chosen.append("write_metadata:0x5/0xff")
    elif r.random() < 0.1:
        chosen.append("goto_table:200")
    return ",".join(chosen)


def flow(r: random.Random, modern: bool = False) -> str:
    words = match(r)
    if r.random() < 0.5:
        words.append(f"priority={r.randrange(65536)}")
    if r.random() < 0.3:
        words.append(f"table={r.randrange(199)}")
    if r.random() < 0.3:
        words.append(f"cookie=0x{r.getrandbits(64):x}")
    if r.random() < 0.2:
        words.append(f"idle_timeout={r.randrange(65536)}")
    if r.random() < 0.2:
        words.append(f"hard_timeout={r.randrange(65536)}")
    if r.random() < 0.1:
        words.append("send_flow_rem")
    if r.random() < 0.1:
        words.append("check_overlap")
    return ",".join(words + [f"actions={actions(r, modern)}"])
