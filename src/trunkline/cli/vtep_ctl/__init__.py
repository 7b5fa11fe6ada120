"""vtep-ctl: examines and configures a hardware VTEP through its database (vtep-ctl(8), vtep(5)).

A *physical switch* has ports; a *logical switch* is bound to VLANs of those ports, and MAC addresses on it
map to *locators*, the tunnel endpoints behind which they are.  The commands are in the modules of this
package, by family, and come together in profile.py; the engine under them is dbctl/, the process is
cli/database_tool.py.
"""

import sys


def main() -> int:
    """The command ``vtep-ctl``."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from trunkline.cli.vtep_ctl.version import version
        from trunkline.io import standard_streams

        standard_streams.prepare()
        sys.stdout.write(version())
        return 0
    from trunkline.cli.database_tool import main as run_tool
    from trunkline.cli.vtep_ctl.profile import PROFILE

    return run_tool(PROFILE, sys.argv[1:])
