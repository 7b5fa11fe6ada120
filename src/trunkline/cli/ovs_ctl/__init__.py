"""ovs-ctl: starts and stops the daemons, and tells whether they run (ovs-ctl(8)).

Everything it does it does by running the other programs, as an administrator would, so each of them may be
Trunkline's or the original: `programs.find` says which.  `options` reads the command line, `actions` runs a
step and prints how it went, `database` prepares and configures the database, `daemons` starts and stops,
`flows` keeps OpenFlow flows over a restart.
"""

from trunkline.cli.ovs_ctl.main import main

__all__ = ["main"]
