"""Speed, duplex and driver of a device, by the SIOCETHTOOL ioctl (linux/ethtool.h)."""

import array
import fcntl
import socket
import struct
from typing import Final, NamedTuple

from trunkline.bridge.devices import Features

_SIOCETHTOOL: Final = 0x8946
_GET_SETTINGS, _GET_DRIVER = 1, 3
_UNKNOWN_SPEED: Final = (0, 0xFFFF, 0xFFFFFFFF)
_MEGABIT: Final = 1_000_000
_PORT_TP, _PORT_FIBRE = 0, 3
OFPPF_OTHER, OFPPF_COPPER, OFPPF_FIBER, OFPPF_AUTONEG = 1 << 10, 1 << 11, 1 << 12, 1 << 13
_NOW: Final = {
    (10, False): 1 << 0,
    (10, True): 1 << 1,
    (100, False): 1 << 2,
    (100, True): 1 << 3,
    (1000, False): 1 << 4,
    (1000, True): 1 << 5,
    (10_000, True): 1 << 6,
    (40_000, True): 1 << 7,
    (100_000, True): 1 << 8,
    (1_000_000, True): 1 << 9,
}
# Bits of SUPPORTED_* and ADVERTISED_* (linux/ethtool.h), and what OpenFlow calls them.
_MODES: Final = (
    *((position, 1 << position) for position in range(6)),  # 10, 100, 1000 Mb/s, half and full
    (6, OFPPF_AUTONEG),
    (7, OFPPF_COPPER),
    (10, OFPPF_FIBER),
    (12, 1 << 6),  # 10000baseT_Full
    (13, 1 << 14),  # Pause
    (14, 1 << 15),  # Asym_Pause
)
_SPEEDS: Final = (
    *((10, 1 << bit) for bit in (0, 1)),
    *((100, 1 << bit) for bit in (2, 3)),
    *((1000, 1 << bit) for bit in (4, 5)),
    (10_000, 1 << 6),
)


class Settings(NamedTuple):
    """`speed` bit/s; None: the device does not say."""

    speed: int | None = None
    full_duplex: bool | None = None
    features: Features = Features()


class Driver(NamedTuple):
    name: str
    version: str
    firmware: str


def _features(answer: bytes, speed: int, full: bool) -> Features:
    """From struct ethtool_cmd (linux/ethtool.h); `speed` in Mb/s."""
    supported, advertised = struct.unpack_from("=II", answer, 4)
    port, autonegotiates = answer[15], answer[18]
    (peer,) = struct.unpack_from("=I", answer, 32)
    current = _NOW.get((speed, full), OFPPF_OTHER if speed else 0)
    current |= {_PORT_TP: OFPPF_COPPER, _PORT_FIBRE: OFPPF_FIBER}.get(port, 0)
    current |= OFPPF_AUTONEG if autonegotiates else 0
    bits = _openflow_bits(supported)
    fastest = max((megabits for megabits, bit in _SPEEDS if bits & bit), default=0)
    return Features(current, _openflow_bits(advertised), bits, _openflow_bits(peer), fastest * 1000)


def _openflow_bits(modes: int) -> int:
    bits = 0
    for position, bit in _MODES:
        if modes >> position & 1:
            bits |= bit
    return bits


class Ethtool:
    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def close(self) -> None:
        self._socket.close()

    def _ask(self, name: str, command: int, size: int) -> bytes | None:
        answer = array.array("B", command.to_bytes(4, "little") + bytes(size - 4))
        address, _ = answer.buffer_info()
        request = struct.pack("16sP16x", name.encode(errors="surrogateescape"), address)
        try:
            fcntl.ioctl(self._socket, _SIOCETHTOOL, request)
        except OSError:
            return None
        return answer.tobytes()

    def settings(self, name: str) -> Settings:
        answer = self._ask(name, _GET_SETTINGS, 44)
        if answer is None:
            return Settings()
        low, duplex = struct.unpack_from("=HB", answer, 12)
        (high,) = struct.unpack_from("=H", answer, 28)
        speed = high << 16 | low
        known = speed not in _UNKNOWN_SPEED
        return Settings(
            speed * _MEGABIT if known else None,
            None if duplex > 1 else duplex == 1,
            _features(answer, speed if known else 0, duplex == 1),
        )

    def driver(self, name: str) -> Driver | None:
        answer = self._ask(name, _GET_DRIVER, 196)
        if answer is None:
            return None
        texts = (answer[at : at + 32].split(b"\0")[0].decode(errors="replace") for at in (4, 36, 68))
        return Driver(*texts)
