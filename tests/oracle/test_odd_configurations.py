"""Configurations that only a mistake makes, beside the original: what comes of them, what is logged."""

import difflib
import re
import time
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Switch, fresh_pair

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("openflow_tables")]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def ports(switch: Switch) -> dict[str, list[str]]:
    """The ports that bridges really have, by bridge."""
    found: dict[str, list[str]] = {}
    bridge = ""
    for line in switch.control("dpif/show").splitlines()[1:]:
        if line.startswith("    "):
            found[bridge].append(line.split()[0])
        else:
            bridge = line.strip(" :")
            found[bridge] = []
    return {bridge: sorted(names) for bridge, names in found.items()}


def wait_until(switch: Switch, wanted: dict[str, list[str]], what: object) -> None:
    deadline = time.monotonic() + 20
    while (has := ports(switch)) != wanted:
        assert time.monotonic() < deadline, (what, has, wanted, switch.ours)
        time.sleep(0.02)


NEW = "add-br {0} -- set bridge {0} datapath_type=dummy"
CLAIM_PORT = "--id=@p get port p1 -- add bridge {0} ports @p"
CLAIM_INTERFACE = "--id=@i get interface p1 -- --id=@p create port name={1} interfaces=@i"
CLAIM_INTERFACE += " -- add bridge {0} ports @p"
P1 = "set interface p1 type=dummy ofport_request=1"

# A mistake, how it is mended, and what there is then.
MENDED = (
    ((NEW.format("h9"), CLAIM_PORT.format("h9")), "remove bridge h9 ports {p1}", {"br0": True, "h9": False}),
    ((CLAIM_PORT.format("h9"),), "remove bridge br0 ports {p1}", {"br0": False, "h9": True}),
    ((CLAIM_PORT.format("br0"),), "remove bridge h9 ports {p1}", {"br0": True, "h9": False}),
    ((CLAIM_PORT.format("h9"),), "del-br h9", {"br0": True}),
    ((NEW.format("h9"), CLAIM_INTERFACE.format("h9", "other")), "del-port other", {"br0": True, "h9": False}),
    ((CLAIM_INTERFACE.format("h9", "other"),), "del-br h9", {"br0": True}),
    ((CLAIM_INTERFACE.format("br0", "more"),), "del-port more", {"br0": True}),
    ((NEW.format("h9"), CLAIM_INTERFACE.format("h9", "more")), "del-port p1", {"br0": False, "h9": True}),
)


def test_what_two_have(pair: Pair) -> None:
    """A port in two bridges, an interface in two ports: once that is mended, traffic flows again."""
    for mistake, mending, wanted in MENDED:
        for switch in pair.both:
            for line in mistake:
                switch.vsctl(*line.split())
            run = switch.originals.run
            uuid = run("ovs-vsctl", f"--db={switch.originals.database}", "get", "port", "p1", "_uuid").stdout
            switch.vsctl(*mending.format(p1=uuid.strip()).split())
            others = {"br0": ["br0", "p2", "p3", "p4"], "h9": ["h9"]}
            names = {
                bridge: sorted([*others[bridge], *(["p1"] if has else [])]) for bridge, has in wanted.items()
            }
            wait_until(switch, names, (mistake, mending))
    for switch in pair.both:  # as it was
        switch.vsctl("del-br", "h9", "--", "add-port", "br0", "p1", "--", *P1.split())
    told = re.findall(r"bridge\|WARN\|(p1: .*)", pair.ours.log())
    assert "p1: port is in multiple bridges (br0 and h9), and only br0 has it" in told
    assert "p1: interface is in multiple ports (p1 and other), and only p1 has it" in told


RECORD = re.compile(r"^[^|\n]+Z\|\d+\|(\w+)(?:\(\w+\))?\|(\w+)\|", re.M)
MODULES = ("ofproto_dpif_xlate", "ofproto_dpif_upcall")


def said(switch: Switch, start: int) -> list[str]:
    """What the log says of packets, from `start` on."""
    text = switch.log()[start:]
    found = list(RECORD.finditer(text))
    ends = [*[one.start() for one in found[1:]], len(text)]
    return [
        f"{one[1]} {one[2]} {text[one.end() : end].rstrip()}"
        for one, end in zip(found, ends, strict=False)
        if one[1] in MODULES and one[2] in ("WARN", "INFO") and "thread" not in text[one.end() : end]
    ]


