"""Tunnels beside the original's userspace datapath: settings, commands, traces, and packets on both ways."""

import itertools
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support.originals import installed
from support.switch_pair import Switch
from support.switches import Capture
from trunkline.base.addresses import parse_address
from trunkline.flow import key as layout
from trunkline.packet.build import build
from trunkline.packet.checksum import updated
from trunkline.packet.tunnels import Kind, Outer, header, pop, push

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not installed(), reason="the originals are not installed"),
]
OPTIONS = ("--enable-dummy", "--disable-system-route")
REMOTE = {4: "1.1.2.92", 6: "2001:cafe::92"}
INSIDE = "in_port=3,dl_dst=50:54:00:00:00:07"
PACKETS = (
    f"{INSIDE},ip,nw_tos=0x48,nw_ttl=33,nw_src=10.1.1.1,nw_dst=10.1.1.2",
    f"{INSIDE},icmp6,nw_tos=0x4b,nw_ttl=7,ipv6_src=fe80::1,ipv6_dst=fe80::2",
    f"{INSIDE},arp",
)


class Pair:
    """Both switches: br0 with p1 is the way out, br1 with p3 has the tunnels."""

    def __init__(self, directory: Path) -> None:
        self.original = Switch(directory / "o", ours=False, options=OPTIONS)
        self.ours = Switch(directory / "t", ours=True, options=OPTIONS)
        self.both = (self.original, self.ours)
        self.captures: list[dict[str, Capture]] = []
        for switch in self.both:
            command = []
            captures = {}
            for bridge, port in (("br0", "p1"), ("br1", "p3")):
                path = switch.directory / f"{port}.pcap"
                command += ["--", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=dummy"]
                command += ["fail-mode=secure", f"other-config:hwaddr=aa:55:aa:55:00:0{bridge[-1]}"]
                command += ["protocols=OpenFlow10,OpenFlow13,OpenFlow15"]
                command += ["--", "add-port", bridge, port, "--", "set", "interface", port, "type=dummy"]
                command += [f"ofport_request={port[-1]}", f"options:tx_pcap={path}"]
                captures[port] = Capture(path)
            switch.vsctl(*command)
            self.captures.append(captures)
        self.control("netdev-dummy/ip4addr", "br0", "1.1.2.88/24")
        self.control("netdev-dummy/ip6addr", "br0", "2001:cafe::88/24")
        self.control("ovs/route/add", "1.1.2.0/24", "br0")
        self.control("ovs/route/add", "2001:cafe::/24", "br0")
        self.know()
        self.flows("br0", "actions=NORMAL")

    def know(self) -> None:
        """The two neighbours that every test may use."""
        self.control("tnl/neigh/set", "br0", REMOTE[4], "f8:bc:12:44:34:b6")
        self.control("tnl/neigh/set", "br0", REMOTE[6], "f8:bc:12:44:34:b7")

    def control(self, *command: str) -> tuple[str, str]:
        return self.original.control(*command), self.ours.control(*command)

    def flows(self, bridge: str, *flows: str) -> None:
        for switch in self.both:
            done = switch.ofctl("-O", "OpenFlow13", "del-flows", bridge)
            assert done.returncode == 0, done.stderr
            done = switch.ofctl("-O", "OpenFlow15", "add-flows", bridge, "-", input="\n".join(flows))
            assert done.returncode == 0, done.stderr

    def tunnels(self, *tunnels: tuple[str, str, str]) -> None:
        """Ports of br1 from 20 on, each (name, type, options); those that were there before go."""
        for switch in self.both:
            command: list[str] = []
            for name in self._names(switch):
                command += ["--", "del-port", name]
            if command:
                switch.vsctl(*command)
            command = []
            for i, (name, kind, options) in enumerate(tunnels):
                command += ["--", "add-port", "br1", name, "--", "set", "interface", name, f"type={kind}"]
                command += [f"ofport_request={20 + i}", *options.split()]
            if command:
                switch.vsctl(*command)

    @staticmethod
    def _names(switch: Switch) -> list[str]:
        return re.findall(r"^port \d+: (\S+) ", switch.control("ofproto/list-tunnels"), re.M)

    def stop(self) -> None:
        for switch in self.both:
            switch.stop()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="tun.", dir="/tmp") as directory:
        pair = Pair(Path(directory))
        try:
            yield pair
        finally:
            pair.stop()


