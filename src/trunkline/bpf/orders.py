"""What the kernel is told to do with the packets of a flow, and who still knows what its numbers mean.

A list of orders (bpf/actions.py) is made of numbers.  Some stand for what only this process knows: a *cookie*
for a userspace action, for packets that come up to say why; others for records in maps of the kernel's
(bpf/numbered.py).  Each is held from the encoding that asks for it until no list of orders names it any more,
and for a while longer, for packets are on their way under it.
"""

from collections.abc import Mapping
from typing import Any, Final

from trunkline.base.clock import Clock
from trunkline.bpf import actions as encoding
from trunkline.bpf.headers import Headers
from trunkline.bpf.masks import beyond
from trunkline.bpf.meters import KernelMeters
from trunkline.bpf.numbered import Numbered
from trunkline.bpf.ports import Ports
from trunkline.dpif import actions as dp
from trunkline.dpif.provider import FlowPut

_PLAIN: Final = 4096  # lists of actions whose orders are remembered
_REST: Final = 2.0  # seconds that a cookie is known after its last flow has gone

List = tuple[bytes, ...]


class Orders:
    """`numbered` are the records, by the kind of order that names them ("CONNTRACK", ...)."""

    def __init__(
        self,
        clock: Clock,
        ports: Ports,
        meters: KernelMeters,
        headers: Headers,
        numbered: Mapping[str, Numbered[Any]],
    ) -> None:
        self._clock = clock
        self._numbered = numbered
        self._questions = encoding.Questions(
            self._cookie,
            ports.devices.__contains__,
            meters.is_inside,
            lambda value: self._number("SET_TUNNEL", value),
            headers.__contains__,
            lambda port, fields: self._number("ENCAPSULATE", (port, fields)),
            headers.is_layer3,
            lambda actions: self._number("CONNTRACK", actions),
        )
        self._cookies: dict[int, dp.Userspace] = {}
        self._next_cookie = 1
        self._old_cookies: list[tuple[float, list[int]]] = []
        self._fresh: list[int] = []  # cookies given out by the encoding under way,
        self._fresh_numbers: list[tuple[str, int]] = []  # and numbers of records
        self._plain: dict[tuple[Any, ...], List] = {}  # orders of lists that only send

    def of(self, flow: FlowPut) -> tuple[List, str | None]:
        """What the kernel is to do with the flow's packets; where that is to send them up, also why.

        `forget` is to follow when no flow has these orders any more, and `release` at once if some flow had
        them before, or nobody has them now.
        """
        self._fresh.clear()
        self._fresh_numbers.clear()
        problem = beyond(flow.key, flow.mask)
        if problem is None:
            plain = self._plain.get(flow.actions)
            if plain is not None:
                return plain, None
            try:
                orders = encoding.encode(self._questions, flow.key, flow.mask, flow.actions)
                if len(self._plain) < _PLAIN and all(type(action) is dp.Output for action in flow.actions):
                    self._plain[flow.actions] = orders
                return orders, None
            except encoding.Slow as error:
                problem = str(error)
                now = self._clock.monotonic()
                self._retire(list(self._fresh), now)
                self.release(now)
        return encoding.slow_orders(), problem

    def ports_changed(self) -> None:
        """Orders that send to ports may be others now."""
        self._plain.clear()

    def release(self, now: float) -> None:
        """Gives back the numbers of records that the last encoding has taken."""
        for kind, number in self._fresh_numbers:
            self._numbered[kind].release(number, now)
        self._fresh_numbers.clear()

    def forget(self, orders: List | None, now: float) -> None:
        """A list of orders is not used any more."""
        if orders:
            found = map(encoding.userspace_cookie, orders)
            self._retire([number for number in found if number is not None], now)
            for kind, number in encoding.numbers(orders):
                self._numbered[kind].release(number, now)

    def action(self, cookie: int) -> dp.Userspace | None:
        """The userspace action that a packet has come up for."""
        return self._cookies.get(cookie)

    def run(self, now: float) -> None:
        for numbered in self._numbered.values():
            numbered.run(now)
        while self._old_cookies and self._old_cookies[0][0] <= now:
            for cookie in self._old_cookies.pop(0)[1]:
                del self._cookies[cookie]

    def _cookie(self, action: dp.Userspace) -> int:
        """The number that stands for a userspace action in the kernel."""
        number = self._next_cookie
        self._next_cookie = number % 0xFFFFFFFF + 1
        self._cookies[number] = action
        self._fresh.append(number)
        return number

    def _number(self, kind: str, argument: Any) -> int | None:
        number = self._numbered[kind].take(argument)
        if number is not None:
            self._fresh_numbers.append((kind, number))
        return number

    def _retire(self, cookies: list[int], now: float) -> None:
        if cookies:
            self._old_cookies.append((now + _REST, cookies))
