"""Flow monitors of a controller that does not read, beside the original's: paused, resumed."""

import random
import re
import time
from collections.abc import Iterator

import pytest

from support.openflow_talk import held_pair
from support.switch_pair import Pair, Peer, fresh_pair
from trunkline.flow.match import Match
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow import monitors as wire
from trunkline.openflow.codec import encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import Protocol

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("openflow_tables")]

EVERYTHING = wire.OFPFMF_ADD | wire.OFPFMF_REMOVED | wire.OFPFMF_MODIFY | wire.OFPFMF_INSTRUCTIONS
FILLERS = 3000
PROTOCOL = Protocol(4, False, True)
EVENT = re.compile(r"event=(\w+)(?: reason=\w+)? table=(\d+) cookie=\S+ ?(\S*?)(?: actions=(\S+))?$")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def mod(flow: str, command: int = of.OFPFC_ADD, table: int | None = None) -> bytes:
    change = parse_flow(flow, command).mod
    number = table if table is not None else 0 if change.table == 255 else change.table
    return encode(PROTOCOL, change._replace(table=number), 9)[0]


def fillers() -> bytes:
    """More than waits for a reader anywhere, in flows that take a second to tell of."""
    note = "note:" + ".".join(["11"] * 230)
    return b"".join(mod(f"table=0,priority={i},actions={note},1") for i in range(1, FILLERS))


def changes(r: random.Random) -> list[bytes]:
    """Flows of table 1 that come, go and change."""
    found = []
    for _ in range(60):
        flow = f"table=1,reg0={r.randrange(12)}"
        command = r.choice((of.OFPFC_ADD, of.OFPFC_ADD, of.OFPFC_MODIFY_STRICT, of.OFPFC_DELETE_STRICT))
        does = "" if command == of.OFPFC_DELETE_STRICT else f",actions=output:{r.randint(1, 9)}"
        found.append(mod(flow + does, command))
    return found


def until(peer: Peer, word: str) -> list[str]:
    """The texts of all messages until one says `word`."""
    told = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        raw = peer.receive()
        if raw[1] == 2:
            peer.socket.sendall(bytes((raw[0], 3)) + raw[2:])
            continue
        told.append(message_text(raw))
        if word in told[-1]:
            return told
    raise AssertionError(f"no {word} among {len(told)} messages")


def learned(told: list[str], strictly: bool) -> dict[str, str]:
    """What somebody believes to be in table 1 who believes all that was told.  `strictly`: nothing is told of
    flows that are not known, as the original does of some that came, changed and went during a pause."""
    believed: dict[str, str] = {}
    for text in told:
        for line in text.splitlines():
            event = EVENT.search(line.strip())
            if event is None or event[2] != "1":
                continue
            match = event[3]
            if event[1] == "DELETED":
                assert believed.pop(match, None) is not None or not strictly, (match, "was never there")
            else:
                assert event[1] != "MODIFIED" or match in believed or not strictly, (match, "was never there")
                believed[match] = event[4]
    return believed


@pytest.mark.parametrize("version", [1, 4, 5, 6])
def test_a_reader_that_is_slow(pair: Pair, version: int) -> None:
    read_slowly(pair, version)


def test_a_reader_that_is_slow_while_time_stands_still() -> None:
    for pair in held_pair():
        read_slowly(pair, 4)


def read_slowly(pair: Pair, version: int) -> None:
    filler = fillers()
    for switch in pair.both:
        r = random.Random(f"pause {version}")
        changer = switch.peer(4)
        changer.ask(mod("", of.OFPFC_DELETE, 255))
        assert changer.ask(*changes(r)) == []
        watcher = switch.peer(version)
        flags = EVERYTHING | wire.OFPFMF_INITIAL
        request = wire.FlowMonitorRequest((wire.FlowMonitor(1, flags, Match()),))
        told = [
            message_text(raw) for raw in watcher.ask(*encode(Protocol(version, version == 1), request, 7))
        ]
        before = learned(told, True)
        assert changer.ask(filler) == []  # nobody reads what is told of it
        assert changer.ask(*changes(r)) == []
        told += until(watcher, "PAUSED")
        sent = sum(map(len, told))
        told += until(watcher, "RESUMED")
        assert sent < 4_000_000, "the pause came late"
        while sum(text.count("table=0") for text in told) < FILLERS - 1:
            told += until(watcher, "RESUMED")  # there was room for some, and then for more
        assert sum(text.count("table=0") for text in told) == FILLERS - 1
        flows = encode(PROTOCOL, m.FlowStatsRequest(Match(), 1), 8)[0]
        text = "".join(message_text(raw) for raw in changer.ask(flows))
        now = dict(re.findall(r"table=1,.*?(reg0=\S+) actions=(\S+)", text))
        found = learned(told, switch.ours)
        assert {match: found[match] for match in now} == now != before
        assert found == now or not switch.ours  # the original forgets that a flow goes which was replaced
        told = [message_text(raw) for raw in watcher.ask()]
        assert changer.ask(mod("table=1,reg0=99,actions=1")) == []
        until(watcher, "reg0=0x63")
        changer.ask(mod("", of.OFPFC_DELETE, 255))
        changer.close()
        watcher.close()
