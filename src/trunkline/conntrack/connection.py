"""A connection, as a store keeps it."""

from typing import Any

from trunkline.conntrack.tuples import Tuple

SOURCE = 1  # kinds of NAT
DESTINATION = 2


class Connection:
    """`original` names the packets of the side that began, `reply` those that answer.

    Without NAT the one is the other reversed; with it, `reply` has the addresses and ports that answers are
    sent to and come from.
    """

    __slots__ = (
        "expires",
        "helper",
        "label",
        "lifetime",
        "mark",
        "nat",
        "original",
        "parent",
        "policy",
        "reply",
        "skew",
        "state",
    )

    def __init__(self, original: Tuple, state: Any) -> None:
        self.original = original
        self.reply = original.reversed()
        self.state = state  # of the protocol: tcp.TcpState, or the number of packets' directions seen
        self.mark = 0
        self.label = 0
        self.nat = 0  # SOURCE and DESTINATION
        self.helper = ""
        self.parent: Tuple | None = None  # of a connection that a helper expected: who announced it
        self.policy: str | None = None  # its timeout policy
        self.lifetime = 0.0  # seconds that a packet gives it, and when it ends (Clock.monotonic())
        self.expires = 0.0
        self.skew: tuple[int, bool] = (0, False)  # bytes by which a helper changed the text, and whose
