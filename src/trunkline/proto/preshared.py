"""Keys of a tunnel out of a pre-shared secret, without anybody to negotiate them with.

Both ends know the secret, and which addresses packets go between.  From that each derives, for each
direction, the number of a security association (SPI) and its keys: PBKDF2 (RFC 8018) makes guessing the
secret dear, HKDF (RFC 5869) gives each direction, each pair of addresses and each kind of tunnel keys of its
own.  The direction is in the order of the addresses, so that no key is used by two senders.

These keys are the same at every start.  What that allows and what it forbids is in docs/design/ipsec.md: the
cipher has to be one whose safety does not hang on a counter that never comes twice (AES-CBC with random
initialisation vectors and HMAC-SHA-256, not AES-GCM), and there is no protection against replay (RFC 4303,
section 3.3.3).
"""

import hashlib
import hmac
from functools import lru_cache
from typing import Final, NamedTuple

_ROUNDS: Final = 100_000
_LABEL: Final = b"trunkline tunnel psk 1"
_RESERVED: Final = 256  # SPIs (RFC 4303, section 2.1)
KEY: Final = 32  # bytes of each key: AES-256, HMAC-SHA-256


class Association(NamedTuple):
    """One direction of a protected tunnel."""

    spi: int
    encryption: bytes
    authentication: bytes


@lru_cache(maxsize=64)
def _stretched(secret: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", secret.encode(), _LABEL, _ROUNDS)


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand of RFC 5869, section 2.3, with SHA-256."""
    found = block = b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes((number,)), "sha256")
        found += block
    return found[:length]


def association(secret: str, protocol: int, port: int, sender: int, receiver: int) -> Association:
    """That of the packets from one host to another, of an IP protocol and UDP port (0: it has none).

    Addresses are ints of 128 bits (base/addresses.py).
    """
    ends = sender.to_bytes(16, "big") + receiver.to_bytes(16, "big")
    info = _LABEL + bytes((protocol,)) + port.to_bytes(2, "big") + ends
    found = expand(_stretched(secret), info, 8 + 2 * KEY)
    spi = _RESERVED + int.from_bytes(found[:8], "big") % ((1 << 32) - _RESERVED)
    return Association(spi, found[8 : 8 + KEY], found[8 + KEY :])
