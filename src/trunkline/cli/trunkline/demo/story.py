"""What the demo shows: four machines on two bridges, and who reaches whom after each change.

The story is data.  A step gives the commands that a person would type and the pairs that can talk afterwards;
everything else is watching.
"""

from typing import Final, NamedTuple


class Host(NamedTuple):
    """A machine, plugged into `bridge` by a port of its own name."""

    name: str
    bridge: str
    mac: str
    address: str


class Step(NamedTuple):
    """`groups`: machines in one group reach each other, and nobody else.  `note` says why."""

    title: str
    commands: tuple[str, ...]
    groups: tuple[str, ...]
    note: str


HOSTS: Final = (
    Host("ann", "left", "02:00:00:00:00:0a", "192.168.1.1/24"),
    Host("bob", "right", "02:00:00:00:00:0b", "192.168.1.2/24"),
    Host("cat", "left", "02:00:00:00:00:0c", "192.168.1.3/24"),
    Host("dan", "right", "02:00:00:00:00:0d", "192.168.1.4/24"),
)

STEPS: Final = (
    Step(
        "Two bridges, four machines",
        (
            "ovs-vsctl add-br left -- add-br right",
            "ovs-vsctl add-port left ann -- add-port left cat",
            "ovs-vsctl add-port right bob -- add-port right dan",
        ),
        ("ann cat", "bob dan"),
        "each bridge is an island",
    ),
    Step(
        "Join the bridges by a pair of patch ports",
        (
            "ovs-vsctl add-port left to-right"
            " -- set Interface to-right type=patch options:peer=to-left"
            " -- add-port right to-left"
            " -- set Interface to-left type=patch options:peer=to-right",
        ),
        ("ann bob cat dan",),
        "one network",
    ),
    Step(
        "Put the machines into VLANs 100 and 200 (access ports)",
        (
            "ovs-vsctl set Port ann tag=100 -- set Port bob tag=100",
            "ovs-vsctl set Port cat tag=200 -- set Port dan tag=200",
        ),
        ("ann bob", "cat dan"),
        "same wires, two networks",
    ),
    Step(
        "Let the trunk between the bridges carry VLAN 100 only",
        ("ovs-vsctl set Port to-right trunks=100 -- set Port to-left trunks=100",),
        ("ann bob",),
        "VLAN 200 stops at the trunk",
    ),
    Step(
        "Open the trunk again, and move cat to VLAN 100",
        ("ovs-vsctl clear Port to-right trunks -- clear Port to-left trunks -- set Port cat tag=100",),
        ("ann bob cat",),
        "dan is alone in VLAN 200",
    ),
)


def reaches(step: Step, one: str, other: str) -> bool:
    """Whether the story expects machine `one` to reach `other` after `step`."""
    return any({one, other} <= set(group.split()) for group in step.groups)


PAIRS: Final = tuple((one.name, other.name) for one in HOSTS for other in HOSTS if one is not other)
