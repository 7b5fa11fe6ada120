"""Records that are equal only if they are of one kind.

A NamedTuple is a tuple, so two of different classes with equal fields are equal: what outputs to port 5 is
(5,), and so is what goes to table 5.  Where records of many kinds meet in one list (actions), that would
make different lists equal, and caches and comparisons wrong.
"""

from collections.abc import Iterable
from typing import Any


def distinguish(records: Iterable[object]) -> None:
    """Makes the NamedTuple classes among `records` unequal to each other: to be called once, where they are
    defined, with all that the module has."""
    for record in records:
        if isinstance(record, type) and issubclass(record, tuple):
            for name, method in (("__eq__", _equal), ("__ne__", _unequal), ("__hash__", _hash)):
                setattr(record, name, method)


def _equal(a: tuple[Any, ...], b: object) -> bool:
    return type(a) is type(b) and tuple.__eq__(a, b)


def _unequal(a: tuple[Any, ...], b: object) -> bool:
    return type(a) is not type(b) or tuple.__ne__(a, b)


def _hash(a: tuple[Any, ...]) -> int:
    return hash((type(a), *a))
