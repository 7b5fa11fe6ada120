"""Names of ports in matches, tunnel options, and what formatting needs beyond the text itself."""

import pytest

from trunkline.flow.match import Match, match, normalize
from trunkline.flow.text import format_match, key_values, parse_match
from trunkline.flow.values import TextContext, TextError, format_port, parse_port

# As the original prints them with --names.
NAMES = {
    "p1": "p1", "Abc": "Abc", "LOCAL": "LOCAL", "any": "any", "eth0.5": '"eth0.5"', "veth-1": '"veth-1"',
    "a_b": '"a_b"', "1p": '"1p"', "a:b": '"a:b"', "12": '"12"', "-a": '"-a"', "_x": '"_x"', 'q"x': '"q\\"x"',
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_ports(name: str) -> None:
    context = TextContext({name: 7}, {7: name})
    assert format_port(7, context) == NAMES[name]
    if name not in ("LOCAL", "any"):
        assert parse_port(NAMES[name], context) == 7
        assert (
            format_match(parse_match(f"in_port={NAMES[name]}", context), context) == f"in_port={NAMES[name]}"
        )


def test_reserved_ports_come_before_names() -> None:
    assert parse_port("local", TextContext({"local": 5}, {})) == 0xFFFE
    assert format_port(0xFFFE, TextContext({}, {0xFFFE: "br0"})) == "LOCAL"


def test_words() -> None:
    text = " tcp , tp_src=80,packet_type=(1,0x800) actions:2"
    assert list(key_values(text)) == [
        ("tcp", None), ("tp_src", "80"), ("packet_type", "(1,0x800)"), ("actions", "2")]  # fmt: skip


def test_tunnel_options_lie_side_by_side() -> None:
    text = "tun_metadata0=0x1234/0xffff,tun_metadata5=0/0x80,tun_metadata7"
    parsed = parse_match(text)
    assert format_match(parsed) == "tun_metadata0=0x1234,tun_metadata5=0/0x80,tun_metadata7"
    assert [(option.offset, option.octets) for option in parsed.options][:2] == [(0, 2), (2, 1)]
    assert format_match(Match(parsed.value, parsed.mask), options=parsed.options) == format_match(parsed)


def test_priority_stands_first() -> None:
    assert format_match(match(in_port=3), priority=5) == "priority=5,in_port=3"
    assert format_match(match(), priority=0) == "priority=0"


def test_addresses_of_the_other_family_do_not_get_into_the_shared_place() -> None:
    assert normalize(parse_match("ip,ipv6_src=::1")) == parse_match("ip")
    assert normalize(parse_match("ipv6,nw_src=1.1.1.1")) == parse_match("ipv6")
    assert normalize(parse_match("ipv6_src=::1,ipv6")) == normalize(parse_match("ipv6,ipv6_src=::1"))


def test_unknown_words() -> None:
    with pytest.raises(TextError, match="unknown keyword foo"):
        parse_match("ip,foo=3")
