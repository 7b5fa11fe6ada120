"""What becomes of packets that no flow matches, as OpenFlow 1.1 and 1.2 set it for a table: traces, and the
packet-ins of every version, as the original gives them."""

import re
import struct
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Peer, Switch, fresh_pair
from support.waiting import until

pytestmark = pytest.mark.oracle

SETTINGS = (
    (),
    ("ALL continue",),
    ("ALL drop",),
    ("0 continue", "1 drop"),
    ("0 continue", "1 continue", "2 controller"),
    ("5 continue",),
    ("ALL continue", "7 drop"),
    ("ALL drop", "5 controller"),
    ("253 continue",),
)
FLOWS = (
    "",
    "actions=goto_table:5",
    "actions=resubmit(,5)",
    "actions=goto_table:253",
    "table=9,cookie=7,actions=output:2",
    "table=9,cookie=7,actions=output:2\ntable=0,actions=goto_table:5",
    "table=9,actions=goto_table:20\ntable=0,actions=goto_table:5",
    "table=9,actions=resubmit(,10),output:2",
    "ip,actions=ct(table=5)",
)
TOLD = (*FLOWS[:6], "table=9,actions=controller", "table=9,actions=controller\ntable=0,actions=goto_table:5")
FRAME = "505400000002505400000001" + "0800450000280000000040063acc0a0000010a000002" + "00010002" + "00" * 16


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def configure(switch: Switch, settings: tuple[str, ...], flows: str) -> None:
    for arguments in (
        ("-OOpenFlow13", "del-flows", "br0"),
        *(("-OOpenFlow11", "mod-table", "br0", *one.split()) for one in ("ALL controller", *settings)),
    ):
        done = switch.ofctl(*arguments)
        assert done.returncode == 0, done.stderr
    if flows:
        done = switch.ofctl("-OOpenFlow13", "add-flows", "br0", "-", input=flows)
        assert done.returncode == 0, done.stderr


def trace(switch: Switch) -> str:
    """Without what each switch chooses: its megaflows, and numbers of recirculations."""
    text = switch.control("ofproto/trace", "br0", "in_port=1,tcp")
    return re.sub(r"recirc_id=(0x)?[0-9a-f]+|recirc\(0x[0-9a-f]+\)|Megaflow.*", "", text)


def test_traces_of_misses(pair: Pair) -> None:
    for settings in SETTINGS:
        for flows in FLOWS:
            for switch in pair.both:
                configure(switch, settings, flows)
            theirs, ours = (trace(switch) for switch in pair.both)
            assert theirs == ours, (settings, flows)


def told(peers: list[Peer]) -> list[list[bytes]]:
    """The packet-ins of each connection, without their buffer and xid."""
    return [[message[:4] + message[8:] for message in peer.barrier() if message[1] == 10] for peer in peers]


def test_packet_ins_of_misses(pair: Pair) -> None:
    """Up to OpenFlow 1.2 controllers get them, whatever a newer one may have said for a table."""
    peers = [[switch.peer(version) for version in range(1, 7)] for switch in pair.both]
    for one in (*peers[0], *peers[1]):
        one.ask(struct.pack("!BBHIHH", one.version, 9, 12, 5, 0, 128))  # miss_send_len
    some = 0
    for settings in SETTINGS:
        for flows in TOLD:
            got: list[list[list[bytes]]] = [[[] for _ in range(6)] for _ in range(2)]
            for switch, side, found in zip(pair.both, peers, got, strict=True):
                configure(switch, settings, flows)
                for known, new in zip(found, told(side), strict=True):
                    assert not new, (settings, known)
                switch.control("revalidator/purge")
                switch.control("netdev-dummy/receive", "p1", FRAME)
            expected = "controller(" in trace(pair.original)

            def same(got: list[list[list[bytes]]] = got, expected: bool = expected) -> bool:
                for found, side in zip(got, peers, strict=True):
                    for known, new in zip(found, told(side), strict=True):
                        known += new
                return got[0] == got[1] and any(got[0]) == expected

            until(same, lambda got=got: str(got))
            some += expected
    assert some > 10
    for one in (*peers[0], *peers[1]):
        one.close()
