"""ovsdb-client as a daemon: --detach, --monitor and --pidfile, for the commands that go on for ever.

The original heeds these options for monitor* and lock commands only; the others end anyhow.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from trunkline.base.directories import Directories
from trunkline.base.log import Log
from trunkline.base.targets import absolute
from trunkline.cli.ovsdb_client.context import Failure
from trunkline.io.alarm import end_by_signals
from trunkline.io.daemonize import Daemonize
from trunkline.io.pidfile import PidfileError


class Background(NamedTuple):
    """`complete` is called when the first answer has been shown, `end` when the program ends by itself."""

    complete: Callable[[], None]
    end: Callable[[], None]


def start(log: Log, options: dict[str, str | None], directories: Directories) -> Background:
    """Forks as asked.  Raises Failure."""
    pidfile = ""
    if "pidfile" in options:
        pidfile = absolute(options["pidfile"] or "ovsdb-client.pid", directories.run)
    daemonize = Daemonize(
        log,
        detach="detach" in options,
        monitor="monitor" in options,
        change_directory="no-chdir" not in options,
        pidfile=pidfile,
        overwrite="overwrite-pidfile" in options,
        keep_output=True,
    )
    try:
        daemonize.start()
    except PidfileError as error:
        raise Failure(error.text) from None
    log.pid = os.getpid()

    end_by_signals(log, daemonize.remove_pidfile)
    return Background(daemonize.complete, daemonize.remove_pidfile)