def trace(text: str) -> str:
    """Without the line that differs on purpose."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("Megaflow:"))


# ---- settings

SETTINGS = (
    ("vxlan", ""),
    ("vxlan", "remote_ip=foo"),
    ("vxlan", "remote_ip=224.1.2.3"),
    ("vxlan", "remote_ip=ff02::1"),
    ("vxlan", "remote_ip=1.2.3.4 local_ip=2001:db8::1"),
    ("vxlan", "remote_ip=1.2.3.4 bogus=3"),
    ("vxlan", "remote_ip=1.2.3.4 key=abc"),
    ("vxlan", "remote_ip=1.2.3.4 tos=300"),
    ("vxlan", "remote_ip=1.2.3.4 tos=abc"),
    ("vxlan", "remote_ip=1.2.3.4 tos=0x13"),
    ("vxlan", "remote_ip=1.2.3.4 tos=inherit ttl=inherit"),
    ("vxlan", "remote_ip=1.2.3.4 ttl=300"),
    ("vxlan", "remote_ip=1.2.3.4 ttl=0"),
    ("vxlan", "remote_ip=1.2.3.4 dst_port=8472 key=5"),
    ("vxlan", "remote_ip=flow local_ip=flow key=flow"),
    ("vxlan", "remote_ip=1.2.3.4 local_ip=flow"),
    ("vxlan", "remote_ip=flow local_ip=1.2.3.5 in_key=5 out_key=6"),
    ("vxlan", "remote_ip=1.2.3.4 in_key=flow out_key=7"),
    ("vxlan", "remote_ip=1.2.3.4 key=0x1000000"),
    ("vxlan", "remote_ip=1.2.3.4 exts=gbp"),
    ("vxlan", "remote_ip=1.2.3.4 exts=foo"),
    ("vxlan", "remote_ip=1.2.3.4 exts=gpe packet_type=ptap"),
    ("vxlan", "remote_ip=1.2.3.4 packet_type=legacy_l3"),
    ("vxlan", "remote_ip=1.2.3.4 csum=true df_default=false egress_pkt_mark=1234"),
    ("vxlan", "remote_ip=1.2.3.4 egress_pkt_mark=abc"),
    ("vxlan", "remote_ip=1.2.3.4 seq=true"),
    ("vxlan", "remote_ip=1.2.3.4 key=1 in_key=2 out_key=3"),
    ("vxlan", "remote_ip=1.2.3.4 in_key=abc out_key=def"),
    ("vxlan", "remote_ip=::ffff:1.2.3.4"),
    ("vxlan", "remote_ip=0.0.0.0"),
    ("vxlan", "remote_ip=1.2.3.4 dst_port=70000"),
    ("vxlan", "remote_ip=1.2.3.4 df_default=True csum=yes"),
    ("gre", ""),
    ("gre", "remote_ip=1.2.3.4 key=5 packet_type=legacy_l3"),
    ("gre", "remote_ip=1.2.3.4 packet_type=ptap seq=true csum=true"),
    ("gre", "remote_ip=1.2.3.4 dst_port=44"),
    ("gre", "remote_ip=1.2.3.4 key=0xffffffffffffffff"),
    ("geneve", "remote_ip=1.2.3.4 key=99"),
    ("geneve", "remote_ip=fe80::1%br0"),
    ("geneve", "remote_ip=1.2.3.4 packet_type=foo"),
    ("erspan", "remote_ip=1.2.3.4 key=1"),
    ("erspan", "remote_ip=1.2.3.4 key=1 erspan_ver=1 erspan_idx=3"),
    ("erspan", "remote_ip=1.2.3.4 key=1 erspan_ver=2 erspan_dir=1 erspan_hwid=4"),
    ("erspan", "remote_ip=1.2.3.4 key=1 erspan_ver=5"),
    ("erspan", "remote_ip=1.2.3.4 erspan_ver=1 erspan_idx=fffff1"),
    ("erspan", "remote_ip=1.2.3.4 erspan_ver=flow key=flow"),
    ("erspan", "remote_ip=1.2.3.4 erspan_ver=2 erspan_dir=5 erspan_hwid=1"),
    ("erspan", "remote_ip=1.2.3.4 erspan_ver=2 erspan_dir=1 erspan_hwid=0xff"),
    ("ip6gre", "remote_ip=fc00::2"),
    ("ip6erspan", "remote_ip=fc00::2 erspan_ver=1 erspan_idx=3"),
    ("gtpu", "remote_ip=1.2.3.4 key=5"),
    ("gtpu", "remote_ip=1.2.3.4 packet_type=legacy_l2"),
    ("bareudp", "remote_ip=1.2.3.4 dst_port=6635 payload_type=mpls"),
    ("bareudp", "remote_ip=1.2.3.4 dst_port=6635 payload_type=foo"),
    ("lisp", "remote_ip=1.2.3.4 key=5"),
    ("gre", "remote_ip=1.2.3.4 erspan_ver=5"),
    ("gre", "remote_ip=1.2.3.4 erspan_ver=1 erspan_idx=3"),
    ("vxlan", "remote_ip=1.2.3.4 erspan_ver=1 erspan_idx=fffff1"),
    ("bareudp", "remote_ip=1.2.3.4 erspan_ver=2 erspan_dir=5"),
    ("geneve", "remote_ip=1.2.3.4 payload_type=mpls"),
    ("ip6gre", "remote_ip=fc00::2 payload_type=foo"),
    ("stt", "remote_ip=1.2.3.4 key=5"),
)


def test_settings(pair: Pair) -> None:
    """What is said of them: Interface:error, ofproto/list-tunnels, dpif/show, and the log."""
    pair.tunnels()
    for kind, options in SETTINGS:
        before = [len(switch.log()) for switch in pair.both]
        said = [what_is_said(switch, kind, options) for switch in pair.both]
        assert said[1] == said[0], (kind, options)
        deadline = time.monotonic() + 20
        while True:  # the original's log is written by a thread of its own
            logged = [
                re.findall(r"(?:netdev_vport|socket_util|tunnel)\|\w+\|(.*)", switch.log()[place:])
                for switch, place in zip(pair.both, before, strict=True)
            ]
            if logged[1] == logged[0]:
                break
            assert time.monotonic() < deadline, (kind, options, logged)
            time.sleep(0.05)


def test_options_that_a_type_takes(pair: Pair) -> None:
    """Each option, given to each type without a remote_ip, so that what is not known is told in one error."""
    pair.tunnels()
    options = "csum=true seq=true dst_port=7 payload_type=ip erspan_ver=1 erspan_idx=1 erspan_dir=1"
    options += " erspan_hwid=1 exts=zork zork=1 ttl=3 tos=4 df_default=true key=3 packet_type=ptap"
    for kind in ("gre", "ip6gre", "erspan", "ip6erspan", "vxlan", "geneve", "lisp", "stt", "gtpu", "bareudp"):
        errors = [what_is_said(switch, kind, options)[0] for switch in pair.both]
        said = [re.findall(r"unknown.*?'\w+'", error) for error in errors]
        assert sorted(said[1]) == sorted(said[0]), kind
        assert any("zork" in line for line in said[0])


VALUES = {
    "packet_type": ("legacy_l2", "legacy_l3", "ptap", "foo", ""),
    "erspan_ver": ("1", "2", "0", "3", "flow", "x", "1x", "0x1", ""),
    "erspan_idx": ("0", "5", "0xfffff", "0x100000", "flow", "x", "", " 7", "7x", "-1", "+1", "9" * 20),
    "erspan_dir": ("0", "1", "2", "9", "flow", "x", "5x", "", "-1", "0x10"),
    "erspan_hwid": ("0", "3f", "0x3f", "0x40", "999", "flow", "x", ""),
    "key": ("1", "flow", "x", "", "0x1ffffffff"),
    "in_key": ("1", "flow"),
    "csum": ("true", "false", "x"),
    "seq": ("true", "false"),
    "exts": ("gpe", "foo", "", "gpe,foo", ",gpe"),
    "payload_type": ("ip", "mpls", "0x800", "foo", "", "8847", "0x", "1ffff", "+5", " 7", "7 "),
    "dst_port": ("7", "0", "x", "70000", ""),
    "tos": ("4", "3", "inherit", "x", "0x10", "", "256", " 4"),
    "ttl": ("3", "inherit", "x", "300", ""),
    "df_default": ("true", "false", "x"),
    "egress_pkt_mark": ("5", "5x", "x", "0x10", "010", "0xffffffffff", "4294967296", "-1", ""),
    "local_ip": ("1.1.1.1", "flow", "2001::1", "x", ""),
    "use_ssl_cert": ("true",),
    "certificate": ("x",),
}
TYPES = ("gre", "ip6gre", "erspan", "ip6erspan", "vxlan", "geneve", "lisp", "stt", "gtpu", "bareudp")


def drawn(chance: random.Random, number: int) -> tuple[str, list[str]]:
    """A type and options; no two numbers have the same remote_ip."""
    kind = chance.choice(TYPES)
    named = set(chance.sample(sorted(VALUES), chance.choice((1, 1, 2, 2, 3))))
    if "erspan" in kind:
        named.update(chance.sample(sorted(name for name in VALUES if "erspan" in name), chance.randint(0, 3)))
    remote = f"fc00::{number + 1:x}" if kind.startswith("ip6") else f"1.3.{number}.2"
    words = [f'options:{name}="{chance.choice(VALUES[name])}"' for name in sorted(named)]
    return kind, [f"options:remote_ip={remote}", *words]


def test_generated_settings(pair: Pair) -> None:
    """Errors, and what dpif/show has of tunnels without.  Which of several mistakes is met first is a matter
    of how the original keeps its options: then the one that ends it is among them."""
    pair.tunnels()
    chance = random.Random(3)
    for _ in range(3):
        tunnels = {f"g{number}": drawn(chance, number) for number in range(50)}
        seen = []
        for switch in pair.both:
            add: list[str] = []
            for name, (kind, options) in tunnels.items():
                add += [
                    "--",
                    "add-port",
                    "br1",
                    name,
                    "--",
                    "set",
                    "interface",
                    name,
                    f"type={kind}",
                    *options,
                ]
            switch.vsctl(*add[1:])
            database = switch.originals.database
            words = (f"--db={database}", "-f", "json", "--columns=name,error", "list", "interface")
            rows = json.loads(switch.originals.run("ovs-vsctl", *words).stdout)["data"]
            shown = dict(re.findall(r"^    (g\d+) \d+/(.*)$", switch.control("dpif/show"), re.M))
            seen.append((dict(rows), {name: text.partition(":")[2] for name, text in shown.items()}))
            switch.vsctl(*[word for name in tunnels for word in ("--", "del-port", name)][1:])
        for name, case in tunnels.items():
            (theirs, text), (ours, own) = [(errors[name], shown.get(name)) for errors, shown in seen]
            assert own == text, case
            if ours != theirs:
                several = (case, theirs, ours)
                assert ours, several
                assert "\n" in ours, several
                last = [lines.split("\n")[-1] for lines in (theirs, ours)]
                assert last[0] == last[1] or "erspan" in last[0] or "could not set" in last[0], several


def test_numbers_of_gre(pair: Pair) -> None:
    """What tnl_push says of the type is by the outer addresses."""
    kinds = ("gre", "ip6gre", "erspan", "ip6erspan")
    tunnels = []
    for kind, family in itertools.product(kinds, REMOTE):
        version = "" if "gre" in kind else "options:erspan_ver=1"
        key = 3 + len(tunnels)
        tunnels.append((f"k{key}", kind, f"options:remote_ip={REMOTE[family]} options:key={key} {version}"))
    pair.tunnels(*tunnels)
    pair.flows("br1", f"in_port=3 actions={','.join(str(20 + number) for number in range(len(tunnels)))}")
    shown = pair.control("ofproto/trace", "br1", PACKETS[0])
    theirs, ours = (re.sub(r"tnl_port\(\d+\)", "tnl_port(N)", trace(text)) for text in shown)
    assert ours == theirs
    assert ours.count(",type=") == len(tunnels)


def test_erspan_of_no_version(pair: Pair) -> None:
    pair.tunnels(
        ("a", "erspan", "options:remote_ip=1.1.2.92 options:key=3"),
        ("b", "ip6erspan", "options:remote_ip=2001:cafe::92 options:erspan_ver=flow"),
    )
    versions = [f"set_field:{version}->tun_erspan_ver,21" for version in (1, 3, 2, 0)]
    pair.flows("br1", f"in_port=3 actions=20,21,{','.join(versions)}")
    theirs, ours = pair.control("ofproto/trace", "br1", PACKETS[0])
    assert trace(ours) == trace(theirs)
    assert ours.count("native tunnel header build failed") == 4


def what_is_said(switch: Switch, kind: str, options: str) -> tuple[str, str, list[str]]:
    words = [f"options:{option}" for option in options.split()]
    switch.vsctl(
        "--may-exist", "add-port", "br1", "tt", "--", "set", "interface", "tt", f"type={kind}", *words
    )
    error = switch.originals.run(
        "ovs-vsctl", f"--db={switch.originals.database}", "get", "interface", "tt", "error"
    ).stdout
    shown = re.findall(r"^    tt \d+/(.*)$", switch.control("dpif/show"), re.M)
    listed = switch.control("ofproto/list-tunnels")
    switch.vsctl("del-port", "br1", "tt")
    return error, listed, shown


def test_two_of_one_kind(pair: Pair) -> None:
    """Only one of them can be; what is wrong with the other is said."""
    pair.tunnels(("a", "vxlan", "options:remote_ip=1.2.3.4"))
    for switch in pair.both:
        switch.vsctl("--no-wait", "add-port", "br1", "b", "--", "set", "interface", "b", "type=vxlan",
                     "options:remote_ip=1.2.3.4")  # fmt: skip
        deadline = time.monotonic() + 20
        while "could not add network device b to ofproto (File exists)" not in switch.log():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert re.findall(r"tunnel\|WARN\|(.*)", switch.log())[-1] == (
            "b: attempting to add tunnel port with same config as port 'a' "
            "(::->1.2.3.4, key=0, legacy_l2, dp port=4789)"
        )
        switch.vsctl("del-port", "br1", "b")


# ---- traces

TRACED = (
    ("vxlan", "key=flow", "set_field:0x1234567->tun_id,20"),
    ("vxlan", "key=5 tos=inherit ttl=inherit df_default=false csum=true", "20"),
    ("vxlan", "key=5 tos=0x10 ttl=9 dst_port=8472", "20,mod_dl_src:00:00:00:00:00:09,20,LOCAL"),
    ("vxlan", "key=5 exts=gpe packet_type=ptap", "20"),
    ("vxlan", "in_key=1 out_key=flow", "20,set_field:7->tun_id,20"),
    ("vxlan", "", "set_queue:5,set_field:3->reg0,set_field:4->metadata,20"),
    ("geneve", "key=5", "set_field:1->tun_flags,20"),
    ("geneve", "key=flow csum=true", "push_vlan:0x8100,set_field:4100->vlan_vid,20,LOCAL"),
    ("gre", "", "20"),
    ("gre", "key=flow", "20"),
    ("gre", "key=5 csum=true", "20"),
    ("gre", "seq=true", "20"),
    ("gre", "key=7 csum=true seq=true", "20,20"),
    ("gre", "packet_type=ptap", "20"),
    ("gre", "packet_type=legacy_l3 key=3", "20"),
    ("erspan", "key=5 erspan_ver=1 erspan_idx=3", "20"),
    ("erspan", "key=5 erspan_ver=2 erspan_dir=1 erspan_hwid=7", "20"),
    ("gtpu", "key=5", "20"),
    ("gtpu", "key=flow tos=inherit ttl=7", "set_field:0x12345678->tun_id,20"),
    ("gtpu", "key=5 packet_type=ptap", "20"),
)
OVER_IPV6 = {"erspan": "ip6erspan", "gre": "ip6gre"}


def lead_into_tunnels(pair: Pair, cases: Sequence[tuple[str, str, str]], family: int) -> None:
    """A tunnel of br1 for each (type, options, actions), to a neighbour that is known, and a flow into it for
    packets from an address of its own."""
    tunnels, flows = [], []
    for i, (kind, options, actions) in enumerate(cases):
        remote = f"1.1.2.{100 + i}" if family == 4 else f"2001:cafe::1{i:02x}"
        pair.control("tnl/neigh/set", "br0", remote, f"f8:bc:12:44:35:{i:02x}")
        if family == 6:
            kind = OVER_IPV6.get(kind, kind)
            options = options.replace("packet_type=legacy_l3", "")
        words = " ".join(f"options:{option}" for option in [f"remote_ip={remote}", *options.split()])
        tunnels.append((f"tt{i}", kind, words))
        flows.append(f"dl_src=50:54:00:00:00:{i:02x},actions={actions.replace('20', str(20 + i))}")
    pair.tunnels(*tunnels)
    pair.flows("br1", *flows)


@pytest.mark.parametrize("family", [4, 6])
def test_traces(pair: Pair, family: int) -> None:
    """A packet into each kind of tunnel."""
    lead_into_tunnels(pair, TRACED, family)
    for i, case in enumerate(TRACED):
        for packet in PACKETS:
            original, ours = pair.control("ofproto/trace", "br1", f"{packet},dl_src=50:54:00:00:00:{i:02x}")
            assert trace(ours) == trace(original), (case, packet)


# ---- options of Geneve

MAPPED = "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=2,len=8}->tun_metadata2"
CRITICAL = "{class=0xffff,type=0x86,len=4}->tun_metadata63"
TLV_COMMANDS = (
    ("dump-tlv-map", "br1"),
    ("add-tlv-map", "br1", MAPPED),
    ("add-tlv-map", "br1", "{class=0xffff,type=0,len=4}->tun_metadata1"),
    ("add-tlv-map", "br1", "{class=0xffff,type=1,len=4}->tun_metadata0"),
    ("add-tlv-map", "br1", "{class=0xffff,type=3,len=124}->tun_metadata3"),
    ("add-tlv-map", "br1", "{class=0xffff,type=4,len=124}->tun_metadata4"),
    ("add-tlv-map", "br1", "{class=0xffff,type=0x86,len=4}->tun_metadata63"),
    ("dump-tlv-map", "br1"),
    ("add-flow", "br1", "tun_metadata1=0x1234,actions=drop"),
    ("add-flow", "br1", "tun_metadata0=0x1234,actions=drop"),
    ("add-flow", "br1", "tun_metadata2=0x77/0xff,actions=set_field:7->tun_metadata0,LOCAL"),
    ("add-flow", "br1", "tun_metadata0=5,actions=set_field:7->tun_metadata0,"
     "set_field:0x1122334455667788->tun_metadata2,"
     "move:tun_metadata0[0..15]->tun_metadata2[0..15],load:3->tun_metadata0[4..7],delete_field:tun_metadata2,LOCAL"),
    ("add-flow", "br1", "actions=set_field:7->tun_metadata9,LOCAL"),
    ("add-flow", "br1", "actions=delete_field:tun_metadata9,LOCAL"),
    ("dump-flows", "br1"),
    ("dump-flows", "br1", "tun_metadata0=5"),
    ("del-tlv-map", "br1", "{class=0xffff,type=0,len=4}->tun_metadata0"),
    ("del-tlv-map", "br1"),
    ("del-flows", "br1"),
    ("del-tlv-map", "br1", "{class=0xffff,type=0,len=4}->tun_metadata0"),
    ("dump-tlv-map", "br1"),
    ("del-tlv-map", "br1"),
    ("dump-tlv-map", "br1"),
)  # fmt: skip
CHANGES = re.compile(r"duration=[0-9.]+s, |xid=0x[0-9a-f]+")


def test_the_table_of_options(pair: Pair) -> None:
    pair.flows("br1")
    seen = []
    for switch in pair.both:
        done = [switch.ofctl("-O", "OpenFlow13", *command) for command in TLV_COMMANDS]
        seen.append([(one.returncode, CHANGES.sub("", one.stdout + one.stderr)) for one in done])
    for command, original, ours in zip(TLV_COMMANDS, *seen, strict=True):
        assert sorted(ours[1].splitlines()) == sorted(original[1].splitlines()), command
        assert ours[0] == original[0], command


OPTIONED = (
    "in_port=3,ip",
    "in_port=20,tun_src=1.1.2.92,tun_dst=1.1.2.88,tun_metadata0=7,tun_metadata2=3,ip",
    "in_port=20,tun_src=1.1.2.92,tun_dst=1.1.2.88,tun_metadata0=8,ip",
)
RAW = (
    "{class=0xffff,type=0,len=4,7}{class=0xffff,type=2,len=8,0x9}",
    "{class=0xffff,type=0,len=4,8}{class=0xfffe,type=2,len=8,0x9}",
    "{class=0xffff,type=2,len=8,0x1234567890}{class=0xffff,type=0,len=4,7}",
)


def test_traces_of_options(pair: Pair) -> None:
    pair.tunnels(("tt", "geneve", "options:remote_ip=flow options:key=flow"))
    pair.flows("br1")
    for switch in pair.both:
        switch.ofctl(
            "-O",
            "OpenFlow13",
            "add-tlv-map",
            "br1",
            f"{MAPPED},{CRITICAL}",
        )
    pair.flows(
        "br1",
        "in_port=3,actions=set_field:1.1.2.92->tun_dst,set_field:7->tun_metadata0,"
        "set_field:0x1122334455667788->tun_metadata2,set_field:5->tun_metadata63,20",
        "in_port=20,tun_metadata0=7,actions=move:tun_metadata2[0..15]->reg0[0..15],LOCAL",
    )
    for packet in OPTIONED:
        original, ours = pair.control("ofproto/trace", "br1", packet)
        assert trace(ours) == trace(original), packet
    for raw in RAW:
        flow = f"tunnel(tun_id=5,src=1.1.2.92,dst=1.1.2.88,ttl=64,geneve({raw}),flags()),in_port(6081),"
        original, ours = pair.control("ofproto/trace", "ovs-dummy", flow + "eth(),eth_type(0x0800),ipv4()")
        assert trace(ours) == trace(original), raw
    pair.flows("br1")
    for switch in pair.both:
        switch.ofctl("-O", "OpenFlow13", "del-tlv-map", "br1")


# ---- packets

CARRIED = tuple(
    case
    for case in TRACED
    if case[2].count("20") == 1 and "erspan_ver=2" not in case[1]  # that tells the time
)
FAMILIES = ("udp", "tcp", "ip6", "arp", "tagged")


def inner(kind: str, serial: int) -> bytes:
    """A packet for a tunnel."""
    values: dict[str, int] = {"dl_dst": 0x505400000007, "dl_src": 0x505400000000 | serial}
    if kind == "arp":
        values |= {"dl_type": 0x0806, "arp_op": 1, "arp_spa": 0x0A000001, "arp_tpa": 0x0A000002}
    elif kind == "ip6":
        values |= {"dl_type": 0x86DD, "nw_proto": 17, "ipv6_src": 1 << 120, "ipv6_dst": 2 << 120, "tp_dst": 9}
        values |= {"nw_ttl": 9, "nw_tos": 0x4B}
    else:
        values |= {"dl_type": 0x0800, "nw_proto": 6 if kind == "tcp" else 17, "nw_src": 0x0A000001}
        values |= {"nw_dst": 0x0A000002, "tp_src": 1000 + serial, "tp_dst": 80, "nw_ttl": 33, "nw_tos": 0x4A}
        if kind == "tagged":
            values |= {"vlan_tci": 0x1005, "vlan_tpid": 0x8100}
    return build(layout.pack(values)[0])


def arrivals(pair: Pair, port: str, packets: list[tuple[str, bytes]], count: int) -> list[list[bytes]]:
    """What comes out of `port` of both when they are given (port, frame) pairs, in order."""
    found = []
    for switch, captures in zip(pair.both, pair.captures, strict=True):
        captures[port].new()
        for name, frame in packets:
            answer = switch.control("netdev-dummy/receive", name, frame.hex())
            assert not answer.startswith("error"), answer
        out: list[bytes] = []
        deadline = time.monotonic() + 20
        while len(out) < count:
            assert time.monotonic() < deadline, (switch.ours, len(out), count)
            out += captures[port].new()
            time.sleep(0.02)
        found.append(out)
    return found


def without_wrong_sum(frame: bytes) -> bytes:
    """Over GTP-U the original always sends a checksum, and makes it before it fills in GTP's length."""
    at = 34 if frame[12] == 8 else 54
    if frame[at + 2 : at + 4] != (2152).to_bytes(2, "big") or frame[20 if at == 54 else 23] != 17:
        return frame
    if frame[at + 16] >> 4 in (4, 6):
        assert pop("gtpu", frame) is not None
    return frame[: at + 6] + bytes(2) + frame[at + 8 :]


