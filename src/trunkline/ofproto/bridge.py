"""A bridge: its interfaces, ports, flow tables and learned addresses, and the calls that configure it.

The bridge changes only by the calls below, each of a cost that does not grow with the number of ports.  Every
call that can change how packets are forwarded writes what changed into the fabric's journal, so that exactly
the megaflows that have looked at it are translated again.
"""

from typing import NamedTuple

from trunkline.base.clock import Clock
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import OfPort, PortConfig


class BridgeConfig(NamedTuple):
    """`datapath_id` 64 bits; `mac` the local port's; `protocols` OpenFlow wire versions (1 is 1.0, 4 is 1.3)."""

    name: str
    datapath_id: int
    fail_mode: str = "standalone"  # or "secure"
    has_controllers: bool = False
    protocols: frozenset[int] = frozenset((1, 2, 3, 4, 5, 6))
    mac_aging_time: float = 300.0
    mac_table_size: int = 8192
    flood_vlans: int = 0  # vlan_bits
    forward_bpdu: bool = False
    manufacturer: str = "Nicira, Inc."
    hardware: str = "Open vSwitch"
    software: str = "3.1.0"
    serial: str = "None"
    description: str = "None"


class Bridge:
    """One bridge on `fabric`, which it joins at once and leaves by `close`."""

    def __init__(self, config: BridgeConfig, fabric: Fabric, clock: Clock) -> None: ...

    def close(self) -> None:
        """Leaves the fabric; its interfaces must be gone or go with it."""

    def configure(self, config: BridgeConfig) -> None:
        """Changes settings; the name stays.  A change of fail_mode flushes the flows, as the original does."""

    def add_interface(self, port: OfPort) -> None:
        """Raises PortError if its number, name or datapath port is taken."""

    def change_interface(self, port: OfPort) -> None:
        """Address, state, speeds...; name, ofport and datapath port stay.  `config` is kept as it is."""

    def remove_interface(self, ofport: int) -> None:
        """Forgets what was learned on it.  A port that names it must be set anew or removed first or after."""

    def set_port(self, port: PortConfig) -> None:
        """Adds a port for NORMAL, or replaces the one of that name.  Raises PortError (bonds)."""

    def remove_port(self, name: str) -> None: ...

    def interface(self, ofport: int) -> OfPort | None: ...
