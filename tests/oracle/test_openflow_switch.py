"""The switch's side of OpenFlow: the same bytes to the original and to ours, the same bytes back.

Both stand still in time (time/stop) and are moved together (time/warp), so ages are equal too.
"""

import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.openflow_talk import held_pair
from support.switch_pair import Pair, Peer
from trunkline.flow.match import Match
from trunkline.flow.text import parse_match
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.actions_text import parse_actions
from trunkline.openflow.codec import encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import EncodeError, Protocol, join

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from held_pair()


MATCHES = (
    "", "in_port=1", "in_port=2", "ip", "arp", "ip,nw_dst=10.0.0.0/8", "ip,nw_dst=10.1.0.0/16",
    "ip,nw_dst=10.1.2.3", "tcp,tp_dst=80", "in_port=1,tcp", "udp,tp_src=53", "dl_vlan=5", "dl_vlan=5,ip",
    "vlan_tci=0x1000/0x1000", "vlan_tci=0", "dl_dst=50:54:00:00:00:01", "icmp,icmp_type=8", "ip,nw_tos=32",
)  # fmt: skip
EXTENDED = (
    "reg0=5", "reg0=5/7", "ipv6,ipv6_dst=fe80::/10", "tcp,tp_dst=0x50/0xfff0", "metadata=3", "tcp6",
    "ip,ip_frag=no", "tun_id=9", "ct_state=+trk",
)  # fmt: skip
ACTIONS = (
    "drop", "output:1", "output:2", "output:3,output:4", "normal", "in_port", "controller", "flood", "all",
    "mod_dl_dst:50:54:00:00:00:09,output:1", "strip_vlan,output:2", "local", "controller:64",
)  # fmt: skip
EXTENDED_ACTIONS = ("resubmit(,2)", "load:5->NXM_NX_REG0[],output:1", "note:01.02.03.04.05.06",
                    "move:NXM_NX_REG0[]->NXM_NX_REG1[]", "exit", "resubmit:3")  # fmt: skip
FLAGS = (of.OFPFF_SEND_FLOW_REM, of.OFPFF_CHECK_OVERLAP)
FLAGS12 = (*FLAGS, of.OFPFF_RESET_COUNTS)
FLAGS13 = (*FLAGS12, of.OFPFF_NO_PKT_COUNTS, of.OFPFF_NO_BYT_COUNTS)
COMMANDS = (of.OFPFC_ADD,) * 6 + (of.OFPFC_MODIFY, of.OFPFC_MODIFY_STRICT, of.OFPFC_DELETE_STRICT)


def flow_mod(r: random.Random, version: int, extended: bool) -> m.FlowMod:
    match = parse_match(r.choice(MATCHES + EXTENDED * extended))
    words = r.choice(ACTIONS + EXTENDED_ACTIONS * extended)
    if version > 1 and r.random() < 0.1:
        words = f"goto_table:{r.randrange(5)}"
    command = r.choice(COMMANDS) if r.random() < 0.95 else of.OFPFC_DELETE
    flags = FLAGS if version < 3 else FLAGS12 if version == 3 else FLAGS13
    cookie_mask = r.choice((0, 0, 0, 1, 3, (1 << 64) - 1)) if command != of.OFPFC_ADD else 0
    return m.FlowMod(
        command,
        match,
        r.choice((1, 100, 0x8000)),
        r.choice((0, 0, 0, 1, 2)) if version > 1 else 255,
        () if command in (of.OFPFC_DELETE, of.OFPFC_DELETE_STRICT) else parse_actions(words),
        r.randrange(4) & cookie_mask,
        cookie_mask,
        r.randrange(4) if command == of.OFPFC_ADD or not cookie_mask else None,
        r.choice((0, 0, 0, 4, 10)),
        r.choice((0, 0, 0, 4, 10)),
        r.choice((0, 7)) if version >= 5 else 0,
        sum(flag for flag in flags if r.random() < 0.25),
        r.choice((of.OFPP_ANY, of.OFPP_ANY, 1, 2)) if command >= of.OFPFC_DELETE else of.OFPP_ANY,
        buffer=None if r.random() < 0.97 else 77,
    )


Dump = tuple[str, list[bytes], list[bytes]]  # what was asked, and both answers