@pytest.mark.parametrize("family", [4, 6])
def test_packets_into_tunnels(pair: Pair, family: int) -> None:
    """The same outer packets, to the last byte."""
    lead_into_tunnels(pair, CARRIED, family)
    packets = []
    for i in range(len(CARRIED)):
        packets += [("p3", inner(one, i)) for one in FAMILIES]
    pair.control("revalidator/wait")
    original, ours = arrivals(pair, "p1", packets, len(packets))
    for packet, expected, got in zip(packets, original, ours, strict=True):
        assert without_wrong_sum(got).hex() == without_wrong_sum(expected).hex(), packet


INCOMING = (
    ("vxlan", "key=5", "key"),
    ("vxlan", "in_key=flow", "key"),
    ("geneve", "key=flow", "key"),
    ("geneve", "key=7 csum=true", "csum|key"),
    ("gre", "", ""),
    ("gre", "key=9", "key"),
    ("gre", "key=9 csum=true", "csum|key"),
)


def outer(kind: str, i: int, family: int, flags: str, key: int, frame: bytes, tos: int = 0) -> bytes:
    """A packet from a tunnel's peer."""
    ends = [parse_address(text) for text in (f"1.1.2.{100 + i}", "1.1.2.88")]
    if family == 6:
        ends = [parse_address(text) for text in (f"2001:cafe::1{i:02x}", "2001:cafe::88")]
    assert ends[0] is not None
    assert ends[1] is not None
    bits = sum({"csum": layout.TUN_CSUM, "key": layout.TUN_KEY}[one] for one in flags.split("|") if one)
    tunnel = layout.pack(
        {"tun_id": key, "tun_ttl": 64, "tun_tos": tos, "tunnel_flags": bits | layout.TUN_DF}
    )[0]
    port = {"vxlan": 4789, "geneve": 6081, "gtpu": 2152}.get(kind, 0)
    head = header(Kind(kind, port), Outer(0xF8BC12443500 + i, 0xAA55AA550000, *ends), tunnel)
    return push(head, frame, 5555, 0)


