"""The table of multicast groups, and the messages that fill it."""

import random

import pytest

from support.multicast import data, framed, igmp, igmp3, ipv4, mld, mld2, record
from trunkline.base.addresses import parse_address
from trunkline.packet.membership import Change, Message, read_membership
from trunkline.proto.multicast_snooping import ROUTER_AGING, MulticastTable

MAPPED = 0xFFFF << 32
G = MAPPED | 0xEF010101
H = MAPPED | 0xEF010102
QUERY = Message("IGMP", MAPPED | 0x0A000002)


def join(*groups: int) -> Message:
    return Message("IGMP", changes=tuple(Change(group, True) for group in groups))


def leave(*groups: int) -> Message:
    return Message("IGMP", changes=tuple(Change(group, False) for group in groups))


def members(table: MulticastTable, vlan: int, address: int) -> list[str]:
    group = table.lookup(vlan, address)
    return list(group.ports) if group is not None else []


def test_ports_join_and_leave() -> None:
    table = MulticastTable()
    assert table.hear(7, "p1", join(G), 0, shared=False) == (((7, G),), False, 1)
    assert table.hear(7, "p2", join(G), 1, shared=False) == (((7, G),), False, 0)
    assert table.hear(7, "p1", join(G), 2, shared=False) == ((), False, 0)
    assert members(table, 7, G) == ["p2", "p1"]
    assert members(table, 0, G) == []
    assert table.foresee(7, "p1", leave(G), shared=False) == 1
    assert members(table, 7, G) == ["p2", "p1"]
    assert table.hear(7, "p1", leave(G), 3, shared=True) == ((), False, 0)
    assert table.hear(7, "p1", leave(G), 3, shared=False) == (((7, G),), False, 1)
    assert members(table, 7, G) == ["p2"]


def test_ports_age_each_by_itself() -> None:
    table = MulticastTable(aging=300)
    table.hear(0, "p1", join(G), 0, shared=False)
    table.hear(0, "p2", join(G), 100, shared=False)
    assert table.next_expiry() == 300
    assert not any(table.expire(299)[:2])
    assert table.expire(300).groups == ((0, G),)
    assert members(table, 0, G) == ["p2"]
    table.set_aging(60)
    assert table.next_expiry() == 160
    assert table.expire(160).groups == ((0, G),)
    assert table.lookup(0, G) is None
    assert table.next_expiry() is None


def test_routers_are_known_for_a_while_and_no_group_is_learned_there() -> None:
    table = MulticastTable()
    assert table.hear(0, "p1", QUERY, 0, shared=False).routers
    assert not table.hear(0, "p1", QUERY, 10, shared=False).routers
    assert table.hear(0, "p1", join(G), 11, shared=False).groups == ()
    assert table.hear(0, "p2", Message("IGMP", 0), 11, shared=False) == ((), False, 0)
    assert not table.expire(9 + ROUTER_AGING).routers
    assert table.expire(10 + ROUTER_AGING).routers
    assert table.routers() == []


def test_a_full_table_gives_up_what_was_reported_longest_ago() -> None:
    table = MulticastTable(limit=2)
    table.hear(0, "p1", join(G, H), 0, shared=False)
    table.hear(0, "p1", join(G), 1, shared=False)
    assert table.hear(0, "p1", join(G + 5), 2, shared=False).groups == ((0, H), (0, G + 5))
    assert [group.address for group in table.groups()] == [G, G + 5]
    assert table.set_limit(1).groups == ((0, G),)


def test_what_goes_with_a_port() -> None:
    table = MulticastTable()
    table.hear(0, "p1", join(G), 0, shared=False)
    table.hear(0, "p2", join(G, H), 0, shared=False)
    table.hear(5, "p2", QUERY, 0, shared=False)
    assert table.forget_port("p2") == (((0, G), (0, H)), True, 0)
    assert [(group.address, list(group.ports)) for group in table.groups()] == [(G, ["p1"])]
    assert table.flush() == (((0, G),), False, 0)


def test_nothing_is_left_behind_in_any_order() -> None:
    """After any sequence, waiting long enough empties the table, and every change was told."""
    rnd = random.Random(3)
    for _ in range(50):
        table = MulticastTable(aging=30, limit=4)
        now = 0.0
        for _ in range(60):
            now += rnd.choice((0, 1, 10))
            port, group = rnd.choice(("p1", "p2", "p3")), G + rnd.randrange(6)
            before = {(one.address, port) for one in table.groups() for port in one.ports}
            message = rnd.choice((join(group), leave(group), join(group, group + 1), QUERY))
            told = {address for _, address in table.hear(0, port, message, now, shared=False).groups}
            told |= {address for _, address in table.expire(now).groups}
            after = {(one.address, port) for one in table.groups() for port in one.ports}
            assert {address for address, _ in before ^ after} <= told
            assert len(list(table.groups())) <= 4
        while (when := table.next_expiry()) is not None:
            table.expire(when)
        assert list(table.groups()) == [] or not any(group.ports for group in table.groups())


@pytest.mark.parametrize("vlan", [None, 7])
def test_messages(vlan: int | None) -> None:
    def read(packet: bytes) -> Message | None:
        return read_membership(framed(packet, vlan=vlan))

    assert read(ipv4(2, "239.1.1.1", igmp(0x12, "239.1.1.1"))) == Message("IGMP", changes=(Change(G, True),))
    assert read(ipv4(2, "224.0.0.2", igmp(0x17, "239.1.1.1"))) == Message("IGMP", changes=(Change(G, False),))
    assert read(ipv4(2, "224.0.0.1", igmp(0x11), "10.0.0.2")) == QUERY
    assert read(ipv4(2, "224.0.0.1", igmp(0x11), "0.0.0.0")) == Message("IGMP", 0)
    assert read(ipv4(2, "239.1.1.1", igmp(0x16, intact=False))) == Message("IGMP", intact=False)
    assert read(ipv4(2, "239.1.1.1", igmp(0x99, intact=False))) is None
    assert read(data("239.1.1.1")) is None
    records = [
        record(3, "239.1.1.1"),
        record(9, "239.1.1.1"),
        record(5, "239.1.1.2", ["10.0.0.1", "10.0.0.2"]),
    ]
    changes = (Change(G, False), Change(H, True))
    assert read(ipv4(2, "224.0.0.22", igmp3(records))) == Message("IGMP", changes=changes, listed=True)
    group = parse_address("ff05::9")
    assert group is not None
    assert read(mld(132, "ff05::9", "ff02::2")) == Message(
        "MLD", changes=(Change(group, False),), listed=True
    )
    assert read(mld(130, "::", "ff02::1")) == Message("MLD", parse_address("fe80::1"))
    assert read(mld2([record(4, "ff05::9")])) == Message("MLD", changes=(Change(group, True),), listed=True)
    assert read(mld2([], intact=False)) == Message("MLD", intact=False)


def test_what_is_cut_short_is_no_message() -> None:
    for packet in (ipv4(2, "224.0.0.22", igmp3([record(4, "239.1.1.1")])), mld(131, "ff05::9", "ff05::9")):
        whole = framed(packet)[: 14 + len(packet)]
        assert read_membership(whole) is not None
        for size in range(len(whole)):
            found = read_membership(whole[:size])
            assert found is None or not found.intact or found.changes == ()
