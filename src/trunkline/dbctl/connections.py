"""Connections that a database lists: the rows of managers or controllers that a column refers to, by target.

``set-manager``, ``get-manager`` and ``del-manager`` are the same in every tool, and so are the commands of
ovs-vsctl on controllers.
"""

from collections.abc import Sequence

from trunkline.base.targets import ACTIVE, PASSIVE
from trunkline.dbctl.numbers import leading_integer
from trunkline.dbctl.run import Call
from trunkline.dbctl.work import Row


def show_targets(call: Call, table: str, row: Row, column: str) -> None:
    """Prints the targets of the rows of `table` that `column` refers to, sorted."""
    rows = [call.work.known(table, str(uuid), ("target",)) for uuid in call.work.get(row, column)]
    call.print_sorted(str(call.work.get(one, "target")[0]) for one in rows)


def forget(call: Call, table: str, row: Row, column: str) -> None:
    """Removes all that `column` refers to."""
    for uuid in call.work.get(row, column, verify=True):
        call.work.delete(call.work.known(table, str(uuid)))
    call.work.set(row, column, ())


def connect(call: Call, table: str, row: Row, column: str, targets: Sequence[str]) -> None:
    """Makes `column` refer to new rows, one for each target, with the option ``--inactivity-probe``."""
    forget(call, table, row, column)
    probe = call.options.get("--inactivity-probe")
    uuids = []
    for target in targets:
        _check(call, target)
        new = call.work.insert(table)
        call.work.set(new, "target", (target,))
        if probe is not None:
            call.work.set(new, "inactivity_probe", (leading_integer(probe),))
        uuids.append(new.uuid)
    call.work.set(row, column, tuple(sorted(uuids)))


def _check(call: Call, target: str) -> None:
    kind, colon, _ = target.partition(":")
    if kind not in (*ACTIVE, *PASSIVE) or not colon:
        call.log.module(call.tool.module).warn("%s", f'target type "{target}" is possibly erroneous')
