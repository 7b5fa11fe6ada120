"""Flow formats, in ovs-ofctl's words protocols: the versions of OpenFlow and, in 1.0, what Nicira added.

A set of formats is an int, a bit each.  Which formats can carry a flow is what ovs-ofctl negotiates by.
"""

from typing import Final

OF10, OF10_TID, NXM, NXM_TID, OF11, OF12, OF13, OF14, OF15 = (1 << bit for bit in range(9))
ANY_OF10: Final = OF10 | OF10_TID
ANY_NXM: Final = NXM | NXM_TID
ANY_OXM: Final = OF12 | OF13 | OF14 | OF15
ANY: Final = ANY_OF10 | ANY_NXM | OF11 | ANY_OXM
FORMAT_NAMES: Final = (
    (ANY, "any"),
    (ANY_OF10, "OpenFlow10"),
    (ANY_NXM, "NXM"),
    (ANY_OXM, "OXM"),
    (OF10, "OpenFlow10-table_id"),
    (OF10_TID, "OpenFlow10+table_id"),
    (NXM, "NXM-table_id"),
    (NXM_TID, "NXM+table_id"),
    (OF11, "OpenFlow11"),
    (OF12, "OXM-OpenFlow12"),
    (OF13, "OXM-OpenFlow13"),
    (OF14, "OXM-OpenFlow14"),
    (OF15, "OXM-OpenFlow15"),
)
FORMAT_VERSIONS: Final = {
    OF10: 1,
    OF10_TID: 1,
    NXM: 1,
    NXM_TID: 1,
    OF11: 2,
    OF12: 3,
    OF13: 4,
    OF14: 5,
    OF15: 6,
}


def formats_text(formats: int) -> str:
    """Flow formats as ovs-ofctl names them, groups first."""
    if not formats:
        return "none"
    words = []
    for bits, name in FORMAT_NAMES:
        if formats & bits == bits:
            words.append(name)
            formats &= ~bits
    return ",".join(words)


def formats_named(text: str) -> int | None:
    """The formats of a comma-separated list; None when a name is unknown."""
    known = {name.lower(): bits for bits, name in FORMAT_NAMES}
    formats = 0
    for word in text.split(","):
        if word:
            bits = known.get(word.lower())
            if bits is None:
                return None
            formats |= bits
    return formats
