"""What every module about JSON names: the type of a value, the error, the depth."""

from typing import Any, Final

MAX_DEPTH: Final = 1000

Json = Any  # None | bool | int | float | str | list[Json] | dict[str, Json]


class JsonError(Exception):
    """The text is not JSON; the message is the original's, with line, column and byte (all from 0)."""
