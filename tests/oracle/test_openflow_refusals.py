"""Messages that a switch refuses, or takes where one might think that it would not, beside the original."""

import random
import struct
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Peer, fresh_pair
from trunkline.flow.match import Match
from trunkline.model import openflow as of
from trunkline.model.openflow_messages import (
    KINDS,
    NICIRA_EXPERIMENTER,
    NXT,
    OFPT,
    ONF_EXPERIMENTER,
    ONFT,
    Kind,
    only_switches_say,
)
from trunkline.openflow.codec import encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.monitors import (
    OFPFMC_DELETE,
    OFPFMC_MODIFY,
    FlowMonitor,
    FlowMonitorRequest,
)
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import Protocol

pytestmark = pytest.mark.oracle
ALL = 0xFFFFFFFFFFFFFFFF


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def message(version: int, kind: Kind, body: bytes) -> bytes:
    """A message of that kind; numbers beyond the original's types are those of its experimenters."""
    experimenter = NICIRA_EXPERIMENTER if kind.family.startswith("NX") else ONF_EXPERIMENTER
    if kind.family == OFPT:
        number, head = kind.number, b""
    elif kind.family in (NXT, ONFT):
        number, head = 4, struct.pack("!II", experimenter, kind.number)
    else:
        number = (16 if version == 1 else 18) + kind.family.endswith(" reply")
        plain = kind.family.startswith("OFPST")
        head = struct.pack("!HH", kind.number if plain else 0xFFFF, 0) + bytes(4 * (version > 1))
        head += b"" if plain else struct.pack("!II", experimenter, kind.number)
    data = head + body
    return struct.pack("!BBHI", version, number, 8 + len(data), 9) + data


def errors(peer: Peer, *messages: bytes) -> list[str]:
    return [one[8:12].hex() for one in peer.ask(*messages) if one[1] == 1]


@pytest.mark.parametrize("version", range(1, 7))
def test_what_only_switches_say_is_no_message_for_a_switch(pair: Pair, version: int) -> None:
    """Whatever is in it: it is not read."""
    peers = pair.peers(version)
    r = random.Random(version)
    asked = 0
    for kind in KINDS:
        if not kind.first <= version <= kind.last or not only_switches_say(kind):
            continue
        for steps in (0, 1, 2, 5):
            size = kind.minimum + steps * kind.step
            for body in (bytes(size), b"\xff" * size, r.randbytes(size)):
                raw = message(version, kind, body)
                theirs, ours = (errors(peer, raw) for peer in peers)
                assert ours == theirs, (kind, raw.hex())
                asked += 1
    assert asked > 100
    for peer in peers:
        peer.close()


def flow_mod(version: int, text: str, command: int, flags: int, cookie: int = 0, table: int = 0) -> bytes:
    mod = parse_flow(text, 0).mod._replace(command=command, new_cookie=cookie)
    (raw,) = encode(Protocol(version), mod, 5)
    if version == 1:
        return raw[:70] + struct.pack("!H", flags) + raw[72:]
    return raw[:24] + bytes((table,)) + raw[25:44] + struct.pack("!H", flags) + raw[46:]


def without_match(raw: bytes) -> bytes:
    """A flow-mod of 1.2 and later that is for any packets."""
    size = (int.from_bytes(raw[50:52], "big") + 7) // 8 * 8
    raw = raw[:48] + struct.pack("!HH4x", 1, 4) + raw[48 + size :]
    return raw[:2] + len(raw).to_bytes(2, "big") + raw[4:]


@pytest.mark.parametrize("version", range(1, 7))
def test_flow_mods_with_several_mistakes(pair: Pair, version: int) -> None:
    peers = pair.peers(version)
    for flags in (0, 4, 8, 16, 32, 0x8000):
        for command in range(5):
            raw = flow_mod(version, "ip,actions=mod_nw_dst:1.2.3.4", command, flags)
            cases = [raw, without_match(raw)] if version > 2 else [raw]
            for table in (254, 255) if version > 1 else ():
                cases.append(flow_mod(version, "actions=output:1", command, flags, table=table))
            for case in cases:
                theirs, ours = (errors(peer, case) for peer in peers)
                assert ours == theirs, (flags, command, case.hex())
    for peer in peers:
        peer.close()


@pytest.mark.parametrize("version", range(1, 7))
def test_a_cookie_of_all_ones_leaves_what_was_there(pair: Pair, version: int) -> None:
    for steps in ((7, ALL), (ALL,), (ALL, 5), (5, ALL, 6, ALL)):
        shown = []
        for switch in pair.both:
            assert switch.ofctl("del-flows", "br0").returncode == 0
            peer = switch.peer(version)
            for i, cookie in enumerate(steps):
                raw = flow_mod(version, f"priority=5,ip,actions=output:{1 + i % 2}", of.OFPFC_ADD, 0, cookie)
                assert errors(peer, raw) == []
            peer.close()
            shown.append(switch.ofctl("--no-stats", "dump-flows", "br0").stdout)
        assert shown[0] == shown[1]
        assert "priority=5" in shown[1]


CHANGES = (
    [FlowMonitor(5, 15, Match(), 3, command=OFPFMC_MODIFY)],
    [FlowMonitor(5, 3, Match(), 3, command=OFPFMC_MODIFY)],
    [FlowMonitor(6, 15, Match(), command=OFPFMC_MODIFY)],
    [FlowMonitor(5, 15, Match(), 3, command=OFPFMC_MODIFY), FlowMonitor(5, 15, Match())],
    [FlowMonitor(6, 15, Match(), 3), FlowMonitor(6, 14, Match(), 0, command=OFPFMC_MODIFY)],
    [FlowMonitor(5, 15, Match(), 3, command=7)],
    [FlowMonitor(5, 0, Match(), 3, command=OFPFMC_MODIFY)],
    [FlowMonitor(5, 15, Match(), command=OFPFMC_DELETE), FlowMonitor(5, 15, Match(), 3)],
)


@pytest.mark.parametrize("version", [5, 6])
def test_flow_monitors_are_changed(pair: Pair, version: int) -> None:
    """What the original's errors say of it differs from time to time: its memory is in them."""
    for change in CHANGES:
        said = []
        for switch in pair.both:
            assert switch.ofctl("del-flows", "br0").returncode == 0
            flows = "\n".join(f"table={table},actions=output:1" for table in (0, 3))
            assert switch.ofctl("add-flows", "br0", "-", input=flows).returncode == 0
            peer = switch.peer(version)
            told = []
            for monitors in ([FlowMonitor(5, 15, Match())], change):
                told += peer.ask(*encode(Protocol(version), FlowMonitorRequest(tuple(monitors)), 7))
            other = switch.peer(4)
            for table in (0, 3):
                assert errors(other, flow_mod(4, "ip,actions=output:1", of.OFPFC_ADD, 0, table=table)) == []
            told += peer.barrier()  # what was to be said of the flows was said before they were confirmed
            said.append(["refused" if one[1] == 1 else message_text(one) for one in told])
            peer.close()
            other.close()
        assert said[0] == said[1], change
        assert len(said[1]) > 1
