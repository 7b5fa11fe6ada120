"""Actions with one or two words changed: numbers out of range, names cut, separators lost."""

import random
import re
from typing import Final

_ACTIONS: Final = tuple(
    """output:1 output(port=1,max_len=100) output:reg0[0..15] output:NXM_NX_REG1[3..5] controller
controller:128
controller(max_len=5,id=3,reason=no_match) controller(userdata=01.02.03,pause) controller(meter_id=5)
enqueue:1:2
enqueue(1,2) resubmit:3 resubmit(,4) resubmit(1,4) resubmit(,4,ct) bundle(eth_src,50,hrw,ofport,members:1,2)
bundle_load(eth_src,0,active_backup,ofport,reg0[],members:1,2) mod_vlan_vid:5 mod_vlan_pcp:3 push_vlan:0x8100
set_vlan_vid:5 push_mpls:0x8847 pop_mpls:0x0800 mod_dl_src:00:11:22:33:44:55 mod_nw_src:1.2.3.4 mod_nw_tos:16
mod_nw_ecn:2 mod_nw_ttl:3 mod_tp_src:80 dec_ttl dec_ttl(1,2,3) set_mpls_label:5 set_mpls_tc:3 set_mpls_ttl:6
move:reg0[0..3]->reg1[4..7] load:5->reg0[0..7] load:0x1234->NXM_NX_REG3[] set_field:5->reg0
set_field:0x5/0xf->reg0 set_field:00:11:22:33:44:55->eth_src push:reg0[] pop:reg1[0..15]
multipath(eth_src,50,modulo_n,1,0,reg0[]) multipath(symmetric_l4,0,iter_hash,8,3,reg1[0..7])
learn(table=1,priority=4,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:reg0[]->reg1[],output:in_port[])
learn(table=2,eth_type=0x800,nw_proto=6,tcp_dst=80,cookie=5,fin_idle_timeout=3,limit=5,result_dst=reg0[0])
clone(set_field:5->reg0,output:2) ct(commit) ct(commit,zone=5,table=3,exec(set_field:5->ct_mark))
ct(zone=reg0[0..15],nat) ct(alg=ftp,commit) note:01.02.03 write_metadata:0x5/0xff goto_table:3 group:5 meter:3
sample(probability=5,collector_set_id=3,obs_domain_id=4,obs_point_id=5,sampling_port=1,ingress)
fin_timeout(idle_timeout=5,hard_timeout=6) write_actions(output:1) check_pkt_larger(100)->reg0[3] set_queue:5
encap(nsh(md_type=1)) delete_field:tun_metadata0 set_tunnel:5 set_tunnel64:0x123456789""".split()  # noqa: SIM905
)
_JUNK: Final = (
    "", "0", "-1", "1e3", "0x", "0xg", "65536", "4294967296", "18446744073709551616", "99999999999999999999",
    "1.5", ".", "..", ",", "(", ")", "[", "]", "x", "=", "->", "/", "reg0[3..1]", "reg0[40]", "reg9", "foo",
    "NXM_NX_REG0[]", "NXM_OF_VLAN_TCI[0..11]", "eth_src[]", "1.2.3.4", "ff", "g", "08", "+5", "tcp",
    "0x10000",
)  # fmt: skip
_MATCHES: Final = ("", "ip,", "tcp,", "ipv6,", "mpls,", "udp6,", "dl_vlan=5,", "tcp,ip_frag=later,")


def mutated_flow(r: random.Random) -> str:
    action = r.choice(_ACTIONS)
    for _ in range(r.choice((1, 1, 2))):
        words = re.split(r"([,:()=\[\]/.>-])", action)
        at = r.randrange(len(words))
        kind = r.randrange(4)
        if kind == 0:
            words[at] = r.choice(_JUNK)
        elif kind == 1:
            words.insert(at, r.choice(_JUNK))
        elif kind == 2:
            del words[at]
        else:
            numbers = [i for i, word in enumerate(words) if re.fullmatch(r"(0x)?[0-9a-f]+", word)]
            if numbers:
                words[r.choice(numbers)] = r.choice(_JUNK)
        action = "".join(words) or "x"
    return f"{r.choice(_MATCHES)}actions={action}"
