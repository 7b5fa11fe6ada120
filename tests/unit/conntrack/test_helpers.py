"""Helpers behind NAT: addresses in FTP's text, and the sequence numbers of all that follows."""

import ipaddress
import re

import pytest

from support.conntrack_packets import ACK, SYN, tcp
from trunkline.conntrack.store import MemoryStore
from trunkline.conntrack.tracker import Tracker
from trunkline.conntrack.tuples import extract
from trunkline.dpif import actions as dp
from trunkline.packet.packet import Packet
from trunkline.packet.parse import parse

CLIENT, SERVER, PUBLIC = "10.0.0.1", "10.0.0.2", "192.168.100.200"
SIX = "fd00::1", "fd00::2", "2001:db8::1234:5678"


class Line:
    """A client behind NAT and a server, through one tracker; what each end has sent, as it counts itself."""

    def __init__(self, client: str, server: str, public: str) -> None:
        self.tracker = Tracker(MemoryStore(), 1)
        family = ipaddress.ip_address(public).version
        self.nat = dp.Nat("src", family, int(ipaddress.ip_address(public)))
        self.ends = (client, server), (server, public)
        self.sent = [1000, 5000]
        self.heard = [1000, 5000]  # of each end, by the other

    def say(self, side: int, data: bytes = b"", flags: int = ACK | 8) -> bytes:
        """The text that arrives; its sequence numbers fit what has arrived before."""
        source, target = self.ends[side]
        ports = (21, 3000) if side else (3000, 21)
        frame = tcp(source, target, ports, self.sent[side], self.heard[1 - side], flags, 5000, data=data)
        action = dp.Conntrack(commit=not side, zone=0, helper="ftp", nat=dp.Nat() if side else self.nat)
        (packet, _, _), *more = self.tracker.process(Packet(frame), parse(frame), action, 0.0)
        assert not more
        found = extract(packet, 0)
        assert found is not None, "lengths and checksums are right"
        segment = packet.frame[found.transport : found.end]
        assert int.from_bytes(segment[4:8], "big") == self.heard[side]
        if flags & ACK:
            assert int.from_bytes(segment[8:12], "big") == self.sent[1 - side]
        text = segment[(segment[12] >> 4) * 4 :]
        self.sent[side] += len(data) + bool(flags & SYN)
        self.heard[side] += len(text) + bool(flags & SYN)
        return text

    def open(self) -> None:
        self.say(0, b"", SYN)
        self.say(1, b"", SYN | ACK)
        self.say(0, b"", ACK)


def test_addresses_are_replaced_and_later_numbers_fit() -> None:
    line = Line(CLIENT, SERVER, PUBLIC)
    line.open()
    assert line.say(0, b"PORT 10,0,0,1,4,5\r\n") == b"PORT 192,168,100,200,4,5\r\n"
    assert line.say(1, b"200 PORT fine\r\n") == b"200 PORT fine\r\n"
    assert line.say(0, b"LIST\r\n") == b"LIST\r\n"
    assert line.say(0, b"PORT 10,0,0,1,200,201\r\n") == b"PORT 192,168,100,200,200,201\r\n"
    assert line.say(1, b"200 fine again\r\n") == b"200 fine again\r\n"
    assert line.say(0, b"QUIT\r\n") == b"QUIT\r\n"


def test_ipv6_addresses() -> None:
    line = Line(*SIX)
    line.open()
    assert line.say(0, b"EPRT |2|fd00::1|2000|\r\n") == b"EPRT |2|2001:db8::1234:5678|2000|\r\n"
    assert line.say(1, b"200 fine\r\n") == b"200 fine\r\n"
    assert line.say(0, b"QUIT\r\n") == b"QUIT\r\n"


@pytest.mark.parametrize("port", [1029, 60000])
def test_the_server_reaches_the_client_that_announced(port: int) -> None:
    line = Line(CLIENT, SERVER, PUBLIC)
    line.open()
    line.say(0, f"PORT 10,0,0,1,{port >> 8},{port & 255}\r\n".encode())
    frame = tcp(SERVER, PUBLIC, (20, port), 7, 0, SYN, 100)
    action = dp.Conntrack(commit=True, nat=dp.Nat())
    ((packet, _, _),) = line.tracker.process(Packet(frame), parse(frame), action, 0.0)
    assert packet.frame[30:34] == ipaddress.ip_address(CLIENT).packed
    shown = [str(one.original) for one in line.tracker.connections() if one.parent is not None]
    assert [re.sub(r"sport=\d+", "", text) for text in shown] == [f"src={SERVER},dst={PUBLIC},,dport={port}"]


def test_expectations_go_with_their_parent() -> None:
    line = Line(CLIENT, SERVER, PUBLIC)
    line.open()
    line.say(0, b"PORT 10,0,0,1,4,5\r\n")
    assert len(line.tracker.expectations) == 1
    line.tracker.flush()
    assert len(line.tracker.expectations) == 0
