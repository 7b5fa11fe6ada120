"""ovs-dpctl while no switch runs: the datapath that it has left in the kernel (bpf/left.py).

The commands are the switch's own, over what is left instead of over what the switch knows.  Those that ask
for something that only the switch knows are refused by name.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from trunkline.base.directories import Directories
from trunkline.base.log import Log
from trunkline.bpf import left, system_calls
from trunkline.cli.ovs_dpctl.commands import KEPT_BY_THE_SWITCH, OF_PORTS
from trunkline.dpif.provider import UNSENT, FlowDelete
from trunkline.flow.values import TextError
from trunkline.io.log_options import MachineClock
from trunkline.io.netdev.kernel import counters
from trunkline.io.netlink import Netlink
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import PortStatistics
from trunkline.upcall.conntrack import conntrack_commands
from trunkline.upcall.datapath import Datapath
from trunkline.upcall.datapath_commands import datapath_commands
from trunkline.upcall.dpctl import dpctl_commands

_PROGRAM: Final = "ovs-dpctl"


class RefusedError(Exception):
    """The text follows the program's name.  `nothing`: no switch has left anything."""

    def __init__(self, text: str, *, nothing: bool = False) -> None:
        super().__init__(text)
        self.nothing = nothing


class _NoHost:
    """There is no bridge here, so nobody asks for one's ports."""

    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        return PortStatistics()

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None:
        pass


class _LeftDatapath(Datapath):
    """The datapath without bridges: no flow of it has come from here."""

    def __init__(self, provider: left.LeftDatapath) -> None:
        super().__init__("system", provider, Fabric(_NoHost()), provider.clock)
        self._left = provider

    def purge(self) -> None:
        self._left.change_flows([FlowDelete(flow.ufid) for flow in list(self._left.dump_flows())])

    def port_counters(self, number: int) -> PortStatistics | None:
        index, egress = self._left.counters.device(number)
        if not index:
            return None
        netlink = Netlink()
        found = counters(netlink.statistics(index))
        netlink.close()
        if egress:
            return found.of_other_end()
        return found._replace(tx_dropped=(found.tx_dropped or 0) + self._left.drops(number).get(UNSENT, 0))


def answer(command: str, arguments: Sequence[str], directories: Directories, log: Log) -> str:
    """What the switch would have answered.  Raises RefusedError."""
    if command in OF_PORTS:
        return _change_ports(command, arguments, directories, log)
    datapaths = _datapaths(directories.run)
    if not datapaths:
        raise RefusedError("no datapaths exist: no switch runs here", nothing=True)
    if command in KEPT_BY_THE_SWITCH:
        raise RefusedError(f"'{command}' is about what ovs-vswitchd alone keeps, and it does not run")
    commands = {one.name: one for one in _commands(datapaths)}
    try:
        text = commands[f"dpctl/{command}"].handler(arguments)
        assert isinstance(text, str)  # none of these is answered later
        return text
    except CommandError as error:
        text = str(error).rstrip("\n").replace("ovs-vswitchd: ", "").removeprefix(f"{_PROGRAM}: ")
        raise RefusedError(text.replace("dpctl/", "")) from None
    except system_calls.BpfError as error:
        raise RefusedError(f"the kernel's maps: {error}") from None


def _change_ports(command: str, arguments: Sequence[str], directories: Directories, log: Log) -> str:
    from trunkline.cli.ovs_dpctl import stopped_ports  # seldom needed

    with _understood():
        try:
            stopped_ports.change(command, arguments, directories, log)
        except stopped_ports.PortError as error:
            raise RefusedError(str(error)) from None
    return ""


def _commands(datapaths: dict[str, Datapath]) -> list[Command]:
    return [
        *dpctl_commands(datapaths, _PROGRAM, _read_file),
        *conntrack_commands(datapaths, _PROGRAM),
        *datapath_commands(datapaths),
    ]


def _read_file(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _datapaths(run_directory: str) -> dict[str, Datapath]:
    """The one that was left, if there is one.  Raises RefusedError."""
    with _understood():
        found = left.find(run_directory)
        if found is None:
            return {}
        return {"system": _LeftDatapath(left.LeftDatapath(found.maps, MachineClock()))}


@contextmanager
def _understood() -> Iterator[None]:
    """Looking into the kernel; raises RefusedError for what keeps us from that."""
    try:
        yield
    except left.OtherVersionError:
        raise RefusedError(
            "what ovs-vswitchd has left in the kernel is of another version, which cannot be read"
        ) from None
    except system_calls.NoSystemCallError as error:
        raise RefusedError(f"no datapaths exist: {error}", nothing=True) from None
    except system_calls.BpfError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):
            why = "CAP_SYS_ADMIN is needed" if error.errno == errno.EPERM else "this kernel has no bpf()"
            raise RefusedError(
                f"what ovs-vswitchd may have left in the kernel cannot be read: {why}"
            ) from None
        raise RefusedError(f"the kernel's maps: {error}") from None
    except TextError as error:
        raise RefusedError(f"the kernel's maps: {error}") from None
