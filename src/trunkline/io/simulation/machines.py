"""A simulated machine: one network card, an address or two, and just enough of a stack to talk.

It answers ARP, neighbour solicitations and echo requests, resolves addresses, pings, and keeps whole frames
for tests that want to look closely.  What is cut short, a fragment, or has a wrong checksum it ignores.  It
never touches the kernel: `transmit` hands its frames to whatever it is plugged into, and `receive` takes what
comes back.  Time is the event loop's, so that on a virtual clock a ping that nobody answers costs nothing.
(RFC 826, RFC 792, RFC 4443, RFC 4861.)
"""

import asyncio
import ipaddress
import struct
from collections.abc import Callable
from typing import Final

from trunkline.base.addresses import parse_mac

BROADCAST: Final = b"\xff" * 6
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_ETHERTYPE_ARP: Final = b"\x08\x06"
_ETHERTYPE_IPV4: Final = b"\x08\x00"
_ECHO_REQUEST: Final = 8
_ECHO_REPLY: Final = 0
_ICMP: Final = 1
_ETHERTYPE_IPV6: Final = b"\x86\xdd"
_ICMPV6: Final = 58
_ECHO6_REQUEST: Final = 128
_ECHO6_REPLY: Final = 129
_SOLICITATION: Final = 135
_ADVERTISEMENT: Final = 136
_SOLICITED_GROUP: Final = bytes.fromhex(
    "ff0200000000000000000001ff"
)  # and the last three bytes of an address
_NOBODY: Final = ipaddress.IPv4Address(0)