@pytest.mark.parametrize("family", [4, 6])
def test_packets_out_of_tunnels(pair: Pair, family: int) -> None:
    """The same packets, of the same tunnel; those that nobody asked for, and damaged ones, vanish."""
    tunnels, flows, packets, bad = [], [], [], []
    for i, (kind, options, flags) in enumerate(INCOMING):
        remote = f"1.1.2.{100 + i}" if family == 4 else f"2001:cafe::1{i:02x}"
        words = " ".join(f"options:{option}" for option in [f"remote_ip={remote}", *options.split()])
        tunnels.append((f"tt{i}", OVER_IPV6.get(kind, kind) if family == 6 else kind, words))
        flows.append(f"in_port={20 + i},actions=mod_dl_src:00:00:00:00:00:{i:02x},output:3")
        found = re.search(r"key=(\d+)", options)
        number = int(found[1]) if found else 0
        for j, one in enumerate(FAMILIES):
            tos = (0, 1, 2, 3, 0x40)[j]
            frame = outer(kind, i, family, flags, number, inner(one, i), tos)
            packets.append(("p1", frame))
            bad.append(("p1", outer(kind, i + 50, family, flags, number, inner(one, i))))
            bad.append(("p1", frame[:60]))
        if found:
            bad.append(("p1", outer(kind, i, family, flags, number + 1, inner("udp", i))))
    pair.tunnels(*tunnels)
    pair.flows("br1", *flows)
    pair.control("revalidator/wait")
    last = outer("gre", 4, family, "", 0, inner("udp", 4))  # comes after all others
    expected, got = arrivals(pair, "p3", [*packets, *bad, ("p1", last)], len(packets) + 1)
    assert [one.hex() for one in got] == [one.hex() for one in expected]


