"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

The ones' complement sum of 16-bit words is a sum modulo 0xffff, and a whole byte string read as one number is
congruent to the sum of its words, for 2**16 is 1 modulo 0xffff.  So Python's big integers do all the work.
"""


def ones_sum(data: bytes, start: int = 0) -> int:
    """`start` plus the 16-bit words of `data` (padded with a zero byte), in ones' complement, 0 to 0xffff."""
    total = int.from_bytes(data, "big") << (8 if len(data) & 1 else 0)
    total += start
    return total % 0xFFFF or (0xFFFF if total else 0)


def checksum(data: bytes, start: int = 0) -> int:
    """The checksum field for `data`; `start` is the sum of what else it covers."""
    return ones_sum(data, start) ^ 0xFFFF


def updated(old: int, before: bytes, after: bytes) -> int:
    """The checksum `old` after covered words changed; both of even length (RFC 1624, equation 3)."""
    total = (old ^ 0xFFFF) + ones_sum(bytes(byte ^ 0xFF for byte in before)) + ones_sum(after)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """The sum of the pseudo header that TCP, UDP and ICMPv6 checksums cover (RFC 9293 3.1, 8200 8.1)."""
    return ones_sum(source + destination, protocol + length)
