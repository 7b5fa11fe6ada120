"""A simulated machine: one network card, one IPv4 address, and just enough of a stack to talk.

It answers ARP and ICMP echo requests, resolves addresses, pings, and keeps whole frames for tests that want
to look closely.  It never touches the kernel: `transmit` hands its frames to whatever it is plugged into, and
`receive` takes what comes back.  Time is the event loop's, so that on a virtual clock a ping that nobody
answers costs nothing.  (RFC 826, RFC 792.)
"""

import asyncio
import ipaddress
import struct
from collections.abc import Callable
from typing import Final

BROADCAST: Final = b"\xff" * 6
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_ETHERTYPE_ARP: Final = b"\x08\x06"
_ETHERTYPE_IPV4: Final = b"\x08\x00"
_ECHO_REQUEST: Final = 8
_ECHO_REPLY: Final = 0
_ICMP: Final = 1


def checksum(data: bytes) -> bytes:
    """The Internet checksum of RFC 1071, in network order."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


class Machine:
    """`mac` is text, `address` as in ``10.0.0.1/24``.  `frames` keeps every frame received, oldest first."""

    __slots__ = (
        "_address",
        "_echoes",
        "_neighbours",
        "_sequence",
        "_waiting",
        "frames",
        "mac",
        "name",
        "transmit",
    )

    def __init__(self, name: str, mac: str, address: str) -> None:
        self.name = name
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self._address = ipaddress.IPv4Interface(address)
        self.transmit: Callable[[bytes], None] = lambda frame: None
        self.frames: list[bytes] = []
        self._neighbours: dict[bytes, bytes] = {}
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._echoes: dict[int, asyncio.Future[None]] = {}
        self._sequence = 0

    @property
    def address(self) -> str:
        return str(self._address.ip)

    def receive(self, frame: bytes) -> None:
        """A frame arrives at the card; what is for another machine is kept in `frames` and else ignored."""
        self.frames.append(frame)
        if frame[:6] not in (self.mac, BROADCAST):
            return
        if frame[12:14] == _ETHERTYPE_ARP and len(frame) >= 42:
            self._receive_arp(frame)
        elif frame[12:14] == _ETHERTYPE_IPV4 and len(frame) >= 42:
            self._receive_ipv4(frame)

    def _receive_arp(self, frame: bytes) -> None:
        _, _, _, _, operation, sender_mac, sender, _, target = _ARP.unpack_from(frame, 14)
        if target != self._address.ip.packed:
            return
        self._neighbours[sender] = sender_mac
        if waiting := self._waiting.pop(sender, None):
            waiting.set_result(sender_mac)
        if operation == 1:
            self._send_arp(2, sender_mac, sender)

    def _receive_ipv4(self, frame: bytes) -> None:
        start = 14 + (frame[14] & 15) * 4
        length = int.from_bytes(frame[16:18], "big")
        message = frame[start : 14 + length]
        if frame[30:34] != self._address.ip.packed or frame[23] != _ICMP or len(message) < 8:
            return
        if message[0] == _ECHO_REQUEST:
            self._send_ipv4(frame[6:12], frame[26:30], _echo(_ECHO_REPLY, message[4:]))
        elif message[0] == _ECHO_REPLY:
            echo = self._echoes.pop(int.from_bytes(message[6:8], "big"), None)
            if echo is not None and not echo.done():
                echo.set_result(None)

    def send(self, frame: bytes) -> None:
        """Puts a whole frame on the wire as it is."""
        self.transmit(frame)

    async def ping(self, address: str, timeout: float = 1.0) -> bool:
        """Whether an echo request to `address` is answered within `timeout` seconds."""
        target = ipaddress.IPv4Address(address).packed
        if target == self._address.ip.packed:
            return True
        self._sequence = sequence = (self._sequence + 1) & 0xFFFF
        echo = self._echoes[sequence] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                mac = self._neighbours.get(target) or await self._resolve(target)
                message = _echo(_ECHO_REQUEST, struct.pack("!HH", 1, sequence) + bytes(48))
                self._send_ipv4(mac, target, message)
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
        self._send_arp(1, BROADCAST, target)
        return await asyncio.shield(waiting)

    def _send_arp(self, operation: int, to: bytes, target: bytes) -> None:
        unknown = bytes(6) if operation == 1 else to
        mine = self._address.ip.packed
        message = _ARP.pack(1, 0x0800, 6, 4, operation, self.mac, mine, unknown, target)
        self.transmit(to + self.mac + _ETHERTYPE_ARP + message)

    def _send_ipv4(self, to: bytes, target: bytes, payload: bytes) -> None:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, _ICMP, 0)
        head += self._address.ip.packed + target
        head = head[:10] + checksum(head) + head[12:]
        self.transmit(to + self.mac + _ETHERTYPE_IPV4 + head + payload)


def _echo(type: int, rest: bytes) -> bytes:
    message = bytes((type, 0, 0, 0)) + rest
    return message[:2] + checksum(message) + message[4:]
