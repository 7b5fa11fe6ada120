"""Actions within actions within actions: there is an end to it on the wire, and no other error."""

import pytest

from trunkline.openflow import actions as a
from trunkline.openflow.actions_decode import decode_actions
from trunkline.openflow.wire import DecodeError


def clones(depth: int, inner: bytes = b"", before: bytes = b"") -> bytes:
    for _ in range(depth):
        inner = before + bytes.fromhex("ffff") + (16 + len(inner)).to_bytes(2, "big") + inner_head() + inner
    return inner


def inner_head() -> bytes:
    return bytes.fromhex("00002320002a") + bytes(6)


OUTPUT = bytes.fromhex("0000001000000002ffff000000000000")  # 1.1 and later
RESUBMIT = bytes.fromhex("ffff0010000023200001000100000000")


@pytest.mark.parametrize("inner", [b"", OUTPUT, RESUBMIT])
@pytest.mark.parametrize("before", [b"", OUTPUT])
def test_deep_lists_are_read_up_to_a_depth(inner: bytes, before: bytes) -> None:
    for depth in (1, 60, 98, 99):
        (action,) = decode_actions(clones(depth, inner, before), 4)[-1:]
        found = 0
        while isinstance(action, a.Clone):
            found += 1
            action = action.actions[-1] if action.actions else None  # type: ignore[assignment]
        assert found == depth
    for depth in (100, 101, 500, 1000):
        with pytest.raises(DecodeError) as caught:
            decode_actions(clones(depth, inner, before), 4)
        assert caught.value.error == "OFPBAC_TOO_MANY"
