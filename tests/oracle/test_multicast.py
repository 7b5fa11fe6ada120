"""Multicast snooping beside the original's: messages, data, time and settings in random order.

A trace of a packet does all that the packet would do, at once and in the thread that answers, so most steps
are traces; the packets themselves go through both datapaths in a test of their own.
"""

import random
import re
import time
from collections.abc import Iterator

import pytest

from support.multicast import data, framed, igmp, igmp3, ipv4, mld, mld2, record
from support.switch_pair import Pair, fresh_pair
from support.switches import Capture

pytestmark = pytest.mark.oracle
GROUPS = ("239.1.1.1", "239.1.1.2", "239.200.1.2", "224.0.1.1", "224.0.0.9", "224.0.0.251")
GROUPS6 = ("ff05::1", "ff05::2:1", "ff02::fb", "ff02::1", "ff3e::8000:1", "ff02::1:ff00:1")
STEPS = 260


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    for pair in fresh_pair():
        for switch in pair.both:
            switch.vsctl("set", "bridge", "br0", "fail-mode=standalone", "mcast_snooping_enable=true")
            switch.control("time/stop")
        yield pair


def message(rnd: random.Random) -> bytes:
    """A report, a leave or a query, sometimes a damaged one; or something that is none of them."""
    group, group6 = rnd.choice(GROUPS), rnd.choice(GROUPS6)
    intact = rnd.random() > 0.1
    kind = rnd.randrange(11)
    if kind < 3:
        return ipv4(2, group, igmp(rnd.choice((0x12, 0x16)), group, intact=intact))
    if kind < 4:
        return ipv4(2, "224.0.0.2", igmp(0x17, group, intact=intact))
    if kind < 6:
        records = [
            record(rnd.randint(1, 6), one, rnd.choice(((), ("10.9.9.9",), ("10.9.9.9", "10.9.9.8"))))
            for one in rnd.choices(GROUPS, k=rnd.randint(0, 5))
        ]
        return ipv4(2, "224.0.0.22", igmp3(records, intact=intact))
    if kind < 7:
        return mld(rnd.choice((131, 132)), group6, rnd.choice((group6, "ff02::2")), intact=intact)
    if kind < 8:
        records = [
            record(rnd.randint(0, 7), one, rnd.choice(((), ("2001::9",))))
            for one in rnd.choices(GROUPS6, k=rnd.randint(0, 5))
        ]
        return mld2(records, intact=intact)
    if kind < 9:
        source = rnd.choice(("0.0.0.0", "10.0.0.2", "10.0.0.3"))
        return ipv4(2, rnd.choice(("224.0.0.1", group)), igmp(0x11, intact=intact), source)
    if kind < 10:
        return mld(130, "::", "ff02::1", rnd.choice(("::", "fe80::2", "2001::2")), intact=intact)
    return ipv4(2, group, igmp(rnd.choice((0x13, 0x14, 0x99)), group, intact=intact))


def outcome(text: str, vlan: int | None = None) -> tuple[list[str], list[str], bool]:
    """Of a trace: what is said, where the packet goes (in any order), and whether it is read."""
    said = re.findall(r"^ *(?:->|>>) (.*)$", text, re.MULTILINE)
    actions = re.findall(r"^Datapath actions: (.*)$", text, re.MULTILINE)
    assert len(actions) == 1, text
    sent = []
    tag = "" if vlan is None else f"push_vlan(vid={vlan},pcp=0)"  # that the packet came with
    for action in re.findall(r"[a-z_0-9]+(?:\([^)]*\))?", actions[0]):
        if action.startswith(("push_vlan", "pop_vlan")):
            tag = action.removesuffix("pop_vlan")
        else:
            sent.append(f"{tag} {action}")
    return said, sorted(sent), "slow path" in text


def warp(pair: Pair, seconds: int) -> None:
    for switch in pair.both:
        assert "warp" in switch.control("time/warp", str(seconds * 1000))


