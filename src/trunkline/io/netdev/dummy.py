"""Devices in memory (``--enable-dummy``): packets come in by a control command and go out to nobody, or to a
file.

    ovs-appctl netdev-dummy/receive p1 ffffffffffff00000000000108004500...
    ovs-vsctl set Interface p1 options:tx_pcap=/tmp/p1.pcap        # also rx_pcap, and pcap for both

Everything about them can be told in advance, which is what tests want.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from trunkline.base.addresses import MAPPED
from trunkline.base.clock import Clock
from trunkline.bridge.devices import DeviceError, DeviceState
from trunkline.dpif.text import parse_key
from trunkline.flow.values import TextError, masked_ipv4, masked_ipv6
from trunkline.io.files import error_text
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.ofproto.ports import PortStatistics
from trunkline.packet.build import build, build_length
from trunkline.packet.packet import Packet
from trunkline.proto.routes import Address

Receive = Callable[[Sequence[Packet]], None]
_FIRST_MAC: Final = 0xAA55AA550000
_PCAP_HEADER: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1518, 1)
_PCAP_RECORD: Final = struct.Struct("<IIII")
_NOT_YET: Final = ("stream", "pstream")
_ETHERNET: Final = 14
_TAG: Final = 4
_TPID: Final = b"\x81\x00"
_SHORTEST: Final = 60  # bytes of Ethernet's shortest frame: less cannot be asked for
_LONGEST: Final = 1 << 20  # bytes of a frame that is asked for by its length


class Capture:
    """A pcap file that packets are appended to.  Raises OSError."""

    def __init__(self, path: str, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by close()
        self._file.write(_PCAP_HEADER)

    def write(self, frame: bytes) -> None:
        now = self._clock.wall()
        second = int(now)
        record = _PCAP_RECORD.pack(second, int((now - second) * 1e6), len(frame), len(frame))
        try:
            self._file.write(record + frame)
        except OSError:
            pass  # a full disk must not stop the switch

    def close(self) -> None:
        self._file.close()


class DummyDevice:
    """A device in memory."""

    def __init__(self, name: str, type: str, serial: int, clock: Clock) -> None:
        self.name = name
        self.type = type
        self.mac = _FIRST_MAC + (serial & 0xFFFF)
        self.mtu = 1500
        self.admin_up = True
        self.ifindex = 0
        self.addresses: tuple[Address, ...] = ()
        self._clock = clock
        self._receive: Receive | None = None
        self._problem = ""  # why a capture file is not written
        self._captures: dict[str, Capture] = {}
        self._sent: tuple[Capture, ...] = ()
        self._received: tuple[Capture, ...] = ()
        self.rx_packets = self.rx_bytes = self.tx_packets = self.tx_bytes = 0

    def transmit(self, packet: Packet) -> None:
        """What the MTU does not let through is not sent; one tag does not count, as in the original."""
        room = self.mtu + (_ETHERNET + _TAG if packet.frame[12:14] == _TPID else _ETHERNET)
        if len(packet.frame) > room:
            return
        self.tx_packets += 1
        self.tx_bytes += len(packet.frame)
        for capture in self._sent:
            capture.write(packet.frame)

    def inject(self, frame: bytes) -> None:
        """A packet comes in."""
        self.rx_packets += 1
        self.rx_bytes += len(frame)
        for capture in self._received:
            capture.write(frame)
        if self._receive is not None:
            self._receive((Packet(frame),))

    def start(self, receive: Receive) -> None:
        self._receive = receive

    def present(self) -> bool:
        return True

    def state(self) -> DeviceState:
        status = {"pcap": self._problem} if self._problem else {}
        return DeviceState(self.mac, self.mtu, self.admin_up, self.admin_up, self.ifindex, status=status)

    def statistics(self) -> PortStatistics:
        none = PortStatistics(*(None,) * len(PortStatistics._fields))
        return none._replace(
            rx_packets=self.rx_packets,
            tx_packets=self.tx_packets,
            rx_bytes=self.rx_bytes,
            tx_bytes=self.tx_bytes,
        )

    def more_statistics(self) -> Mapping[str, int]:
        return {
            "rx_custom_packets_1": self.rx_packets,
            "rx_custom_packets_2": self.rx_packets,
            "rx_q0_packets": self.rx_packets,
            "rx_q0_bytes": self.rx_bytes,
            "tx_q0_packets": self.tx_packets,
            "tx_q0_bytes": self.tx_bytes,
        }

    def configure(self, options: Mapping[str, str]) -> None:
        for option in _NOT_YET:
            if option in options:
                raise DeviceError(f"options:{option} is not there yet")
        index = options.get("ifindex", "0")
        self.ifindex = int(index) if index.isdigit() else 0
        wanted = {kind: options[kind] for kind in ("pcap", "rx_pcap", "tx_pcap") if options.get(kind)}
        for kind, capture in list(self._captures.items()):
            if wanted.get(kind) != capture.path:
                capture.close()
                del self._captures[kind]
        self._problem = ""
        for kind, path in wanted.items():
            if kind not in self._captures:
                try:
                    self._captures[kind] = Capture(path, self._clock)
                except OSError as error:
                    self._problem = f"{path}: {error_text(error)}"
        self._sent = self._capturing("pcap", "tx_pcap")
        self._received = self._capturing("pcap", "rx_pcap")

    def _capturing(self, *kinds: str) -> tuple[Capture, ...]:
        return tuple(self._captures[kind] for kind in kinds if kind in self._captures)

    def set_mac(self, mac: int) -> None:
        self.mac = mac

    def set_mtu(self, mtu: int) -> None:
        if not 68 <= mtu <= 65535:
            raise DeviceError("Invalid argument")
        self.mtu = mtu

    def set_admin_state(self, up: bool) -> None:
        self.admin_up = up

    def set_address(self, address: int, length: int) -> None:
        raise DeviceError("Operation not supported")

    def add_gateway(self, gateway: int) -> None:
        raise DeviceError("Operation not supported")

    def close(self, *, remove: bool) -> None:
        self._receive = None
        self._sent = self._received = ()
        for capture in self._captures.values():
            capture.close()


def commands(
    devices: Mapping[str, DummyDevice], changed: Callable[[str], None], readdressed: Callable[[], None]
) -> Iterator[Command]:
    """The control commands over the open `devices`; `changed` is told whose state changed, `readdressed` that
    some device's addresses have.
    """

    def receive(arguments: Sequence[str]) -> str:
        device = devices.get(arguments[0])
        if device is None:
            raise CommandError("no such dummy netdev")
        rest = list(arguments[1:])
        if rest[0] == "--qid":
            if len(rest) < 3:
                raise CommandError("syntax error at --qid")
            if rest[1] != "0":
                raise CommandError("bad rx queue id.")
            del rest[:2]
        for frame in list(_frames(rest)):
            device.inject(frame)
        return ""

    def set_admin_state(arguments: Sequence[str]) -> str:
        word = arguments[-1]
        if word not in ("up", "down"):
            raise CommandError("Invalid Admin State")
        if len(arguments) == 2 and arguments[0] not in devices:
            raise CommandError("Unknown Dummy Interface")
        for name in [arguments[0]] if len(arguments) == 2 else list(devices):
            devices[name].set_admin_state(word == "up")
            changed(name)
        return "OK\n"

    def add_address(family: str, arguments: Sequence[str]) -> str:
        device = devices.get(arguments[0])
        if device is None:
            raise CommandError("Unknown Dummy Interface")
        device.addresses = (*device.addresses, _address(arguments[1], family))
        readdressed()
        return "OK\n"

    def connection_state(arguments: Sequence[str]) -> str:
        if arguments:
            return f"{arguments[0]}: unknown\n"
        return ""

    yield Command(
        "netdev-dummy/receive", "name [--qid queue_id] packet|flow [--len packet_len]", 2, None, receive
    )
    yield Command("netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2, set_admin_state)
    yield Command("netdev-dummy/conn-state", "[netdev]", 0, 1, connection_state)
    yield Command("netdev-dummy/ip4addr", "[netdev] ipaddr/mask-prefix-len", 2, 2, partial(add_address, "4"))
    yield Command("netdev-dummy/ip6addr", "[netdev] ip6addr", 2, 2, partial(add_address, "6"))


def _address(text: str, family: str) -> Address:
    """An address with the length of its prefix, which may be left out.  Raises CommandError."""
    try:
        value, mask = masked_ipv4(text) if family == "4" else masked_ipv6(text)
    except TextError as error:
        raise CommandError(str(error)) from None
    size = mask.bit_count()
    return Address(MAPPED | value, size + 96) if family == "4" else Address(value, size)


def _frames(words: Sequence[str]) -> Iterator[bytes]:
    """Frames from packets in hex and datapath flows in text.  Raises CommandError."""
    at = 0
    while at < len(words):
        frame = _hexadecimal(words[at])
        if frame is not None:
            yield frame
            at += 1
            continue
        length = None
        try:
            key, _ = parse_key(words[at])
        except TextError as error:
            raise CommandError(str(error)) from None
        at += 1
        if at < len(words) and words[at] == "--len":
            text = words[at + 1] if at + 1 < len(words) else ""
            length = _number(text)
            if length < max(_SHORTEST, len(build(key, b""))):
                raise CommandError("too small packet len")
            if length > _LONGEST:
                raise CommandError(f"too large packet len (more than {_LONGEST})")
            at += 2
        yield build(key) if length is None else build_length(key, length)


def _number(text: str) -> int:
    """The number that a text begins with, in 32 bits, as the original reads it; 0 if there is none."""
    found = re.match(r"[ \t\n\v\f\r]*([+-]?[0-9]{1,18})", text)
    return (int(found[1]) + 0x80000000) % 0x100000000 - 0x80000000 if found else 0


def _hexadecimal(word: str) -> bytes | None:
    try:
        frame = bytes.fromhex(word)
    except ValueError:
        return None
    return frame if len(frame) >= _ETHERNET else None
