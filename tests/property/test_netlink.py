"""Whatever a netlink message holds, reading it ends in a Link."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from trunkline.io.netlink import Link, _link


@given(st.binary(max_size=200), st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1))
def test_any_attributes_make_a_link(attributes: bytes, index: int, flags: int) -> None:
    body = struct.pack("=BxHiII", 0, 0, index, flags, 0) + attributes
    link = _link(memoryview(body))
    assert isinstance(link, Link)
    assert link.ifindex == index
