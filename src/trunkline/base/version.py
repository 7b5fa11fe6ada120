"""What the tools say of themselves.

Scripts parse the first line of ``--version`` and Open_vSwitch:ovs_version, so both name the release of
Open vSwitch whose behaviour Trunkline carries; our own version stands on a line of its own.
"""

from typing import Final

from trunkline import __version__

TRUNKLINE: Final = __version__
OPEN_VSWITCH: Final = "3.1.0"
OVN: Final = "23.03.1"


def version_text(program: str, *more: str) -> str:
    """The output of ``PROGRAM --version``; `more` are lines such as ``DB Schema 8.3.1``."""
    return "\n".join((f"{program} (Open vSwitch) {OPEN_VSWITCH}", *more, f"Trunkline {TRUNKLINE}", ""))
