"""Random uuids without the standard library's module for them, whose import costs a tool 3 ms."""

import os
from typing import Final

from trunkline.ovsdb.atoms import Uuid


def random_uuid() -> Uuid:
    """A new random uuid (RFC 4122, version 4)."""
    return uuid_text(int.from_bytes(os.urandom(16), "big"))


def uuid_text(bits: int) -> Uuid:
    """The uuid of 128 random bits."""
    return uuid_texts(bits, 1)[0]


def hashed_uuid(seed: str) -> Uuid:
    """A uuid that looks random and is always the same for the same `seed`."""
    import hashlib

    return uuid_text(int.from_bytes(hashlib.sha1(seed.encode(), usedforsecurity=False).digest()[:16], "big"))


def uuid_texts(bits: int, count: int) -> list[Uuid]:
    """`count` uuids of 128 random bits each, which costs half as much as one at a time."""
    text = f"{bits:0{32 * count}x}"
    return [
        f"{text[at : at + 8]}-{text[at + 8 : at + 12]}-4{text[at + 13 : at + 16]}-"
        f"{_VARIANT[text[at + 16]]}{text[at + 17 : at + 20]}-{text[at + 20 : at + 32]}"
        for at in range(0, 32 * count, 32)
    ]


_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit with the variant: its upper two bits are 10."""
