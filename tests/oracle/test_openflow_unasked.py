"""What connections are told unasked, beside the original: by what they have said of themselves before.

Who comes by, such as ovs-ofctl, is told nothing until it sets a length for misses or says what it wants to be
told.  What the last of these messages says counts.  A port's change is told in the versions that have words
for it.
"""

import itertools
import os
import random
import re
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from support.originals import environment
from support.switch_pair import OURS, Pair, Peer, Switch, fresh_pair
from trunkline.openflow import messages as m
from trunkline.openflow.codec import encode
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import Protocol

pytestmark = pytest.mark.oracle

PACKET = "505400000007505400000005080045000014000000004011f97cc0a80001c0a80002"
CONFIGURE = {"length": 0xFFFF, "short": 40, "nothing": 0}
ASK = {
    "all": m.SetAsync((0x3F, 0), (7, 0), (0x3F, 0)),
    "none": m.SetAsync((0, 0), (0, 0), (0, 0)),
    "ports": m.SetAsync((0, 0), (7, 0), (0, 0)),
}
SAID = [said for most in range(3) for said in itertools.product((*CONFIGURE, *ASK), repeat=most)]
WORDS = ("flood", "receive", "forward", "packet-in", "stp", "receive-stp")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def connected(pair: Pair, version: int, said: tuple[str, ...]) -> tuple[Peer, Peer]:
    data = b""
    for word in said:
        if word in CONFIGURE:
            data += struct.pack("!BBHIHH", version, 9, 12, 6, 0, CONFIGURE[word])
        else:
            data += b"".join(encode(Protocol(version), ASK[word], 7))
    peers = pair.peers(version)
    answers = [peer.ask(data) for peer in peers]
    assert answers[1] == answers[0]
    return peers


def told(peer: Peer, got: list[bytes]) -> Counter[str]:
    got += peer.barrier()
    return Counter(message_text(message).partition(" (xid=0x0)")[0] for message in got)


def test_who_is_told_anything(pair: Pair) -> None:
    r = random.Random(2)
    chosen = [(r.randrange(1, 7), said) for said in SAID] + [(version, ("all",)) for version in range(1, 7)]
    connections = [(one, connected(pair, *one), ([], [])) for one in chosen]
    for switch in pair.both:
        flows = "actions=controller\ntable=1,send_flow_rem,actions=drop\n"
        done = switch.ofctl("-O", "OpenFlow15", "add-flows", "br0", "-", input=flows)
        assert done.returncode == 0, done.stderr
    pair.control("netdev-dummy/receive", "p1", PACKET)
    for switch in pair.both:
        assert switch.ofctl("del-flows", "br0", "table=1").returncode == 0
        assert switch.ofctl("mod-port", "br0", "p3", "no-receive").returncode == 0
    deadline = time.monotonic() + 30
    while True:
        seen = {
            one: tuple(told(peer, got) for peer, got in zip(peers, gots, strict=True))
            for one, peers, gots in connections
        }
        different = {one: both for one, both in seen.items() if both[0] != both[1]}
        everything = [both for (_, said), both in seen.items() if said == ("all",)]
        if not different and all(len(both[1]) == 3 for both in everything):
            break
        assert time.monotonic() < deadline, different
        time.sleep(0.05)
    assert any(not both[1] for both in seen.values())
    for _, peers, _ in connections:
        for peer in peers:
            peer.close()


def test_changes_of_a_port_are_told_where_there_are_words_for_them(pair: Pair) -> None:
    r = random.Random(3)
    connections = [connected(pair, version, ("length",)) for version in range(1, 7)]
    some: list[tuple[str, str]] = [("OpenFlow10", f"{no}{word}") for word in WORDS for no in ("no-", "")]
    for _ in range(8):
        some.append((f"OpenFlow1{r.choice((0, 1, 3, 5))}", r.choice(("no-", "")) + r.choice(WORDS)))
    for version, word in (*some, ("OpenFlow10", "no-receive")):
        for switch in pair.both:
            assert switch.ofctl("-O", version, "mod-port", "br0", "p4", "receive").returncode == 0
            assert switch.ofctl("-O", version, "mod-port", "br0", "p4", word).returncode == 0
    deadline = time.monotonic() + 30
    got: list[tuple[list[str], list[str]]] = [([], []) for _ in connections]
    while True:
        for peers, both in zip(connections, got, strict=True):
            for peer, texts in zip(peers, both, strict=True):
                texts += [re.sub("addr:.*", "addr", message_text(one)) for one in peer.barrier()]
        different = [both for both in got if both[0] != both[1]]
        if not different:
            break
        assert time.monotonic() < deadline, different
        time.sleep(0.05)
    assert len(got[0][1]) > len(got[5][1]) > 0


