"""A packet on its way: the bytes of its Ethernet frame and what the sender left for hardware to do.

A virtual machine or namespace hands over frames with an unfinished checksum, or 64 kB segments that a NIC
was to cut.  The kernel describes that in a virtio-net header, and everything on the way has to carry it
along and keep its offsets right, or the receiver drops what the sender believes to be sent.
"""

from typing import Final, NamedTuple

NEEDS_CHECKSUM: Final = 1  # virtio: VIRTIO_NET_HDR_F_NEEDS_CSUM
DATA_VALID: Final = 2  # virtio: VIRTIO_NET_HDR_F_DATA_VALID

GSO_NONE: Final = 0
GSO_TCPV4: Final = 1
GSO_UDP: Final = 3
GSO_TCPV6: Final = 4
GSO_UDP_L4: Final = 5
GSO_ECN: Final = 0x80


class Offload(NamedTuple):
    """The fields of struct virtio_net_hdr; offsets count from the first byte of the frame."""

    flags: int
    gso_type: int
    header_length: int
    gso_size: int
    checksum_start: int
    checksum_offset: int


class Packet(NamedTuple):
    """`frame` from the destination MAC on, VLAN tags in place; `offload` None: nothing is left to do."""

    frame: bytes
    offload: Offload | None = None
