"""``--ct-next``: what a trace supposes that connection tracking finds.

A trace tracks nothing.  Where the pipeline recirculates after ct, it takes the next ct_state that was given,
in the order of the recirculations, and trk|new when there is none left.

NAT is supposed to take the first address and the first port of its ranges.
"""

import re
from typing import Final

from trunkline.base.addresses import format_ipv4, format_ipv6
from trunkline.conntrack.tracker import CT_EST, CT_INV, CT_NEW, CT_RPL, CT_TRK
from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.flow.key import CT_STATE_FLAGS
from trunkline.jsonrpc.unixctl import CommandError

DEFAULT: Final = CT_TRK | CT_NEW
_NAMED: Final = {name: 1 << bit for bit, name in enumerate(CT_STATE_FLAGS)}


def parse_state(text: str) -> int:
    """Flags by name; those that no packet can have together are refused.  Raises CommandError."""
    state = 0
    for name in re.split(r"[, ]+", text):
        if not name:
            continue
        if name not in _NAMED:
            raise CommandError(f"{name}: unknown connection tracking state flag")
        state |= _NAMED[name]
    refused = _refusal(state)
    if refused:
        raise CommandError(f"{state_text(state)}: invalid connection state: {refused}")
    return state


def _refusal(state: int) -> str:
    if state and not state & CT_TRK:
        return 'If "trk" is unset, no other flags are set'
    if state & CT_INV and state & ~(CT_TRK | CT_INV):
        return 'when "inv" is set, only "trk" may also be set'
    if state & CT_NEW and state & CT_EST:
        return '"new" and "est" are mutually exclusive'
    if state & CT_NEW and state & CT_RPL:
        return '"new" and "rpy" are mutually exclusive'
    return ""


def state_text(state: int) -> str:
    return "|".join(name for name, bit in _NAMED.items() if state & bit) or "0"


def translated(key: int, nat: dp.Nat | None) -> int:
    """The key after NAT, as far as a trace knows."""
    if nat is None or nat.address_min is None:
        return key
    address, port = ("nw_src", "tp_src") if nat.kind == "src" else ("nw_dst", "tp_dst")
    if nat.family == 6:
        address = address.replace("nw", "ipv6")
    key = layout.put(key, address, nat.address_min)
    return layout.put(key, port, nat.port_min) if nat.port_min else key


def translation_text(key: int, nat: dp.Nat) -> str:
    """What NAT is supposed to change, in words; nothing where it names no address."""
    before = after = ""
    if nat.address_min is not None:
        before, after = _endpoints(key, nat.family), _endpoints(translated(key, nat), nat.family)
    return f"Replacing src/dst IP/ports to simulate NAT:\n Initial flow: {before}\n Modified flow: {after}"


def _endpoints(key: int, family: int) -> str:
    words = []
    for side in ("src", "dst"):
        if family == 4:
            words.append(f"nw_{side}={format_ipv4(layout.get(key, f'nw_{side}'))}")
        else:
            words.append(f"ipv6_{side}=[{format_ipv6(layout.get(key, f'ipv6_{side}'))}]")
        words.append(f"tp_{side}={layout.get(key, f'tp_{side}')}")
    return ",".join(words)