@pytest.mark.parametrize("family", [4, 6])
def test_packets_out_of_gtpu(pair: Pair, family: int) -> None:
    """With a sequence number or none, an Ethernet header on the bridge or none, and messages that are
    none of a user's.

    The original takes the byte where an IPv4 header has its TTL for the one with the version, so that is 64.
    """
    remotes = [f"1.1.2.{100 + i}" if family == 4 else f"2001:cafe::1{i:02x}" for i in range(2)]
    pair.tunnels(
        ("plain", "gtpu", f"options:remote_ip={remotes[0]} options:key=7"),
        ("ptap", "gtpu", f"options:remote_ip={remotes[1]} options:key=flow options:packet_type=ptap"),
    )
    pair.flows(
        "br1",
        "in_port=20,tun_gtpu_flags=0x30/0xf7,actions=set_field:00:00:00:00:00:01->eth_dst,output:3",
        "in_port=20,tun_gtpu_flags=0x32,actions=set_field:00:00:00:00:00:02->eth_dst,output:3",
        "in_port=21,tun_gtpu_msgtype=255,packet_type=(1,0x800),actions=encap(ethernet),"
        "set_field:00:00:00:00:00:03->eth_dst,output:3",
    )
    packets = []
    for i in range(2):
        for j, one in enumerate(("udp", "tcp", "tagged")):
            inside = inner(one, i)[18 if one == "tagged" else 14 :]
            inside = inside[:8] + b"\x40" + inside[9:]
            plain = outer("gtpu", i, family, "key", 7, inside, (0, 2, 0x40)[j])
            at = 42 if family == 4 else 62
            packets.append(("p1", plain))
            if i == 0:
                longer = outer("gtpu", i, family, "key", 7, b"\0\1\0\0" + inside)
                packets.append(("p1", with_byte(longer, at, 0x32)))
    bad = [("p1", with_byte(packets[0][1], at + 1, 1)), ("p1", packets[0][1][:60])]
    pair.control("revalidator/wait")
    expected, got = arrivals(pair, "p3", [*bad, *packets], len(packets))
    assert [one.hex() for one in got] == [one.hex() for one in expected]


