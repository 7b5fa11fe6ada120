"""Security associations in the kernel (xfrm), and sockets that send and take nothing without one.

Two things make a tunnel's packets secret.  A *security association* says how packets from one address to
another under a number (SPI) are encrypted: ESP in transport mode (RFC 4303).  A *policy on a socket* says
that whatever it sends has to go by such an association, and whatever does not come by one it does not
receive: the kernel drops it.

What comes by an association while no socket is there is another matter: the kernel would answer that nobody
listens, and quote the packet, decrypted.  So there is a third thing, a policy of the host that *blocks*
packets of the tunnel from the other end, as far as they come to no socket.  Those of others are not touched.

Ours are known by a number of the switch's run directory (`reqid`): those of others are left alone.

Sources: linux/xfrm.h, RFC 4303, RFC 4868 (HMAC-SHA-256-128).
"""

import errno
import hashlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from trunkline.base.addresses import is_mapped, octets_of
from trunkline.io.netlink import ACK, DUMP, Conversation, attribute
from trunkline.proto.preshared import Association

XFRM: Final = 6  # NETLINK_XFRM
_NEW, _DELETE, _GET = 0x10, 0x11, 0x12
_NEW_POLICY, _DELETE_POLICY, _GET_POLICY = 0x13, 0x14, 0x15
_ESP: Final = 50
_TRANSPORT: Final = 0
_SELECTOR: Final = struct.Struct("=16s16sHHHHHBBB3xiI")
_LIFETIME: Final = struct.pack("=8Q", *(((1 << 64) - 1,) * 4), 0, 0, 0, 0)  # no limits
_STATE: Final = struct.Struct("=56s16s4sB3x16s64s32s12sIIHBBB7x")
_STATE_ID: Final = struct.Struct("=16s4sHBx")
_BLOCK: Final = 1
_SOCKETS: Final = 3  # from this direction on policies are those of sockets
_OURS: Final = 1 << 30  # of priorities: no IKE daemon has such
_POLICY_ID: Final = struct.Struct("=56sIB3x")
ALL_POLICIES: Final = _GET_POLICY, DUMP, bytes(_POLICY_ID.size)  # a request
_POLICY: Final = struct.Struct("=56s64s32sIIBBBB4x")
_TEMPLATE: Final = struct.Struct("=16s4sB3xHxx16sIBBBxIII")
_ALG_CRYPT, _ALG_AUTH_TRUNC, _EXTRA_FLAGS = 2, 20, 24
_MAY_WRAP: Final = 2  # XFRM_SA_XFLAG_OSEQ_MAY_WRAP
_NO_PMTU: Final = 4  # XFRM_STATE_NOPMTUDISC
_IN, _OUT = 0, 1
_IP_POLICY, _IPV6_POLICY = 17, 35
_ALL: Final = 0xFFFFFFFF
_CIPHER, _HASH, _HASH_BITS = b"cbc(aes)", b"hmac(sha256)", 128


class XfrmError(OSError):
    """The kernel does not do it; the text says what."""


class Installed(NamedTuple):
    """An association as the kernel has it, without its keys."""

    destination: bytes
    spi: bytes
    family: int


class Block(NamedTuple):
    """A policy of ours that blocks packets, as the kernel has it."""

    selector: bytes
    number: int


def reqid(run_directory: str) -> int:
    """The number that the associations of a switch go by."""
    path = os.path.realpath(run_directory)
    digest = hashlib.blake2b(path.encode(errors="surrogateescape"), digest_size=4, person=b"xfrm").digest()
    return int.from_bytes(digest, "big") >> 2 | _OURS


def is_for_all(policy: bytes | memoryview) -> bool:
    """Whether a struct xfrm_userpolicy_info concerns packets that others than its owner send or receive: it
    is neither a socket's nor a block that a switch has made."""
    fields: tuple[int, ...] = _POLICY.unpack_from(policy)[3:]
    priority, _, direction, action = fields[:4]
    return direction < _SOCKETS and not (direction == _IN and action == _BLOCK and priority >> 30 == 1)


