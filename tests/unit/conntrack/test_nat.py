"""Allocation of addresses and ports for new connections."""

from collections.abc import Callable

import pytest

from trunkline.conntrack.nat import allocate
from trunkline.conntrack.tuples import Tuple
from trunkline.dpif import actions as dp

BASE = int.from_bytes(b"\x0a\x01\x00\x00", "big")


def udp(port: int, to: int = 53) -> Tuple:
    return Tuple(0, 4, 17, b"\x0a\0\0\1", b"\x0a\0\0\2", port, to)


def everything(wanted: dp.Nat, original: Callable[[int], Tuple], hashed: Callable[[int], int]) -> list[Tuple]:
    """Reply tuples one after the other, until there is none left."""
    taken: set[Tuple] = set()
    order: list[Tuple] = []
    while True:
        found = allocate(
            original(len(order)), wanted, hashed(len(order)), lambda n: n // 2, taken.__contains__
        )
        if found is None:
            return order
        taken.add(found)
        order.append(found)


def test_a_range_is_used_up_and_no_more() -> None:
    wanted = dp.Nat("src", 4, BASE + 1, BASE + 3, 5000, 5009)
    found = everything(wanted, lambda i: udp(2000), lambda i: i * 7919)
    assert {(one.dst[-1], one.b) for one in found} == {(a, p) for a in (1, 2, 3) for p in range(5000, 5010)}


def test_the_port_is_kept_where_it_can_be() -> None:
    wanted = dp.Nat("src", 4, BASE + 1)
    assert allocate(udp(2000), wanted, 5, lambda n: 0, lambda one: False) == udp(2000).reversed()._replace(
        dst=b"\x0a\x01\0\1"
    )


@pytest.mark.parametrize(("port", "least", "most"), [(80, 1, 511), (700, 600, 1023), (2000, 1024, 65535)])
def test_another_port_is_of_the_same_kind(port: int, least: int, most: int) -> None:
    """Privileged ports become privileged ports; ports that only root can open stay such."""
    wanted = dp.Nat("src", 4, BASE + 1)
    taken = {allocate(udp(port), wanted, 0, lambda n: 0, lambda one: False)}
    found = allocate(udp(port), wanted, 0, lambda n: 0, taken.__contains__)
    assert found is not None
    assert found.b != port
    assert least <= found.b <= most


def test_to_one_receiver_the_senders_port_gives_way() -> None:
    wanted = dp.Nat("dst", 4, BASE + 1)
    first = allocate(udp(2000), wanted, 0, lambda n: 0, lambda one: False)
    assert first is not None
    assert (first.src, first.a, first.b) == (b"\x0a\x01\0\1", 53, 2000)
    second = allocate(udp(2000), wanted, 0, lambda n: 0, {first}.__contains__)
    assert second is not None
    assert (second.a, second.b) == (53, 2001)


def test_without_ports_only_addresses() -> None:
    wanted = dp.Nat("src", 4, BASE + 1, BASE + 2)
    original = Tuple(0, 4, 1, b"\x0a\0\0\1", b"\x0a\0\0\2", 7, 8 << 8)
    assert len(everything(wanted, lambda i: original, lambda i: 0)) == 2