def agree(pair: Pair, *words: str) -> tuple[str, str]:
    """Asks both until they agree: the original looks at what has aged in a thread of its own."""
    deadline = time.monotonic() + 30
    while True:
        answers = pair.control(*words)
        if answers[0] == answers[1] or time.monotonic() > deadline:
            return answers
        time.sleep(0.02)


def set_both(pair: Pair, *words: str) -> None:
    for switch in pair.both:
        switch.vsctl(*words)


SETTINGS = (
    ("set", "bridge", "br0", "other_config:mcast-snooping-aging-time=60"),
    ("set", "bridge", "br0", "other_config:mcast-snooping-aging-time=20"),
    ("remove", "bridge", "br0", "other_config", "mcast-snooping-aging-time"),
    ("set", "bridge", "br0", "other_config:mcast-snooping-table-size=10"),
    ("remove", "bridge", "br0", "other_config", "mcast-snooping-table-size"),
    ("set", "bridge", "br0", "other_config:mcast-snooping-disable-flood-unregistered=true"),
    ("set", "bridge", "br0", "other_config:mcast-snooping-disable-flood-unregistered=false"),
    ("set", "port", "p1", "other_config:mcast-snooping-flood=true"),
    ("set", "port", "p1", "other_config:mcast-snooping-flood=false"),
    ("set", "port", "p2", "other_config:mcast-snooping-flood-reports=true"),
    ("set", "port", "p2", "other_config:mcast-snooping-flood-reports=false"),
    ("set", "port", "p3", "tag=7"),
    ("clear", "port", "p3", "tag"),
    ("set", "port", "p4", "protected=true", "--", "set", "port", "p3", "protected=true"),
    ("set", "port", "p4", "protected=false", "--", "set", "port", "p3", "protected=false"),
)


def test_what_is_learned_and_where_packets_go(pair: Pair) -> None:
    rnd = random.Random(17)
    seen: set[str] = set()
    for step in range(STEPS):
        choice = rnd.random()
        done = str(step)
        if choice < 0.45:
            packet = message(rnd)
        elif choice < 0.85:
            packet = data(rnd.choice(GROUPS + GROUPS6))
        elif choice < 0.95:
            warp(pair, rnd.choice((1, 5, 20, 100)))
            assert len(set(agree(pair, "mdb/show", "br0"))) == 1, step
            continue
        elif choice < 0.98:
            setting = rnd.choice(SETTINGS)
            set_both(pair, *setting)
            assert len(set(agree(pair, "mdb/show", "br0"))) == 1, (step, setting)
            continue
        else:
            want, got = pair.control("mdb/flush", *rnd.choice(((), ("br0",))))
            assert got == want
            continue
        vlan = rnd.choice((None, None, None, 7))
        frame = framed(packet, rnd.randint(1, 3), vlan)
        in_port = rnd.choice(("1", "2", "3", "4", "1", "2", "3", "4", "LOCAL"))
        want, got = pair.control("ofproto/trace", "br0", f"in_port={in_port}", frame.hex())
        assert outcome(got, vlan) == outcome(want, vlan), (done, want, got)
        seen.update(re.sub(r"(?<= )[-0-9a-f.:]{3,}|\d+", "N", line) for line in outcome(want, vlan)[0])
        shown = pair.control("mdb/show", "br0")
        assert shown[1] == shown[0], done
    assert len(seen) >= 20, seen  # most of what can be said


def test_commands(pair: Pair) -> None:
    for words in (("mdb/show",), ("mdb/show", "nosuch"), ("mdb/flush", "nosuch"), ("mdb/flush", "br0", "x")):
        want, got = pair.control(*words)
        assert got == want, words


