"""OpenFlow flows over a restart: dumped from every bridge before, added again after."""

import os
import subprocess
import tempfile

from trunkline.cli.ovs_ctl.actions import find, output, run, say
from trunkline.cli.ovs_ctl.options import Settings


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
            command = [find("ovs-ofctl"), *options, "dump-flows", "--no-names", bridge]
            with open(self._file(bridge), "w") as file:
                done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
                # the first line is a heading, "NXST_FLOW reply" or the like
                file.writelines(
                    f"{line.strip()}\n" for line in done.stdout.splitlines() if "actions=" in line
                )
            if done.returncode == 0:
                self._saved[bridge] = options
        return True

    def __bool__(self) -> bool:
        return bool(self._saved)

    def _file(self, bridge: str) -> str:
        return os.path.join(self._directory.name, bridge)

    def restore(self) -> bool:
        """Adds the flows again; whether all could be."""
        good = True
        for bridge, options in self._saved.items():
            if not run("ovs-ofctl", *options, "add-flows", bridge, self._file(bridge)):
                say(f"{bridge}: flows could not be restored ... (warning).")
                good = False
        return good

    def close(self) -> None:
        self._directory.cleanup()
