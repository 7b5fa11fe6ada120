"""ovs-vsctl: examines and configures a switch through its database (ovs-vsctl(8)).

The commands are in the modules of this package, by family, and come together in profile.py; the engine under
them is dbctl/, the process cli/database_tool.py.
"""

import sys


def main() -> int:
    """The command ``ovs-vsctl``."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        # Scripts ask this often, and the answer needs none of the commands.
        from trunkline.cli.ovs_vsctl.version import version
        from trunkline.io import standard_streams

        standard_streams.prepare()
        sys.stdout.write(version())
        return 0
    from trunkline.cli.database_tool import main as run_tool
    from trunkline.cli.ovs_vsctl.profile import PROFILE

    return run_tool(PROFILE, sys.argv[1:])