def test_a_port_set_down_and_up(pair: Pair) -> None:
    """First what was wanted is told, then what came of it."""
    connections = [connected(pair, version, ("length",)) for version in range(1, 7)]
    for version, word in itertools.product((1, 4), ("down", "up")):
        for switch in pair.both:
            assert (
                switch.ofctl("-O", f"OpenFlow1{version - 1}", "mod-port", "br0", "p2", word).returncode == 0
            )
        got: list[tuple[list[str], list[str]]] = [([], []) for _ in connections]
        deadline = time.monotonic() + 30
        while True:
            for peers, both in zip(connections, got, strict=True):
                for peer, texts in zip(peers, both, strict=True):
                    texts += [re.sub("addr:.*", "addr", message_text(one)) for one in peer.barrier()]
            if all(len(texts) >= 2 for both in got for texts in both):
                break
            assert time.monotonic() < deadline, got
            time.sleep(0.05)
        for theirs, ours in got:
            assert ours == theirs
            assert len(ours) == 2
    for peers in connections:
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("bundled", [False, True])
def test_who_changes_a_port_knows_of_it(pair: Pair, bundled: bool) -> None:
    """Who asked for a change is told what comes of it, and before OpenFlow 1.5 not the change itself."""
    counts = Counter[int]()
    shown = [re.search(r" 1\(p1\): addr:(\S+)", switch.ofctl("show", "br0").stdout) for switch in pair.both]
    addresses = [int(found[1].replace(":", ""), 16) for found in shown if found is not None]
    for version in range(5 if bundled else 1, 7):
        senders, watchers = (connected(pair, version, ("length",)) for _ in range(2))
        got: list[tuple[list[str], list[str]]] = [([], []), ([], [])]
        for config, mask in ((0x20, 0x20), (0x21, 1), (0, 0x20), (0, 1), (4, 0xC), (0, 4)):
            for peer, address in zip(senders, addresses, strict=True):
                (data,) = encode(Protocol(version), m.PortMod(1, address, config & mask, mask), 9)
                peer.socket.sendall(in_bundle(version, data) if bundled else data)
            deadline = time.monotonic() + 30
            while True:
                for peers, both in zip((senders, watchers), got, strict=True):
                    for peer, texts in zip(peers, both, strict=True):
                        said = [message_text(one) for one in peer.barrier()]
                        texts += [re.sub("addr:.*", "addr", one) for one in said if "BUNDLE" not in one]
                if got[0][0] == got[0][1] and got[1][0] == got[1][1] and len(got[1][1]) > counts[version]:
                    break
                assert time.monotonic() < deadline, (version, config, mask, got)
                time.sleep(0.05)
            counts[version] = len(got[1][1])
        assert (len(got[0][1]) < len(got[1][1])) == (version < 6)
        for one in (*senders, *watchers):
            one.close()


def in_bundle(version: int, message: bytes) -> bytes:
    """The messages of an ordered bundle of one message."""

    def control(kind: int) -> bytes:
        return struct.pack("!BBHIIHH", version, 33, 16, 9, 7, kind, 2)

    added = struct.pack("!BBHIIHH", version, 34, 16 + len(message), 9, 7, 0, 2) + message
    return control(0) + added + control(4)


FRAME = (
    "in_port({}),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)


def monitored(switch: Switch, program: str) -> set[str]:
    """The messages that ``ovs-ofctl monitor ... resume`` shows: both packets until it resumes both."""
    command = [program, "monitor", "br0", "65534", "resume"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    monitor = subprocess.Popen(command, env=environment(switch.directory), **pipes)  # type: ignore[call-overload]
    assert monitor.stderr is not None
    os.set_blocking(monitor.stderr.fileno(), False)
    text, deadline = "", time.monotonic() + 40
    try:
        while text.count("send: NXT_RESUME") < 6:
            assert time.monotonic() < deadline, text
            for port in (1, 2):
                switch.control("netdev-dummy/receive", f"p{port}", FRAME.format(port))
            time.sleep(0.1)
            text += (monitor.stderr.read() or b"").decode()
    finally:
        monitor.kill()
        monitor.communicate()
    shown = re.split(r"(?m)^(?=send:|NXT_|OFPT_)", text)
    return set(shown[:-1]) - {""}  # the last may not be whole


def test_monitor_resumes_what_waits(pair: Pair) -> None:
    """And says of the packet what it was told, but for what was for itself."""
    flows = (
        "in_port=1,udp,actions=controller(max_len=60),controller(pause,userdata=05),resubmit(,1)",
        "in_port=2,udp,actions=resubmit(,3)",
        "table=3,cookie=0x77,actions=controller(pause,userdata=05.06),output:3",
    )
    for switch in pair.both:
        assert switch.ofctl("del-flows", "br0").returncode == 0
        assert switch.ofctl("add-flows", "br0", "-", input="\n".join(flows)).returncode == 0
        theirs, mine = (
            monitored(switch, program) for program in ("/usr/bin/ovs-ofctl", str(OURS / "ovs-ofctl"))
        )
        assert mine == theirs
        assert len(mine) == 5
        assert switch.ofctl("del-flows", "br0").returncode == 0
