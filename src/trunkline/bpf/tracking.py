"""The ct actions of megaflows: their arguments as records of the map `trackings`.

The number of one (numbered.py) also stands for what comes behind the ct in its list: a packet that the
program cannot track is carried on by this process from there.
"""

from typing import Any, Final

from trunkline.bpf import layout as program
from trunkline.dpif import actions as dp

_FLAGS: Final = dict(program.TRACK_FLAGS)

Actions = tuple[Any, ...]
"""A list that begins with a ct."""


def row(action: dp.Conntrack, policy: int) -> bytes:
    """The record of an action.  What else there is to it (helpers, ports to choose from) is Python's, and so
    are the connections that begin with it."""
    mark, mark_mask = action.mark or (0, 0)
    label, label_mask = action.label or (0, 0)
    flags = sum(
        _FLAGS[f"TRACK_{name}"]
        for name, wanted in (
            ("COMMIT", action.commit),
            ("FORCE", action.force),
            ("NAT", action.nat is not None),
            ("MARK", action.mark is not None),
            ("LABEL", action.label is not None),
            ("CHOOSES", bool(action.helper or (action.nat is not None and action.nat.kind))),
        )
        if wanted
    )
    return program.TRACKING.packed.pack(
        action.zone,
        flags,
        mark.to_bytes(4, "big"),
        mark_mask.to_bytes(4, "big"),
        label.to_bytes(16, "big"),
        label_mask.to_bytes(16, "big"),
        policy,
    )
