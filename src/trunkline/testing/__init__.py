"""For tests: database, switch and machines in one process, on virtual time (docs/testing.md).

What is here is loaded when it is asked for: pytest loads this package with the plugin in every run, whether
or not a test uses it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunkline.testing.site import Site, SiteMachine, ToolError

__all__ = ["Site", "SiteMachine", "ToolError"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trunkline.testing import site

    return getattr(site, name)