def packet(port: int, vlan: int | None = None, type: str = "0x0800") -> str:
    ip = f"eth_type({type})"
    if type == "0x0800":
        ip += ",ipv4(src=1.1.1.1,dst=2.2.2.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=1,dst=2)"
    if vlan is not None:
        ip = f"eth_type(0x8100),vlan(vid={vlan},pcp=0),encap({ip})"
    return f"in_port({port}),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:01),{ip}"


CUT_SHORT = "50540000000150540000000581000005"
NORMAL = ("actions=normal",)
EXPANDING = tuple(f"table={i},actions=resubmit(,{i + 1}),resubmit(,{i + 1})" for i in range(13))
LABELS = "actions=" + "push_mpls:0x8847," * 5 + "output:1"
VLANS = "tag=5 -- set port p3 trunks=7 -- set port p4 vlan_mode=dot1q-tunnel tag=9 cvlans=3"
PACKETS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("p1", packet(1, 8), NORMAL),
    ("p3", packet(3, 8), NORMAL),
    ("p3", packet(3), NORMAL),
    ("p4", packet(4, 8), NORMAL),
    ("p3", CUT_SHORT + "81000007", NORMAL),
    ("p3", CUT_SHORT, NORMAL),
    ("p2", packet(2), ("in_port=2,actions=resubmit:2",)),
    ("p2", packet(2), ("actions=mod_dl_src:00:00:00:00:00:07,output:1,resubmit(,0)",)),
    ("p2", packet(2, 8), ("actions=output:1,resubmit(,2)", "table=2,actions=resubmit(,2)")),
    ("p2", packet(2), EXPANDING),
    ("p2", packet(2), ("actions=mod_dl_src:00:00:00:00:00:07,pop:reg1",)),
    ("p2", packet(2), ("actions=output:2,output:1",)),
    ("p2", packet(2), ("actions=move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],output:NXM_NX_REG0[]",)),
    ("p2", packet(2), (LABELS,)),
    ("p2", packet(2), ("actions=output(port=99,max_len=100)",)),
)
SILENT = (
    ("p2", packet(2), ("actions=output:99",)),
    ("p2", packet(2), ("actions=drop",)),
    ("p2", packet(2, type="0x1234"), ("dl_type=0x1234,actions=normal",)),
)


def test_what_the_log_says_of_packets(pair: Pair) -> None:
    """A packet that is dropped for its VLAN, or because its flows never end, is told of."""
    for switch in pair.both:
        switch.vsctl("set", "port", "p1", *VLANS.split())
        for module in MODULES:
            switch.control("vlog/disable-rate-limit", module)
    for port, what, flows in (*PACKETS, *SILENT):
        starts = {}
        for switch in pair.both:
            assert switch.ofctl("del-flows", "br0").returncode == 0
            done = switch.ofctl("add-flows", "br0", "-", input="\n".join(flows))
            assert done.returncode == 0, done.stderr
            switch.control("revalidator/purge")
            starts[switch] = len(switch.log())
            assert not switch.control("netdev-dummy/receive", port, what).strip()
        deadline = time.monotonic() + 20
        while True:
            theirs, ours = (said(switch, starts[switch]) for switch in pair.both)
            if ours == theirs and (ours or flows[0] in [silent[0] for _, _, silent in SILENT]):
                break
            both = ("\n".join(lines).splitlines() for lines in (theirs, ours))
            shown = "\n".join(list(difflib.unified_diff(*both, "original", "ours", n=0))[:20])
            assert time.monotonic() < deadline, f"{port} {what} {flows[0]}\n{shown}"
            time.sleep(0.05)
    for switch in pair.both:
        for port in ("p1", "p3", "p4"):
            switch.vsctl(*f"clear port {port} tag trunks cvlans vlan_mode".split())
        switch.ofctl("del-flows", "br0")


