"""Actions of different kinds are different, even where their fields are equal."""

from itertools import combinations

import pytest

from trunkline.dpif import actions as datapath
from trunkline.openflow import actions as openflow


@pytest.mark.parametrize("module", [datapath, openflow])
def test_records_of_different_kinds_are_never_equal(module: object) -> None:
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, tuple)]
    assert len(kinds) > 15
    for one, other in combinations(kinds, 2):
        shared = range(max(len(one._fields), len(other._fields)))  # type: ignore[attr-defined]
        a, b = (tuple.__new__(kind, shared) for kind in (one, other))
        assert a != b
        assert (a == b) is False
        assert (a,) != (b,)
        assert len({a, b}) == 2
        assert a == tuple.__new__(one, shared)


def test_a_megaflow_that_outputs_is_not_one_that_recirculates() -> None:
    assert (datapath.Output(5),) != (datapath.Recirc(5),)
    assert (openflow.SetVlanVid(5),) != (openflow.SetVlanPcp(5),)
