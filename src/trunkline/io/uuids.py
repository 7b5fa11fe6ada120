"""Random uuids without the standard library's module for them, whose import costs a tool 3 ms."""

import os

from trunkline.ovsdb.atoms import Uuid


def random_uuid() -> Uuid:
    """A new random uuid (RFC 4122, version 4)."""
    return uuid_text(int.from_bytes(os.urandom(16), "big"))


def uuid_text(bits: int) -> Uuid:
    """The uuid of 128 random bits."""
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"
