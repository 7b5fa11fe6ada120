"""What the switch writes back: numbers, addresses, states, errors, statistics, and that it has caught up.

The switch remembers what it wrote and writes only what differs.  After a connection to the database was lost
everything is written anew, for a restarted server has forgotten the columns that live in memory only.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from trunkline.base.addresses import format_mac
from trunkline.bridge.parts import NO_OFPORT, BridgePart, InterfacePart, statistics_map
from trunkline.bridge.settings import number
from trunkline.bridge.switch import Switch
from trunkline.model.tunnels import TUNNEL_TYPES
from trunkline.ofproto.primaries import ControllerState
from trunkline.ovsdb.replica import Replica
from trunkline.ovsdb.rows import Row, Transaction

_TUNNELS: Final = tuple(TUNNEL_TYPES)
_NOTHING: Final[Mapping[str, Any]] = {}
_SYNTHESIZED: Final = "local "
_OF_A_DEVICE: Final = ("mac_in_use", "mtu", "admin_state", "link_state", "link_speed", "duplex", "ifindex")


class Status:
    """Writes for one switch.

    `interface_types` is what devices can be of; `state_of` tells of a bridge's controller, by its target.
    """

    def __init__(
        self,
        switch: Switch,
        interface_types: Iterable[str],
        datapath_types: Iterable[str],
        state_of: Callable[[str, str], ControllerState],
    ) -> None:
        self._state_of = state_of
        self._switch = switch
        self._fixed = {
            "dpdk_initialized": False,
            "dpdk_version": "none",
            "datapath_types": tuple(sorted(datapath_types)),
            "iface_types": tuple(sorted({*interface_types, "patch", *_TUNNELS})),
        }
        self._written: dict[str, Any] = {}
        self._controllers: dict[str, dict[str, Any]] = {}  # what has been written of each
        self.cur_cfg: int | None = None  # the configuration that is carried out

    def forget(self) -> None:
        """Everything is to be written anew."""
        self._written = {}
        self._controllers = {}
        for bridge in self._switch.bridges.values():
            bridge.written = {}
        for interface in self._switch.interfaces.all.values():
            interface.written = {}
        self._switch.unwritten.update(self._switch.interfaces.all)

    def write(self, replica: Replica, transaction: Transaction) -> None:
        """Adds to `transaction` what has changed since the last one."""
        for row in replica.rows("Open_vSwitch").values():
            self.cur_cfg = row.next_cfg
            values = {"cur_cfg": row.next_cfg, **self._fixed}
            self._differences(transaction, "Open_vSwitch", row.uuid, values, self._written)
        for bridge in self._switch.bridges.values():
            self._differences(transaction, "Bridge", bridge.uuid, bridge_columns(bridge), bridge.written)
        for uuid in self._switch.unwritten:
            part = self._switch.interfaces.all.get(uuid)
            row_ = replica.row("Interface", uuid)
            if part is not None and row_ is not None:
                self._differences(transaction, "Interface", uuid, interface_columns(part), part.written)
        self._switch.unwritten.clear()

    def write_controllers(self, replica: Replica, transaction: Transaction) -> None:
        """Adds how connections to controllers stand."""
        rows = replica.rows("Controller")
        for uuid in self._controllers.keys() - rows.keys():
            del self._controllers[uuid]
        for bridge in self._switch.bridges.values():
            for uuid in bridge.row.controller:
                row = rows.get(uuid)
                if row is not None:
                    values = self._state_of(bridge.name, row.target)._asdict()
                    written = self._controllers.setdefault(uuid, {})
                    self._differences(transaction, "Controller", uuid, values, written)

    def write_system(
        self, replica: Replica, transaction: Transaction, measure: Callable[[], Mapping[str, str]]
    ) -> None:
        """Adds what the machine is doing, if that is wanted (other_config:enable-statistics)."""
        for row in replica.rows("Open_vSwitch").values():
            wanted = row.other_config.get("enable-statistics") == "true"
            values = {"statistics": measure() if wanted else _NOTHING}
            self._differences(transaction, "Open_vSwitch", row.uuid, values, self._written)

    def write_statistics(self, transaction: Transaction) -> None:
        """Adds the counters that have moved."""
        for part in self._switch.interfaces.all.values():
            if part.is_there and not part.uuid.startswith(_SYNTHESIZED):
                counts = part.port.bridge.bridge.port_statistics(part.ofport)
                more = part.device.more_statistics() if part.device is not None else {}
                number = part.datapath_port
                drops = {} if number is None else part.port.bridge.lane.provider.drops(number)
                dropped = {f"datapath_drop_{reason}": count for reason, count in drops.items()}
                values = {"statistics": {**statistics_map(counts), **more, **dropped}}
                self._differences(transaction, "Interface", part.uuid, values, part.written)

    @staticmethod
    def _differences(
        transaction: Transaction, table: str, uuid: str, values: Mapping[str, Any], written: dict[str, Any]
    ) -> None:
        changed = {name: value for name, value in values.items() if written.get(name, written) != value}
        if changed:
            transaction.update(table, uuid, **transaction.fitting(table, changed))
            written.update(changed)


def bridge_columns(part: BridgePart) -> Mapping[str, Any]:
    return {"datapath_id": f"{part.bridge.config.datapath_id:016x}", "datapath_version": "<built-in>"}


def interface_columns(part: InterfacePart) -> Mapping[str, Any]:
    """The status columns of an Interface row; what is not known is empty."""
    state = part.state
    if not part.is_there or state is None:
        return {
            **dict.fromkeys(_OF_A_DEVICE),
            "ofport": NO_OFPORT,
            "error": part.error,
            "status": _NOTHING,
            "statistics": _NOTHING,
        }
    duplex = None if state.full_duplex is None else "full" if state.full_duplex else "half"
    return {
        "ofport": part.ofport,
        "error": part.complaint,
        "mac_in_use": None if state.away else format_mac(state.mac),
        "mtu": state.mtu,
        "admin_state": "up" if state.admin_up else "down",
        "link_state": "up" if state.link_up else "down",
        "link_speed": state.speed,
        "duplex": duplex,
        "ifindex": state.ifindex,
        "link_resets": state.link_resets,
        "status": state.status,
    }


def statistics_seconds(row: Row | None) -> float:
    """How often counters are written (other_config:stats-update-interval, milliseconds)."""
    return number(row.other_config, "stats-update-interval", 5000, 5000) / 1000 if row else 5.0
