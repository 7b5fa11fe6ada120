"""Ports as OpenFlow and as NORMAL see them.

There are two views of what is plugged into a bridge.  OpenFlow sees *interfaces*, each with a number (the
ofport), an address, a link state and configuration bits: that is `OfPort`.  The NORMAL action sees *ports*,
as the database has them: a name, VLAN settings, and one interface (several, if it is a bond): that is
`PortConfig`.  Both are immutable; a change replaces the record, so whoever holds one holds a snapshot.
"""

from typing import Final, NamedTuple

from trunkline.dpif.provider import DatapathError
from trunkline.ofproto.tunnel_settings import TunnelSettings

# VLAN modes (ovs-vswitchd.conf.db(5), Port:vlan_mode).
ACCESS: Final = "access"
TRUNK: Final = "trunk"
NATIVE_TAGGED: Final = "native-tagged"
NATIVE_UNTAGGED: Final = "native-untagged"
DOT1Q_TUNNEL: Final = "dot1q-tunnel"

EVERY_VLAN: Final = (1 << 4096) - 1


def vlan_bits(vlans: "frozenset[int] | set[int] | tuple[int, ...]") -> int:
    """A set of VLANs as an int with 4096 bits, which is what the hot path tests."""
    bits = 0
    for vlan in vlans:
        bits |= 1 << vlan
    return bits


class OfPort(NamedTuple):
    """An interface of a bridge.

    `datapath_port` is its number at the provider, or None for a patch port, whose `peer` names the
    interface at the other end (it may not exist yet).  `config` holds the OFPPC_* bits that port-mod sets;
    the bridge owns them and keeps them over `change_interface`.  Features are OFPPF_* bits in their
    OpenFlow 1.1+ form, speeds are kb/s.  A tunnel shares its datapath port with others of its type.
    """

    name: str
    ofport: int
    mac: int
    datapath_port: int | None = None
    peer: str | None = None
    type: str = "system"
    admin_up: bool = True
    link_up: bool = True
    config: int = 0
    current: int = 0
    advertised: int = 0
    supported: int = 0
    peer_features: int = 0
    current_speed: int = 0
    maximum_speed: int = 0
    mtu: int = 1500
    tunnel: TunnelSettings | None = None


class PortConfig(NamedTuple):
    """A port as NORMAL sees it.

    `vlan_mode` is already resolved (a port without one is "access" if it has a tag, else "trunk"); `tag` None
    where the mode has none; `trunks` and `cvlans` are sets of VLANs as ints with 4096 bits (`vlan_bits`), all
    VLANs by default; `priority_tags` is "never", "always" or "if-nonzero" (other_config:priority-tags).  With
    multicast snooping, `multicast_flood` gets all multicast but reports (and nothing is learned there), and
    `report_flood` all reports (and nobody's leave counts there).
    """

    name: str
    interfaces: tuple[int, ...]
    vlan_mode: str = TRUNK
    tag: int | None = None
    trunks: int = EVERY_VLAN
    cvlans: int = EVERY_VLAN
    qinq_ethtype: int = 0x88A8
    priority_tags: str = "never"
    protected: bool = False
    multicast_flood: bool = False
    report_flood: bool = False


_N = int | None
_Reported = tuple[_N, _N, _N, _N, _N, _N, _N, _N, _N, _N, _N, _N]


class PortStatistics(NamedTuple):
    """Counters of a device; None: the device does not count that (OpenFlow shows ?)."""

    rx_packets: int | None = 0
    tx_packets: int | None = 0
    rx_bytes: int | None = 0
    tx_bytes: int | None = 0
    rx_dropped: int | None = 0
    tx_dropped: int | None = 0
    rx_errors: int | None = 0
    tx_errors: int | None = 0
    rx_frame_errors: int | None = 0
    rx_over_errors: int | None = 0
    rx_crc_errors: int | None = 0
    collisions: int | None = 0
    tx_aborted_errors: int | None = 0
    tx_carrier_errors: int | None = 0

    @property
    def reported(self) -> _Reported:
        """Those that OpenFlow and the database carry: the last two only `dpctl/show -s` shows."""
        return self[:-2]

    def of_other_end(self) -> "PortStatistics":
        """What the other end counts: what this one has sent, that has received."""
        return PortStatistics(
            rx_packets=self.tx_packets,
            tx_packets=self.rx_packets,
            rx_bytes=self.tx_bytes,
            tx_bytes=self.rx_bytes,
            rx_dropped=self.tx_dropped,
            tx_dropped=self.rx_dropped,
            rx_errors=self.tx_errors,
            tx_errors=self.rx_errors,
        )


class PortError(DatapathError):
    """A port's configuration cannot be carried out; the text says why, with the port's name."""
