"""Lists of fields in messages: plain headers, or headers with the bits of each that count.

A header is that of a match entry (NXM or OXM) without its value; where bits are given, they stand where the
value would be.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from trunkline.model.fields import FIELD
from trunkline.openflow import oxm
from trunkline.openflow.wire import DecodeError


def decode_masks(data: bytes) -> tuple[tuple[str, int], ...]:
    """(field, mask of the bits that count) of each entry.  Raises DecodeError with an OFPBMC_* error."""
    entries: list[tuple[str, int]] = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            raise DecodeError("OFPBMC_BAD_LEN")
        try:
            field, start = oxm.decode_header(data, at)
        except DecodeError as error:
            raise DecodeError("OFPBMC_BAD_FIELD", error.detail) from None
        if data[at + 2] & 1:
            raise DecodeError("OFPBMC_BAD_MASK", field.name)
        end = at + 4 + data[at + 3]
        if end > len(data):
            raise DecodeError("OFPBMC_BAD_LEN", field.name)
        if end - start != field.octets:
            raise DecodeError("OFPBMC_BAD_FIELD", field.name)
        mask = int.from_bytes(data[start:end], "big")
        ones = (1 << field.bits) - 1
        if not field.maskable and mask != ones:
            raise DecodeError("OFPBMC_BAD_MASK", field.name)
        if any(name == field.name for name, _ in entries):
            raise DecodeError("OFPBMC_DUP_FIELD", field.name)
        entries.append((field.name, mask))
        at = end
    return tuple(entries)


def encode_masks(entries: Sequence[tuple[str, int]], version: int) -> bytes:
    out = b""
    for name, mask in entries:
        out += oxm.encode_header(name, version) + mask.to_bytes(FIELD[name].octets, "big")
    return out


# ---- headers alone ----


def decode_names(data: bytes, *, masks: bool = False) -> tuple[tuple[str, bool], ...]:
    """(field, whether its header has the bit for a mask) of each header; unknown fields are left out.

    Without `masks` no header may have that bit.  Raises DecodeError with an OFPBMC_* error.
    """
    names = []
    at = 0
    while at < len(data):
        size = 8 if data[at : at + 2] == b"\xff\xff" else 4
        header = data[at : at + size]
        if len(header) < size:
            raise DecodeError("OFPBMC_BAD_LEN")
        at += size
        try:
            field, _ = oxm.decode_header(header, 0)
        except DecodeError:
            continue
        masked = bool(header[2] & 1)
        if header[3] - (size - 4) != field.octets << masked:
            raise DecodeError("OFPBMC_BAD_LEN", field.name)
        if masked and not (masks and field.maskable):
            raise DecodeError("OFPBMC_BAD_MASK", field.name)
        names.append((field.name, masked))
    return tuple(names)


@lru_cache(maxsize=32)
def encode_names(names: tuple[str, ...], version: int, masked: tuple[str, ...] = ()) -> bytes:
    """The headers of fields; 254 tables that can do the same ask for the same."""
    with_mask = frozenset(masked)
    return b"".join(oxm.encode_header(name, version, name in with_mask) for name in names)


# ---- as text ----

# The order in which lists of fields are shown.
_ORDER: Final = (
    *("dp_hash", "recirc_id", "packet_type", "conj_id", "tun_id", "tun_src", "tun_dst"),
    *("tun_ipv6_src", "tun_ipv6_dst", "tun_flags", "tun_gbp_id", "tun_gbp_flags", "tun_erspan_idx"),
    *("tun_erspan_ver", "tun_erspan_dir", "tun_erspan_hwid", "tun_gtpu_flags", "tun_gtpu_msgtype"),
    *(f"tun_metadata{i}" for i in range(64)),
    *(
        "metadata",
        "in_port",
        "in_port_oxm",
        "actset_output",
        "skb_priority",
        "pkt_mark",
        "ct_state",
        "ct_zone",
    ),
    *("ct_mark", "ct_label", "ct_nw_proto", "ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst"),
    *("ct_tp_src", "ct_tp_dst"),
    *(f"reg{i}" for i in range(16)),
    *(f"xreg{i}" for i in range(8)),
    *(f"xxreg{i}" for i in range(4)),
    *("eth_src", "eth_dst", "eth_type", "vlan_tci", "dl_vlan", "vlan_vid", "dl_vlan_pcp", "vlan_pcp"),
    *("mpls_label", "mpls_tc", "mpls_bos", "mpls_ttl", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst"),
    *("ipv6_label", "nw_proto", "nw_tos", "ip_dscp", "nw_ecn", "nw_ttl", "ip_frag", "arp_op", "arp_spa"),
    *("arp_tpa", "arp_sha", "arp_tha", "tcp_src", "tcp_dst", "tcp_flags", "udp_src", "udp_dst", "sctp_src"),
    *("sctp_dst", "icmp_type", "icmp_code", "icmpv6_type", "icmpv6_code", "nd_target", "nd_sll", "nd_tll"),
    *("nd_reserved", "nd_options_type", "nsh_flags", "nsh_mdtype", "nsh_np", "nsh_spi", "nsh_si"),
    *("nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4", "nsh_ttl"),
)
_RANK: Final = {name: rank for rank, name in enumerate(_ORDER)}
_RANGE: Final = 3  # numbered names in a row are shown as a range from this many on


def in_order(names: Iterable[str]) -> list[str]:
    """Names without repetition, in the order in which they are shown."""
    return sorted(set(names), key=lambda name: (_RANK.get(name, len(_RANK)), name))


def names_text(names: Iterable[str]) -> str:
    """Names, ordered, with what they have in common said once: ``eth_{src,dst} reg0...reg15``."""
    return " ".join(_folded(in_order(names)))


def _folded(names: Sequence[str]) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(names):
        prefix, bar, _ = names[at].partition("_")
        end = at + 1
        if bar:
            while end < len(names) and names[end].startswith(prefix + "_"):
                end += 1
            rests = _folded([name[len(prefix) + 1 :] for name in names[at:end]])
            out.append(f"{prefix}_{rests[0]}" if len(rests) == 1 else f"{prefix}_{{{','.join(rests)}}}")
        else:
            stem, number = _split_number(names[at])
            while end < len(names) and number >= 0 and names[end] == f"{stem}{number + end - at}":
                end += 1
            row = list(names[at:end])
            out += row if len(row) < _RANGE else [f"{row[0]}...{row[-1]}"]
        at = end
    return out


def _split_number(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    return (stem, int(name[len(stem) :])) if stem != name else (name, -1)
