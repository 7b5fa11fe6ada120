"""Encoding of datapath actions: what becomes of lists within lists, and what goes the slow path."""

import pytest

from trunkline.bpf import layout as program
from trunkline.bpf.actions import TUNNEL, Questions, Slow, encode
from trunkline.dpif import actions as dp
from trunkline.flow import key as layout

ASK = Questions(
    cookie=lambda action: 5,
    reachable=lambda port: port < 100,
    metered=lambda meter: meter < 10,
    outer=lambda value: 3 if value else None,
    written=lambda port: port in (50, 51),
    header=lambda port, fields: 9,
    layer3=lambda port: port == 51,
    tracking=lambda actions: None,
)
KEY, MASK = layout.pack(
    packet_type=0, dl_type=0x0800, nw_proto=6, nw_frag=0, nw_ttl=64, dl_dst=1, recirc_id=0
)


def kinds(*actions: object) -> list[str]:
    orders = encode(ASK, KEY, MASK, actions)
    return [program.ACTIONS[order[0]] for order in orders]


def slow(*actions: object) -> str:
    with pytest.raises(Slow) as raised:
        encode(ASK, KEY, MASK, actions)
    return str(raised.value)


TO_TUNNEL = dp.Set(layout.put(0, "tun_id", 5), TUNNEL)


def test_ethernet_header_off_before_a_tunnel() -> None:
    assert kinds(TO_TUNNEL, dp.PopEth(), dp.Output(51)) == ["SET_TUNNEL", "SET_META", "ENCAPSULATE"]
    assert kinds(TO_TUNNEL, dp.Clone((dp.PopEth(), dp.Output(51))), dp.Output(1)) == [
        "SET_TUNNEL", "SET_META", "ENCAPSULATE", "SET_META", "OUTPUT",
    ]  # fmt: skip
    assert "has no place" in slow(TO_TUNNEL, dp.Output(51))
    assert "has no place" in slow(TO_TUNNEL, dp.PopEth(), dp.Output(50))
    assert "without an Ethernet header to a device" in slow(dp.PopEth(), dp.Output(1))
    assert "pop_eth that does not stand" in slow(TO_TUNNEL, dp.PopEth(), dp.Recirc(1))


def test_ethernet_header_on_behind_a_tunnel() -> None:
    key, mask = layout.pack(packet_type=0x10800, dl_type=0x0800, nw_frag=0, recirc_id=0)
    orders = encode(ASK, key, mask, (dp.PushEth(1, 2), dp.Output(1)))
    assert [program.ACTIONS[order[0]] for order in orders] == ["SET_META", "SET_ETHERNET", "OUTPUT"]
    orders = encode(ASK, key, mask, (dp.Clone((dp.PushEth(1, 2), dp.Output(1))), TO_TUNNEL, dp.Output(51)))
    assert [program.ACTIONS[order[0]] for order in orders] == [
        "SET_META", "SET_ETHERNET", "OUTPUT", "SET_META", "SET_ETHERNET", "SET_TUNNEL", "ENCAPSULATE",
    ]  # fmt: skip
    for action in (dp.PushVlan(0x8100, 5), dp.CheckLength(5, (), ())):
        with pytest.raises(Slow, match="without an Ethernet header"):
            encode(ASK, key, mask, (action, dp.PushEth(1, 2), dp.Output(1)))


def test_last_output_needs_no_copy() -> None:
    orders = encode(ASK, KEY, MASK, (dp.Output(1), dp.PushVlan(0x8100, 5), dp.Output(2), dp.PopVlan()))
    assert [program.ACTIONS[order[0]] for order in orders] == ["OUTPUT", "PUSH_VLAN", "OUTPUT"]
    assert [order[1] for order in orders] == [0, 0, program.OUTPUT_LAST]


def test_no_actions_drop() -> None:
    assert kinds() == ["DROP"]


def test_tpid_is_in_network_order() -> None:
    order = encode(ASK, KEY, MASK, (dp.PushVlan(0x88A8, 0x1005), dp.Output(1)))[0]
    assert order[4:8] == b"\x05\x00\x88\xa8"


def test_what_a_clone_changes_is_written_back() -> None:
    change = dp.Set(*layout.pack(nw_ttl=63))
    orders = encode(ASK, KEY, MASK, (dp.Clone((change, dp.Output(1))), dp.Output(2)))
    assert [program.ACTIONS[order[0]] for order in orders] == ["WRITE", "OUTPUT", "WRITE", "OUTPUT"]
    assert (orders[0][8], orders[2][8]) == (63, 64)


def test_a_tag_that_a_clone_pushes_is_popped() -> None:
    clone = dp.Clone((dp.PushVlan(0x8100, 7), dp.Output(1)))
    assert kinds(clone, dp.Output(2)) == ["PUSH_VLAN", "OUTPUT", "POP_VLAN", "OUTPUT"]
    assert kinds(dp.Output(2), clone) == ["OUTPUT", "PUSH_VLAN", "OUTPUT"]


def test_lists_within_are_skipped() -> None:
    sample = dp.Sample(7, (dp.Output(1),))
    assert kinds(sample, dp.Output(2)) == ["SAMPLE", "OUTPUT", "OUTPUT"]
    check = dp.CheckLength(100, (dp.Output(1),), (dp.Output(2), dp.Output(3)))
    assert kinds(check) == ["CHECK_LENGTH", "OUTPUT", "SKIP", "OUTPUT", "OUTPUT"]


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ((dp.Conntrack(), dp.Recirc(1)), "ct actions"),
        ((dp.Output(200),), "port 200"),
        ((dp.Meter(10), dp.Output(1)), "meter 10"),
        ((dp.Recirc(1), dp.Output(1)), "recirc that is not the last"),
        ((dp.Clone((dp.PopVlan(), dp.Output(1))), dp.Output(2)), "takes a tag away"),
        ((dp.Clone((dp.Set(*layout.pack(dl_src=1)), dp.Output(1))), dp.Output(2)), "changes dl_src"),
        ((dp.Truncate(100), dp.Output(1), dp.Output(2)), "trunc"),
        ((dp.Set(*layout.pack(nd_target=1)), dp.Output(1)), "nd_target"),
        ((dp.Set(*layout.pack(tun_id=1)), dp.Output(1)), "tun_id"),
        ((dp.PushNsh(0), dp.Output(1)), "PushNsh"),
    ],
)
def test_what_goes_the_slow_path(actions: tuple[object, ...], reason: str) -> None:
    assert reason in slow(*actions)


def test_outer_headers_are_set_whole() -> None:
    value, _ = layout.pack(tun_id=7, tun_dst=0x0A000001)
    assert kinds(dp.Set(value, TUNNEL), dp.Output(5)) == ["SET_TUNNEL", "OUTPUT"]
    with pytest.raises(Slow, match="together"):
        kinds(dp.Set(value, layout.MASK["tun_id"]), dp.Output(5))
    with pytest.raises(Slow, match="outer headers"):
        kinds(dp.Set(0, TUNNEL), dp.Output(5))
