"""trunkline: what has no counterpart among the original's commands.

Each sub-command is a module of its own, imported when it is asked for, with ``main(argv) -> exit status``.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NamedTuple

from trunkline.io import standard_streams


class SubCommand(NamedTuple):
    name: str
    module: str  # has main(argv) -> int
    summary: str


SUB_COMMANDS: Final = (
    SubCommand("up", "trunkline.daemons.up", "run database and switch in one process"),
    SubCommand("demo", "trunkline.cli.trunkline.demo", "show two bridges and four machines at work"),
    SubCommand("status", "trunkline.cli.trunkline.status", "tell what runs, and on which datapath"),
    SubCommand("install-units", "trunkline.cli.trunkline.units", "have systemd start the daemons at boot"),
)


def help_text() -> str:
    lines = [f"  {command.name:<15} {command.summary}" for command in SUB_COMMANDS]
    head = "usage: trunkline COMMAND [OPTIONS]\nOpen vSwitch and OVN, in Python.\n\nCommands:\n"
    tail = "\n`trunkline COMMAND --help` tells more.  -V, --version prints the version.\n"
    return head + "\n".join(lines) + "\n" + tail


def main() -> None:
    standard_streams.prepare()
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """The exit status of ``trunkline ARGV...``."""
    name = argv[0] if argv else ""
    if name in ("-h", "--help", "help"):
        sys.stdout.write(help_text())
        return 0
    if name in ("-V", "--version", "version"):
        from trunkline.base.version import OPEN_VSWITCH, TRUNKLINE

        sys.stdout.write(f"trunkline {TRUNKLINE} (compatible with Open vSwitch {OPEN_VSWITCH})\n")
        return 0
    for command in SUB_COMMANDS:
        if command.name == name:
            status: int = import_module(command.module).main(list(argv[1:]))
            return status
    problem = f'unknown command "{name}"' if name else "missing command"
    sys.stderr.write(f"trunkline: {problem} (use --help for help)\n")
    return 1
