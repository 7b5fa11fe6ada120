"""Replies that list entries, each with a length of its own, one after the other.

When an entry is not as it should be, what came before it is still worth showing: the error then carries the
reply as far as it could be read.
"""

from collections.abc import Callable
from struct import error as StructError
from typing import Any, TypeVar

from trunkline.openflow.wire import DecodeError, Envelope

Entry = TypeVar("Entry")
Reply = TypeVar("Reply")


def read_entries(
    envelope: Envelope,
    read: Callable[[bytes, int, int], tuple[Entry, int]],
    make: Callable[[tuple[Entry, ...]], Reply],
    *,
    note: str = "",
    start: int = 0,
) -> Reply:
    """All entries from `start` of the body on, as `make` makes a reply of them.

    `read(body, position, version)` returns one entry and where the next one starts.  Raises DecodeError, with
    `partial` the reply of what was read before and `note` what the text says of it.
    """
    body, entries, position = envelope.body, [], start
    try:
        while position < len(body):
            entry, position = read(body, position, envelope.version)
            entries.append(entry)
    except (DecodeError, StructError) as error:
        problem = error if isinstance(error, DecodeError) else DecodeError("OFPBRC_BAD_LEN")
        partial: Any = make(tuple(entries))
        problem.partial, problem.note = partial, note
        raise problem from None
    return make(tuple(entries))
