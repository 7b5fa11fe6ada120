"""Where a program's files lie: the run directory, the database, logs (ovs-ctl(8), "Environment")."""

from collections.abc import Mapping
from typing import NamedTuple


class Directories(NamedTuple):
    """The defaults are Debian's."""

    run: str = "/var/run/openvswitch"
    database: str = "/etc/openvswitch"
    log: str = "/var/log/openvswitch"
    configuration: str = "/etc"
    data: str = "/usr/share/openvswitch"


def from_environment(variables: Mapping[str, str]) -> Directories:
    """The directories as OVS_RUNDIR, OVS_DBDIR, OVS_LOGDIR, OVS_SYSCONFDIR and OVS_PKGDATADIR say."""
    default = Directories()
    configuration = variables.get("OVS_SYSCONFDIR")
    database = f"{configuration}/openvswitch" if configuration else default.database
    return Directories(
        variables.get("OVS_RUNDIR") or default.run,
        variables.get("OVS_DBDIR") or database,
        variables.get("OVS_LOGDIR") or default.log,
        configuration or default.configuration,
        variables.get("OVS_PKGDATADIR") or default.data,
    )