class Told:
    """What both switches say unasked, in whatever order, apart from their answers."""

    def __init__(self) -> None:
        self.messages: tuple[list[str], list[str]] = ([], [])

    def answers(self, peers: tuple[Peer, Peer], data: bytes = b"") -> tuple[list[bytes], list[bytes]]:
        replies: list[list[bytes]] = []
        for peer, told in zip(peers, self.messages, strict=True):
            found = peer.ask(data)
            told += [self._text(raw) for raw in found if raw[1] in UNASKED or raw[8:16] == NXT_FLOW_REMOVED]
            replies.append([x for x in found if not (x[1] in UNASKED or x[8:16] == NXT_FLOW_REMOVED)])
        return replies[0], replies[1]

    def _text(self, raw: bytes) -> str:
        """When exactly a flow has run out is its switch's affair."""
        return re.sub(r"duration\S+", "", message_text(raw))

    def compare(self, peers: tuple[Peer, Peer], context: object) -> None:
        deadline = time.monotonic() + 5
        while sorted(self.messages[0]) != sorted(self.messages[1]) and time.monotonic() < deadline:
            time.sleep(0.05)
            self.answers(peers)
        theirs, ours = (sorted(told) for told in self.messages)
        assert theirs == ours, (
            "\noriginal:\n"
            + "".join(text for text in theirs if text not in ours)
            + "ours:\n"
            + "".join(text for text in ours if text not in theirs)
            + f"after {context}"
        )
        for told in self.messages:
            told.clear()


UNASKED = (10, 11, 12)  # packet-in, flow-removed, port-status
NXT_FLOW_REMOVED = bytes.fromhex("000023200000000e")


def entries(replies: list[bytes], version: int) -> list[bytes]:
    """The flows of a reply in several parts, each as bytes, in an order that both share."""
    found = []
    for reply in replies:
        if reply[1] not in (17, 19):
            return replies
        body = reply[12 if version == 1 else 16 :]
        if body[:4] == b"\0\0\x23\x20":  # Nicira's: the flows follow vendor and subtype
            body = body[12:]
        while body:
            length = int.from_bytes(body[:2], "big")
            found.append(body[:length])
            body = body[length:]
    return sorted(found)


def dumps(peers: tuple[Peer, Peer], protocol: Protocol, told: Told) -> Iterator[Dump]:
    requests = {
        "flows": m.FlowStatsRequest(Match()),
        "flows to port 1": m.FlowStatsRequest(parse_match("ip"), out_port=1),
        "flows of a cookie": m.FlowStatsRequest(Match(), 0, 1, 1),
        "aggregate": m.AggregateStatsRequest(Match()),
        "aggregate of table 1": m.AggregateStatsRequest(parse_match("ip"), 1),
    }
    for name, request in requests.items():
        data = b"".join(encode(protocol, request, 5))
        replies = told.answers(peers, data)
        if name.startswith("flows"):
            yield name, *(entries(reply, protocol.version) for reply in replies)
        else:
            yield name, *replies


def explain(data: list[bytes], request: tuple[int, str] | None) -> str:
    shown = []
    for raw in data:
        if request is not None:
            shown.append(raw.hex(" ", 4) + "\n")
            raw = join(request[0], request[1], 0, raw)
        try:
            shown.append(message_text(raw))
        except Exception:
            shown.append(raw.hex() + "\n")
    return "".join(shown)


def check(
    name: str,
    theirs: list[bytes],
    ours: list[bytes],
    context: object,
    protocol: Protocol | None = None,
) -> None:
    request = None
    if name.startswith("flows") and protocol is not None:
        request = (protocol.version, "NXST_FLOW reply" if protocol.nxm else "OFPST_FLOW reply")
    only_theirs = [x for x in theirs if x not in ours]
    only_ours = [x for x in ours if x not in theirs]
    assert theirs == ours, (
        f"{name} after {context}\n"
        f"original:\n{explain(only_theirs, request)}\nours:\n{explain(only_ours, request)}"
    )


