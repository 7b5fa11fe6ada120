"""OpenFlow flows over a restart: dumped from every bridge before, added again after."""

import os
import re
import subprocess
import tempfile
from typing import Final

from trunkline.cli.ovs_ctl.actions import find, output, run, say
from trunkline.cli.ovs_ctl.options import Settings

_COUNTED: Final = re.compile(r"(duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*, *")


class SavedFlows:
    """The flows of all bridges, in files of a directory that goes when `restore` is done."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = tempfile.TemporaryDirectory(prefix="ovs-save.")
        self._saved: dict[str, list[str]] = {}  # bridge: options of ovs-ofctl

    def save(self) -> bool:
        """Dumps the flows; True also if there are no bridges."""
        database = f"--db=unix:{self._settings.socket}"
        for bridge in (output("ovs-vsctl", database, "--no-wait", "list-br") or "").split():
            versions = (
                output("ovs-vsctl", database, "--no-wait", "get", "bridge", bridge, "protocols") or "[]"
            )
            names = versions.strip("[]").replace(" ", "").replace('"', "")
            options = ["-O", names] if names else []
            flows = _flows(bridge, options)
            with open(self._file(bridge), "w") as file:
                file.writelines(f"{line}\n" for line in flows or ())
            if flows is not None:
                self._saved[bridge] = options
        return True

    def __bool__(self) -> bool:
        return bool(self._saved)

    def _file(self, bridge: str) -> str:
        return os.path.join(self._directory.name, bridge)

    def restore(self) -> bool:
        """Adds the flows again, but where the switch has kept them itself; whether all could be."""
        good = True
        for bridge, options in self._saved.items():
            with open(self._file(bridge)) as file:
                if _alike(file.read().splitlines(), _flows(bridge, options) or []):
                    continue
            if not run("ovs-ofctl", *options, "add-flows", bridge, self._file(bridge)):
                say(f"{bridge}: flows could not be restored ... (warning).")
                good = False
        return good

    def close(self) -> None:
        self._directory.cleanup()


def _flows(bridge: str, options: list[str]) -> list[str] | None:
    """The flows of a bridge, a line each; None if they cannot be had."""
    command = [find("ovs-ofctl"), *options, "dump-flows", "--no-names", bridge]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        why = done.stderr.strip().removeprefix("ovs-ofctl: ")
        say(f"{bridge}: flows cannot be read: {why} ... (warning).")
    # The first line is a heading, "NXST_FLOW reply" or the like.
    lines = [line.strip() for line in done.stdout.splitlines() if "actions=" in line]
    return lines if done.returncode == 0 else None


def _alike(some: list[str], others: list[str]) -> bool:
    """Whether these are the same flows, times and counters apart."""
    mine, theirs = (sorted(_COUNTED.sub("", line) for line in lines) for lines in (some, others))
    return mine == theirs
