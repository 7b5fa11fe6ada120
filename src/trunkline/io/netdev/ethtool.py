"""Speed, duplex and driver of a device, by the SIOCETHTOOL ioctl (linux/ethtool.h)."""

import array
import fcntl
import socket
import struct
from typing import Final, NamedTuple

_SIOCETHTOOL: Final = 0x8946
_GET_SETTINGS, _GET_DRIVER = 1, 3
_UNKNOWN_SPEED: Final = (0, 0xFFFF, 0xFFFFFFFF)
_MEGABIT: Final = 1_000_000


class Settings(NamedTuple):
    """`speed` bit/s; None: the device does not say."""

    speed: int | None = None
    full_duplex: bool | None = None


class Driver(NamedTuple):
    name: str
    version: str
    firmware: str


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
        return Settings(
            None if speed in _UNKNOWN_SPEED else speed * _MEGABIT, None if duplex > 1 else duplex == 1
        )

    def driver(self, name: str) -> Driver | None:
        answer = self._ask(name, _GET_DRIVER, 196)
        if answer is None:
            return None
        texts = (answer[at : at + 32].split(b"\0")[0].decode(errors="replace") for at in (4, 36, 68))
        return Driver(*texts)
