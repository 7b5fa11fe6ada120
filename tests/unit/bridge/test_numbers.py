"""OpenFlow port numbers."""

import pytest

from trunkline.bridge.numbers import FIRST, LAST, REST, Numbers


def test_numbers_count_up_and_rest_an_hour() -> None:
    numbers = Numbers()
    assert [numbers.allocate(name, None, 0.0) for name in "abc"] == [1, 2, 3]
    numbers.give_back(1, 10.0, forget=True)
    assert numbers.allocate("d", None, 20.0) == 4
    assert numbers.holder(1) is None
    numbers.give_back(4, 20.0, forget=True)
    assert numbers.allocate("e", None, 20.0) == 5


def test_after_a_round_numbers_that_have_rested_come_first() -> None:
    numbers = Numbers()
    for number in range(FIRST, LAST + 1):
        numbers.take(f"p{number}", number)
    with pytest.raises(LookupError, match="every OpenFlow port number is in use"):
        numbers.allocate("more", None, 0.0)
    numbers.give_back(7, 100.0, forget=True)
    numbers.give_back(5, 200.0, forget=True)
    assert numbers.allocate("x", None, 100.0 + REST) == 7
    assert numbers.allocate("y", None, 100.0 + REST) == 5, "nothing has rested, so the one that did longest"


def test_who_comes_back_has_its_number_again_unless_it_left_for_good() -> None:
    numbers = Numbers()
    assert numbers.allocate("a", None, 0.0) == 1
    numbers.give_back(1, 1.0)
    assert numbers.allocate("b", None, 1.0) == 2
    assert numbers.allocate("a", None, 2.0) == 1
    numbers.give_back(1, 3.0)
    numbers.forget("a")
    assert numbers.allocate("a", None, 4.0) == 3


def test_what_the_database_remembers_is_kept_if_it_is_free() -> None:
    numbers = Numbers()
    numbers.take("wanted", 9)
    assert numbers.allocate("a", 9, 0.0) == 1
    assert numbers.allocate("b", 12, 0.0) == 12
    assert numbers.allocate("c", 0xFFFE, 0.0) == 2
