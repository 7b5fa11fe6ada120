"""Connections by name and by the time of their end."""

from trunkline.conntrack.connection import Connection
from trunkline.conntrack.store import MemoryStore
from trunkline.conntrack.tuples import Tuple


def connection(port: int, lifetime: float, now: float = 0.0) -> Connection:
    made = Connection(Tuple(0, 4, 17, b"\x0a\0\0\1", b"\x0a\0\0\2", port, 53), 0)
    made.lifetime, made.expires = lifetime, now + lifetime
    return made


def test_both_directions_lead_to_it() -> None:
    store = MemoryStore()
    one = connection(1, 30)
    assert store.insert(one)
    assert store.lookup(one.original.name()) == (one, False)
    assert store.lookup(one.reply.name()) == (one, True)
    store.delete(one)
    store.delete(one)
    assert store.lookup(one.original.name()) is None
    assert store.lookup(one.reply.name()) is None
    assert len(store) == 0
    assert store.next_expiry() is None


def test_a_name_that_is_taken_changes_nothing() -> None:
    store = MemoryStore()
    one, other = connection(1, 30), connection(2, 30)
    other.original = one.original
    assert store.insert(one)
    assert not store.insert(other)
    assert store.lookup(other.reply.name()) is None or other.reply == one.reply
    assert list(store.connections()) == [one]


def test_a_reply_that_two_have_goes_to_the_newer() -> None:
    store = MemoryStore()
    one, other = connection(1, 30), connection(2, 30)
    other.reply = one.reply
    assert store.insert(one)
    assert store.insert(other)
    assert store.lookup(other.reply.name()) == (other, True)
    store.delete(other)
    assert store.lookup(one.reply.name()) == (one, True)
    store.delete(one)
    assert store.lookup(one.reply.name()) is None


def test_the_older_of_a_shared_reply_may_go_first() -> None:
    store = MemoryStore()
    one, other = connection(1, 30), connection(2, 30)
    other.reply = one.reply
    assert store.insert(one)
    assert store.insert(other)
    store.delete(one)
    assert store.lookup(one.reply.name()) == (other, True)
    store.delete(other)
    assert store.lookup(one.reply.name()) is None


def test_both_directions_may_have_one_name() -> None:
    store = MemoryStore()
    same = Connection(Tuple(0, 4, 47, b"\x0a\0\0\1", b"\x0a\0\0\1", 0, 0), 0)
    assert store.insert(same)
    assert store.lookup(same.original.name()) == (same, False)
    store.delete(same)
    assert store.lookup(same.original.name()) is None


def test_they_end_in_order_and_packets_put_it_off() -> None:
    store = MemoryStore()
    short, long, touched = connection(1, 30), connection(2, 60), connection(3, 30)
    for one in (short, long, touched):
        assert store.insert(one)
    touched.expires = 45.0
    store.save(touched)
    assert store.next_expiry() == 30
    assert list(store.expired(29.9)) == []
    assert list(store.expired(30)) == [short]
    store.delete(short)
    for one in store.expired(100):
        store.delete(one)
    assert len(store) == 0


def test_another_lifetime_is_another_queue() -> None:
    store = MemoryStore()
    one = connection(1, 30)
    assert store.insert(one)
    one.lifetime, one.expires = 5.0, 7.0
    store.save(one)
    assert store.next_expiry() == 7
    assert list(store.expired(7)) == [one]
