"""The state machine of a connection: hello, echo, errors, formats."""

import pytest

from trunkline.flow.match import Match, match
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.codec import decode
from trunkline.openflow.connection import Connection
from trunkline.openflow.wire import EncodeError


def _pair(ours: int, theirs: int) -> tuple[Connection, Connection]:
    switch, controller = Connection(ours), Connection(theirs)
    greeting = switch.to_send()
    switch.feed(controller.to_send())
    controller.feed(greeting)
    return switch, controller


def _sent(connection: Connection) -> list[m.Message]:
    data, found = connection.to_send(), []
    while data:
        length = int.from_bytes(data[2:4], "big")
        found.append(decode(data[:length]).message)
        data = data[length:]
    return found


def test_the_highest_common_version_is_agreed_upon() -> None:
    switch, controller = _pair(0b1111110, 1 << 1 | 1 << 4)
    assert (switch.version, controller.version) == (4, 4)


def test_without_a_common_version_the_connection_ends_with_an_error() -> None:
    switch, _ = _pair(1 << 6, 1 << 1)
    assert switch.closed is not None
    (error,) = _sent(switch)
    assert isinstance(error, m.Error)
    assert error.error == "OFPHFC_INCOMPATIBLE"


def test_echo_is_answered_and_kept_from_the_owner() -> None:
    switch, controller = _pair(1 << 4, 1 << 4)
    controller.send(m.EchoRequest(b"abc"), 77)
    assert switch.feed(controller.to_send()) == []
    assert _sent(switch) == [m.EchoReply(b"abc")]


def test_an_unknown_type_is_refused_with_its_bytes() -> None:
    switch, _ = _pair(1 << 4, 1 << 4)
    raw = b"\x04\x63\x00\x48\0\0\0\x09" + bytes(range(64))
    assert switch.feed(raw) == []
    (error,) = _sent(switch)
    assert error == m.Error("OFPBRC_BAD_TYPE", raw)


def test_messages_arrive_however_the_stream_is_cut() -> None:
    switch, controller = _pair(1 << 4, 1 << 4)
    controller.send(m.FeaturesRequest(), 5)
    controller.send(m.BarrierRequest(), 6)
    received = [r for byte in controller.to_send() for r in switch.feed(bytes((byte,)))]
    assert [(r.xid, r.message) for r in received] == [(5, m.FeaturesRequest()), (6, m.BarrierRequest())]


def test_a_length_under_eight_ends_the_connection() -> None:
    switch, _ = _pair(1 << 4, 1 << 4)
    switch.feed(b"\x04\x02\x00\x07\0\0\0\0")
    assert switch.closed is not None


def test_a_reply_has_the_form_of_its_request() -> None:
    switch, controller = _pair(1 << 1, 1 << 1)
    controller.send(m.SetFlowFormat(of.NXFF_NXM))
    controller.flow_format = of.NXFF_NXM
    controller.send(m.FlowStatsRequest(Match()), 9)
    *_, request = switch.feed(controller.to_send())
    assert isinstance(request.message, m.FlowStatsRequest)
    switch.send(m.FlowStatsReply(()), request.xid)
    raw = switch.to_send()
    assert decode(raw).kind == "NXST_FLOW reply"


def test_a_long_reply_is_cut_into_parts_that_say_more_follows() -> None:
    switch, controller = _pair(1 << 4, 1 << 4)
    flows = tuple(m.FlowStats(match(in_port=1), number, 0, ()) for number in range(3000))
    switch.send(m.FlowStatsReply(flows), 5)
    parts = [r.message for r in controller.feed(switch.to_send())]
    assert len(parts) > 2
    assert [part.more for part in parts if isinstance(part, m.FlowStatsReply)] == [True] * (
        len(parts) - 1
    ) + [False]
    assert sum(len(part.flows) for part in parts if isinstance(part, m.FlowStatsReply)) == 3000


def test_what_a_version_cannot_say_is_refused_and_not_sent() -> None:
    switch, _ = _pair(1 << 1, 1 << 1)
    with pytest.raises(EncodeError, match="nochange"):
        switch.send(m.RoleRequest(of.OFPCR_ROLE_NOCHANGE))
    assert switch.to_send() == b""