class Associations:
    """The associations of one switch.  Raises XfrmError if the kernel has none."""

    def __init__(self, number: int) -> None:
        self.number = number
        try:
            self._conversation = Conversation(XFRM)
        except OSError as error:
            raise XfrmError(error.errno, "this kernel has no IPsec (xfrm)") from None

    def add(self, source: int, destination: int, keys: Association) -> None:
        """In the place of one that may be there.  Raises XfrmError."""
        self.delete(destination, keys.spi)
        family, there = _octets(destination)
        _, here = _octets(source)
        selector = _SELECTOR.pack(bytes(16), bytes(16), 0, 0, 0, 0, family, 0, 0, 0, 0, 0)
        state = _STATE.pack(
            selector, there, _spi(keys.spi), _ESP, here, _LIFETIME, bytes(32), bytes(12), 0, self.number,
            family, _TRANSPORT, 0, _NO_PMTU,
        )  # fmt: skip
        encryption = struct.pack("=64sI", _CIPHER, 8 * len(keys.encryption)) + keys.encryption
        authentication = (
            struct.pack("=64sII", _HASH, 8 * len(keys.authentication), _HASH_BITS) + keys.authentication
        )
        fields = attribute(_ALG_CRYPT, encryption) + attribute(_ALG_AUTH_TRUNC, authentication)
        self._ask(_NEW, ACK, state + fields + attribute(_EXTRA_FLAGS, struct.pack("=I", _MAY_WRAP)))

    def delete(self, destination: int, spi: int) -> None:
        """That there is none is no error.  Raises XfrmError."""
        family, there = _octets(destination)
        self._delete(Installed(there, _spi(spi), family))

    def _delete(self, one: Installed) -> None:
        try:
            self._ask(_DELETE, ACK, _STATE_ID.pack(one.destination, one.spi, one.family, _ESP))
        except XfrmError as error:
            if error.errno != errno.ESRCH:
                raise

    def flush(self) -> None:
        """Takes all of this switch's away.  Raises XfrmError."""
        for one in list(self._ours()):
            self._delete(one)
        for block in self._blocks():
            self._unblock(block)

    def block(self, remote: int, protocol: int, port: int) -> None:
        """Packets from that host, of that protocol and to that UDP port (0: it has none), come to nothing but
        protected sockets.  Raises XfrmError."""
        selector = _blocked(remote, protocol, port)
        if any(block.selector == selector for block in self._blocks()):
            return
        policy = _POLICY.pack(selector, _LIFETIME, bytes(32), self.number, 0, _IN, _BLOCK, 0, 0)
        self._ask(_NEW_POLICY, ACK, policy)

    def unblock(self, remote: int, protocol: int, port: int) -> None:
        """Raises XfrmError."""
        selector = _blocked(remote, protocol, port)
        for block in self._blocks():
            if block.selector == selector:
                self._unblock(block)

    def _unblock(self, block: Block) -> None:
        self._ask(_DELETE_POLICY, ACK, _POLICY_ID.pack(block.selector, block.number, _IN))

    def _blocks(self) -> list[Block]:
        found = []
        for body in self._ask(*ALL_POLICIES):
            selector, _, _, priority, index, *_ = _POLICY.unpack_from(body)
            if priority == self.number and not is_for_all(body):
                found.append(Block(selector, index))
        return found

    def _ours(self) -> Iterator[Installed]:
        for body in self._ask(_GET, DUMP, b""):
            _, there, spi, protocol, _, _, _, _, _, number, family, *_ = _STATE.unpack_from(body)
            if number == self.number and protocol == _ESP:
                yield Installed(there, spi, family)

    def _ask(self, kind: int, flags: int, body: bytes) -> list[memoryview]:
        try:
            return self._conversation.request(kind, flags, body)
        except OSError as error:
            raise XfrmError(error.errno, _reason(error)) from None

    def close(self) -> None:
        self._conversation.close()


def _reason(error: OSError) -> str:
    """What a refusal means."""
    if error.errno in (errno.EPROTONOSUPPORT, errno.ENOENT, errno.ENOSYS):
        return "this kernel lacks ESP, or its ciphers cbc(aes) and hmac(sha256)"
    if error.errno == errno.ECONNREFUSED:
        return "this kernel has no IPsec (xfrm)"
    return f"the kernel's IPsec: {error.strerror}"


def protect(one: socket.socket, number: int) -> None:
    """From now on the socket sends only by associations of that number, and receives only what came by one.

    Raises XfrmError.
    """
    six = one.family == socket.AF_INET6
    family = socket.AF_INET6 if six else socket.AF_INET
    selector = _SELECTOR.pack(bytes(16), bytes(16), 0, 0, 0, 0, family, 0, 0, 0, 0, 0)
    template = _TEMPLATE.pack(
        bytes(16), bytes(4), _ESP, family, bytes(16), number, _TRANSPORT, 0, 0, _ALL, _ALL, _ALL
    )
    for direction in (_IN, _OUT):
        policy = _POLICY.pack(selector, _LIFETIME, bytes(32), 0, 0, direction, 0, 0, 0)
        level, option = (socket.IPPROTO_IPV6, _IPV6_POLICY) if six else (socket.IPPROTO_IP, _IP_POLICY)
        try:
            one.setsockopt(level, option, policy + template)
        except OSError as error:
            raise XfrmError(
                error.errno, f"the kernel takes no policy for a socket: {error.strerror}"
            ) from None


def _blocked(remote: int, protocol: int, port: int) -> bytes:
    """The selector of packets from a host."""
    family, there = _octets(remote)
    bits = 32 if family == socket.AF_INET else 128
    wire = int.from_bytes(port.to_bytes(2, "big"), "little")
    return _SELECTOR.pack(
        bytes(16), there, wire, 0xFFFF if port else 0, 0, 0, family, 0, bits, protocol, 0, 0
    )


def _octets(address: int) -> tuple[int, bytes]:
    """Family, and the address as the kernel has it: 16 bytes."""
    family = socket.AF_INET if is_mapped(address) else socket.AF_INET6
    return family, octets_of(address).ljust(16, b"\0")


def _spi(number: int) -> bytes:
    return number.to_bytes(4, "big")
