"""Bridges, fake bridges, ports and interfaces as commands speak of them, found by name.

A *fake bridge* is a port that stands for a VLAN of its parent: `fake_bridge` is set, and every port of the
parent with the same tag counts as the fake bridge's.  The port that bears a bridge's own name is its local
port and is no "port" to any command.

A port belongs to one bridge and an interface to one port, but nothing in the database says so.  Where several
have one, it counts as that of the first by uuid, and a warning names both, as in the original.
"""

from typing import Final, NamedTuple

from trunkline.dbctl.grammar import UsageError
from trunkline.dbctl.run import Call
from trunkline.dbctl.work import Question, Row, TryAgain, Work
from trunkline.ovsdb.atoms import Uuid

SWITCH: Final = "Open_vSwitch"


class Bridge(NamedTuple):
    """A bridge by its name.  `row` is the real Bridge; a fake one has its port and VLAN besides."""

    name: str
    row: Row
    fake: Row | None = None
    vlan: int = 0


class Port(NamedTuple):
    name: str
    row: Row
    bridge: Bridge


def text(work: Work, row: Row, column: str) -> str:
    """A column that holds one string."""
    return str(work.get(row, column)[0])


def switch(work: Work) -> Row:
    """The one row of Open_vSwitch."""
    rows = work.all(SWITCH)
    if not rows:
        raise TryAgain
    return rows[0]


def initialize(work: Work) -> None:
    """Makes the one row, when the database is empty."""
    if not work.all(SWITCH):
        work.must_be_empty(SWITCH)
        work.insert(SWITCH)


def _bridge_row(work: Work, port: Row) -> Row | None:
    rows = work.find("Bridge", "ports", port.uuid, ("name",))
    if len(rows) < 2:
        return rows[0] if rows else None
    first, *others = sorted(rows, key=_by_uuid)
    for other in others:
        names = f"{text(work, other, 'name')} and {text(work, first, 'name')}"
        work.warn(f"{text(work, port, 'name')}: port is in multiple bridges ({names})")
    return first


def _by_uuid(row: Row) -> Uuid:
    return row.uuid


def _is_fake(work: Work, port: Row) -> bool:
    return bool(work.get(port, "fake_bridge")[0] and work.get(port, "tag"))


def _fake(work: Work, port: Row, row: Row) -> Bridge:
    return Bridge(text(work, port, "name"), row, port, int(work.get(port, "tag")[0]))


def fakes(work: Work, row: Row | None = None) -> list[Bridge]:
    """Fake bridges, of one parent or of all."""
    found = []
    for port in work.find("Port", "fake_bridge", True, ("name", "tag")):
        parent = _bridge_row(work, port)
        if parent is not None and (row is None or parent is row) and work.get(port, "tag"):
            found.append(_fake(work, port, parent))
    return found


def child(work: Work, row: Row, vlan: int) -> Bridge | None:
    """The fake bridge of the real bridge `row` on `vlan`."""
    return next((fake for fake in fakes(work, row) if fake.vlan == vlan), None)


def find_bridge(work: Work, name: str) -> Bridge | None:
    rows = work.find("Bridge", "name", name, verify=True)
    if rows:
        return Bridge(name, rows[0])
    for port in work.find("Port", "name", name, ("fake_bridge", "tag"), verify=True):
        row = _bridge_row(work, port)
        if row is not None and _is_fake(work, port):
            return _fake(work, port, row)
    return None


def bridge(work: Work, name: str) -> Bridge:
    found = find_bridge(work, name)
    if found is None:
        raise UsageError(f"no bridge named {name}")
    return found


def real_bridge(work: Work, name: str) -> Bridge:
    found = bridge(work, name)
    if found.fake is not None:
        raise UsageError(f"{name} is a fake bridge")
    return found


def _port(work: Work, row: Row) -> Port | None:
    """`row` as a port; None if it is a local port, a fake bridge, or of no bridge."""
    name = text(work, row, "name")
    parent = _bridge_row(work, row)
    if parent is None or _is_fake(work, row) or text(work, parent, "name") == name:
        return None
    tag = work.get(row, "tag")
    owner = child(work, parent, int(tag[0])) if tag else None
    return Port(name, row, owner or Bridge(text(work, parent, "name"), parent))


def find_port(work: Work, name: str) -> Port | None:
    rows = work.find("Port", "name", name, ("fake_bridge", "tag"), verify=True)
    return _port(work, rows[0]) if rows else None


