"""What is in the kernel's maps, in words: for whoever reads them when no switch runs (bpf/left.py).

The program carries flows out by numbers, and most of these mean something to the process only that gave them:
which controller a packet is for, why it goes the slow path, what a port is called.  So beside the maps that
the program reads there are three that it never looks at.  They live as long as it does.

`meanings` has a record for each flow, by the number of its statistics: the flow's name, and the number of its
actions as text.  Texts lie in `texts`, in pieces; flows with the same actions share one.  What is written for
each flow goes through shared memory, and costs no system call.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from trunkline.bpf import layout as program
from trunkline.bpf.maps import Map
from trunkline.bpf.system_calls import BpfError
from trunkline.dpif.action_text import format_actions, parse_actions
from trunkline.dpif.actions import Cookie, Userspace
from trunkline.upcall.dpctl import shown_actions

_RECORD: Final = program.MEANING.packed
_PIECE: Final = program.TEXT.packed
_PORT: Final = program.PORT_NAME.packed
_ROOM: Final = _PIECE.size - 8  # bytes of text in a piece
_NOTHING: Final = bytes(_RECORD.size)
_MOST_PIECES: Final = 4096  # of one text

Actions = tuple[Any, ...]
UNKNOWN: Final[Actions] = (Userspace(Cookie("unknown", (("", "no room for its actions"),))),)
"""Shown in the place of actions whose text was not written."""


class _Text:
    __slots__ = ("flows", "pieces")

    def __init__(self, pieces: list[int]) -> None:
        self.pieces = pieces
        self.flows = 0


class Meanings:
    """The maps `meanings` and `texts`, as the process that owns the flows writes them."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._records = memoryview(maps["meanings"].memory()).cast("B")
        self._texts = maps["texts"]
        self._by_actions: dict[Actions, _Text] = {}
        self._of_flow: dict[int, Actions] = {}
        self._free: list[int] = []
        self._next = 1

    def put(self, number: int, ufid: int, actions: Actions, key: int) -> None:
        """The flow with these statistics has this name and these actions; `key` is one of its packets'.

        Where there is no room for the text, there is none.
        """
        before = self._of_flow.get(number)
        if before == actions:
            return
        text = self._by_actions.get(actions)
        if text is None:
            text = self._by_actions[actions] = self._write(actions, key)
        text.flows += 1
        self._of_flow[number] = actions
        at = number * _RECORD.size
        first = text.pieces[0] if text.pieces else 0
        self._records[at : at + _RECORD.size] = _RECORD.pack(ufid.to_bytes(16, "big"), first, 0)
        if before is not None:
            self._release(before)

    def actions(self, number: int) -> Actions:
        """Those of the flow with these statistics."""
        return self._of_flow[number]

    def take_out(self, number: int) -> None:
        actions = self._of_flow.pop(number, None)
        if actions is not None:
            at = number * _RECORD.size
            self._records[at : at + _RECORD.size] = _NOTHING
            self._release(actions)

    def take_up(self, number: int, meaning: "Meaning") -> None:
        """What an earlier process has written about a flow is ours now."""
        self._next = max(self._next, *(piece + 1 for piece in meaning.pieces), 1)
        text = self._by_actions.setdefault(meaning.actions, _Text(list(meaning.pieces)))
        text.flows += 1
        self._of_flow[number] = meaning.actions

    def _write(self, actions: Actions, key: int) -> _Text:
        data = format_actions(shown_actions(actions), key=key).encode()
        parts = [data[at : at + _ROOM] for at in range(0, len(data), _ROOM)]
        pieces = [self._piece() for _ in parts]
        try:
            for place in reversed(range(len(parts))):
                following = pieces[place + 1] if place + 1 < len(pieces) else 0
                record = _PIECE.pack(following, len(parts[place]), parts[place])
                self._texts.update(pieces[place].to_bytes(4, "little"), record)
        except BpfError:  # it is full
            self._give_back(pieces)
            pieces = []
        return _Text(pieces)

    def _piece(self) -> int:
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def _give_back(self, pieces: list[int]) -> None:
        for number in pieces:
            self._texts.delete(number.to_bytes(4, "little"))
        self._free += pieces

    def _release(self, actions: Actions) -> None:
        text = self._by_actions[actions]
        text.flows -= 1
        if not text.flows:
            del self._by_actions[actions]
            self._give_back(text.pieces)

    def close(self) -> None:
        self._records.release()


def name_port(maps: Mapping[str, Map], number: int, name: str, type: str) -> None:
    """Raises BpfError."""
    maps["port_names"].update(number.to_bytes(4, "little"), _PORT.pack(name.encode(), type.encode()))


def forget_port(maps: Mapping[str, Map], number: int) -> None:
    """Raises BpfError."""
    maps["port_names"].delete(number.to_bytes(4, "little"))


# ---- reading


def port_names(maps: Mapping[str, Map]) -> dict[int, tuple[str, str]]:
    """Name and type of each port, by its number.  Raises BpfError."""
    found = {}
    for number, record in maps["port_names"].items():
        name, type = (part.rstrip(b"\0").decode(errors="replace") for part in _PORT.unpack(record))
        found[int.from_bytes(number, "little")] = name, type
    return dict(sorted(found.items()))


class Meaning(NamedTuple):
    """`pieces`: where the text of the actions is; () if there is none, and then nobody knows them."""

    ufid: int
    actions: Actions
    pieces: tuple[int, ...]


class Read:
    """Names and actions of the flows that an earlier process has left."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._records, self._texts = maps["meanings"], maps["texts"]
        self._known: dict[int, tuple[Actions, tuple[int, ...]]] = {0: (UNKNOWN, ())}

    def of(self, number: int) -> Meaning:
        """That of the flow with these statistics.  Raises BpfError, TextError."""
        value = self._records.lookup(number.to_bytes(4, "little")) or _NOTHING
        ufid, text, _ = _RECORD.unpack(value)
        if text not in self._known:
            words, pieces = self._text(text)
            self._known[text] = parse_actions(words), pieces
        return Meaning(int.from_bytes(ufid, "big"), *self._known[text])

    def _text(self, number: int) -> tuple[str, tuple[int, ...]]:
        parts: list[bytes] = []
        pieces: list[int] = []
        while number and len(parts) < _MOST_PIECES:
            piece = self._texts.lookup(number.to_bytes(4, "little"))
            if piece is None:
                break
            pieces.append(number)
            number, length, data = _PIECE.unpack(piece)
            parts.append(data[:length])
        return b"".join(parts).decode(errors="replace"), tuple(pieces)
