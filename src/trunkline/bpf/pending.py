"""New flows that wait for the packets before them.

While the first packet of a flow is translated, more of them come up.  Were the flow given to the kernel at
once, the packets behind these would pass them by, and a TCP receiver takes that for loss.  So a new flow is
first one of this process only, by which the packets that wait in the queue of its port are forwarded, in
order; the kernel gets it when that queue is empty, and in any case soon, for a queue that is never empty
would keep the kernel from ever helping.
"""

from typing import Final

from trunkline.dpif.provider import FlowPut
from trunkline.flow.key import OFFSET

PATIENCE: Final = 0.01  # seconds
_PORT: Final = OFFSET["dp_in_port"]


class Pending:
    """Flows that the kernel is still to have, by port and ufid."""

    __slots__ = ("_by_port", "_since")

    def __init__(self) -> None:
        self._by_port: dict[int, dict[int, FlowPut]] = {}
        self._since: dict[int, float] = {}

    def __bool__(self) -> bool:
        return bool(self._by_port)

    def put(self, flow: FlowPut, now: float) -> None:
        """A new flow, or other actions of one that waits."""
        port = flow.key >> _PORT & 0xFFFFFFFF
        self._by_port.setdefault(port, {})[flow.ufid] = flow
        self._since.setdefault(port, now)

    def holds(self, flow: FlowPut) -> bool:
        return flow.ufid in self._by_port.get(flow.key >> _PORT & 0xFFFFFFFF, ())

    def delete(self, ufid: int) -> None:
        for flows in self._by_port.values():
            flows.pop(ufid, None)

    def due(self, waiting: set[int], now: float) -> list[FlowPut]:
        """Takes out those whose time has come; at the ports `waiting` there are still packets before them."""
        found: list[FlowPut] = []
        for port in list(self._by_port):
            if port not in waiting or now - self._since[port] > PATIENCE:
                found += self._by_port.pop(port).values()
                del self._since[port]
        return found