def port(work: Work, name: str) -> Port:
    found = find_port(work, name)
    if found is None:
        raise UsageError(f"no port named {name}")
    return found


def find_interface(work: Work, name: str) -> tuple[Row, Port] | None:
    """The interface and the port that has it."""
    for row in work.find("Interface", "name", name, verify=True):
        found = _holder(work, row, name)
        if found is not None:
            return row, found
    return None


def _holder(work: Work, row: Row, name: str) -> Port | None:
    """The port that an interface is in."""
    holders = work.find("Port", "interfaces", row.uuid, ("name", "fake_bridge", "tag"))
    held = [found for holder in holders if (found := _port(work, holder)) is not None]
    if len(held) < 2:
        return held[0] if held else None
    first, *others = sorted(held, key=lambda port: (port.bridge.row.uuid, port.row.uuid))
    for other in others:
        work.warn(f"{name}: interface is in multiple ports ({first.name} and {other.name})")
    return first


def interface(work: Work, name: str) -> tuple[Row, Port]:
    found = find_interface(work, name)
    if found is None:
        raise UsageError(f"no interface named {name}")
    return found


def interfaces(work: Work, row: Row) -> list[Row]:
    """The interfaces of a port."""
    return work.members(row, "interfaces", "Interface", ("name",))


def own_interfaces(work: Work, row: Row) -> list[Row]:
    """Those that are not another port's, too, which comes first."""
    return [
        one
        for one in interfaces(work, row)
        if len(work.find("Port", "interfaces", one.uuid)) < 2
        or (holder := _holder(work, one, text(work, one, "name"))) is None
        or holder.row is row
    ]


def asks(*names: str) -> list[Question]:
    """What has to be asked to know whether `names` are bridges, ports or interfaces."""
    return [
        question
        for name in names
        for question in (
            Question("Bridge", "name", name),
            Question("Port", "name", name, ("fake_bridge", "tag", "interfaces")),
            Question("Interface", "name", name),
        )
    ]


def check_free(work: Work, name: str, what: str) -> None:
    """Raises UsageError when a bridge, port or interface named `name` exists."""
    if find_bridge(work, name) is not None:
        raise UsageError(f"{what} because a bridge named {name} already exists")
    held = find_port(work, name)
    if held is not None:
        raise UsageError(f"{what} because a port named {name} already exists on bridge {held.bridge.name}")
    found = find_interface(work, name)
    if found is not None:
        owner = found[1].bridge.name
        raise UsageError(f"{what} because an interface named {name} already exists on bridge {owner}")


def ports(work: Work, owner: Bridge) -> list[Row]:
    """The ports of a bridge, without local ports; those on a fake bridge's VLAN are the fake bridge's."""
    work.load({"Bridge": ("name", "ports"), "Port": ("name", "tag", "fake_bridge", "interfaces")})
    taken = {fake.vlan for fake in fakes(work, owner.row)}
    local = text(work, owner.row, "name")
    found = []
    for row in work.members(owner.row, "ports", "Port"):
        if _is_fake(work, row) or text(work, row, "name") == local or not is_in(work, row, owner.row):
            continue
        tag = work.get(row, "tag")
        if owner.fake is None:
            mine = not tag or int(tag[0]) not in taken
        else:
            mine = bool(tag) and int(tag[0]) == owner.vlan
        if mine:
            found.append(row)
    return found


def is_in(work: Work, port: Row, bridge: Row) -> bool:
    """Whether a port that a Bridge row names is that bridge's, rather than another's."""
    return _bridge_row(work, port) is bridge


def delete_port(work: Work, row: Row, parent: Row) -> None:
    """Takes a port out of its bridge; it and its interfaces vanish, unless something else refers to them."""
    for one in work.members(row, "interfaces", "Interface"):
        work.delete(one)
    work.remove(parent, "ports", (row.uuid,))
    work.delete(row)


def new_interface(call: Call, name: str, kind: str = "") -> Row:
    """A new interface, whose errors are reported when the switch has seen it."""
    row = call.work.insert("Interface")
    call.work.set(row, "name", (name,))
    if kind:
        call.work.set(row, "type", (kind,))
    expected = call.state.setdefault("new interfaces", [])
    assert isinstance(expected, list)
    expected.append(row.uuid)
    return row
