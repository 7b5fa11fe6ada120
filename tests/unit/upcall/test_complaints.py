"""What the log says of packets that are dropped, and how often."""

from trunkline.base.clock import Clock, ManualClock
from trunkline.base.log import Log
from trunkline.flow import key as layout
from trunkline.ofproto.bridge import Bridge, BridgeConfig
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import PortStatistics
from trunkline.translate.result import Complaint, Result
from trunkline.upcall.complaints import ComplaintLog

KEY = layout.put(0, "in_port", 3)


class NoHost:
    """Devices that nobody asks for."""

    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        raise AssertionError

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None:
        raise AssertionError


def made(clock: Clock) -> Bridge:
    return Bridge(BridgeConfig("b0", 1), Fabric(NoHost()), clock)


def kept(clock: Clock) -> tuple[ComplaintLog, list[str]]:
    """A log of complaints, and the lines that it writes."""
    log = Log("test", clock)
    lines: list[str] = []
    log.attach("file", lambda level, line: lines.append(line))
    return ComplaintLog(log), lines


NOTHING = Result((), 0, (), (), (), 0)


def test_so_many_a_minute() -> None:
    clock = ManualClock()
    complaints, lines = kept(clock)
    bridge = made(clock)
    grave = NOTHING._replace(complaints=(Complaint("dropping it", bridge, KEY),))
    slight = NOTHING._replace(complaints=(Complaint("skipping it", bridge, KEY, False),))
    for _ in range(20):
        complaints.complain(bridge, KEY, grave)
        complaints.complain(bridge, KEY, slight)
    assert [sum(word in line for line in lines) for word in ("|WARN|", "|INFO|")] == [5, 5]
    assert "|ofproto_dpif_xlate|WARN|dropping it on bridge b0 while processing in_port=3," in lines[0]
    clock.advance(60)
    complaints.complain(bridge, KEY, grave)
    assert "Dropped 15 log messages in last 60 seconds" in lines[10]


def test_the_way_of_a_packet_whose_flows_never_end() -> None:
    """Only of one that came in, and once a minute."""
    clock = ManualClock()
    complaints, lines = kept(clock)
    failed = NOTHING._replace(failure="Recursion too deep")
    complaints.complain(None, KEY, failed)
    assert not lines
    bridge = made(clock)
    complaints.complain(bridge, KEY, failed)
    complaints.complain(bridge, KEY, failed)
    assert len(lines) == 1
    assert "|ofproto_dpif_upcall|WARN|Flow: in_port=3," in lines[0]
    assert 'bridge("b0")' in lines[0]
