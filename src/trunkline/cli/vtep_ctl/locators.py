"""Physical locators: the tunnel endpoints behind which MAC addresses are, found by encapsulation and address.

A locator may have a tunnel key besides, and then several have the same address.  The one that counts is the
first that the database leads to: from local and remote unicast bindings, from local and remote multicast
ones, then from tunnels.  One that none of these refers to does not count.
"""

from collections.abc import Iterator
from typing import Final

from trunkline.cli.vtep_ctl.configuration import PHYSICAL_SWITCH
from trunkline.dbctl.work import Row, Work
from trunkline.ovsdb.atoms import Uuid

LOCATOR: Final = "Physical_Locator"
LOCATOR_SET: Final = "Physical_Locator_Set"
DEFAULT_ENCAPSULATION: Final = "vxlan_over_ipv4"
UNICAST: Final = ("Ucast_Macs_Local", "Ucast_Macs_Remote")
MULTICAST: Final = ("Mcast_Macs_Local", "Mcast_Macs_Remote")
OUTSIDE: Final = ("Arp_Sources_Local", "Arp_Sources_Remote")
"""Tables whose references do not make a locator count."""


def find_locator(work: Work, encapsulation: str, address: str) -> Row | None:
    found = {
        row.uuid: row
        for row in work.find(LOCATOR, "dst_ip", address, ("encapsulation_type",), verify=True)
        if work.get(row, "encapsulation_type") == (encapsulation,)
    }
    if not found:
        return None
    if len(found) == 1:
        (row,) = found.values()
        if not row.inserted and not any(work.find(table, "locator", row.uuid) for table in OUTSIDE):
            return row  # it lives, so one of the others refers to it
    return next((found[uuid] for uuid in _reached(work) if uuid in found), None)


def locator(work: Work, encapsulation: str, address: str) -> Row:
    """The locator, made if it is not there."""
    found = find_locator(work, encapsulation, address)
    if found is None:
        found = work.insert(LOCATOR)
        work.set(found, "encapsulation_type", (encapsulation,))
        work.set(found, "dst_ip", (address,))
    return found


def _reached(work: Work) -> Iterator[Uuid]:
    """All locators that count, in order."""
    work.load(
        {
            **dict.fromkeys(UNICAST, ("locator",)),
            **dict.fromkeys(MULTICAST, ("locator_set",)),
            LOCATOR_SET: ("locators",),
            PHYSICAL_SWITCH: ("tunnels",),
            "Tunnel": ("local", "remote"),
        }
    )
    for table in UNICAST:
        for row in work.all(table, ("locator",)):
            yield from (str(uuid) for uuid in work.get(row, "locator"))
    for table in MULTICAST:
        for row in work.all(table, ("locator_set",)):
            (uuid,) = work.get(row, "locator_set")
            yield from (str(one) for one in work.get(work.known(LOCATOR_SET, str(uuid)), "locators"))
    for row in work.all(PHYSICAL_SWITCH, ("tunnels",)):
        for uuid in work.get(row, "tunnels"):
            tunnel = work.known("Tunnel", str(uuid))
            for column in ("local", "remote"):
                yield from (str(one) for one in work.get(tunnel, column))
