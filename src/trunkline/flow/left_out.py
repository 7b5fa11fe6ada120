"""What the original logs when it leaves out of a match what makes no sense beside the rest.

Not all that `normalize` (match.py) leaves out is logged: addresses, protocols, ports, what ARP and neighbour
discovery say, and MPLS are; fragments, TCP flags and NSH go without a word, for the original drops them only
when it writes the match.
"""

from functools import lru_cache
from typing import Final

from trunkline.flow.key import bits
from trunkline.flow.match import Match, ethernet_type, exact_value, kind
from trunkline.flow.text import format_match
from trunkline.flow.values import NO_CONTEXT, TextContext

_IPV4, _ARP, _RARP, _IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
_MPLS: Final = (0x8847, 0x8848)

_ADDRESSES: Final = bits("net_src", "net_dst")
_PROTOCOL: Final = bits("nw_proto")
_IP: Final = bits("nw_tos", "nw_ttl")
_LABEL: Final = bits("ipv6_label")
_PORTS: Final = bits("tp_src", "tp_dst")
_SENDER: Final = bits("arp_sha")
_TARGET: Final = bits("arp_tha")
_NEIGHBOUR: Final = bits("nd_target")
_LABELS: Final = bits("mpls0", "mpls1", "mpls2")
_ETHERNET: Final = bits("dl_src", "dl_dst")
_MINDED: Final = (
    _ADDRESSES | _PROTOCOL | _IP | _LABEL | _PORTS | _SENDER | _TARGET | _NEIGHBOUR | _LABELS | _ETHERNET
)
_WITH_PORTS: Final = {_IPV4: (1, 6, 17, 132), _IPV6: (58, 6, 17, 132)}


@lru_cache(maxsize=1024)
def _left_out(a: Match) -> int:
    """The bits that a match of this `kind` may not constrain, of those that are minded."""
    family = ethernet_type(a)
    protocol = exact_value(a, "nw_proto")
    may = 0 if exact_value(a, "packet_type") else _ETHERNET
    if family in (_IPV4, _IPV6):
        may |= _ADDRESSES | _PROTOCOL | _IP
        may |= _LABEL if family == _IPV6 else 0
        may |= _PORTS if protocol in _WITH_PORTS[family] else 0
    elif family in (_ARP, _RARP):
        may |= _ADDRESSES | _PROTOCOL | _SENDER | _TARGET
    elif family in _MPLS:
        may |= _LABELS
    if family == _IPV6 and protocol == 58:
        message = exact_value(a, "icmpv6_type")
        may |= {135: _NEIGHBOUR | _SENDER, 136: _NEIGHBOUR | _TARGET}.get(message or 0, 0)
    return _MINDED & ~may


def notes(before: Match, strays: bool, context: TextContext = NO_CONTEXT) -> tuple[str, ...]:
    """The lines that the original logs (module ofp_match, level INFO) of a match that is not yet normalized.

    `strays`: it came with addresses of the other family as well, which have no place in `before`.
    """
    place = before.mask & _left_out(kind(before))
    if not place and not strays:
        return ()
    after = Match(before.value & ~place, before.mask & ~place, before.options)
    return (
        "normalization changed ofp_match, details:",
        " pre: " + format_match(before, context),
        "post: " + format_match(after, context),
    )
