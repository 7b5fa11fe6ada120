"""``trunkline status``: what ``ovs-ctl status`` tells, and the datapaths with their ports."""

import os
import sys
from collections.abc import Sequence

from trunkline.base.directories import from_environment
from trunkline.base.log import OFF
from trunkline.io.control_client import ControlError, Refused, call, connect, socket_of
from trunkline.io.log_options import machine_log

_DAEMONS = ("ovsdb-server", "ovs-vswitchd")


def main(argv: Sequence[str]) -> int:
    """0 if both daemons run and answer, else 1."""
    if argv:
        sys.stderr.write("usage: trunkline status\n")
        return 0 if argv[0] in ("-h", "--help") else 1
    directories = from_environment(os.environ)
    log = machine_log("trunkline", console=OFF)
    answers: dict[str, str] = {}
    for daemon in _DAEMONS:
        command = "dpif/show" if daemon == "ovs-vswitchd" else "version"
        try:
            path = socket_of(daemon, directories.run, log)
            answers[daemon] = call(connect(path, log, 5), command, [], log, daemon)
            print(f"{daemon} is running with pid {path.split('.')[-2]}")
        except (ControlError, Refused) as error:
            print(f"{daemon} does not answer: {str(error).rstrip()}")
    print(answers.get("ovs-vswitchd", ""), end="")
    return 0 if len(answers) == len(_DAEMONS) else 1
