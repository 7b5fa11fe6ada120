"""Two switches on stopped time, told and asked the same over OpenFlow."""

import re
import time
from collections.abc import Iterator
from typing import Any

from support.switch_pair import Pair, fresh_pair
from trunkline.openflow import messages as m
from trunkline.openflow.codec import encode
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import Protocol


def held_pair() -> Iterator[Pair]:
    """A pair whose clocks stand still, while a fixture lasts."""
    for pair in fresh_pair():
        assert pair.control("time/stop") == ("", "")
        yield pair


def text(raw: bytes) -> str:
    """What it says, but for times and for what tables have counted: how often a packet that teaches flows is
    looked up again is the original's own."""
    return re.sub(r"duration[=:]?[\d.]+s|lookup=\d+, matched=\d+", "counted", message_text(raw))


def is_unasked(raw: bytes) -> bool:
    return raw[4:8] == bytes(4)


class Talk:
    """Both switches are told and asked the same, and must say the same, the unasked in its own order."""

    def __init__(self, pair: Pair, version: int) -> None:
        self.protocol = Protocol(version, version == 1, True)
        self.peers = pair.peers(version)
        self.unasked: tuple[list[str], list[str]] = ([], [])
        if version == 1:
            self.ask(m.FlowModTableId(True))

    def _answers(self, data: bytes) -> list[list[str]]:
        found = []
        for peer, told in zip(self.peers, self.unasked, strict=True):
            replies = peer.ask(data)
            told += [text(raw) for raw in replies if is_unasked(raw)]
            found.append([text(raw) for raw in replies if not is_unasked(raw)])
        return found

    def ask(self, message: Any, context: object = "") -> str:
        data = b"".join(encode(self.protocol, message, 9))
        theirs, ours = self._answers(data)
        shown = [sorted(line for reply in told for line in reply.splitlines()) for told in (theirs, ours)]
        only = [sorted(set(shown[0]) - set(shown[1])), sorted(set(shown[1]) - set(shown[0]))]
        assert shown[1] == shown[0], f"{message_text(data)}after {context}: theirs, ours: {only}"
        return "".join(theirs)

    def until_equal(self, message: Any) -> str:
        """The same of what both find out in their own time: the rows of the database."""
        data = b"".join(encode(self.protocol, message, 9))
        deadline = time.monotonic() + 10
        while True:
            theirs, ours = ("".join(sorted(told)) for told in self._answers(data))
            if sorted(theirs.splitlines()) == sorted(ours.splitlines()):
                return theirs
            assert time.monotonic() < deadline, f"original:\n{theirs}ours:\n{ours}"
            time.sleep(0.05)

    def compare_unasked(self) -> list[str]:
        deadline = time.monotonic() + 20
        while sorted(self.unasked[0]) != sorted(self.unasked[1]) and time.monotonic() < deadline:
            time.sleep(0.05)
            self._answers(b"")
        theirs, ours = (list(told) for told in self.unasked)
        assert sorted(ours) == sorted(theirs), f"theirs: {theirs}, ours: {ours}"
        for told in self.unasked:
            told.clear()
        return theirs

    def wait_unasked(self, count: int) -> None:
        """Until either switch has told so much since it was last compared."""
        deadline = time.monotonic() + 10
        while any(len(told) < count for told in self.unasked):
            assert time.monotonic() < deadline, self.unasked
            self._answers(b"")
            time.sleep(0.005)

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