def wait_until_equal(ask: Callable[[], Iterator[Dump]], context: object, protocol: Protocol) -> None:
    """Expiry happens a moment after the clock has moved."""
    deadline = time.monotonic() + 5
    while any(theirs != ours for _, theirs, ours in ask()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    for name, theirs, ours in ask():
        check(name, theirs, ours, context, protocol)


PROTOCOLS = [
    Protocol(1), Protocol(1, True), Protocol(1, True, True), Protocol(2), Protocol(3), Protocol(4),
    Protocol(5), Protocol(6),
]  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
def test_random_flow_mods_leave_the_same_flows(pair: Pair, protocol: Protocol) -> None:
    r = random.Random(str(protocol))
    version = protocol.version
    peers = pair.peers(version)
    setup: list[m.Message] = [m.SetConfig(m.SwitchConfig(0, 128, False))]
    if protocol.nxm:
        setup.append(m.SetFlowFormat(of.NXFF_NXM))
    if protocol.table_id:
        setup.append(m.FlowModTableId(True))
    for switch in pair.both:
        assert switch.ofctl("del-flows", "br0").returncode == 0
    for message in setup:
        for peer in peers:
            peer.ask(*encode(Protocol(version, protocol.nxm, protocol.table_id), message, 3))
    told = Told()
    for step in range(14):
        mods: list[bytes] = []
        while len(mods) < 12:
            mod = flow_mod(r, version, protocol.nxm or version > 2)
            if protocol.table_id:
                mod = mod._replace(table=r.choice((0, 1, 255)))
            try:
                mods.append(b"".join(encode(protocol, mod, len(mods) + 10)))
            except EncodeError:
                continue
        texts = [message_text(raw) for raw in mods]
        check(f"step {step}: answers", *told.answers(peers, b"".join(mods)), texts)
        assert pair.control("time/warp", "400") == ("warped\n", "warped\n")
        wait_until_equal(lambda: dumps(peers, protocol, told), texts, protocol)
        told.compare(peers, texts)
        if step % 3 == 2:
            assert pair.control("time/warp", "7000") == ("warped\n", "warped\n")
            wait_until_equal(lambda: dumps(peers, protocol, told), "7 seconds", protocol)
            told.compare(peers, "7 seconds")
    for peer in peers:
        peer.close()


def raw(version: int, kind: int, body: bytes = b"", xid: int = 9) -> bytes:
    return bytes((version, kind)) + (8 + len(body)).to_bytes(2, "big") + xid.to_bytes(4, "big") + body


def multipart(version: int, kind: int, body: bytes = b"") -> bytes:
    return raw(
        version, 16 if version == 1 else 18, kind.to_bytes(2, "big") + bytes(2 if version == 1 else 6) + body
    )


def bundle(version: int, step: int, flags: int, number: int = 1) -> bytes:
    return b"".join(encode(Protocol(version), m.BundleControl(number, step, flags), 9))


def bundled(version: int, flow: str, flags: int, number: int = 1, command: int = of.OFPFC_ADD) -> bytes:
    mod = parse_flow(flow, command).mod
    return b"".join(encode(Protocol(version), m.BundleAdd(number, flags, 9, mod), 9))


def bundle_talks(version: int) -> Iterator[tuple[bytes, ...]]:
    """Bundles that hold, that break half way, and peers that get the order of steps wrong."""
    opened, closed, committed, discarded = (bundle(version, step, 3) for step in (0, 2, 4, 6))
    good = bundled(version, "priority=7,actions=1", 3)
    bad = bundled(version, "priority=8,actions=goto_table:0", 3)
    yield opened, good, bundled(version, "priority=9,actions=2", 3), closed, committed
    yield opened, bundled(version, "priority=10,actions=1", 3), bad, committed
    yield opened, bundled(version, "", 3, command=of.OFPFC_DELETE), bad, closed, committed
    yield opened, opened
    yield (closed,)
    yield (committed,)
    yield (discarded,)
    yield opened, discarded, discarded
    yield opened, closed, closed
    yield opened, closed, good
    yield good, committed
    yield opened, bundle(version, 2, 1)
    yield opened, bundle(version, 4, 1), bundle(version, 4, 3)
    yield opened, bundled(version, "priority=7,actions=1", 1), committed
    yield bundle(version, 0, 0), bundled(version, "priority=11,actions=1", 0), bundle(version, 4, 0)
    yield (bundle(version, 1, 3),)
    yield opened, bundled(version, "", 3, command=of.OFPFC_DELETE), closed, committed


@pytest.mark.parametrize("version", [4, 5, 6])
def test_bundles(pair: Pair, version: int) -> None:
    for switch in pair.both:
        assert switch.ofctl("del-flows", "br0").returncode == 0
    for talk in bundle_talks(version):
        peers = pair.peers(version)
        told = Told()
        for message in talk:
            check("bundle", *told.answers(peers, message), [one.hex() for one in talk])
        for name, theirs, ours in dumps(peers, Protocol(version), told):
            check(name, theirs, ours, [one.hex() for one in talk], Protocol(version))
        for peer in peers:
            peer.close()


def requests(version: int) -> Iterator[bytes]:
    """Questions about ports, queues and the switch, right and wrong, and messages that no switch is sent."""
    ports = (
        (1, 4, 9, 0xFFF7, 0xFFFE, 0xFFFF, 0xFFFD) if version == 1 else (1, 9, 0xFF00, 0xFFFFFFFE, 0xFFFFFFFF)
    )
    width = 2 if version == 1 else 4
    for port in ports:
        number = port.to_bytes(width, "big")
        if version < 5:
            yield raw(version, 20 if version == 1 else 22, number + bytes(width))
        else:
            yield multipart(version, 15, number + b"\xff\xff\xff\xff")
            yield multipart(version, 15, number + b"\0\0\0\5")
        for queue in (0, 5, 0xFFFFFFFF):
            yield multipart(version, 5, number.ljust(4, b"\0") + queue.to_bytes(4, "big"))
        yield multipart(version, 13, number.ljust(8, b"\0") if version == 6 else b"")
    yield multipart(version, 0)
    for kind in (3, 11, 77, 0xFFFF):
        yield multipart(version, kind, bytes(8))
    for kind in (6, *((10,) if version != 3 else ()), 11, 12, 19, 35, 50, 99):
        yield raw(version, kind, bytes(8))
    yield raw(version, 7)
    yield raw(version, 9, b"\0\0\0\x80")
    yield raw(version, 9, b"\0\x40\0\x80")
    yield raw(version, 9, b"\0\0\0\0")
    yield raw(version, 7)
    yield raw(version, 4, bytes(8))
    yield raw(version, 4, b"\0\0\x23\x20\0\0\xff\xff")
    yield raw(version, 13, bytes(3))
    yield raw(version, 14, bytes(40))
    yield raw(version ^ 7 if version ^ 7 else 6, 2, b"x")


def comparable(message: bytes) -> bytes:
    """Ports in any order, and so a queue's statistics; the addresses of ports are their switch's affair."""
    if message[1] in (17, 19) and message[8:10] == b"\0\x0d":
        return str(len(message)).encode()
    if message[1] in (17, 19) and message[8:10] == b"\0\5":
        return message[:12] + bytes(sorted(message[12:]))
    if message[1] in (21, 23) or message[8:10] == b"\0\x0f":
        return message[:8] + bytes(sorted(message[8:]))
    return message


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_questions_right_and_wrong(pair: Pair, version: int) -> None:
    peers = pair.peers(version)
    told = Told()
    different = []
    for request in requests(version):
        theirs, ours = ([comparable(x) for x in found] for found in told.answers(peers, request))
        if theirs != ours:
            different.append((request.hex(), explain(theirs, None), explain(ours, None)))
    for peer in peers:
        peer.close()
    assert not different, "\n".join("\n".join(one) for one in different)


TOOL_COMMANDS = """
show br0
dump-ports br0
dump-ports br0 p2
dump-ports-desc br0
dump-desc br0
queue-stats br0
get-frags br0
mod-port br0 p1 down
mod-port br0 p2 no-flood
mod-port br0 2 no-receive
mod-port br0 p3 no-packet-in
mod-port br0 9 up
show br0
mod-port br0 p1 up
mod-port br0 p2 flood
mod-port br0 p2 receive
mod-port br0 p3 packet-in
add-flows br0 - < in_port=1,actions=2\nin_port=2,actions=1\nip,actions=3\n
dump-flows br0
dump-flows br0 in_port=1
dump-aggregate br0
replace-flows br0 - < in_port=1,actions=2\nin_port=3,actions=1\n
dump-flows br0
del-flows br0 in_port=9
del-flows br0
"""
BUNDLE_COMMANDS = """
--bundle add-flows br0 - < in_port=1,actions=2\nin_port=2,actions=1\n
--bundle add-flows br0 - < in_port=3,actions=2\nin_port=4,actions=goto_table:0\n
--bundle add-flows br0 - < add in_port=4,actions=3\ndelete in_port=1\nmodify in_port=2,actions=4\n
--bundle add-flow br0 priority=3,actions=1
dump-flows br0
--bundle replace-flows br0 - < in_port=1,actions=2\nin_port=4,actions=1\n
--bundle mod-flows br0 in_port=1,actions=4
dump-flows br0
--bundle del-flows br0 in_port=4
dump-table-desc br0
mod-table br0 3 noevict
"""


def shown(done: subprocess.CompletedProcess[str], directory: Path) -> tuple[list[str], str, int]:
    """What a tool says, without what differs between any two switches; ports in order."""
    text = re.sub(r"addr:\S+", "addr:-", done.stdout).replace(str(directory), "DIR")
    text = re.sub(r" *CUSTOM Statistics\n(?: {20,}.*\n)+", "", text)  # of dummy devices; ours have none
    text = re.sub(r"( *)(?:duration=[\d.]+s\n)", "", text).replace("GROUP_STATS ", "")
    error = re.sub(r"^\S+Z\|\d+\|", "", done.stderr.replace(str(directory), "DIR"), flags=re.M)
    return sorted(text.replace("\n           ", " ").splitlines()), error, done.returncode


@pytest.mark.parametrize("version", range(1, 7))
def test_tools_say_the_same_of_both(pair: Pair, version: int) -> None:
    for switch in pair.both:
        assert switch.ofctl("del-flows", "br0").returncode == 0
    for line in (TOOL_COMMANDS + (BUNDLE_COMMANDS if version >= 5 else "")).strip().splitlines():
        command, _, text = line.partition(" < ")
        arguments = ("-O", f"OpenFlow1{version - 1}", *command.split())
        if version < 3 and "goto_table" in text:
            continue
        said = [
            shown(switch.ofctl(*arguments, input=text.replace("\\n", "\n")), switch.directory)
            for switch in pair.both
        ]
        assert said[1] == said[0], line
        if version in (1, 4, 5) and not command.startswith(("--bundle", "replace", "add", "del", "mod")):
            ours = shown(pair.ours.ofctl(*arguments, ours=True), pair.ours.directory)
            assert ours == said[0], line


UNFIT = """
add-flow br0 dp_hash=5,actions=drop
add-flow br0 dp_hash=0/1,actions=group:99
add-flow br0 recirc_id=5,actions=drop
add-flow br0 recirc_id=0,ip,actions=drop
add-flow br0 table=255,dp_hash=5,actions=drop
add-flow br0 table=254,recirc_id=5,actions=drop
mod-flows br0 dp_hash=5,actions=drop
del-flows br0 dp_hash=5
del-flows br0 recirc_id=5
dump-flows br0 dp_hash=5
dump-flows br0 skb_priority=5
add-flow br0 check_overlap,dp_hash=5,actions=output:700
add-flow br0 tcp,ip_frag=later,tp_src=80,actions=drop
add-flow br0 tcp6,ip_frag=later,tcp_flags=2,actions=drop
add-flow br0 udp,ip_frag=first,tp_src=80,actions=drop
add-flow br0 udp,ip_frag=not_later,tp_src=80,actions=drop
add-flow br0 sctp,ip_frag=yes,tp_src=80,actions=drop
add-flow br0 icmp,ip_frag=later,icmp_type=8,actions=drop
add-flow br0 icmp6,ip_frag=later,icmp_type=135,nd_target=::1,actions=drop
add-flow br0 tcp,ip_frag=later,actions=load:80->NXM_OF_TCP_DST[]
add-flow br0 tcp,ip_frag=later,actions=move:NXM_OF_TCP_DST[]->NXM_NX_REG0[0..15]
add-flow br0 tcp,ip_frag=later,actions=mod_tp_dst:80
add-flow br0 tcp,ip_frag=later,actions=ct(commit,alg=ftp)
add-flow br0 tcp,ip_frag=later,actions=fin_timeout(idle_timeout=5)
add-flow br0 ip,actions=learn(table=1,eth_type=0x800,nw_proto=6,ip_frag=later,tcp_dst=80)
del-flows br0 tcp,ip_frag=later,tp_src=80
dump-flows br0 udp,ip_frag=later,tp_src=80
dump-flows br0
mod-table br0 254 continue
mod-table br0 254 drop
mod-table br0 253 continue
"""


@pytest.mark.parametrize("version", [1, 6])
def test_what_no_flow_may_match(pair: Pair, version: int) -> None:
    for switch in pair.both:
        assert switch.ofctl("del-flows", "br0").returncode == 0
    for line in UNFIT.strip().splitlines():
        arguments = ("-O", f"OpenFlow1{version - 1}", *line.split())
        if "mod-table" in line:
            arguments = ("-O", "OpenFlow11", *line.split())
        said = [shown(switch.ofctl(*arguments), switch.directory) for switch in pair.both]
        assert said[1] == said[0], line
        if version == 1 and any(word in line for word in ("dump", "254", "mod-flows")):
            ours = shown(pair.ours.ofctl(*arguments, ours=True), pair.ours.directory)
            assert ours == said[0], line
