"""Recordings: what a program heard of the world outside, in the files of the originals' ``--record``.

A program that hears the same again says the same again.  So a recording holds what came in: who connected,
the bytes of each connection and the random uuids; of what went out it holds only how much.  Each source is a
file of its own, and one count runs through all of them, for the order of events between files matters:

- a file is named ``replay_NAME_NUMBER``: NAME is what was opened, with each run of other characters than
  letters as one ``_``, and NUMBER the count when it was opened, which takes one step;
- an event takes one step, and is two 32-bit words of the machine's byte order: its number, negative for bytes
  that were sent, and a result, negative for an error; after a result above 0 follow as many bytes, unless
  they were sent.

========================  ==========================================  ======================================
file                      events                                      result
========================  ==========================================  ======================================
``__uuid_generate``       a uuid was drawn                            16, and its four words
a passive target          it was opened; then each who connected      0; the length of the stream's name
a stream                  it was opened; then received, sent          0; bytes, 0 at the end
========================  ==========================================  ======================================

The originals also write that nothing was there (EAGAIN), each time they looked; to replay they do not need
it (found by experiment), so here it is read and not written.
"""

import errno
import os
import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

UUIDS: Final = "__uuid_generate"
_WORDS: Final = struct.Struct("=ii")
_NUMBERED: Final = re.compile(r"(replay_.*)_([0-9]+)")


def file_name(source: str) -> str:
    """The name of a source's file, without the number."""
    return "replay_" + re.sub("[^A-Za-z]+", "_", source).rstrip("_")


class Recording:
    """A recording that is being made in `directory`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._count = 0

    def step(self) -> int:
        self._count += 1
        return self._count - 1

    def open(self, source: str) -> "Track":
        """Begins the file of a source.  Raises OSError, with the file's name."""
        path = f"{self._directory}/{file_name(source)}_{self.step()}"
        return Track(self, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666))


class Track:
    """One file of a recording."""

    def __init__(self, recording: Recording, descriptor: int) -> None:
        self._recording = recording
        self._descriptor = descriptor

    def heard(self, data: bytes) -> None:
        """Something came in; b"": the source was opened, or has ended."""
        self._write(_WORDS.pack(self._recording.step(), len(data)) + data)

    def failed(self, number: int) -> None:
        """Instead an error came, `number` in terms of errno."""
        self._write(_WORDS.pack(self._recording.step(), -number))

    def sent(self, length: int) -> None:
        self._write(_WORDS.pack(-self._recording.step(), length))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        if self._descriptor >= 0:
            os.write(self._descriptor, data)


class Event(NamedTuple):
    """`kind` "open", "heard" or "sent"; `result` and `data` as in the file."""

    file: str  # with its number
    kind: str
    result: int = 0
    data: bytes = b""


def read_recording(directory: str) -> list[Event]:
    """The events in their order, those of the first count without a gap: another recording's files may lie in
    the same directory.  Raises OSError, ValueError."""
    opened: dict[int, str] = {}
    found: dict[int, dict[str, Event]] = {}
    for name in os.listdir(directory):
        numbered = _NUMBERED.fullmatch(name)
        if numbered is None:
            continue
        opened[int(numbered[2])] = name
        with open(f"{directory}/{name}", "rb") as file:
            for number, event in _events(name, file.read()):
                found.setdefault(number, {})[name] = event
    return list(_ordered(opened, found))


def _ordered(opened: dict[int, str], found: dict[int, dict[str, Event]]) -> Iterator[Event]:
    files: set[str] = set()
    number = 0
    while True:
        here = [event for name, event in found.get(number, {}).items() if name in files]
        if here:
            if here[0].result != -errno.EAGAIN:
                yield here[0]
        elif number in opened:
            files.add(opened[number])
            yield Event(opened[number], "open")
        else:
            return
        number += 1


def _events(name: str, data: bytes) -> Iterator[tuple[int, Event]]:
    place = 0
    while place < len(data):
        if len(data) - place < _WORDS.size:
            raise ValueError(f"{name}: the last event is cut off")
        number, result = _WORDS.unpack_from(data, place)
        place += _WORDS.size
        length = max(0, result) if number > 0 else 0
        yield (
            abs(number),
            Event(name, "heard" if number > 0 else "sent", result, data[place : place + length]),
        )
        place += length


def uuid_words(text: str) -> bytes:
    """A uuid as it stands in a recording: four words of the machine's byte order."""
    return struct.pack("=4I", *struct.unpack(">4I", bytes.fromhex(text.replace("-", ""))))


def uuid_of(data: bytes) -> str:
    """The uuid that `uuid_words` wrote."""
    digits = struct.pack(">4I", *struct.unpack("=4I", data)).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Cutter:
    """Cuts a stream of JSON objects after each of them; what is no JSON is passed as it is."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = self._escaped = False

    def cut(self, data: bytes) -> list[bytes]:
        """`data` in pieces, each but perhaps the last one ending with an object."""
        pieces, start = [], 0
        first, self._escaped = (1 if self._escaped and data else 0), self._escaped and not data
        for found in _MARK.finditer(data, first):
            mark, place = found[0], found.start()
            if self._quoted:
                if mark[0] == _BACKSLASH:
                    self._escaped = len(mark) == 1  # what it goes with comes with the next data
                else:
                    self._quoted = mark != b'"'
            elif mark == b'"':
                self._quoted = True
            elif mark in (b"{", b"["):
                self._depth += 1
            elif mark in (b"}", b"]"):
                self._depth -= 1
                if self._depth <= 0:
                    self._depth = 0
                    pieces.append(data[start : place + 1])
                    start = place + 1
        if start < len(data):
            pieces.append(data[start:])
        return pieces

    @property
    def between(self) -> bool:
        """Whether the last piece ended with an object."""
        return not self._depth


_MARK: Final = re.compile(rb'\\(?s:.)?|["{}\[\]]')
_BACKSLASH: Final = 0x5C
