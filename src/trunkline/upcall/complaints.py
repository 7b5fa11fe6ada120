"""What the log says of packets: that one was dropped for its VLAN, that its flows never end.

A translation without an explanation leaves `Complaint`s (translate/result.py) instead of an explanation's
errors.  They are logged when there is a packet, not when a megaflow is looked at anew, and only so many a
minute; a text is made when it is certain to be written.  When the flows of a packet never end its whole way
is logged as well, which means that it is translated once more, with an explanation.
"""

from collections.abc import Callable
from typing import Final

from trunkline.base.log import Log, RateLimit
from trunkline.flow import key as layout
from trunkline.flow.key_text import format_flow
from trunkline.flow.values import NO_CONTEXT
from trunkline.ofproto.bridge import Bridge
from trunkline.translate.result import Complaint, Node, Result
from trunkline.translate.translate import translate
from trunkline.translate.walk import RECURSION
from trunkline.upcall.trace import render
from trunkline.upcall.trace_request import Request

_SHOWN: Final = layout.PACKET & ~layout.MASK["dp_in_port"] | layout.MASK["in_port"]


class ComplaintLog:
    """Logs what translations complain of; one limit of the rate for each kind of line."""

    __slots__ = ("_grave", "_slight", "_upcall_log", "_ways", "_xlate_log")

    def __init__(self, log: Log) -> None:
        self._xlate_log = log.module("ofproto_dpif_xlate")
        self._upcall_log = log.module("ofproto_dpif_upcall")
        self._grave, self._slight, self._ways = RateLimit(), RateLimit(), RateLimit(1, 1)

    def complain(self, bridge: Bridge | None, key: int, result: Result) -> None:
        """Logs a result's complaints; with `bridge`, where a packet came in as `key`, also the whole way of
        one whose flows never end."""
        log = self._xlate_log
        for complaint in result.complaints:
            if complaint.grave:
                log.warn("%s", _Words(_line, complaint), limit=self._grave)
            else:
                log.info("%s", _Words(_line, complaint), limit=self._slight)
        if bridge is not None and result.failure in RECURSION:
            way = _Words(_way, (bridge, key))
            self._upcall_log.warn("%s", way, limit=self._ways)


class _Words:
    """Text that is made when it is written."""

    __slots__ = ("_make", "_of")

    def __init__(self, make: Callable[..., str], of: object) -> None:
        self._make, self._of = make, of

    def __str__(self) -> str:
        return self._make(self._of)


def _line(complaint: Complaint) -> str:
    bridge = complaint.bridge
    packet = format_flow(complaint.key & _SHOWN, NO_CONTEXT, bridge.flows.options.places)
    return f"{complaint.text} on bridge {bridge.name} while processing {packet}"


def _way(of: tuple[Bridge, int]) -> str:
    bridge, key = of
    why: list[Node] = []
    result = translate(bridge, key, why)
    return render(Request(bridge, key, False, [], NO_CONTEXT, {}), key, result, why)
