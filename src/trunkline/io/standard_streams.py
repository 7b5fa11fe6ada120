"""Standard input, output and error as the originals use them: whatever they are, the work is done.

A command may be run with any of the three closed, with its output into a full disk or to a reader that has
gone: it carries out what it was told to, and its exit status says whether that was done.  Text goes out in
UTF-8 whatever the locale is, and bytes of arguments that are none go out just as they came in.  A number in
them may have thousands of digits: who reads it says what is wrong with it, not the interpreter.
"""

import errno
import os
import select
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import IO, Any


class _Forgiving(FileIO):
    """A descriptor whose writes succeed as far as the writer sees; `failed` is the errno of the first that
    did not, 0 if there was none."""

    failed = 0

    def write(self, data: Any) -> int:
        try:
            while (
                written := super().write(data)
            ) is None:  # as on a terminal that somebody made non-blocking
                select.select([], [self], [])
            return written
        except OSError as error:
            self.failed = self.failed or error.errno or errno.EIO
            return len(data)


def prepare() -> None:
    """Makes the standard streams of this process so; those that an embedder has put there stay his, and so
    does his limit of digits."""
    if sys.stdout is sys.__stdout__:
        sys.set_int_max_str_digits(0)
    for descriptor, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            _close_off(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    if isinstance(sys.stdin, TextIOWrapper) and sys.stdin is sys.__stdin__:
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    sys.stdout = _prepared(1, sys.stdout, sys.__stdout__)
    sys.stderr = _prepared(2, sys.stderr, sys.__stderr__)


def _prepared(descriptor: int, stream: IO[str] | None, first: IO[str] | None) -> Any:
    if stream is not None and stream is not first:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
        return stream
    if stream is not None:
        stream.flush()
    return _writer(descriptor)


def failure(stream: IO[str]) -> int:
    """The errno of the first write to `stream` that failed, 0 if all went well up to here."""
    stream.flush()
    forgiving = _forgiving(stream)
    return forgiving.failed if forgiving is not None else 0


def check_reader(stream: IO[str]) -> None:
    """For commands that never end by themselves.  Raises BrokenPipeError if nobody reads what they print."""
    if failure(stream) == errno.EPIPE:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _close_off(descriptor: int) -> None:
    """Keeps the number of a closed descriptor from the next file or socket that is opened."""
    opened = os.open(os.devnull, os.O_RDONLY)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)


def _writer(descriptor: int) -> TextIOWrapper:
    at_once = descriptor == 2 or os.isatty(descriptor)
    buffered = BufferedWriter(_Forgiving(descriptor, "wb", closefd=False))
    return TextIOWrapper(buffered, "utf-8", "surrogateescape", line_buffering=at_once)


def _forgiving(stream: object) -> _Forgiving | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Forgiving) else None
