"""Random OpenFlow pipelines with every action, groups included, and packets that suit them.

Flows come as lines for ``ovs-ofctl add-flows -O OpenFlow15``.  In a table no two flows that overlap have equal
priorities: each has its own.
"""

import random
import re
from typing import NamedTuple

from trunkline.flow.key import VLAN_CFI, pack
from trunkline.flow.values import TextError
from trunkline.openflow.consistency import inconsistency
from trunkline.openflow.flow_text import OF15, parse_flow
from trunkline.packet.build import build

# ruff: noqa: E501
TABLES = 5
MACS = tuple(f"50:54:00:00:00:0{i}" for i in range(1, 6))
KINDS = ("", "ip", "tcp", "udp", "icmp", "sctp", "arp", "ipv6", "tcp6", "icmp6", "mpls")
_IP = {"ip", "tcp", "udp", "icmp", "sctp"}
_IP6 = {"ipv6", "tcp6", "icmp6"}
_PORTS = {"tcp": "tcp", "udp": "udp", "sctp": "sctp", "tcp6": "tcp"}


class Pipeline(NamedTuple):
    groups: list[str]
    flows: list[str]


def sensible(flow: str) -> bool:
    """Whether OpenFlow 1.5 can carry it and its actions suit its match: the test is not about these errors."""
    try:
        parsed = parse_flow(flow, 0)
    except TextError:
        return False
    return bool(parsed.formats & OF15) and not inconsistency(parsed.mod.actions, parsed.mod.match, 6)