def test_packets_through_the_datapath(pair: Pair) -> None:
    """What comes out of which port, and that flows which are there follow what is learned."""
    captures: list[dict[str, Capture]] = []
    for switch in pair.both:
        command = []
        for name in ("c1", "c2", "c3"):
            path = switch.directory / f"{name}.pcap"
            command += ["--", "add-port", "br0", name, "--", "set", "interface", name, "type=dummy"]
            command += [f"ofport_request=1{name[1]}", f"options:tx_pcap={path}"]
        command += [
            "--",
            "set",
            "bridge",
            "br0",
            "other_config:mcast-snooping-disable-flood-unregistered=true",
        ]
        switch.vsctl(*command[1:])
        captures.append({name: Capture(switch.directory / f"{name}.pcap") for name in ("c1", "c2", "c3")})
        switch.control("mdb/flush", "br0")
        for port in ("p1", "p2", "p3", "p4"):
            switch.vsctl("--if-exists", "del-port", port)

    def seen() -> list[int]:
        """Packets that each datapath has looked up so far."""
        found = [re.search(r"hit:(\d+) missed:(\d+)", switch.control("dpctl/show")) for switch in pair.both]
        return [int(one[1]) + int(one[2]) for one in found if one is not None]

    def sent(port: str, frame: bytes, expected: set[str]) -> None:
        """Both send `frame` out of the ports `expected`, and out of no other."""
        deadline = time.monotonic() + 30
        for switch in pair.both * 2:  # the first tells the original's revalidators, the second waits for them
            switch.control("revalidator/wait")
        before = seen()
        for switch in pair.both:
            assert not switch.control("netdev-dummy/receive", port, frame.hex()).startswith("error")
        while any(now == then for now, then in zip(seen(), before, strict=True)):
            assert time.monotonic() < deadline, "the packet has not been looked at"
            time.sleep(0.01)
        found: list[dict[str, list[bytes]]] = [{}, {}]
        while True:
            for switch, capture, out in zip(pair.both, captures, found, strict=True):
                switch.control("revalidator/wait")
                for name, one in capture.items():
                    out.setdefault(name, []).extend(one.new())
            if all({name for name in out if out[name]} == expected for out in found):
                break
            assert time.monotonic() < deadline, (found, expected)
            time.sleep(0.02)
        assert found[0] == found[1]

    def shown(text: str) -> None:
        """Both have learned it."""
        deadline = time.monotonic() + 30
        while not all(text in one for one in pair.control("mdb/show", "br0")):
            assert time.monotonic() < deadline, pair.control("mdb/show", "br0")
            time.sleep(0.02)

    group = "239.9.9.9"
    sent("c2", framed(ipv4(2, "224.0.0.1", igmp(0x11), "10.0.0.2"), 2), {"c1", "c3"})
    shown("12     0  querier")
    sent("c1", framed(data(group), 1), {"c2"})
    sent("c3", framed(ipv4(2, group, igmp(0x16, group)), 3), {"c2"})
    shown(f"13     0  {group}")
    sent("c1", framed(data(group), 1), {"c2", "c3"})
    sent("c3", framed(ipv4(2, "224.0.0.2", igmp(0x17, group)), 3), {"c2"})
    sent("c1", framed(data(group), 1), {"c2"})
    sent("c1", framed(mld2([record(4, "ff05::9")]), 1), {"c2"})
    shown("11     0  ff05::9")
    sent("c3", framed(data("ff05::9"), 3), {"c1", "c2"})
    sent("c1", framed(mld(132, "ff05::9", "ff02::2"), 1), {"c2"})
    sent("c3", framed(data("ff05::9"), 3), {"c2"})
    warp(pair, 179)
    sent("c1", framed(data(group), 1), {"c2"})
    warp(pair, 2)
    deadline = time.monotonic() + 30
    while any("querier" in one for one in pair.control("mdb/show", "br0")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    sent("c1", framed(data(group), 1), set())
    set_both(pair, "set", "bridge", "br0", "mcast_snooping_enable=false")
    sent("c1", framed(data(group), 1), {"c2", "c3"})
    want, got = pair.control("mdb/show", "br0")
    assert got == want == "error: multicast snooping is disabled\n"
