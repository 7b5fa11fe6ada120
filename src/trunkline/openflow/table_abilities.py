"""Table features (OpenFlow 1.3): all that a table can match, do, and pass packets to."""

from typing import NamedTuple


class InstructionFeatures(NamedTuple):
    """What may be done on a match, or on a miss.  `instructions` are OFPIT_* bits, `next_tables` numbers.

    Actions are bits by their OFPAT_* number; fields are names that set_field may set.
    """

    instructions: int = 0
    next_tables: tuple[int, ...] = ()
    write_actions: int = 0
    apply_actions: int = 0
    write_fields: tuple[str, ...] = ()
    apply_fields: tuple[str, ...] = ()


class TableFeatures(NamedTuple):
    """`match`, `mask` and `wildcard` are names of fields: matched exactly, with any mask, or left out."""

    table: int
    name: str = ""
    metadata_match: int = 0
    metadata_write: int = 0
    max_entries: int = 0
    on_match: InstructionFeatures = InstructionFeatures()
    on_miss: InstructionFeatures = InstructionFeatures()
    match: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    wildcard: tuple[str, ...] = ()
    command: int = 0  # 1.5: OFPTFC_*
    eviction: bool | None = None  # 1.4: supported, as the configuration bits say
    vacancy: bool | None = None


class TableFeaturesReply(NamedTuple):
    tables: tuple[TableFeatures, ...]
    more: bool = False
