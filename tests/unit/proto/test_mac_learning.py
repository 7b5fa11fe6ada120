"""The table of learned addresses."""

import random

from trunkline.proto.mac_learning import STATIC, MacTable

A, B = 0x020000000001, 0x020000000002


def test_an_address_is_learned_moves_and_ages() -> None:
    table = MacTable(aging=300)
    assert table.learn(10, A, "p1", 0) == [(10, A)]
    assert table.learn(10, A, "p1", 100) == []
    assert table.learn(10, A, "p2", 150) == [(10, A)]
    entry = table.lookup(10, A)
    assert entry is not None
    assert (entry.port, entry.expires) == ("p2", 450)
    assert table.lookup(20, A) is None
    assert table.expire(449) == []
    assert table.next_expiry() == 450
    assert table.expire(450) == [(10, A)]
    assert len(table) == 0
    assert table.statistics == (1, 1, 0, 1)


def test_what_is_never_learned() -> None:
    table = MacTable()
    table.flood_vlans = 1 << 30
    assert table.learn(10, 0x010000000001, "p1", 0) == []
    assert table.learn(30, A, "p1", 0) == []
    assert len(table) == 0


def test_static_entries_stay_where_they_are() -> None:
    table = MacTable(aging=10)
    table.learn(1, A, "p1", 0)
    assert table.add_static(1, A, "p2") == [(1, A)]
    assert table.learn(1, A, "p1", 1) == []
    assert table.expire(1000) == []
    assert table.flush() == []
    entry = table.lookup(1, A)
    assert entry is not None
    assert (entry.port, entry.expires) == ("p2", STATIC)
    assert not table.remove_static(1, B)
    assert table.remove_static(1, A)
    assert table.lookup(1, A) is None


def test_a_full_table_takes_from_the_port_with_most() -> None:
    table = MacTable(limit=10)
    table.learn(0, A, "quiet", 0)
    for i in range(50):
        table.learn(0, 0x020000001000 + i, "noisy", 1 + i)
    assert len(table) == 10
    assert table.lookup(0, A) is not None
    assert table.lookup(0, 0x020000001000) is None
    assert table.lookup(0, 0x020000001000 + 49) is not None
    assert table.statistics.evicted == 41


def test_a_smaller_limit_and_a_lost_port_take_entries_away() -> None:
    table = MacTable()
    for i in range(6):
        table.learn(0, A + i, "p1" if i % 2 else "p2", i)
    assert len(table.set_limit(4)) == 2
    gone = table.forget_port("p1")
    assert {mac & 1 for _, mac in gone} == {0}  # A is odd, so p1 has the even ones
    assert all(entry.port == "p2" for entry in table.entries())


def test_the_largest_port_is_always_known() -> None:
    rnd = random.Random(1)
    table = MacTable(limit=60)
    for step in range(5000):
        port = f"p{int(rnd.expovariate(0.7))}"
        table.learn(rnd.randrange(3), 0x020000000000 + rnd.randrange(200), port, step)
        if rnd.random() < 0.02:
            table.forget_port(port)
        sizes: dict[str, int] = {}
        for entry in table.entries():
            sizes[entry.port] = sizes.get(entry.port, 0) + 1
        assert table._fullest == max(sizes.values(), default=0)
