"""What may come over an OpenFlow connection, and what the codec must do with it."""

import contextlib
import random

from hypothesis import given
from hypothesis import strategies as st

from support import openflow_flows
from trunkline.openflow import messages as m
from trunkline.openflow.codec import decode, encode
from trunkline.openflow.connection import Connection
from trunkline.openflow.flow_text import format_flow_mod, parse_flow
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import DecodeError, Protocol, split

VERSIONS = st.sampled_from([1, 3, 4, 5, 6])


def _connected(version: int) -> Connection:
    connection, peer = Connection(1 << version), Connection(1 << version)
    peer.feed(connection.to_send())
    connection.feed(peer.to_send())
    assert connection.version == version
    return connection


@given(st.binary(max_size=300), VERSIONS)
def test_arbitrary_bytes_never_harm_a_connection(data: bytes, version: int) -> None:
    connection = _connected(version)
    connection.feed(data)
    connection.to_send()


@given(VERSIONS, st.integers(0, 40), st.binary(max_size=200), st.booleans())
def test_any_body_of_any_type_is_decoded_or_refused(
    version: int, kind: int, body: bytes, prefix: bool
) -> None:
    if prefix and len(body) > 4:  # a likely kind of multipart or experimenter message
        body = bytes((0, body[0] % 20, 0, 0)) + body[4:] if kind > 14 else b"\0\0\x23\x20\0\0\0" + body
    raw = bytes((version, kind)) + (8 + len(body)).to_bytes(2, "big") + b"\0\0\0\7" + body
    connection = _connected(version)
    for received in connection.feed(raw):
        assert received.xid == 7
    for answer in _whole(connection.to_send()):
        assert isinstance(decode(answer).message, m.Error | m.EchoReply)
    message_text(raw)


def _whole(data: bytes) -> list[bytes]:
    messages = []
    while data:
        length = int.from_bytes(data[2:4], "big")
        messages.append(data[:length])
        data = data[length:]
    return messages


@given(st.integers(0, 1 << 32), VERSIONS, st.data())
def test_a_flow_mod_survives_and_a_broken_one_is_refused(
    seed: int, version: int, data: st.DataObject
) -> None:
    text = openflow_flows.flow(random.Random(seed), version > 1)
    mod = parse_flow(text, 0).mod
    protocol = Protocol(version, version == 1, True)
    (raw,) = encode(protocol, mod, 5)
    once = decode(raw).message
    assert isinstance(once, m.FlowMod)
    if "vlan_tci=0" not in text:  # OXM says "no tag" without the priority's bits
        assert once.match == mod.match
    (again,) = encode(protocol, once, 5)
    assert decode(again).message == once
    position = data.draw(st.integers(8, len(raw) - 1))
    broken = raw[:position] + bytes((raw[position] ^ data.draw(st.integers(1, 255)),)) + raw[position + 1 :]
    try:
        message = decode(broken).message
    except DecodeError:
        return
    assert encode(protocol, message, 5)


@given(st.integers(0, 1 << 32))
def test_the_text_of_a_flow_parses_to_the_same_flow(seed: int) -> None:
    mod = parse_flow(openflow_flows.flow(random.Random(seed)), 0).mod
    text = format_flow_mod(mod)
    words, _, actions = text.removeprefix("ADD ").partition(" actions=")
    words = words.replace("table:", "table=").replace("cookie:", "cookie=")
    words = words.replace("idle:", "idle_timeout=").replace("hard:", "hard_timeout=")
    if mod.table == 0:
        mod = mod._replace(table=255)  # the text of an add says nothing of table 0
    assert parse_flow(f"{words} actions={actions}", 0).mod == mod


@given(st.binary(max_size=64))
def test_split_raises_nothing_but_decode_errors(data: bytes) -> None:
    raw = bytes((4, 18)) + (8 + len(data)).to_bytes(2, "big") + bytes(4) + data
    with contextlib.suppress(DecodeError):
        split(raw)
