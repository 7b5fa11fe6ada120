"""What is peculiar to vtep-ctl among the database tools: its commands, options, and how rows are named."""

from typing import Final

from trunkline.base.directories import Directories
from trunkline.cli.database_tool import GLOBAL, Profile, packaged_schema
from trunkline.cli.vtep_ctl import configuration, database, logical, macs, physical
from trunkline.cli.vtep_ctl.version import version
from trunkline.dbctl.database_commands import DATABASE_COMMANDS
from trunkline.dbctl.names import Lookup
from trunkline.dbctl.run import Tool

LOOKUPS: Final = {
    "Global": (Lookup(None),),
    "Logical_Router": (Lookup("name"),),
    "Logical_Switch": (Lookup("name"),),
    "Manager": (Lookup("target"),),
    "Physical_Port": (Lookup("name"),),
    "Physical_Switch": (Lookup("name"),),
}
OTHERS: Final = frozenset(
    [
        *("no-wait", "retry", "commands", "options", "bootstrap-ca-cert"),
        *("leader-only", "no-leader-only", "shuffle-remotes", "no-shuffle-remotes"),
    ]
)
"""Options that other database tools have and vtep-ctl has not."""

COMMANDS: Final = (
    *DATABASE_COMMANDS,
    *database.COMMANDS,
    *physical.COMMANDS,
    *logical.COMMANDS,
    *macs.COMMANDS,
)


def _tool() -> Tool:
    return Tool("vtep-ctl", "vtep_ctl", packaged_schema("vtep.ovsschema"), LOOKUPS, configuration.initialize)


def _usage(directories: Directories) -> str:
    from trunkline.cli.vtep_ctl.usage import usage

    tool = _tool()
    return usage(directories, tool.schema, tool.lookups)


PROFILE: Final = Profile(
    _tool,
    "vtep-ctl",
    "vtep_ctl",
    COMMANDS,
    version,
    _usage,
    options=tuple(option for option in GLOBAL if option.name not in OTHERS),
    names_invoker=False,
)
