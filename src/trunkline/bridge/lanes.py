"""The datapaths that bridges are on, one of each type, and what the database sets for all of them."""

from collections.abc import Callable, Mapping

from trunkline.base.clock import Clock
from trunkline.bridge.parts import Lane
from trunkline.bridge.settings import flag, number
from trunkline.ofproto.clients import BUNDLE_IDLE

MakeLane = Callable[[str], Lane]


class Lanes:
    """`make` makes the datapath of a type ("system", ...) when a bridge wants it, or raises
    UnknownDatapathError; `drop` is told of a type that no bridge uses any more."""

    def __init__(self, make: MakeLane, drop: Callable[[str], None], clock: Clock) -> None:
        self.all: dict[str, Lane] = {}
        self.holding = False  # packets that come in are not looked at
        self._make = make
        self._drop = drop
        self._clock = clock
        self._config: Mapping[str, str] = {}
        self._fresh: list[Lane] = []  # whose first ports are being added

    def configure(self, config: Mapping[str, str]) -> None:
        """`config`: Open_vSwitch:other_config."""
        self._config = config
        self.holding = flag(config, "flow-restore-wait")
        for lane in self.all.values():
            self._configure(lane)

    def _configure(self, lane: Lane) -> None:
        config = self._config
        lane.datapath.holding = self.holding
        lane.datapath.max_idle = number(config, "max-idle", 10_000, 500) / 1000
        lane.datapath.fabric.bundle_idle = float(number(config, "bundle-idle-timeout", 0) or BUNDLE_IDLE)
        lane.datapath.flow_limit = number(config, "flow-limit", 200_000)
        lane.provider.vlan_limit = number(config, "vlan-limit", 1) or 2

    def get(self, type: str) -> Lane:
        """That of a type, made now if there is none.  Raises UnknownDatapathError."""
        lane = self.all.get(type)
        if lane is None:
            lane = self.all[type] = self._make(type)
            self._fresh.append(lane)
            self._configure(lane)
        return lane

    def settle(self) -> None:
        """What is configured is there, flows too: new datapaths hear of it, unless packets are to wait."""
        if self.holding:
            return
        for lane in self._fresh:
            since = self._clock.monotonic() - lane.datapath.max_idle
            lane.datapath.take_up(lane.provider.left(since), lane.provider.settled)
        self._fresh.clear()

    def drop_unused(self) -> None:
        for type, lane in [(type, lane) for type, lane in self.all.items() if not lane.bridges]:
            del self.all[type]
            self._drop(type)
            lane.provider.close()

    def close(self) -> None:
        """Ends forwarding."""
        for lane in self.all.values():
            lane.provider.close()
