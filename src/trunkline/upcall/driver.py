"""Whoever drives a datapath (upcall/datapath.py): it calls `run`, and hears what it cannot see by itself."""

from typing import Protocol

from trunkline.ofproto.bridge import Bridge
from trunkline.translate.result import Result


class Driver(Protocol):
    def counted(self) -> None:
        """What rules have counted is up to date now, and somebody is going to be told."""

    def stirred(self) -> None:
        """Packets have come in: messages to controllers may wait, and `next_timer()` may be another."""

    def complain(self, bridge: Bridge | None, key: int, result: Result) -> None:
        """A result has complaints; with `bridge` and `key`, of a packet that came in, also why it failed."""


class Nobody:
    """A Driver that needs to hear nothing."""

    def counted(self) -> None:
        pass

    def stirred(self) -> None:
        pass

    def complain(self, bridge: Bridge | None, key: int, result: Result) -> None:
        pass
