"""What is changed on a device while it is a port, and how it was before.

A device whose packets the kernel forwards has to be *promiscuous*, or it drops what is not for its own
address; its *large receive offload* has to be off, for packets that are put together so cannot be
forwarded; and its *VLAN filter* as well, which drops tags that the host has not asked for.  All of that,
and of any device the address and the MTU that the configuration sets, outlives this process, as the
forwarding does.  So how it was before is kept in the run directory, a file a device, and whoever removes
the port puts it back: this process, or one after it.

A file names the boot and the network namespace it belongs to, and the device by index and name: where
one of them is not the same, it speaks of another device.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from trunkline.base.json import JsonError, dumps, loads
from trunkline.io.netdev.ethtool import Ethtool
from trunkline.io.netlink import IFF_PROMISC, Link, Netlink, NetlinkError

_FEATURES: Final = ("rx-lro", "rx-vlan-filter", "rx-vlan-stag-filter")
DIRECTORY: Final = "devices"


def place() -> str:
    """The boot and the network namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.stat('/proc/self/ns/net').st_ino}"


class Holds:
    """The devices that are held, with what was changed on each."""

    def __init__(self, netlink: Netlink, ethtool: Ethtool, run_directory: str) -> None:
        self._netlink = netlink
        self._ethtool = ethtool
        self._directory = Path(run_directory, DIRECTORY)
        self._place = place()
        self._held: dict[int, dict[str, Any]] = {}
        self._inherited: set[int] = set()

    def take(self, link: Link) -> None:
        """Makes a device ready; one that an earlier process has held already stays as it is.

        A device that refuses one of the settings does without it.
        """
        before = self._read(link.ifindex)
        if before is not None and before["name"] == link.name:
            self._held[link.ifindex] = before
        else:
            self._held[link.ifindex] = {"place": self._place, "name": link.name, "features": []}
        record = self._held[link.ifindex]
        if not link.flags & IFF_PROMISC or link.ifindex in self._inherited:
            self._inherited.discard(link.ifindex)
            try:
                self._netlink.change(link.ifindex, promiscuous=True)
                record["promiscuous"] = True
            except NetlinkError:
                pass
        for feature in _FEATURES:
            if self._ethtool.feature(link.name, feature) and self._ethtool.set_feature(
                link.name, feature, False
            ):
                record["features"].append(feature)
        self._write(link.ifindex)

    def inherit(self, index: int) -> None:
        """The device that is taken next was held by a switch that does not run any more.  It has made it
        promiscuous, then, and that is put back by this process; if that one comes back it does so again."""
        self._inherited.add(index)

    def remember(self, link: Link) -> None:
        """Takes care of a device whose packets this process reads.

        The address and MTU that it had before an earlier process are still known; what only forwarding in the
        kernel needs is put back.
        """
        fresh: dict[str, Any] = {"place": self._place, "name": link.name, "features": []}
        before = self._read(link.ifindex)
        if before is not None and before["name"] == link.name:
            fresh |= {what: before[what] for what in ("mac", "mtu") if what in before}
            self._put_back(link, {**before, "mac": None, "mtu": None})
        self._held[link.ifindex] = fresh
        if before is not None:
            self._write(link.ifindex)

    def note(self, index: int, what: str, value: int) -> None:
        """How "mac" or "mtu" was before it was changed for the first time."""
        record = self._held.get(index)
        if record is not None and what not in record:
            record[what] = value
            self._write(index)

    def release(self, index: int) -> None:
        """Puts back what was changed, as far as the device is there."""
        record = self._held.pop(index, None) or self._read(index)
        self._path(index).unlink(missing_ok=True)
        link = self._netlink.link_at(index)
        if record is not None and link is not None:
            self._put_back(link, record)

    def _put_back(self, link: Link, record: dict[str, Any]) -> None:
        try:
            self._netlink.change(
                link.ifindex,
                mac=record.get("mac"),
                mtu=record.get("mtu"),
                promiscuous=False if record.get("promiscuous") else None,
            )
        except NetlinkError:
            pass  # it has just gone
        for feature in record["features"]:
            self._ethtool.set_feature(link.name, feature, True)

    def forget_others(self, is_held: Callable[[int], bool] = lambda index: False) -> None:
        """Releases what an earlier process has held and this one does not, but for what another switch holds
        now: that stays as it is, and on record."""
        if not self._directory.is_dir():
            return
        for path in self._directory.iterdir():
            index = int(path.name) if path.name.isdecimal() else 0
            if not index or index in self._held or is_held(index):
                continue
            if self._read(index) is not None:
                self.release(index)
            else:
                path.unlink(missing_ok=True)

    # ---- files

    def _path(self, index: int) -> Path:
        return self._directory / str(index)

    def _read(self, index: int) -> dict[str, Any] | None:
        """The record of a device of this boot and namespace; None where there is none that makes sense."""
        try:
            record: Any = loads(self._path(index).read_text())
        except (OSError, JsonError, UnicodeDecodeError):
            return None
        link = self._netlink.link_at(index)
        if not isinstance(record, dict) or record.get("place") != self._place or link is None:
            return None
        return record if isinstance(record.get("features"), list) else None

    def _write(self, index: int) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        fresh = self._path(index).with_suffix(".new")
        fresh.write_text(dumps(self._held[index]))
        fresh.replace(self._path(index))
