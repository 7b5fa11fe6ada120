"""Datapath actions: what a megaflow tells a datapath to do with its packets, as records.

They are few and simple beside OpenFlow's, for translation has decided everything already.  Text of them, as
ovs-dpctl prints and reads it, is dpif/action_text.py; their meaning is sim/execute.py.  An empty tuple of
actions drops the packet.
"""

from typing import Any, NamedTuple

from trunkline.base.records import distinguish


class Output(NamedTuple):
    """Sends the packet as it is now to a datapath port."""

    port: int


class PushVlan(NamedTuple):
    """`tci` with the CFI bit (0x1000) set, as in a key."""

    tpid: int
    tci: int


class PopVlan(NamedTuple):
    pass


class PushMpls(NamedTuple):
    entry: int  # the label stack entry
    ethertype: int


class PopMpls(NamedTuple):
    ethertype: int


class AddMpls(NamedTuple):
    """A label around the whole packet, its Ethernet header included: what follows has no such header."""

    entry: int
    ethertype: int


class PushNsh(NamedTuple):
    """`fields`: the bits of nsh_* in the layout of flow/key.py; `metadata`: the TLVs of MD type 2."""

    fields: int
    metadata: bytes = b""


class PopNsh(NamedTuple):
    pass


class PushEth(NamedTuple):
    src: int
    dst: int


class PopEth(NamedTuple):
    pass


class Set(NamedTuple):
    """Changes the bits of `mask` to `value`, both in the layout of flow/key.py; `value & ~mask == 0`."""

    value: int
    mask: int


class Userspace(NamedTuple):
    """Hands the packet up.  `what` says why: a Cookie from text, or what translation put there."""

    what: Any
    pid: int = 0
    tunnel_out_port: int | None = None
    with_actions: bool = False


class Cookie(NamedTuple):
    """The user data of a userspace action: its kind and its words by name; or raw bytes ("userdata")."""

    kind: str  # "", "userdata", "sFlow", "slow_path", "controller", "flow_sample", "ipfix"
    words: tuple[tuple[str, str | int], ...] = ()
    data: bytes = b""


class Recirc(NamedTuple):
    id: int


class Hash(NamedTuple):
    """Fills dp_hash.  algorithm 0: l4, 1: sym_l4."""

    algorithm: int
    basis: int


class Truncate(NamedTuple):
    """The next output sends at most that many bytes."""

    max_len: int


class Sample(NamedTuple):
    probability: int  # of 2**32 - 1
    actions: tuple[Any, ...]


class Clone(NamedTuple):
    actions: tuple[Any, ...]


class CheckLength(NamedTuple):
    size: int
    greater: tuple[Any, ...]
    less_equal: tuple[Any, ...]


class Nat(NamedTuple):
    """`kind` "src", "dst" or "" (only translate what is known); addresses with their family, or None."""

    kind: str = ""
    family: int = 4
    address_min: int | None = None
    address_max: int | None = None
    port_min: int = 0
    port_max: int = 0
    persistent: bool = False
    hash: bool = False
    random: bool = False


class Conntrack(NamedTuple):
    commit: bool = False
    force: bool = False
    zone: int = 0
    mark: tuple[int, int] | None = None  # value, mask
    label: tuple[int, int] | None = None
    helper: str = ""
    timeout: str = ""
    nat: Nat | None = None


class ConntrackClear(NamedTuple):
    pass


class Meter(NamedTuple):
    id: int


class TunnelPush(NamedTuple):
    """Puts a tunnel's headers before the packet: what follows is done to the outer packet.

    `port` is the tunnel's datapath port, `out_port` that of the bridge that the outer packet begins in;
    `type` the number of the tunnel's type (model/tunnels.py); `header` the outer headers (packet/tunnels.py).
    """

    port: int
    type: int
    header: bytes
    out_port: int


class TunnelPop(NamedTuple):
    """Takes the tunnel's headers off; the packet inside comes in on the tunnel's datapath port."""

    port: int


class LoadBalance(NamedTuple):
    """Output to the member of a bond that the hash picks."""

    bond: int


class Drop(NamedTuple):
    """Drops with a reason."""

    reason: int = 0


Action = (
    Output
    | PushVlan
    | PopVlan
    | PushMpls
    | PopMpls
    | AddMpls
    | PushNsh
    | PopNsh
    | PushEth
    | PopEth
    | Set
    | Userspace
    | Recirc
    | Hash
    | Truncate
    | Sample
    | Clone
    | CheckLength
    | Conntrack
    | ConntrackClear
    | Meter
    | TunnelPush
    | TunnelPop
    | LoadBalance
    | Drop
)

distinguish(list(globals().values()))
