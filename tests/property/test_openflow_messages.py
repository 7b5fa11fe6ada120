"""Every message survives the way through bytes, and none can do harm."""

import contextlib
import random

from hypothesis import given
from hypothesis import strategies as st

from support.openflow_messages import damaged, messages
from trunkline.openflow.codec import decode, encode
from trunkline.openflow.style import PLAIN
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import DecodeError, EncodeError, Protocol

VERSIONS = st.sampled_from([1, 2, 3, 4, 5, 6])
SEEDS = st.integers(0, 1 << 32)
_FORMATS = {"NXT_PACKET_IN": 1, "NXT_PACKET_IN2": 2}


def _protocol(version: int, kind: str) -> Protocol:
    """How a message of this kind is written again as it was."""
    nicira = kind.startswith(("NXT_FLOW", "NXST_FLOW", "NXST_AGGREGATE"))
    return Protocol(version, nicira, True, _FORMATS.get(kind, 0))


@given(VERSIONS, SEEDS)
def test_what_is_decoded_is_encoded_and_decoded_alike(version: int, seed: int) -> None:
    for raw in messages(random.Random(seed), version, 20):
        try:
            incoming = decode(raw)
        except DecodeError:
            continue  # a flow whose actions do not suit its match
        again = encode(_protocol(version, incoming.kind), incoming.message, incoming.xid)
        assert len(again) == 1
        once_more = decode(again[0])
        assert once_more.kind == incoming.kind
        assert once_more.message == incoming.message, incoming.kind


@given(VERSIONS, SEEDS)
def test_damage_is_refused_or_read_but_never_raises(version: int, seed: int) -> None:
    r = random.Random(seed)
    for raw in messages(r, version, 20):
        broken = damaged(r, raw)
        message_text(broken, PLAIN._replace(verbosity=r.randrange(6)))
        try:
            incoming = decode(broken)
        except DecodeError:
            continue
        with contextlib.suppress(EncodeError):  # 1.0 has no way to say all that it lets in
            encode(_protocol(version, incoming.kind), incoming.message, incoming.xid)