CHAINS = (
    [f"table={i},actions=resubmit(,{i + 1})" for i in range(200)],
    [f"table={i},actions=resubmit(,{i + 1}),output:1" for i in range(200)],
    ["actions=resubmit(,60)", *(f"table={i},actions=resubmit(,{i - 1})" for i in range(1, 61))],
    ["actions=resubmit(,90)", *(f"table={i},actions=resubmit(,{i - 1})" for i in range(1, 91))],
    ["actions=resubmit(,2)", "table=2,actions=resubmit(,5)", "table=5,actions=resubmit(,3)"]
    + ["table=3,actions=resubmit(,2)"],
)


def test_long_ways(pair: Pair) -> None:
    """Only tables that lead back count: a pipeline may have any number of tables, one after the other."""
    for flows in CHAINS:
        traces = []
        for switch in pair.both:
            assert switch.ofctl("del-flows", "br0").returncode == 0
            done = switch.ofctl("add-flows", "br0", "-", input="\n".join(flows))
            assert done.returncode == 0, done.stderr
            traces.append(switch.control("ofproto/trace", "br0", "in_port=2"))
        assert traces[0] == traces[1], flows[:5]
    for switch in pair.both:
        switch.ofctl("del-flows", "br0")


def test_a_native_vlan_0(pair: Pair) -> None:
    """Where trunks leave VLAN 0 out, that it would be the native one does not let it out."""
    frames = ("", ",vlan_tci=0x6000/0xf000", ",dl_vlan=9", ",dl_vlan=5")
    for mode in ("native-tagged", "native-untagged"):
        for tag in ("tag=0", "tag=[]", "tag=5"):
            for trunks in ("9", "5", "0", "[]"):
                for switch in pair.both:
                    switch.vsctl("set", "port", "p3", f"vlan_mode={mode}", tag, f"trunks={trunks}")
                    switch.ofctl("add-flow", "br0", "actions=normal")
                for port, frame in ((port, frame) for port in ("p2", "p3") for frame in frames):
                    what = f"in_port={port},dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:99{frame}"
                    shown = pair.control("ofproto/trace", "--names", "br0", what)
                    ends = [one.partition("Datapath actions: ")[2].strip().split(",") for one in shown]
                    assert sorted(ends[0]) == sorted(ends[1]), (mode, tag, trunks, what, shown)
    for switch in pair.both:
        switch.vsctl("clear", "port", "p3", "tag", "trunks", "vlan_mode")
        switch.ofctl("del-flows", "br0")


def test_how_large_the_table_of_addresses_may_be(pair: Pair) -> None:
    for text in ("0", "-1", "-5", "1", "15", "3600", "1000001", "4294967295", "x", "", "10x", " 20", "7"):
        sizes = []
        for switch in pair.both:
            switch.vsctl("set", "bridge", "br0", f'other_config:mac-table-size="{text}"')
            sizes += re.findall(
                r"maximum MAC entries in the table: \S+", switch.control("fdb/stats-show", "br0")
            )
        assert len(sizes) == 2
        assert sizes[0] == sizes[1], text
    for switch in pair.both:
        switch.vsctl("remove", "bridge", "br0", "other_config", "mac-table-size")


IGNORED = ("tag=5 trunks=7,9", "tag=0 trunks=0")
HEEDED = (
    *(
        "tag=5 trunks=7,9 vlan_mode=access",
        "tag=5 trunks=9 vlan_mode=trunk",
        "trunks=9 vlan_mode=native-tagged",
    ),
    *("trunks=9 vlan_mode=access", "trunks=8", "tag=2 cvlans=9 vlan_mode=access"),
)


def test_trunks_that_have_no_effect_are_told_of(pair: Pair) -> None:
    for settings in IGNORED + HEEDED:
        starts = []
        for switch in pair.both:
            switch.vsctl("clear", "port", "p2", "trunks", "cvlans", "vlan_mode", "tag")
            starts.append(len(switch.log()))
            switch.vsctl("set", "port", "p2", *settings.split())
        deadline = time.monotonic() + 20
        while True:
            told = [
                set(re.findall(r"bridge\|WARN\|.*", switch.log()[start:]))
                for switch, start in zip(pair.both, starts, strict=True)
            ]
            if told[0] == told[1] and bool(told[0]) == (settings in IGNORED):
                break
            assert time.monotonic() < deadline, (settings, told)
            time.sleep(0.05)
    for switch in pair.both:
        switch.vsctl("clear", "port", "p2", "trunks", "cvlans", "vlan_mode", "tag")
