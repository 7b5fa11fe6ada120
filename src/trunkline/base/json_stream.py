"""JSON values one after the other out of a stream of bytes, in whatever chunks they come.

A message that lies whole in what has arrived costs one run of the C scanner.  One that does not is kept, and
only its brackets and quotes are followed, until its last bracket is there; it is also tried each time the
data have doubled, so that an error far before the end is noticed early.  So the work is linear in the bytes,
whatever they are and however they are cut: nothing is looked at again for every chunk.
"""

import re
from functools import cache
from typing import Final

from trunkline.base.json_fast import end_of_space, is_suspicious, scan_or_why, scanner_for
from trunkline.base.json_values import MAX_DEPTH, Json, JsonError
from trunkline.base.json_whole import loads

LONGEST: Final = 1 << 28  # bytes of one message; who sends more means no good
_SHORT: Final = 64  # bytes up to which trying again at each chunk costs nothing


@cache
def _mark() -> "re.Pattern[bytes]":
    return re.compile(rb'["\[\]{}]')


@cache
def _string_rest() -> "re.Pattern[bytes]":
    return re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*(?:(")|(\\)?)', re.DOTALL)


@cache
def _no_token() -> "re.Pattern[bytes]":
    return re.compile(rb"[^-+.0-9a-zA-Z]")


class JsonStream:
    """After an error the stream is dead."""

    __slots__ = ("_depth", "_error", "_inside", "_kept", "_parts", "_quoted", "_tried")

    def __init__(self) -> None:
        # Its text only: an exception holds the frames that it passed through, so all that was read, and this
        # stream among it. Nothing but the cyclic collector would ever free them.
        self._error: str | None = None
        self._reset()

    def _reset(self) -> None:
        self._parts: list[bytes] = []  # the beginning of a message that is not complete
        self._kept = 0  # their length
        self._tried = 0  # the length at the last attempt
        self._depth = 0  # brackets open at the end of the parts
        self._inside = 0  # 1: the parts end inside a string; 2: there, after a backslash
        self._quoted = False  # a string has begun

    @property
    def backlog(self) -> int:
        """Bytes that wait for their message to end."""
        return self._kept

    def feed(self, data: bytes) -> list[Json]:
        """The values completed by `data`.

        Raises JsonError when the stream is broken; the values before the error are returned first, and the
        error is raised by the next call (call `check` to see it at once).
        """
        self.check()
        values: list[Json] = []
        try:
            if self._parts:
                data = self._continue(data, values)
            if data:
                self._begin(data, values)
        except JsonError as error:
            self.end(str(error))
            if not values:
                raise
        return values

    def end(self, why: str) -> None:
        """Nothing more is taken: what was kept of an incomplete message goes, and `check` raises `why`."""
        self._error = why
        self._reset()

    def check(self) -> None:
        """Raises the error that ended the stream, if one did."""
        if self._error is not None:
            raise JsonError(self._error)

    def _begin(self, data: bytes, values: list[Json]) -> None:
        """Whole messages from `data`; keeps an incomplete rest."""
        text = data.decode("utf-8", "surrogateescape")
        if is_suspicious(text):
            self._judge(data, values)
            return
        scan = scanner_for(text, data)
        at = 0
        while True:
            start = at
            if text[at] not in "{[":
                start = end_of_space(text, at)
                if start == len(text):
                    # The space belongs to the next message's positions; nothing else hangs on it.
                    return
                if text[start] not in "{[":
                    break
            try:
                value, at = scan_or_why(scan, text, start)
            except (ValueError, StopIteration, RecursionError) as error:
                position = getattr(error, "pos", 0)
                string = "Unterminated string" in str(error)
                early = position < len(text) - 8 and not string and not isinstance(error, StopIteration)
                if not early and len(text) - at >= 256:
                    self._keep(_bytes_from(text, at, data), values)
                    return
                break
            values.append(value)
            if at == len(text):
                return
        self._judge(_bytes_from(text, at, data), values)

    def _judge(self, data: bytes, values: list[Json]) -> None:
        """Our own scanner on `data`; an incomplete value is kept."""
        from trunkline.base.json_scanner import Incomplete, Scanner

        at = 0
        while at < len(data):
            try:
                value, end = Scanner(data, at).run(whole=False)
            except Incomplete:
                self._keep(data[at:], values)
                return
            values.append(value)
            at = end

    def _keep(self, data: bytes, values: list[Json]) -> None:
        """The beginning of a message; `data` is not empty."""
        end = self._boundary(data)
        if end is not None:  # the brackets balance, and yet the C scanner refused it: ours says why
            self._reset()
            values.append(loads(data[:end]))
            if end < len(data):
                self._begin(data[end:], values)
            return
        self._parts.append(data)
        self._kept = self._tried = len(data)

    def _continue(self, data: bytes, values: list[Json]) -> bytes:
        """More of the kept message; what is left after its end."""
        end = self._boundary(data)
        if end is None:
            self._parts.append(data)
            self._kept += len(data)
            if self._kept > LONGEST:
                raise JsonError(f"message longer than {LONGEST} bytes")
            if self._is_worth_a_try(data):
                self._retry()
            return b""
        whole = b"".join((*self._parts, data[:end]))
        self._reset()
        values.append(loads(whole))
        return data[end:]

    def _is_worth_a_try(self, data: bytes) -> bool:
        """Whether to look for an error: little has come, twice of what was tried, or one is certain."""
        if self._kept < _SHORT or self._kept >= 2 * self._tried or self._depth > MAX_DEPTH:
            return True
        if self._depth:
            return False
        # A whole string, number or word, which is wrong at the beginning.
        return not self._inside if self._quoted else _no_token().search(data) is not None

    def _retry(self) -> None:
        """Looks for an early error in what is kept."""
        from trunkline.base.json_scanner import Incomplete, Scanner

        whole = b"".join(self._parts)
        self._parts = [whole]
        self._tried = self._kept
        if self._depth and self._kept >= _SHORT:
            text = whole.decode("utf-8", "surrogateescape")
            try:
                scan_or_why(scanner_for(text, whole), text, end_of_space(text, 0))
            except StopIteration:
                return
            except (ValueError, RecursionError) as error:
                said = str(error)
                position = getattr(error, "pos", None)
                if position is not None and (
                    "Unterminated string" in said or position >= len(text) - 8 or "escape" in said
                ):
                    return
        try:
            Scanner(whole).run(whole=False)
        except Incomplete:
            return

    def _boundary(self, data: bytes) -> int | None:
        """Where in `data` the kept message's last bracket ends; else None, with the state moved on."""
        at = 0
        size = len(data)
        depth = self._depth
        inside = self._inside
        mark, string_rest = _mark().search, _string_rest().match
        while at < size:
            if inside:
                if inside == 2:
                    at += 1
                match = string_rest(data, at)
                assert match is not None
                at = match.end()
                if not match.group(1):
                    inside = 2 if match.group(2) else 1
                    break
                inside = 0
                continue
            match = mark(data, at)
            if match is None:
                break
            at = match.end()
            byte = data[at - 1]
            if byte == 0x22:
                inside = 1
                self._quoted = True
            elif byte in b"[{":
                depth += 1
            else:
                depth -= 1
                if depth <= 0:
                    return at
        self._depth = depth
        self._inside = inside
        return None


def _bytes_from(text: str, at: int, data: bytes) -> bytes:
    return data if at == 0 else text[at:].encode("utf-8", "surrogateescape")
