"""The text of ``vtep-ctl --help``."""

from collections.abc import Mapping
from typing import Final

from trunkline.base.directories import Directories
from trunkline.base.usage import logging, streams
from trunkline.dbctl import help
from trunkline.dbctl.names import Lookup
from trunkline.ovsdb.schema import Schema

_COMMANDS: Final = """\
vtep-ctl: VTEP configuration utility
usage: vtep-ctl [OPTIONS] COMMAND [ARG...]

VTEP commands:
  show                        print overview of database contents

Manager commands:
  get-manager                 print the managers
  del-manager                 delete the managers
  [--inactivity-probe=MSECS]
  set-manager TARGET...       set the list of managers to TARGET...

Physical Switch commands:
  add-ps PS                   create a new physical switch named PS
  del-ps PS                   delete PS and all of its ports
  list-ps                     print the names of all the physical switches
  ps-exists PS                exit 2 if PS does not exist

Port commands:
  list-ports PS               print the names of all the ports on PS
  add-port PS PORT            add network device PORT to PS
  del-port PS PORT            delete PORT from PS

Logical Switch commands:
  add-ls LS                   create a new logical switch named LS
  del-ls LS                   delete LS and all of its ports
  list-ls                     print the names of all the logical switches
  ls-exists LS                exit 2 if LS does not exist
  bind-ls PS PORT VLAN LS     bind LS to VLAN on PORT
  unbind-ls PS PORT VLAN      unbind logical switch on VLAN from PORT
  list-bindings PS PORT       list bindings for PORT on PS
  set-replication-mode LS MODE  set replication mode on LS
  get-replication-mode LS       get replication mode on LS

Logical Router commands:
  add-lr LR                   create a new logical router named LR
  del-lr LR                   delete LR
  list-lr                     print the names of all the logical routers
  lr-exists LR                exit 2 if LR does not exist

MAC binding commands:
  add-ucast-local LS MAC [ENCAP] IP   add ucast local entry in LS
  del-ucast-local LS MAC              del ucast local entry from LS
  add-mcast-local LS MAC [ENCAP] IP   add mcast local entry in LS
  del-mcast-local LS MAC [ENCAP] IP   del mcast local entry from LS
  clear-local-macs LS                 clear local mac entries
  list-local-macs LS                  list local mac entries
  add-ucast-remote LS MAC [ENCAP] IP  add ucast remote entry in LS
  del-ucast-remote LS MAC             del ucast remote entry from LS
  add-mcast-remote LS MAC [ENCAP] IP  add mcast remote entry in LS
  del-mcast-remote LS MAC [ENCAP] IP  del mcast remote entry from LS
  clear-remote-macs LS                clear remote mac entries
  list-remote-macs LS                 list remote mac entries

"""
_OPTIONS: Final = """\

Options:
  --db=DATABASE               connect to DATABASE
                              (default: unix:{run}/db.sock)
  -t, --timeout=SECS          wait at most SECS seconds
  --dry-run                   do not commit changes to database
  --oneline                   print exactly one line of output per command
"""


def usage(directories: Directories, schema: Schema, lookups: Mapping[str, tuple[Lookup, ...]]) -> str:
    log = logging("vtep-ctl", directories.log)
    quiet = "  --no-syslog                 equivalent to --verbose=vtep_ctl:syslog:warn\n"
    rows = help.references(schema, lookups)
    options = _OPTIONS.format(run=directories.run)
    return (
        f"{_COMMANDS}{help.DATABASE_COMMANDS}{rows}{options}{help.FORMATTING}{log}{quiet}"
        f"{streams('database', bootstrap=False)}{help.OTHER}"
    )