def with_byte(frame: bytes, at: int, value: int) -> bytes:
    """One byte of GTP-U another, and the checksum of UDP, if there is one, right."""
    own = 34 if frame[12] == 8 else 54
    changed = frame[:at] + bytes((value,)) + frame[at + 1 :]
    if changed[own + 6 : own + 8] == bytes(2):
        return changed
    before, after = frame[at & ~1 : (at & ~1) + 2], changed[at & ~1 : (at & ~1) + 2]
    total = updated(int.from_bytes(frame[own + 6 : own + 8], "big"), before, after) or 0xFFFF
    return changed[: own + 6] + total.to_bytes(2, "big") + changed[own + 8 :]


# ---- commands

COMMANDS = """
ovs/route/show
ovs/route/add 10.0.0.0/8 br0 1.1.2.1
ovs/route/add 10.1.0.0/16 br0 1.1.2.2 pkt_mark=5
ovs/route/add 10.1.0.0/16 br0 1.1.2.3 pkt_mark=0
ovs/route/add 0.0.0.0/0 br0 1.1.2.1
ovs/route/add 10.2.0.0/16 nodev
ovs/route/add 10.2.0.0/16 p3
ovs/route/add foo br0
ovs/route/add 10.2.0.0/16 br0 foo
ovs/route/add 10.2.0.0/16 br0 2001:db8::1
ovs/route/add 10.2.0.0/16 br0 1.1.2.1 foo=4
ovs/route/add 10.2.0.0/16 br0 pkt_mark=7
ovs/route/add 10.2.0.0 br0
ovs/route/add 10.2.0.0/40 br0
ovs/route/add 2001:db8::/64 br0 2001:cafe::1
ovs/route/add ::/0 br0 2001:cafe::1
ovs/route/add 99.0.0.0/8 br1
ovs/route/show
ovs/route/lookup 10.1.2.3
ovs/route/lookup 10.1.2.3 pkt_mark=5
ovs/route/lookup 10.1.2.3 pkt_mark=6
ovs/route/lookup 10.1.2.3 foo=6
ovs/route/lookup foo
ovs/route/lookup 2001:db8::7
ovs/route/lookup 99.1.1.1
ovs/route/del 10.1.0.0/16
ovs/route/del 10.1.0.0/16
ovs/route/del 10.1.0.0/16 pkt_mark=5
ovs/route/del 10.1.0.0/17
ovs/route/del foo
ovs/route/del 10.0.0.0/8
ovs/route/del 0.0.0.0/0
ovs/route/del ::/0
ovs/route/del 2001:db8::/64
ovs/route/show
tnl/ports/show
tnl/neigh/set br0 1.1.2.x f8:bc:12:44:34:b6
tnl/neigh/set br0 1.1.2.3 f8:bc:12:44:34
tnl/arp/set nobr 1.1.2.3 f8:bc:12:44:34:b8
tnl/arp/show
tnl/neigh/aging
tnl/neigh/aging 20
tnl/neigh/aging
tnl/neigh/aging 0
tnl/neigh/aging abc
tnl/neigh/aging 4000
tnl/neigh/aging 3600
tnl/egress_port_range
tnl/egress_port_range 5000 4000
tnl/egress_port_range 5000 70000
tnl/egress_port_range 5
tnl/egress_port_range 32768 61000
netdev-dummy/ip4addr br0 foo
netdev-dummy/ip4addr nobr 1.2.3.4/24
netdev-dummy/ip6addr br0 foo
dpctl/show
ofproto/list-tunnels
"""


