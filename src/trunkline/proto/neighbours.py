"""Which MAC address a neighbour on a bridge has: what ARP (RFC 826) and neighbour discovery (RFC 4861) tell.

Entries are learned from answers that reach a bridge's own port, and can be set by hand (``tnl/neigh/set``);
each lasts `aging` seconds from when it was last heard of.  `solicitation` is the question to be sent for an
address that is not known.  Addresses are ints of 128 bits (base/addresses.py); nothing here does I/O.
"""

from typing import Final, NamedTuple

from trunkline.base.addresses import format_address, format_mac, is_mapped
from trunkline.packet.checksum import checksum, pseudo_header

USUAL_AGING: Final = 900
LONGEST_AGING: Final = 3600
_BROADCAST: Final = b"\xff" * 6
_ICMPV6: Final = 58
_SOLICITATION: Final = 135


class Neighbour(NamedTuple):
    mac: int
    expires: float


class Neighbours:
    """By bridge and address.  Changes are told by what the methods return: (bridge, address) pairs."""

    def __init__(self) -> None:
        self.aging: float = USUAL_AGING
        self._entries: dict[tuple[str, int], Neighbour] = {}

    def lookup(self, bridge: str, address: int) -> int | None:
        """The MAC address, if it is known."""
        entry = self._entries.get((bridge, address))
        return entry.mac if entry is not None else None

    def learn(self, bridge: str, address: int, mac: int, now: float) -> bool:
        """True if that is news."""
        old = self._entries.get((bridge, address))
        self._entries[bridge, address] = Neighbour(mac, now + self.aging)
        return old is None or old.mac != mac

    def flush(self, bridge: str | None = None) -> list[tuple[str, int]]:
        gone = [key for key in self._entries if bridge is None or key[0] == bridge]
        for key in gone:
            del self._entries[key]
        return gone

    def expire(self, now: float) -> list[tuple[str, int]]:
        gone = [key for key, entry in self._entries.items() if entry.expires <= now]
        for key in gone:
            del self._entries[key]
        return gone

    def set_aging(self, seconds: float, now: float) -> None:
        """Also for those that are there."""
        by = seconds - self.aging
        self.aging = seconds
        for key, entry in self._entries.items():
            self._entries[key] = entry._replace(expires=entry.expires + by)

    def next_expiry(self) -> float | None:
        return min((entry.expires for entry in self._entries.values()), default=None)

    def show(self) -> str:
        lines = [
            "IP                                            MAC                 Bridge",
            "=" * 74,
            *(
                f"{format_address(address):<45s} {format_mac(entry.mac):<17s}   {bridge}"
                for (bridge, address), entry in self._entries.items()
            ),
        ]
        return "\n".join(lines) + "\n"


def solicitation(target: int, source: int, mac: int) -> bytes:
    """The frame that asks who has `target`: an ARP request, or a neighbour solicitation."""
    own = mac.to_bytes(6, "big")
    if is_mapped(target):
        body = b"\0\x01\x08\0\x06\x04\0\x01" + own + (source & 0xFFFFFFFF).to_bytes(4, "big")
        return _BROADCAST + own + b"\x08\x06" + body + bytes(6) + (target & 0xFFFFFFFF).to_bytes(4, "big")
    group = 0xFF02_0000_0000_0000_0000_0001_FF00_0000 | target & 0xFFFFFF
    addresses = source.to_bytes(16, "big"), group.to_bytes(16, "big")
    message = bytes((_SOLICITATION, 0, 0, 0)) + bytes(4) + target.to_bytes(16, "big") + b"\x01\x01" + own
    total = checksum(message, pseudo_header(*addresses, _ICMPV6, len(message)))
    message = message[:2] + total.to_bytes(2, "big") + message[4:]
    header = b"\x60\0\0\0" + len(message).to_bytes(2, "big") + bytes((_ICMPV6, 255))
    destination = b"\x33\x33" + group.to_bytes(16, "big")[12:]
    return destination + own + b"\x86\xdd" + header + addresses[0] + addresses[1] + message