def checksum(data: bytes) -> bytes:
    """The Internet checksum of RFC 1071, in network order."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def _mac(name: str, text: str) -> bytes:
    number = parse_mac(text)
    if number is None or number >> 40 & 1:
        raise ValueError(f"machine {name}: {text!r} is no MAC address of a card, such as 02:00:00:00:00:01")
    return number.to_bytes(6, "big")


def _interfaces(name: str, text: str) -> list[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    """The addresses of a machine; a prefix says which others are on its wire, so it must be given."""
    found = []
    for one in text.split(","):
        try:
            if "/" not in one:
                raise ValueError
            found.append(ipaddress.ip_interface(one.strip()))
        except ValueError:
            wanted = "is no address with a prefix length, such as 10.0.0.1/24 or fd00::1/64"
            raise ValueError(f"machine {name}: {one!r} {wanted}") from None
    if len({one.version for one in found}) < len(found):
        raise ValueError(f"machine {name}: {text!r} has more than one address of a kind")
    return found


class Machine:
    """`mac` is text, `address` as in ``10.0.0.1/24``, ``fd00::1/64``, or one of each with a comma between.

    `frames` keeps every frame received, oldest first.
    """

    __slots__ = (
        "_address",
        "_address6",
        "_echoes",
        "_neighbours",
        "_sequence",
        "_waiting",
        "addresses",
        "frames",
        "mac",
        "name",
        "transmit",
    )

    def __init__(self, name: str, mac: str, address: str) -> None:
        """Raises ValueError if an address is none, lacks its prefix or is a second one of its kind."""
        self.name = name
        self.mac = _mac(name, mac)
        given = _interfaces(name, address)
        self.addresses = tuple(str(one.ip) for one in given)
        self._address: ipaddress.IPv4Address = _NOBODY
        self._address6: bytes | None = None
        for one in given:
            if isinstance(one.ip, ipaddress.IPv4Address):
                self._address = one.ip
            else:
                self._address6 = one.ip.packed
        self.transmit: Callable[[bytes], None] = lambda frame: None
        self.frames: list[bytes] = []
        self._neighbours: dict[bytes, bytes] = {}
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._echoes: dict[int, asyncio.Future[None]] = {}
        self._sequence = 0

    @property
    def address(self) -> str:
        """The first one."""
        return self.addresses[0]

    def receive(self, frame: bytes) -> None:
        """A frame arrives at the card; what is for another machine is kept in `frames` and else ignored."""
        self.frames.append(frame)
        if frame[12:14] == _ETHERTYPE_IPV6 and len(frame) >= 62 and self._address6 is not None:
            if frame[:6] in (self.mac, _multicast(self._address6)):
                self._receive_ipv6(frame, self._address6)
            return
        if frame[:6] not in (self.mac, BROADCAST) or self._address == _NOBODY:
            return
        if frame[12:14] == _ETHERTYPE_ARP and len(frame) >= 42:
            self._receive_arp(frame)
        elif frame[12:14] == _ETHERTYPE_IPV4 and len(frame) >= 42:
            self._receive_ipv4(frame)

    def _receive_arp(self, frame: bytes) -> None:
        _, _, _, _, operation, sender_mac, sender, _, target = _ARP.unpack_from(frame, 14)
        if target != self._address.packed:
            return
        self._found(sender, sender_mac)
        if operation == 1:
            self._send_arp(2, sender_mac, sender)

    def _found(self, address: bytes, mac: bytes) -> None:
        self._neighbours[address] = mac
        if waiting := self._waiting.pop(address, None):
            waiting.set_result(mac)

    def _receive_ipv6(self, frame: bytes, mine: bytes) -> None:
        length = int.from_bytes(frame[18:20], "big")
        message = frame[54 : 54 + length]
        sender = frame[22:38]
        if frame[14] >> 4 != 6 or frame[20] != _ICMPV6 or not 8 <= len(message) == length:
            return
        if checksum(frame[22:54] + struct.pack("!II", length, _ICMPV6) + message) != b"\0\0":
            return
        if message[0] in (_SOLICITATION, _ADVERTISEMENT) and len(message) >= 24:
            if message[0] == _ADVERTISEMENT:
                self._found(message[8:24], frame[6:12])
            elif message[8:24] == mine:
                self._neighbours[sender] = frame[6:12]
                self._send_nd(_ADVERTISEMENT, frame[6:12], sender, mine)
        elif frame[38:54] == mine and message[0] == _ECHO6_REQUEST:
            self._send_ipv6(frame[6:12], sender, bytes((_ECHO6_REPLY, 0, 0, 0)) + message[4:])
        elif frame[38:54] == mine and message[0] == _ECHO6_REPLY:
            self._answered(message)

    def _answered(self, message: bytes) -> None:
        echo = self._echoes.pop(int.from_bytes(message[6:8], "big"), None)
        if echo is not None and not echo.done():
            echo.set_result(None)

    def _receive_ipv4(self, frame: bytes) -> None:
        start = 14 + (frame[14] & 15) * 4
        end = 14 + int.from_bytes(frame[16:18], "big")
        message = frame[start:end]
        if frame[30:34] != self._address.packed or frame[23] != _ICMP or len(message) < 8:
            return
        whole = frame[14] >> 4 == 4 and start >= 34 and end <= len(frame) and not frame[20] & 0x3F
        if not whole or checksum(frame[14:start]) != b"\0\0" or checksum(message) != b"\0\0":
            return
        if message[0] == _ECHO_REQUEST:
            self._send_ipv4(frame[6:12], frame[26:30], _echo(_ECHO_REPLY, message[4:]))
        elif message[0] == _ECHO_REPLY:
            self._answered(message)

    def send(self, frame: bytes) -> None:
        """Puts a whole frame on the wire as it is."""
        self.transmit(frame)

    async def ping(self, address: str, timeout: float = 1.0) -> bool:
        """Whether an echo request to `address` is answered within `timeout` seconds."""
        if address in self.addresses:
            return True
        parsed = ipaddress.ip_address(address)
        target = parsed.packed
        if (self._address == _NOBODY) if parsed.version == 4 else (self._address6 is None):
            return False  # it does not speak that
        self._sequence = sequence = (self._sequence + 1) & 0xFFFF
        echo = self._echoes[sequence] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                mac = self._neighbours.get(target) or await self._resolve(target)
                rest = struct.pack("!HH", 1, sequence) + bytes(48)
                if parsed.version == 4:
                    self._send_ipv4(mac, target, _echo(_ECHO_REQUEST, rest))
                else:
                    self._send_ipv6(mac, target, bytes((_ECHO6_REQUEST, 0, 0, 0)) + rest)
                await echo
        except TimeoutError:
            self._neighbours.pop(target, None)
            return False
        finally:
            self._echoes.pop(sequence, None)
        return True

    async def _resolve(self, target: bytes) -> bytes:
        waiting = self._waiting.get(target)
        if waiting is None:
            waiting = self._waiting[target] = asyncio.get_running_loop().create_future()
        if len(target) == 4:
            self._send_arp(1, BROADCAST, target)
        else:
            self._send_nd(_SOLICITATION, _multicast(target), _SOLICITED_GROUP + target[-3:], target)
        return await asyncio.shield(waiting)

    def _send_arp(self, operation: int, to: bytes, target: bytes) -> None:
        unknown = bytes(6) if operation == 1 else to
        mine = self._address.packed
        message = _ARP.pack(1, 0x0800, 6, 4, operation, self.mac, mine, unknown, target)
        self.transmit(to + self.mac + _ETHERTYPE_ARP + message)

    def _send_ipv4(self, to: bytes, target: bytes, payload: bytes) -> None:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, _ICMP, 0)
        head += self._address.packed + target
        head = head[:10] + checksum(head) + head[12:]
        self.transmit(to + self.mac + _ETHERTYPE_IPV4 + head + payload)

    def _send_nd(self, type: int, to: bytes, destination: bytes, target: bytes) -> None:
        """A solicitation or an advertisement, with the own link-layer address (RFC 4861, 4.3 and 4.4)."""
        asked = type == _SOLICITATION
        flags = 0 if asked else 0x60000000  # solicited, override
        option = bytes((1 if asked else 2, 1)) + self.mac
        message = bytes((type, 0, 0, 0)) + flags.to_bytes(4, "big") + target + option
        self._send_ipv6(to, destination, message, hops=255)

    def _send_ipv6(self, to: bytes, target: bytes, message: bytes, hops: int = 64) -> None:
        """An ICMPv6 message, whose checksum is filled in here."""
        mine = self._address6
        assert mine is not None, "only a machine with an IPv6 address sends these"
        pseudo = mine + target + struct.pack("!IxxxB", len(message), _ICMPV6)
        message = message[:2] + checksum(pseudo + message) + message[4:]
        head = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, hops) + mine + target
        self.transmit(to + self.mac + _ETHERTYPE_IPV6 + head + message)


def _multicast(address: bytes) -> bytes:
    """Where who asks for the owner of an IPv6 address sends to."""
    return b"\x33\x33\xff" + address[-3:]


def _echo(type: int, rest: bytes) -> bytes:
    message = bytes((type, 0, 0, 0)) + rest
    return message[:2] + checksum(message) + message[4:]
