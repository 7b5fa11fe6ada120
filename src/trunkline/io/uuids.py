"""Random uuids without the standard library's module for them, whose import costs a tool 3 ms."""

import os
from typing import Final

from trunkline.ovsdb.atoms import Uuid


def random_uuid() -> Uuid:
    """A new random uuid (RFC 4122, version 4)."""
    return uuid_text(int.from_bytes(os.urandom(16), "big"))


def uuid_text(bits: int) -> Uuid:
    """The uuid of 128 random bits."""
    text = f"{bits & _RANDOM | _VERSION_4:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_RANDOM: Final = 0xFFFFFFFF_FFFF_0FFF_3FFF_FFFFFFFFFFFF
_VERSION_4: Final = 0x00000000_0000_4000_8000_000000000000