def test_commands(pair: Pair) -> None:
    """The same words, in whatever order lists are."""
    pair.tunnels(
        ("a", "vxlan", "options:remote_ip=1.1.2.92"),
        ("b", "geneve", "options:remote_ip=1.1.2.92 options:csum=true"),
        ("c", "gre", "options:remote_ip=2001:cafe::92"),
        ("d", "vxlan", "options:remote_ip=2001:cafe::92 options:dst_port=8472"),
    )
    pair.control("tnl/neigh/flush")  # the original has also learned from packets of tunnels
    for command in COMMANDS.split("\n")[1:-1]:
        answers = [
            sorted(line for line in answer.splitlines() if not re.match(r"  (lookups|flows|port 0)", line))
            for answer in pair.control(*command.split())
        ]
        assert answers[1] == answers[0], command
    pair.know()


def test_neighbours_are_asked_and_learned(pair: Pair) -> None:
    """A packet for an unknown neighbour makes a question, the answer lets the next packet through."""
    for family, remote in ((4, "1.1.2.55"), (6, "2001:cafe::55")):
        pair.tunnels(("tt", "vxlan", f"options:remote_ip={remote} options:key={family}"))
        pair.flows("br1", "in_port=3,actions=20")
        pair.control("revalidator/purge")
        expected, got = arrivals(pair, "p1", [("p3", inner("udp", 9))], 1)
        assert got[0].hex() == expected[0].hex()
        mac = 0x020000000055
        if family == 4:
            fields = {"dl_dst": 0xAA55AA550000, "dl_src": mac, "dl_type": 0x0806, "arp_op": 2, "arp_sha": mac}
            fields |= {"arp_spa": 0x01010237, "arp_tpa": 0x01010258, "arp_tha": 0xAA55AA550000}
        else:
            own, peer = (parse_address(text) or 0 for text in ("2001:cafe::88", remote))
            fields = {
                "dl_dst": 0xAA55AA550000,
                "dl_src": mac,
                "dl_type": 0x86DD,
                "nw_proto": 58,
                "nw_ttl": 255,
            }
            fields |= {
                "icmpv6_type": 136,
                "ipv6_src": peer,
                "ipv6_dst": own,
                "nd_target": peer,
                "nd_tll": mac,
            }
        answer = build(layout.pack(fields)[0])
        for switch in pair.both:
            switch.control("netdev-dummy/receive", "p1", answer.hex())
            deadline = time.monotonic() + 20
            while not re.search(
                rf"^{remote} +02:00:00:00:00:55 +br0$", switch.control("tnl/neigh/show"), re.M
            ):
                assert time.monotonic() < deadline, (switch.ours, switch.control("tnl/neigh/show"))
                time.sleep(0.05)
        through = []
        for switch, captures in zip(pair.both, pair.captures, strict=True):
            captures["p1"].new()
            deadline = time.monotonic() + 20
            found: list[bytes] = []
            while not found:  # the flow that dropped them is found by what it has read
                assert time.monotonic() < deadline, switch.control("dpctl/dump-flows")
                switch.control("netdev-dummy/receive", "p3", inner("udp", 9).hex())
                time.sleep(0.05)
                found = [one for one in captures["p1"].new() if len(one) > len(inner("udp", 9))]
            through.append(found[0].hex())
        assert through[1] == through[0]


