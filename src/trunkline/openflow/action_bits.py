"""Sets of actions as bits, as features and statistics of tables and groups carry them: bit n is action n.

Which action has which number is a matter of the version: 1.0 has its own numbers, 1.1 more, and from 1.2 on
set_field stands for most of 1.1's.
"""

from typing import Final

# In the order in which they are shown, with the number in 1.0, in 1.1, and from 1.2 on.
_ACTIONS: Final = (
    ("output", 0, 0, 0),
    ("group", None, 22, 22),
    ("enqueue", 11, None, None),
    ("set_field", None, None, 25),
    ("set_vlan_vid", 1, 1, None),
    ("set_vlan_pcp", 2, 2, None),
    ("strip_vlan", 3, 18, 18),
    ("push_vlan", None, 17, 17),
    ("mod_dl_src", 4, 3, None),
    ("mod_dl_dst", 5, 4, None),
    ("mod_nw_src", 6, 5, None),
    ("mod_nw_dst", 7, 6, None),
    ("mod_nw_tos", 8, 7, None),
    ("mod_nw_ecn", None, 8, None),
    ("mod_nw_ttl", None, 23, 23),
    ("mod_tp_src", 9, 9, None),
    ("mod_tp_dst", 10, 10, None),
    ("dec_ttl", None, 24, 24),
    ("set_mpls_label", None, 13, None),
    ("set_mpls_tc", None, 14, None),
    ("set_mpls_ttl", None, 15, 15),
    ("dec_mpls_ttl", None, 16, 16),
    ("push_mpls", None, 19, 19),
    ("pop_mpls", None, 20, 20),
    ("set_queue", None, 21, 21),
)


def action_names(bits: int, version: int) -> list[str]:
    """The actions that `bits` hold in wire version `version`; bits that stand for none are left out."""
    column = 1 if version == 1 else 2 if version == 2 else 3
    names = []
    for row in _ACTIONS:
        number = row[column]
        if isinstance(number, int) and bits >> number & 1:
            names.append(str(row[0]))
    return names


def action_bits_text(bits: int, version: int) -> str:
    return " ".join(action_names(bits, version))
