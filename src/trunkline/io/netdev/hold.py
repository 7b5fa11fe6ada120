"""What is changed on a device while it is a port, and how it was before.

A device whose packets the kernel forwards has to be *promiscuous*, or it drops what is not for its own
address; its *large receive offload* has to be off, for packets that are put together so cannot be
forwarded; and its *VLAN filter* as well, which drops tags that the host has not asked for.  All of that,
and of any device the address and the MTU that the configuration sets, outlives this process, as the
forwarding does.  So how it was before is kept in the run directory, a file a device, and whoever removes
the port puts it back: this process, or one after it.

A device that moves to another namespace is no port any more, but it is still what was made of it.  So this
process follows it there, if it can (io/elsewhere.py); where it cannot, the device is put right when it has
come back, was a port again and is let go of.

A file names the boot and the network namespace it belongs to, and the device by index and name: where
one of them is not the same, it speaks of another device.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from trunkline.base.json import JsonError, dumps, loads
from trunkline.base.log import Logger
from trunkline.io.elsewhere import enter
from trunkline.io.files import error_text
from trunkline.io.netdev.ethtool import Ethtool
from trunkline.io.netlink import IFF_PROMISC, Link, Moved, Netlink, NetlinkError

_FEATURES: Final = ("rx-lro", "rx-vlan-filter", "rx-vlan-stag-filter")
DIRECTORY: Final = "devices"
_PLAIN: Final = frozenset(("place", "name", "features"))  # what says nothing of a change


def place() -> str:
    """The boot and the network namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.stat('/proc/self/ns/net').st_ino}"


class Holds:
    """The devices that are held, with what was changed on each."""

    def __init__(
        self, netlink: Netlink, ethtool: Ethtool, run_directory: str, log: Logger | None = None
    ) -> None:
        self._netlink = netlink
        self._ethtool = ethtool
        self._directory = Path(run_directory, DIRECTORY)
        self._place = place()
        self._held: dict[int, dict[str, Any]] = {}
        self._inherited: set[int] = set()
        self._log = log
        self._away: dict[tuple[str, int], dict[str, Any]] = {}  # name, address: not put back
        self.moved: dict[
            int, tuple[Moved, int]
        ] = {}  # devices that have left the namespace: where to, address
        self.look_for_moved: Callable[[], None] = lambda: None
        self.detach: Callable[[int], None] = lambda index: None
        """Takes the program off a device of the namespace that the thread is in.  Raises OSError."""

    def take(self, link: Link) -> None:
        """Makes a device ready; one that an earlier process has held already stays as it is.

        A device that refuses one of the settings does without it.
        """
        before = self._read(link.ifindex)
        away = self._away.pop((link.name, link.mac), None)
        if before is not None and before["name"] == link.name:
            self._held[link.ifindex] = before
        elif away is not None:
            self._held[link.ifindex] = away
        else:
            self._held[link.ifindex] = {
                "place": self._place, "name": link.name, "features": [], "forwards": True,
            }  # fmt: skip
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

    def forwarded(self, link: Link) -> bool:
        """Whether an earlier process had the device for a datapath in the kernel."""
        before = self._read(link.ifindex)
        return before is not None and before["name"] == link.name and bool(before.get("forwards"))

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
            _put_back(self._netlink, self._ethtool, link, {**before, "mac": None, "mtu": None})
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
            _put_back(self._netlink, self._ethtool, link, record)
        elif record is not None and (record["features"] or record.keys() - _PLAIN):
            self._follow(index, record)

    def _follow(self, index: int, record: dict[str, Any]) -> None:
        """Puts back what was changed on a device that is elsewhere now, if it is anywhere."""
        if index not in self.moved:
            self.look_for_moved()
        where, mac = self.moved.pop(index, (None, 0))
        if where is None:
            return
        try:
            enter(where.namespace, partial(self._put_back_here, where.ifindex, record))
        except OSError as error:
            self._away[record["name"], mac] = record
            if self._log is not None:
                self._log.warn(
                    "%s: it has moved to another network namespace, where it cannot be put right (%s):"
                    " it stays promiscuous until it is a port here again and is removed",
                    record["name"],
                    error.strerror or error_text(error),
                )

    def _put_back_here(self, index: int, record: dict[str, Any]) -> None:
        """In the namespace of the thread that it is called by.  Raises OSError."""
        netlink, ethtool = Netlink(), Ethtool()
        try:
            link = netlink.link_at(index)
            if link is not None:
                _put_back(netlink, ethtool, link, record)
                self.detach(index)
        finally:
            netlink.close()
            ethtool.close()

    def forget_others(self, is_held: Callable[[int], bool] = lambda index: False) -> None:
        """Releases what an earlier process has held and this one does not, but for what another switch holds
        now, and what a program forwards still that cannot be taken away: that stays as it is, and on record.
        """
        if not self._directory.is_dir():
            return
        for path in self._directory.iterdir():
            index = int(path.name) if path.name.isdecimal() else 0
            if not index or index in self._held or is_held(index):
                continue
            record = self._read(index)
            if record is not None:
                if not record.get("forwards") or self._ends(index):
                    self.release(index)
            else:
                path.unlink(missing_ok=True)

    def _ends(self, index: int) -> bool:
        """Whether nothing forwards the device's packets any more."""
        try:
            self.detach(index)
        except OSError:
            return False
        return True

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


def _put_back(netlink: Netlink, ethtool: Ethtool, link: Link, record: dict[str, Any]) -> None:
    try:
        netlink.change(
            link.ifindex,
            mac=record.get("mac"),
            mtu=record.get("mtu"),
            promiscuous=False if record.get("promiscuous") else None,
        )
    except NetlinkError:
        pass  # it has just gone
    for feature in record["features"]:
        ethtool.set_feature(link.name, feature, True)