def test_the_datapath_may_do_it(pair: Pair) -> None:
    """Where the datapath puts headers on by itself, it is told the tunnel's fields."""
    tunnels, flows = [], []
    for i, (kind, options, actions) in enumerate(TRACED):
        words = " ".join(f"options:{option}" for option in [f"remote_ip=1.1.2.{100 + i}", *options.split()])
        tunnels.append((f"tt{i}", kind, words))
        flows.append(f"dl_src=50:54:00:00:00:{i:02x},actions={actions.replace('20', str(20 + i))}")
    pair.tunnels(*tunnels)
    pair.flows("br1", *flows)
    assert pair.control("dpif/set-dp-features", "br0", "tnl_push_pop", "false") == ("", "")
    try:
        for i, case in enumerate(TRACED):
            for packet in PACKETS:
                flow = f"{packet},dl_src=50:54:00:00:00:{i:02x}"
                original, ours = pair.control("ofproto/trace", "br1", flow)
                assert trace(ours) == trace(original), (case, packet)
    finally:
        pair.control("dpif/set-dp-features", "br0", "tnl_push_pop", "true")


def test_patch_ports_forget_tunnels(pair: Pair) -> None:
    """To the bridge behind a patch port a packet comes from no tunnel."""
    pair.tunnels(("tt", "vxlan", "options:remote_ip=1.1.2.92 options:key=flow"))
    for switch in pair.both:
        switch.vsctl("add-br", "br2", "--", "set", "bridge", "br2", "datapath_type=dummy", "fail-mode=secure",
                     "protocols=OpenFlow13,OpenFlow15", "other-config:hwaddr=aa:55:aa:55:00:02",
                     "--", "add-port", "br1", "pa", "--", "set", "interface", "pa", "type=patch",
                     "options:peer=pb", "ofport_request=30", "--", "add-port", "br2", "pb",
                     "--", "set", "interface", "pb", "type=patch", "options:peer=pa")  # fmt: skip
    flows = "in_port=3,actions=set_field:5->tun_id,output:30,LOCAL"
    pair.flows("br1", flows, "in_port=20,actions=output:30,LOCAL", "in_port=30,actions=20")
    pair.flows("br2", "priority=9,tun_id=5,actions=drop", "priority=8,tun_id=0,actions=in_port")
    for packet in ("in_port=3,ip", "in_port=20,tun_src=1.1.2.92,tun_dst=1.1.2.88,tun_id=5,ip"):
        original, ours = pair.control("ofproto/trace", "br1", packet)
        assert trace(ours) == trace(original), packet
    for switch in pair.both:
        switch.vsctl("del-br", "br2", "--", "del-port", "br1", "pa")
