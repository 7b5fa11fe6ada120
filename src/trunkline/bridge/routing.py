"""Which parts of the switch a changed row concerns.

A row of the database knows what it contains (a bridge its ports, a port its interfaces), the switch needs
the other direction as well: whose port an interface belongs to.  The database lets two bridges have one port,
and two ports one interface; then it is that of the one which had it first, and when that lets go of it the
next has it.  `Routes` keeps that up to date and collects
what has to be looked at in this round, and nothing else: that is what keeps the cost of a change independent
of the number of ports.
"""

from typing import Final

from trunkline.base.log import Logger
from trunkline.bridge.unsupported import Complaints
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.replica import Change
from trunkline.ovsdb.rows import Row


class Routes:
    """`bridges`, `ports`, `interfaces`: the uuids to look at; whoever has looked takes them out.

    `contested` are those, of ports and of interfaces, that one more has claimed, by who claims them.
    """

    __slots__ = (
        "_claims",
        "_complaints",
        "_controllers",
        "bridge_of_controller",
        "bridge_of_port",
        "bridges",
        "contested",
        "controlled",
        "interfaces",
        "managers_changed",
        "port_of_interface",
        "ports",
        "root",
    )

    def __init__(self, log: Logger) -> None:
        self.bridges: set[Uuid] = set()
        self.ports: set[Uuid] = set()
        self.interfaces: set[Uuid] = set()
        self.controlled: set[Uuid] = set()  # bridges of which a controller has changed
        self.bridge_of_port: dict[Uuid, Uuid] = {}
        self.bridge_of_controller: dict[Uuid, Uuid] = {}
        self.port_of_interface: dict[Uuid, Uuid] = {}
        self.contested: dict[tuple[Uuid, Uuid], None] = {}
        self._claims: dict[Uuid, list[Uuid]] = {}  # who would have what another has
        self.root: Row | None = None  # of table Open_vSwitch
        self.managers_changed = False  # who manages the database
        self._controllers: set[Uuid] = set()  # that have changed
        self._complaints = Complaints(log)

    def take(self, change: Change) -> None:
        """Takes note of one change.  Rows of other tables concern whoever refers to them."""
        match change.table:
            case "Open_vSwitch":
                self._root_changed(change)
            case "Bridge":
                self._contents_changed(change, "ports", self.bridge_of_port, self.ports)
                self._contents_changed(change, "controller", self.bridge_of_controller, set())
                self.bridges.add(change.uuid)
            case "Controller":
                self._controllers.add(change.uuid)
            case "Manager":
                self.managers_changed = True
            case "Port":
                self._contents_changed(change, "interfaces", self.port_of_interface, self.interfaces)
                self.ports.add(change.uuid)
            case "Interface":
                if change.old is None or change.new is None or _is_news(change.old, change.new):
                    self.interfaces.add(change.uuid)
        if change.table in _NAMED:
            if change.new is None:
                self._complaints.forget(change.uuid)
            else:
                named = getattr(change.new, _NAMED[change.table])
                self._complaints.look(change.table, change.new, str(named))

    def find_controlled(self) -> None:
        """Once all changes are taken: the bridges of controllers that have changed."""
        for uuid in self._controllers:
            bridge = self.bridge_of_controller.get(uuid)
            if bridge is not None:
                bridges = (bridge, *self._claims.get(uuid, ()))  # any number may have the same controller
                self.bridges.update(bridges)
                self.controlled.update(bridges)
        self._controllers.clear()

    def _root_changed(self, change: Change) -> None:
        old = change.old.bridges if change.old is not None else ()
        new = change.new.bridges if change.new is not None else ()
        self.bridges.update(set(old) ^ set(new))
        self.managers_changed |= _managers(change.old) != _managers(change.new)
        self.root = change.new
        if change.new is not None:
            self._complaints.look("Open_vSwitch", change.new, ".")

    def _contents_changed(
        self, change: Change, column: str, owner: dict[Uuid, Uuid], dirty: set[Uuid]
    ) -> None:
        old = set(getattr(change.old, column)) if change.old is not None else set()
        new = set(getattr(change.new, column)) if change.new is not None else set()
        for uuid in old - new:
            self._let_go(uuid, change.uuid, owner)
            dirty.add(uuid)
        for uuid in new - old:
            if owner.setdefault(uuid, change.uuid) != change.uuid:
                self._claims.setdefault(uuid, []).append(change.uuid)
                self.contested[uuid, change.uuid] = None
            dirty.add(uuid)

    def _let_go(self, uuid: Uuid, by: Uuid, owner: dict[Uuid, Uuid]) -> None:
        """Who has it no longer wants it, or one that would have it."""
        claims = self._claims.get(uuid)
        if claims is None:
            if owner.get(uuid) == by:
                del owner[uuid]
            return
        if owner.get(uuid) == by:
            owner[uuid] = claims.pop(0)
        elif by in claims:
            claims.remove(by)
        if not claims:
            del self._claims[uuid]

    @property
    def wanted_bridges(self) -> set[Uuid]:
        """Only a bridge that the root names is one."""
        return set(self.root.bridges) if self.root is not None else set()


def _managers(root: Row | None) -> frozenset[Uuid]:
    return frozenset(root.manager_options) if root is not None else frozenset()


def _is_news(old: Row, new: Row) -> bool:
    """Not so the number that the switch itself has written."""
    return bool(old._replace(ofport=None) != new._replace(ofport=None))


# Tables with settings that may do nothing, and the column by which a person calls a row.
_NAMED: Final = {
    "Bridge": "name",
    "Port": "name",
    "Interface": "name",
    "Controller": "target",
    "Flow_Sample_Collector_Set": "id",
}
