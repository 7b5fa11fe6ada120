"""Choosing by a hash of the packet: multipath, bundle and bundle_load.

Source: ovs-actions(7), Hashing Actions.
"""

from typing import Final

from trunkline.flow import hashes
from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.ofproto.fabric import port_token
from trunkline.openflow.actions import Bundle, Multipath
from trunkline.translate.destinations import to_any
from trunkline.translate.fields import Part, store
from trunkline.translate.walk import Walk

_MOST: Final = 0xFFFFFFFF
_MOST_WEIGHTS: Final = 64


def hash_of(x: Walk, fields: str, basis: int) -> int:
    x.look(hashes.LOOKED[fields])
    return hashes.by_name(x.key & layout.PACKET, fields, basis)


def multipath(x: Walk, action: Multipath, target: Part) -> None:
    value = hash_of(x, action.fields, action.basis)
    store(x, target, link_of(action, value))


def link_of(action: Multipath, value: int) -> int:
    """A number below `action.links` for a hash.  Of very many links the highest random weight would take long
    to find, so that these are found by iteration."""
    algorithm, links = action.algorithm, action.links
    if links == 1:
        return 0
    if algorithm == "modulo_n":
        return value % links
    if algorithm == "hash_threshold":
        return value // (_MOST // links + 1)
    if algorithm == "hrw" and links <= _MOST_WEIGHTS:
        return max(range(links), key=lambda link: (hashes.two_words(value, link), -link))
    fits = algorithm == "iter_hash" and links <= action.argument <= 2 * links + 1
    modulo = action.argument if fits else 1 << (links - 1).bit_length()
    i = 0
    while (link := hashes.two_words(value, i) % modulo) >= links:
        i += 1
    return link


def bundle(x: Walk, action: Bundle, target: Part | None) -> None:
    """The best member that is alive: output to it, or note it down in `target`."""
    chosen = of.OFPP_NONE
    if action.algorithm == "active_backup":
        chosen = next((member for member in action.members if alive(x, member)), of.OFPP_NONE)
    else:
        value = hash_of(x, action.fields, action.basis)
        best = -1
        for i, member in enumerate(action.members):
            score = hashes.two_words(i, value)
            if score > best and alive(x, member):
                best, chosen = score, member
    if target is not None:
        store(x, target, chosen)
    elif chosen != of.OFPP_NONE:
        to_any(x, chosen, 0)


def alive(x: Walk, port: int) -> bool:
    """Whether an interface can send."""
    x.reads.append(port_token(x.bridge.name, port))
    interface = x.bridge.interfaces.get(port)
    return interface is not None and interface.link_up and interface.admin_up
