"""The table of tunnel options: which Geneve option is which field tun_metadata0 to 63 of a bridge.

Nicira's messages NXT_TLV_TABLE_*: a controller maps (class, type) of an option, with its length, to a field.
"""

from typing import NamedTuple


class TlvMapping(NamedTuple):
    """`length` in bytes, a multiple of 4 up to 124; `field` is the number of the tun_metadata field."""

    option_class: int
    option_type: int
    length: int
    field: int


class TlvTableMod(NamedTuple):
    """`command` is NXTTMC_*: 0 add, 1 delete, 2 clear."""

    command: int
    mappings: tuple[TlvMapping, ...] = ()


class TlvTableRequest(NamedTuple):
    pass


class TlvTableReply(NamedTuple):
    """The bytes and fields there may be, and the mappings there are."""

    max_space: int
    max_fields: int
    mappings: tuple[TlvMapping, ...] = ()
