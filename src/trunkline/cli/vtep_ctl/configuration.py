"""Physical and logical switches, ports and logical routers as commands speak of them, found by name.

Names of switches and routers are unique in the database; that of a port is so only within its switch.
"""

from collections.abc import Iterable

from trunkline.dbctl.grammar import UsageError
from trunkline.dbctl.work import Question, Row, TryAgain, Work

GLOBAL = "Global"
PHYSICAL_SWITCH = "Physical_Switch"
PHYSICAL_PORT = "Physical_Port"
LOGICAL_SWITCH = "Logical_Switch"
LOGICAL_ROUTER = "Logical_Router"


def text(work: Work, row: Row, column: str) -> str:
    """A column that holds one string."""
    return str(work.get(row, column)[0])


def top(work: Work) -> Row:
    """The one row of Global."""
    rows = work.all(GLOBAL)
    if not rows:
        raise TryAgain
    return rows[0]


def initialize(work: Work) -> None:
    """Makes the one row of Global, when the database is empty."""
    if not work.all(GLOBAL):
        work.must_be_empty(GLOBAL)
        work.insert(GLOBAL)


def asks(table: str, names: Iterable[str]) -> list[Question]:
    """What has to be asked to find rows by name."""
    return [Question(table, "name", name) for name in names]


# -- physical switches -------------------------------------------------------------------------------------


def find_physical_switch(work: Work, name: str) -> Row | None:
    for row in work.find(PHYSICAL_SWITCH, "name", name, verify=True):
        if row.uuid in work.get(top(work), "switches"):
            return row
    return None


def physical_switch(work: Work, name: str) -> Row:
    found = find_physical_switch(work, name)
    if found is None:
        raise UsageError(f"no physical switch named {name}")
    return found


def ports(work: Work, switch: Row) -> list[Row]:
    """The ports of a physical switch.  One of the switch's own name is no port to any command."""
    work.load({PHYSICAL_PORT: ("name",)})
    found = (work.row(PHYSICAL_PORT, str(uuid)) for uuid in work.get(switch, "ports"))
    own = work.get(switch, "name")
    return [row for row in found if row is not None and work.get(row, "name") != own]


def find_port(work: Work, switch: Row, name: str) -> Row | None:
    """The port of that name on `switch`; if several have it, the first by uuid."""
    if work.get(switch, "name") == (name,):
        return None
    found = work.find(PHYSICAL_PORT, "name", name, verify=True)
    held = work.get(switch, "ports") if found else ()
    return min((row for row in found if row.uuid in held), key=lambda row: row.uuid, default=None)


def port(work: Work, switch_name: str, name: str) -> Row:
    switch = find_physical_switch(work, switch_name)
    found = find_port(work, switch, name) if switch is not None else None
    if found is None:
        raise UsageError(f"no port named {name}")
    return found


# -- logical switches and routers --------------------------------------------------------------------------


def find_named(work: Work, table: str, name: str) -> Row | None:
    """A row of a table in which names are unique."""
    rows = work.find(table, "name", name, verify=True)
    return rows[0] if rows else None


def logical_switch(work: Work, name: str) -> Row:
    found = find_named(work, LOGICAL_SWITCH, name)
    if found is None:
        raise UsageError(f"no logical switch named {name}")
    return found