class Maker:
    """Makes flows and packets from one source of chance; `without` names actions to leave out.

    `more` brings in headers that go on and off, connection tracking, and parts of tags: what the original
    often crashes of when it is mixed with all the rest, or takes long over.
    """

    def __init__(
        self, rnd: random.Random, without: frozenset[str] = frozenset(), *, more: bool = False
    ) -> None:
        self.rnd = rnd
        self.without = without
        self.more = more
        self.groups: list[int] = []

    def one(self, *words: str) -> str:
        return self.rnd.choice(words)

    # ---- matches

    def match(self, kind: str) -> list[str]:
        r = self.rnd
        words = [kind] if kind else []
        if r.random() < 0.3:
            words.append(f"in_port={r.randint(1, 4)}")
        if r.random() < 0.2:
            words.append(
                self.one(
                    "dl_src=50:54:00:00:00:01",
                    "dl_src=50:54:00:00:00:00/ff:ff:ff:ff:ff:fc",
                    "dl_dst=50:54:00:00:00:02",
                )
            )
        if r.random() < 0.2:
            words.append(
                self.one("dl_vlan=10", "vlan_tci=0", "vlan_tci=0x1000/0x1000", "dl_vlan=10,dl_vlan_pcp=3")
            )
        if r.random() < 0.3:
            words.append(self.one("reg1=1", "reg1=0/1", "reg2=0x30", "metadata=0/0xff", "reg7=0", "xreg0=0"))
        if kind in _IP and r.random() < 0.4:
            words.append(
                self.one(
                    "nw_src=10.0.0.0/30", "nw_dst=10.0.0.2", "nw_ttl=1", "nw_tos=0", "nw_ecn=1", "nw_frag=no"
                )
            )
        if kind in _IP6 and r.random() < 0.4:
            words.append(self.one("ipv6_src=fe80::/64", "ipv6_dst=fe80::2", "ipv6_label=0x5", "nw_ttl=64"))
        if kind in _PORTS and r.random() < 0.4:
            name = _PORTS[kind]
            words.append(self.one(f"{name}_src=1", f"{name}_dst=80", f"{name}_dst=0x0/0xfff0"))
        if kind == "arp" and r.random() < 0.4:
            words.append(self.one("arp_op=1", "arp_spa=10.0.0.1", "arp_tpa=10.0.0.0/24"))
        if kind == "mpls" and r.random() < 0.4:
            words.append(self.one("mpls_label=16", "mpls_bos=1", "mpls_tc=0", "mpls_bos=0"))
        return words

    # ---- actions

    def action(self, kind: str, table: int, depth: int = 0) -> str:
        while True:
            text = self._action(kind, table, depth)
            if text is not None and re.split(r"[:(]", text)[0] not in self.without:
                return text

    def _action(self, kind: str, table: int, depth: int) -> str | None:
        r = self.rnd
        families = [self._output, self._output, self._ethernet, self._register, self._nested, self._odd]
        if kind in _IP | _IP6:
            families += [self._network, self._network]
        if kind in _PORTS:
            families.append(self._transport)
        if kind in ("arp", "icmp", "mpls"):
            families += [self._special, self._special]
        return r.choice(families)(kind, table, depth)

    def _output(self, kind: str, table: int, depth: int) -> str | None:
        r = self.rnd
        return self.one(
            f"output:{r.randint(1, 4)}",
            f"output:{r.randint(1, 4)}",
            f"output:{r.randint(1, 4)}",
            "output:7",
            "in_port",
            "output:9",
            f"output(port={r.randint(1, 4)},max_len={r.choice((14, 30, 60, 500))})",
            "output:NXM_NX_REG1[]",
            "output:NXM_NX_REG6[0..15]",
            "LOCAL",
            "normal",
            "CONTROLLER:40",
            "controller(reason=no_match,id=1)",
            f"set_queue:{r.randint(0, 3)}",
            "pop_queue",
            "controller(userdata=01.02,max_len=20)",
            "drop_nothing" if False else "output:2",
        )

    def _ethernet(self, kind: str, table: int, depth: int) -> str | None:
        if self.more and self.rnd.random() < 0.5:
            return self._more(kind, table, depth)
        return self.one(
            f"set_field:{self.rnd.choice(MACS)}->eth_src",
            f"set_field:{self.rnd.choice(MACS)}->eth_dst",
            "push_vlan:0x8100",
            "load:0x5->NXM_OF_ETH_SRC[0..7]",
            "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
            "load:0->NXM_OF_VLAN_TCI[]",
            "load:0x1014->NXM_OF_VLAN_TCI[]",
            "set_field:0x3->pkt_mark",
            "push_mpls:0x8847",
            "move:NXM_OF_VLAN_TCI[0..11]->NXM_NX_REG2[4..15]",
        )

    def _more(self, kind: str, table: int, depth: int) -> str | None:
        n, later = self.rnd.randint(1, 4), min(table + 1, TABLES - 1)
        words = [
            "set_field:0x3000/0x7000->vlan_tci",
            "set_field:0x1003/0x100f->vlan_tci",
            "set_field:0x1000/0x1000->vlan_tci",
            f"clone(encap(nsh),encap(ethernet),output:{n})",
            f"encap(nsh),set_field:7->nsh_si,encap(ethernet),set_field:{MACS[1]}->eth_dst,output:{n}",
            f"clone(encap(nsh(md_type=2,tlv(0x1000,10,0x12345678))),encap(ethernet),push_vlan:0x8100,output:{n})",
        ]
        if table < later:
            words.append(f"encap(nsh),encap(ethernet),resubmit(,{later})")
        if kind in _IP | _IP6:
            words += [
                f"clone(decap(),encap(nsh),encap(ethernet),output:{n})",
                f"encap(mpls),encap(ethernet),output:{n}",
                f"ct(commit,zone={n},exec(set_field:0x{n}->ct_mark))",
                "ct_clear",
                f"ct(zone=NXM_NX_REG1[0..15],table={later})" if table < later else "ct(commit)",
                f"ct(commit,nat(src=10.0.1.{n}),table={later})"
                if kind in _IP and table < later
                else "ct_clear",
            ]
        return self.one(*words)

    def _register(self, kind: str, table: int, depth: int) -> str | None:
        r = self.rnd
        return self.one(
            f"load:{r.randint(0, 3)}->NXM_NX_REG1[]",
            "load:0x3->NXM_NX_REG2[4..7]",
            "set_field:0x7->metadata",
            "set_field:0x1/0x1->reg7",
            "move:NXM_NX_REG1[]->NXM_NX_REG3[]",
            "push:NXM_NX_REG1[]",
            "push:NXM_OF_ETH_SRC[0..15]",
            "pop:NXM_NX_REG7[]",
            "pop:NXM_NX_REG6[0..15]",
            "set_field:0x9->tun_id",
            "load:0x1122334455667788->NXM_NX_XXREG3[32..95]",
            "move:NXM_NX_XXREG0[0..63]->NXM_NX_XXREG3[0..63]",
            "push:NXM_NX_XXREG0[]",
            "pop:NXM_NX_REG1[0..1]",
            "load:0x2->NXM_NX_REG6[0..15]",
            "move:OXM_OF_METADATA[0..7]->NXM_NX_REG1[0..7]",
        )

    def _network(self, kind: str, table: int, depth: int) -> str | None:
        r = self.rnd
        if kind in _IP:
            text = self.one(
                "set_field:10.0.0.9->ip_src",
                f"set_field:10.0.0.{r.randint(1, 4)}->ip_dst",
                "load:0x7->NXM_OF_IP_SRC[0..7]",
                "move:NXM_OF_IP_SRC[]->NXM_NX_REG5[]",
                "move:NXM_NX_REG5[]->NXM_OF_IP_DST[]",
                "push:NXM_OF_IP_SRC[]",
            )
        else:
            text = self.one(
                "set_field:fe80::9->ipv6_src",
                "set_field:fe80::2->ipv6_dst",
                "set_field:0x5->ipv6_label",
                "move:NXM_NX_IPV6_SRC[]->NXM_NX_XXREG1[]",
            )
        return self.one(
            text,
            text,
            "dec_ttl",
            "dec_ttl(1,2)",
            "set_field:2->nw_ttl",
            "set_field:8->ip_dscp",
            "set_field:2->nw_ecn",
            "set_field:36->nw_tos",
        )

    def _transport(self, kind: str, table: int, depth: int) -> str | None:
        name = _PORTS[kind]
        upper = name.upper() if name in ("tcp", "udp") else ""
        words = [f"set_field:99->{name}_src", f"set_field:80->{name}_dst"]
        if upper:
            words += [
                f"move:NXM_OF_{upper}_SRC[]->NXM_OF_{upper}_DST[]",
                f"load:0x1->NXM_OF_{upper}_DST[0..3]",
            ]
        return self.one(*words)

    def _special(self, kind: str, table: int, depth: int) -> str | None:
        if kind == "arp":
            return self.one(
                "set_field:2->arp_op",
                "set_field:10.0.0.5->arp_spa",
                "set_field:50:54:00:00:00:07->arp_sha",
                "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]",
                "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
            )
        if kind == "icmp":
            return self.one("set_field:0->icmp_type", "set_field:1->icmp_code")
        return self.one(
            "dec_mpls_ttl",
            "set_field:5->mpls_label",
            "set_field:3->mpls_tc",
            "set_mpls_ttl(9)",
            "pop_mpls:0x8847",
            "pop_mpls:0x0800",
            "push_mpls:0x8847",
        )

    def _nested(self, kind: str, table: int, depth: int) -> str | None:
        r = self.rnd
        choice = r.random()
        if choice < 0.5 and table + 1 < TABLES:
            target = r.randint(table + 1, TABLES - 1)
            return self.one(
                f"resubmit(,{target})", f"resubmit(,{target})", f"resubmit({r.randint(1, 4)},{target})"
            )
        if choice < 0.7 and depth < 2:
            return f"clone({self.actions(kind, table, depth + 1, 3)})"
        if choice < 0.8:
            return (
                f"check_pkt_larger({r.choice((50, 100))})->NXM_NX_REG1[{r.randint(0, 1)}]"
                if not depth
                else None
            )
        return f"group:{r.choice(self.groups)}" if table < 3 else None  # buckets go on to tables 3 and 4

    def _odd(self, kind: str, table: int, depth: int) -> str | None:
        r = self.rnd
        fields = self.one(
            "eth_src",
            "symmetric_l4",
            "symmetric_l3l4",
            "symmetric_l3l4+udp",
            "nw_src",
            "nw_dst",
            "symmetric_l3",
        )
        basis = r.randint(0, 50)
        return self.one(
            "exit" if r.random() < 0.3 else self._plain(kind),
            "fin_timeout(idle_timeout=60,hard_timeout=90)" if kind == "tcp" else self._plain(kind),
            f"multipath({fields},{basis},{self.one('modulo_n', 'hash_threshold', 'hrw', 'iter_hash')},{r.randint(1, 9)},0,NXM_NX_REG1[0..7])",
            f"bundle({fields},{basis},{self.one('active_backup', 'hrw')},ofport,members:{r.randint(1, 4)},{r.randint(1, 9)},3)",
            f"bundle_load({fields},{basis},{self.one('active_backup', 'hrw')},ofport,NXM_NX_REG6[0..15],members:{r.randint(1, 4)},{r.randint(1, 9)},3)",
            "sample(probability=1000,collector_set_id=1,obs_domain_id=2,obs_point_id=3)",
            f"learn(table={TABLES - 1},priority={r.randint(600, 620)},hard_timeout=300,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG6[0..15],output:NXM_OF_IN_PORT[])",
            f"learn(table={TABLES - 1},priority={r.randint(621, 640)},cookie=0x77,limit=2,result_dst=NXM_NX_REG2[0],NXM_OF_ETH_SRC[],reg1={r.randint(0, 2)},load:0x5->NXM_NX_REG2[],output:NXM_NX_REG6[0..15])",
        )

    def _plain(self, kind: str) -> str:
        """A note; but not where the original might be resumed with nothing but it, for then it starts anew."""
        return "note:01.02.03" if kind != "mpls" else "output:3"

    def actions(self, kind: str, table: int, depth: int = 0, most: int = 5) -> str:
        """After a length is checked there is an output: where one case has none, the original loses others."""
        found = [self.action(kind, table, depth) for _ in range(self.rnd.randint(1, most))]
        return ",".join(found) + (",output:1" if "check" in "".join(found) else "")

    def action_set(self, kind: str, table: int) -> str:
        r = self.rnd
        words = [
            f"output:{r.randint(1, 4)}",
            "set_field:0x2->reg1",
            "set_field:50:54:00:00:00:03->eth_src",
            "push_vlan:0x8100",
            "set_queue:2",
            "load:0x1->NXM_NX_REG7[]",
        ]
        if kind in _IP:
            words += ["dec_ttl", "set_field:10.0.0.9->ip_src", "push_mpls:0x8847"]
        if table < 3:
            words.append(f"group:{r.choice(self.groups)}")
        return ",".join(r.sample(words, r.randint(1, 3)))

    # ---- whole pipelines

    def flow(self, table: int, priority: int) -> str:
        r = self.rnd
        kind = r.choice(KINDS)
        match = ",".join(self.match(kind))
        cookie = f",cookie={priority:#x}" if r.random() < 0.2 else ""
        actions = [self.actions(kind, table)] if r.random() < 0.95 else []
        if r.random() < 0.15:
            if r.random() < 0.3:
                actions.append("clear_actions")
            actions.append(f"write_actions({self.action_set(kind, table)})")
        if r.random() < 0.1:
            actions.append(f"write_metadata:{r.randint(0, 255):#x}/0xff")
        if table + 1 < TABLES and r.random() < 0.2:
            actions.append(f"goto_table:{r.randint(table + 1, TABLES - 1)}")
        text = ",".join(actions) or "drop"
        return f"table={table},priority={priority}{cookie}{',' if match else ''}{match},actions={text}"

    def group(self, number: int) -> str:
        r = self.rnd
        kind = self.one("all", "select", "select", "indirect", "ff")
        head = f"group_id={number},type={kind}"
        if kind == "select":
            head += self.one(
                "",
                "",
                ",selection_method=hash",
                ",selection_method=hash,selection_method_param=7,fields(eth_src,ip_dst=255.255.255.0)",
                ",selection_method=hash,fields(in_port,tcp_dst,metadata)",
            )
        buckets = ""
        for i in range(1 if kind == "indirect" else r.randint(1, 4)):
            weight = f"weight:{r.choice((1, 10, 200))}," if kind == "select" else ""
            watch = f"watch_port:{r.randint(1, 9)}," if kind == "ff" else ""
            words = [f"output:{r.randint(1, 4)}"]
            words += r.sample(
                [
                    "set_field:0x9->reg1",
                    "set_field:50:54:00:00:00:09->eth_dst",
                    "push_vlan:0x8100",
                    "set_field:0x1->pkt_mark",
                ],
                r.randint(0, 2),
            )
            if r.random() < 0.2:
                words = [self.one("resubmit(,4)", "resubmit(,3)")]
            buckets += f",bucket=bucket_id={i},{weight}{watch}actions={','.join(words)}"
        return head + buckets

    def pipeline(self, flows: int) -> Pipeline:
        groups = [self.group(number) for number in range(1, 5)]
        self.groups = [1, 2, 3, 4]
        found: list[str] = []
        while len(found) < flows:
            flow = self.flow(len(found) % TABLES, 500 - len(found))
            if sensible(flow):
                found.append(flow)
        for table in range(TABLES):  # for what matches nothing else
            found.append(f"table={table},priority=1,actions={self.actions('', table)}")
        return Pipeline(groups, [flow for flow in found if sensible(flow)])

    # ---- packets

    def frame(self) -> bytes:
        r = self.rnd
        fields: dict[str, int] = {
            "dl_src": 0x505400000000 | r.randint(1, 5),
            "dl_dst": 0x505400000000 | r.randint(1, 5),
            "dl_type": r.choice((0x0800, 0x0800, 0x0800, 0x86DD, 0x0806, 0x8847, 0x8847, 0x1234)),
        }
        if r.random() < 0.4:
            fields |= {
                "vlan_tci": VLAN_CFI | r.choice((10, 20)) | r.choice((0, 3)) << 13,
                "vlan_tpid": 0x8100,
            }
        kind = fields["dl_type"]
        if kind == 0x0800:
            fields |= {"nw_src": 0x0A000000 | r.randint(1, 5), "nw_dst": 0x0A000000 | r.randint(1, 5)}
        elif kind == 0x86DD:
            fields |= {
                "ipv6_src": 0xFE80 << 112 | r.randint(1, 5),
                "ipv6_dst": 0xFE80 << 112 | r.randint(1, 5),
                "ipv6_label": r.choice((0, 5)),
            }
        elif kind == 0x0806:
            fields |= {
                "arp_op": r.choice((1, 2)),
                "arp_spa": 0x0A000001,
                "arp_tpa": 0x0A000002,
                "arp_sha": fields["dl_src"],
            }
        elif kind == 0x8847:
            return self._labelled(fields)
        if kind in (0x0800, 0x86DD):
            protocol = r.choice((6, 6, 17, 132, 1 if kind == 0x0800 else 58))
            fields |= {
                "nw_proto": protocol,
                "nw_ttl": r.choice((1, 2, 64)),
                "nw_tos": r.choice((0, 0x21)),
                "tp_src": r.choice((1, 2, 300)),
                "tp_dst": r.choice((1, 80)),
            }
            if protocol == 6:
                fields["tcp_flags"] = r.choice((0x10, 0x10, 0x11, 0x02))
            if protocol in (1, 58):
                fields |= {"tp_src": r.choice((8, 3)), "tp_dst": r.choice((0, 1))}
        return self._sized(build(pack(**fields)[0]))

    def _labelled(self, fields: dict[str, int]) -> bytes:
        """MPLS over IPv4."""
        r = self.rnd
        inner = build(
            pack(
                dl_type=0x0800,
                nw_src=0x0A000001,
                nw_dst=0x0A000002,
                nw_proto=17,
                nw_ttl=64,
                tp_src=1,
                tp_dst=2,
            )[0],
            bytes(20),
        )
        labels = r.choice((1, 1, 2, 3))
        stack = b"".join(
            ((16 + i) << 12 | (i == labels - 1) << 8 | r.choice((1, 64))).to_bytes(4, "big")
            for i in range(labels)
        )
        head = build(pack({**fields, "dl_type": 0x1234})[0], b"")[:-2]
        return self._sized(head + b"\x88\x47" + stack + inner[14:])

    def _sized(self, frame: bytes) -> bytes:
        return frame + bytes(self.rnd.choice((0, 0, 60)))
