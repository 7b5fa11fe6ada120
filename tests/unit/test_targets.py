"""base/targets.py: connection methods."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.base.targets import Target, TargetError, is_active, is_passive, parse_target

GOOD = [
    ("tcp:10.0.0.1:6640", Target("tcp", "10.0.0.1", 6640)),
    ("tcp:10.0.0.1", Target("tcp", "10.0.0.1", 6640)),
    ("ssl:[fe80::1%eth0]:1", Target("ssl", "fe80::1%eth0", 1)),
    ("tcp:host.example:80", Target("tcp", "host.example", 80)),
    ("ptcp:", Target("ptcp", "", 6640)),
    ("ptcp:0:127.0.0.1", Target("ptcp", "127.0.0.1", 0)),
    ("pssl:1:[::1]", Target("pssl", "::1", 1)),
    ("ptcp:1:[::1", Target("ptcp", "::1", 1)),
    ("unix:db.sock", Target("unix", "/run/db.sock", 0)),
    ("punix:/x/y:z", Target("punix", "/x/y:z", 0)),
]
BAD = [
    ("foo", ""),
    ("foo:bar", ""),
    ("TCP:1.2.3.4:1", ""),
    ("tcp:127.0.0.1:x", '127.0.0.1:x: bad port number "x"'),
    ("tcp:127.0.0.1:99999", '127.0.0.1:99999: bad port number "99999"'),
    ("tcp::1:1", ":1:1: port must be specified"),
    ("tcp:[::1:1", "[::1:1: port must be specified"),
    ("tcp:[::1]1", "[::1]1: port must be specified"),
    ("tcp:[::1]", "[::1]: port must be specified"),
    ("tcp:1.2.3.4:5:6", "1.2.3.4:5:6: port must be specified"),
    ("tcp::66", ":66:6640: port must be specified"),
    ("tcp:127.0.0.1:", "127.0.0.1::6640: port must be specified"),
    ("ptcp:x", 'x: bad port number "x"'),
    ("ptcp:-1", '-1: bad port number "-1"'),
    ("ptcp:x:127.0.0.1", 'x:127.0.0.1: bad port number "x"'),
    ("ptcp:0:127.0.0.1:5", "0:127.0.0.1:5: port must be specified"),
    ("ptcp:0::", "0::: port must be specified"),
]


@pytest.mark.parametrize(("text", "target"), GOOD)
def test_targets(text: str, target: Target) -> None:
    assert parse_target(text, directory="/run") == target
    assert is_active(text) != is_passive(text)


@pytest.mark.parametrize(("text", "error"), BAD)
def test_the_originals_errors(text: str, error: str) -> None:
    with pytest.raises(TargetError) as raised:
        parse_target(text)
    assert str(raised.value) == error


def test_openflow_has_its_own_port() -> None:
    assert parse_target("tcp:1.2.3.4", port=6653).port == 6653


@given(st.text() | st.builds("{}:{}".format, st.sampled_from(["tcp", "ptcp", "ssl"]), st.text("0123:[].x")))
def test_any_text_is_a_target_or_an_error(text: str) -> None:
    try:
        target = parse_target(text)
    except TargetError:
        return
    assert 0 <= target.port <= 65535
