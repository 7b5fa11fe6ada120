"""An error of ours costs one message, never the connection: the peer and the log are told."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from support.switches import Lab, OurSwitch, PortSpec
from trunkline.base.clock import ManualClock
from trunkline.base.counters import Counter
from trunkline.base.log import Log
from trunkline.daemons import openflow_session
from trunkline.io.memory import pair
from trunkline.jsonrpc.reconnect import Reconnect, Timing
from trunkline.model import openflow as of
from trunkline.ofproto import handler
from trunkline.openflow import connection as connections
from trunkline.openflow import messages as m
from trunkline.openflow.codec import decode, encode, read
from trunkline.openflow.connection import Connection
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.wire import Envelope, Framer, Protocol

FLOW = parse_flow("in_port=1,actions=output:2", of.OFPFC_ADD).mod


def converse(*messages: tuple[int, m.Message], fault: Any = None) -> tuple[list[m.Message], list[str]]:
    """What a switch answers in 1.4, and its log; `carried_out` calls `fault`."""
    switch = OurSwitch()
    switch.build(Lab(("br0",), (PortSpec("br0", "p1", 1), PortSpec("br0", "p2", 2))))
    bridge = switch.bridges["br0"]
    log, lines = Log("switch", ManualClock()), []
    log.attach("file", lambda level, line: lines.append(line))
    ended: list[str] = []

    async def run() -> bytes:
        ours, theirs = pair()
        client = bridge.clients.attach(Connection(1 << 5), service=True, origin="test")
        session = openflow_session.Session(
            bridge, client, theirs, clock=ManualClock(), log=log.module("ofproto"),
            timing=Timing(probe_interval=0.0), state=Reconnect("ACTIVE"), remote="", received=Counter("r"),
            sent=Counter("s"), carried_out=fault or (lambda: None), ended=lambda *why: ended.extend(why),
        )  # fmt: skip
        session.start()
        protocol = Protocol(5)
        ours.write(encode(protocol, m.Hello(1 << 5), 1)[0])
        for xid, message in (*messages, (99, m.BarrierRequest())):
            ours.write(encode(protocol, message, xid)[0])
        answers, barrier = b"", encode(protocol, m.BarrierReply(), 99)[0]
        async with asyncio.timeout(20):
            while barrier not in answers:
                answers += await ours.read()
        return answers

    answers = asyncio.run(run())
    assert not ended
    found = [decode(raw).message for raw in Framer().feed(answers)]
    return [one for one in found if not isinstance(one, m.Hello | m.BarrierReply)], lines


def error(answers: list[m.Message]) -> str:
    (answer,) = answers
    assert isinstance(answer, m.Error)
    return answer.error


def test_a_handler_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> m.Message:
        raise KeyError("of ours")

    monkeypatch.setitem(handler._HANDLERS, m.GetConfigRequest, fail)
    monkeypatch.setitem(handler._HANDLERS, m.FlowMod, fail)
    answers, log = converse((7, m.GetConfigRequest()))
    assert error(answers) == "OFPBRC_EPERM"
    (line,) = log
    assert "ERR|br0<->unix#0: internal error in OFPT_GET_CONFIG_REQUEST: KeyError: 'of ours' (" in line
    assert error(converse((7, FLOW))[0]) == "OFPFMFC_UNKNOWN"


def test_an_answer_that_fails_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Iterator[m.Message | None]:
        yield None
        raise ValueError("late")

    monkeypatch.setitem(handler._HANDLERS, m.FlowStatsRequest, fail)
    answers, log = converse((7, m.FlowStatsRequest(FLOW.match)))
    assert error(answers) == "OFPBRC_EPERM"
    assert len(log) == 1
    assert "in OFPST_FLOW request: ValueError: late (test_openflow_session.py:" in log[0]


def test_a_decoder_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(envelope: Envelope, table_id: bool) -> Any:
        if envelope.kind.name == "OFPT_GET_CONFIG_REQUEST":
            raise IndexError("beyond")
        return read(envelope, table_id)

    monkeypatch.setattr(connections, "read", fail)
    answers, log = converse((7, m.GetConfigRequest()))
    assert error(answers) == "OFPBRC_EPERM"
    assert len(log) == 1
    assert "in OFPT_GET_CONFIG_REQUEST: IndexError: beyond" in log[0]


def test_what_follows_a_message_fails() -> None:
    def fail() -> None:
        raise RuntimeError("afterwards")

    answers, log = converse((7, m.EchoRequest(b"x")), fault=fail)
    assert answers == [m.EchoReply(b"x")]
    assert all("in what its messages changed: RuntimeError: afterwards" in line for line in log)
    assert log


def test_a_bundle_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    change = handler._change_flows
    done = []

    def fail(bridge: Any, client: Any, message: Any) -> Any:
        if done:
            raise OverflowError("second")
        done.append(bridge)
        return change(bridge, client, message)

    monkeypatch.setattr(handler, "_change_flows", fail)
    answers, log = converse(
        (1, m.BundleControl(1, of.OFPBCT_OPEN_REQUEST, 1)),
        (2, m.BundleAdd(1, 1, 2, FLOW)),
        (3, m.BundleAdd(1, 1, 3, FLOW._replace(priority=5))),
        (4, m.BundleControl(1, of.OFPBCT_COMMIT_REQUEST, 1)),
    )
    assert error(answers[1:]) == "OFPBFC_UNKNOWN"
    assert len(log) == 1
    (normal,) = done[0].flows.tables.rules(hidden=False)
    assert normal.priority == 0
