"""Speed, duplex, driver and features of a device, by the SIOCETHTOOL ioctl (linux/ethtool.h).

Features ("rx-lro") have names that the kernel tells, and numbers that differ from kernel to kernel.
"""

import array
import fcntl
import socket
import struct
import sys
from typing import Final, NamedTuple

from trunkline.bridge.devices import Features

_SIOCETHTOOL: Final = 0x8946
_GET_SETTINGS, _GET_DRIVER = 1, 3
_GET_STRINGS, _GET_COUNTS, _GET_FEATURES, _SET_FEATURES = 0x1B, 0x37, 0x3A, 0x3B
_FEATURE_NAMES: Final = 4  # which of the sets of strings
_NAME_SIZE: Final = 32
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
        self._numbers: dict[str, int] = {}  # of features, the same for all devices

    def close(self) -> None:
        self._socket.close()

    def _ask(self, name: str, command: int, size: int, content: bytes = b"") -> bytes | None:
        """The structure as the kernel leaves it; `content` follows the command.  None: the device refuses."""
        answer = array.array("B", (command.to_bytes(4, sys.byteorder) + content).ljust(size, b"\0"))
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

    # ---- features

    def _feature_numbers(self, name: str) -> dict[str, int]:
        if not self._numbers:
            counts = self._ask(name, _GET_COUNTS, 20, struct.pack("=IQ", 0, 1 << _FEATURE_NAMES))
            count = int.from_bytes(counts[16:20], sys.byteorder) if counts is not None else 0
            size = 12 + _NAME_SIZE * count
            strings = self._ask(name, _GET_STRINGS, size, struct.pack("=II", _FEATURE_NAMES, count))
            for number in range(count if strings is not None else 0):
                at = 12 + _NAME_SIZE * number
                text = (strings or b"")[at : at + _NAME_SIZE].split(b"\0")[0].decode(errors="replace")
                self._numbers[text] = number
        return self._numbers

    def feature(self, name: str, feature: str) -> bool:
        """Whether a feature is on, and may be switched off."""
        number = self._feature_numbers(name).get(feature)
        if number is None:
            return False
        blocks = (max(self._numbers.values()) + 32) // 32
        answer = self._ask(name, _GET_FEATURES, 8 + 16 * blocks, struct.pack("=I", blocks))
        if answer is None:
            return False
        available, _, active, _ = struct.unpack_from("=IIII", answer, 8 + 16 * (number // 32))
        return bool(available & active & 1 << number % 32)

    def set_feature(self, name: str, feature: str, on: bool) -> bool:
        """Whether the device has done it."""
        number = self._feature_numbers(name).get(feature)
        if number is None:
            return False
        blocks = (max(self._numbers.values()) + 32) // 32
        wanted = bytearray(8 * blocks)
        bit = 1 << number % 32
        struct.pack_into("=II", wanted, 8 * (number // 32), bit, bit if on else 0)
        content = struct.pack("=I", blocks) + bytes(wanted)
        return self._ask(name, _SET_FEATURES, 4 + len(content), content) is not None
