"""ovs-vswitchd: the switch.

It follows the Open_vSwitch database by a replica, keeps bridges and devices in line with it (bridge/), lets
packets and OpenFlow messages through (upcall/, ofproto/), and writes back what has become of it.  While the
database server is away it goes on with what it knows.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from trunkline.base import usage
from trunkline.base.directories import Directories
from trunkline.base.json import loads
from trunkline.base.log import RateLimit
from trunkline.base.options import Option, Parsed
from trunkline.base.targets import is_passive
from trunkline.base.version import OPEN_VSWITCH
from trunkline.bridge.devices import Devices
from trunkline.bridge.interests import INTERESTS
from trunkline.bridge.parts import Lane, UnknownDatapathError
from trunkline.bridge.status import Status, statistics_seconds
from trunkline.bridge.switch import Switch
from trunkline.bridge.unspoken import unspoken_commands
from trunkline.daemons.commands import exit_command, time_commands
from trunkline.daemons.env import Env
from trunkline.daemons.kept_flows import KeptFlows
from trunkline.daemons.openflow_server import OpenFlowServer
from trunkline.daemons.process import Fatal, Program, Run
from trunkline.daemons.process import main as process_main
from trunkline.io.loop import Loop
from trunkline.io.netdev.factory import Dummy, MachineDevices
from trunkline.io.privileges import lock_memory
from trunkline.io.replica_client import ReplicaClient
from trunkline.io.system_statistics import system_statistics
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.model.control_commands import DATAPATH_COMMANDS, VSWITCHD
from trunkline.model.schemas import schema_text
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import PortStatistics
from trunkline.ofproto.tunnels import Shared
from trunkline.ovsdb.replica import Replica
from trunkline.ovsdb.rows import Transaction
from trunkline.ovsdb.schema import Schema
from trunkline.proto.routes import Address, Route
from trunkline.sim.datapath import Sim
from trunkline.translate.result import Result
from trunkline.upcall.complaints import ComplaintLog
from trunkline.upcall.control import every_command
from trunkline.upcall.datapath import Datapath
from trunkline.upcall.tunnel_commands import tunnel_commands

OPTIONS: Final = (
    Option("enable-dummy", "optional"),
    Option("disable-system"),
    Option("disable-system-route"),
    Option("mlockall"),
    Option("dpdk", "optional"),
)
DATAPATH_TYPES: Final = ("netdev", "system")
_SYSTEM_SECONDS: Final = 5.0
LOCK: Final = "ovs_vswitchd"
_DUMMY: Final[Mapping[str | None, Dummy]] = {
    None: "add",
    "": "add",
    "override": "override",
    "system": "system",
}
_ON_SIM: Final = (
    "there is no kernel datapath: %s; packets are forwarded by this process (sim), dpif/show says so too"
)
_SLICE: Final = 0.004  # seconds of work for a datapath, before others have their turn
_FRAMES: Final = 40_000
"""Calls within calls: each of the 4,096 lookups of a translation may be made within the one before."""
_NOTE: Final = "runs on sim, the datapath in this process, for there is no kernel datapath: %s"


class _NoKernelDatapathError(Exception):
    """The text says why."""


class Switchd:
    """The running daemon; the driver of its datapaths (upcall/driver.py)."""

    def __init__(
        self,
        env: Env,
        database: str,
        devices: Devices,
        interface_types: Sequence[str],
        datapath_types: Sequence[str],
        keep: bool,
    ) -> None:
        self.env = env
        self.devices = devices
        self.dummy = "dummy" in datapath_types
        self.log = env.log.module("bridge")
        self.datapaths: dict[str, Datapath] = {}
        self.shared = Shared()
        self.openflow = OpenFlowServer(env, self._bridge_was_told, self._controllers_changed)
        self.switch = Switch(
            devices,
            self._make_lane,
            self._drop_lane,
            self.openflow,
            clock=env.clock,
            log=env.log,
            random_bits=env.random.getrandbits,
            run_directory=env.directories.run,
            counters=env.counters,
            shared=self.shared,
        )
        self.datapath_types = datapath_types
        self.status = Status(self.switch, interface_types, self.datapath_types, self.openflow.state_of)
        self.schema = Schema.from_json(loads(schema_text("Open_vSwitch")))
        self.replica = Replica(self.schema, INTERESTS, lock=LOCK)
        self.client = ReplicaClient(database, self.replica, dial=env.dial, clock=env.clock, log=env.log)
        self.kept = KeptFlows(env.directories.run, env.clock, env.log) if keep else None
        self.cleanup = False
        self._warned = False
        self._disabled = False  # another switch has the lock, and that was said
        self._was_synchronized = False
        self._configured = False
        self._next_statistics = 0.0
        self._next_system = 0.0
        self._look_at_controllers = False  # their status has changed
        self._keys = env.tls
        self._complaints = ComplaintLog(env.log)
        self._refusals = RateLimit()  # of what the database says to what the switch writes
        self._stirred = False  # `_send` is to be called in this turn
        self._wake: asyncio.Handle | asyncio.TimerHandle | None = None
        if isinstance(self.devices, MachineDevices):
            self.devices.detach = self._detach

    # ---- datapaths

    def _make_lane(self, type: str) -> Lane:
        if type not in self.datapath_types:
            raise UnknownDatapathError(type)
        self.env.commands.reveal("ofproto/list-tunnels")  # the original has it from the first bridge on
        note = ""
        if type == "system" and not self.dummy:
            try:
                return self._make_kernel_lane()
            except _NoKernelDatapathError as error:
                note = _NOTE % error
                if not self._warned:
                    self._warned = True
                    self.log.warn(_ON_SIM, error)
                self._clear_kernel()
        sim = Sim(f"ovs-{type}", self.env.clock, seed=self.env.random.getrandbits(96))
        datapath = Datapath(
            type, sim, Fabric(self, self.shared), self.env.clock, note, self.env.counters, self
        )
        self.datapaths[type] = datapath
        replaced = isinstance(self.devices, MachineDevices) and self.devices.replaces_system
        in_memory = type == "dummy" or (type == "system" and replaced)
        return Lane(type, datapath, sim, set(), in_memory=in_memory)

    def _make_kernel_lane(self) -> Lane:
        """Raises _NoKernelDatapathError."""
        from trunkline.bpf import probe, provider  # not needed, and not loaded, by a switch without bridges
        from trunkline.bpf.elf import ElfError
        from trunkline.bpf.loader import LoadError
        from trunkline.bpf.system_calls import BpfError
        from trunkline.bpf.type_format import TypeFormatError

        devices = self.devices
        if not isinstance(devices, MachineDevices):
            raise _NoKernelDatapathError("the devices are not those of a machine")
        if problem := probe.obstacle():
            raise _NoKernelDatapathError(problem)
        env, loop = self.env, asyncio.get_running_loop()
        try:
            kernel = provider.BpfDatapath(
                "ovs-system",
                env.clock,
                env.directories.run,
                seed=env.random.getrandbits(96),
                log=env.log,
                readers=loop,
                wake=self.run_datapaths,
                counters=env.counters,
            )
        except (OSError, LoadError, ElfError, TypeFormatError) as error:
            if isinstance(error, BpfError):
                self.log.dbg("the verifier: %s", error.log)
            raise _NoKernelDatapathError(str(error)) from None
        datapath = Datapath("system", kernel, Fabric(self, self.shared), env.clock, "", env.counters, self)
        self.datapaths["system"] = datapath
        devices.holder = kernel.holder
        if isinstance(loop, Loop):
            loop.call_first(kernel.fileno(), datapath.meet)
        return Lane("system", datapath, kernel, set(), devices.held())

    def _detach(self, index: int) -> None:
        """Takes our programs off a device of the namespace that the thread is in.  Raises OSError."""
        from trunkline.bpf import adopt, attach

        attachments = attach.attachments()
        try:
            adopt.clear(adopt.owner(self.env.directories.run), attachments, [index])
        finally:
            attachments.close()

    def _clear_kernel(self) -> None:
        """Ends what an earlier process has left at work in the kernel, and this one does not go on with."""
        if not isinstance(self.devices, MachineDevices) or not self.devices.held_before():
            return
        from trunkline.bpf import adopt, attach
        from trunkline.bpf.occupants import Occupants

        try:
            mine, attachments = adopt.owner(self.env.directories.run), attach.attachments()
            count = adopt.clear(mine, attachments, [at for at, _ in socket.if_nameindex()])
            self.devices.holder = Occupants(mine, attachments).holder
        except OSError as error:
            self.log.warn("what an earlier process has left in the kernel cannot be taken away: %s", error)
            return
        if count:
            self.log.info(
                "the kernel datapath that an earlier process has left is gone, at %d devices", count
            )

    def _drop_lane(self, type: str) -> None:
        self.datapaths.pop(type).fabric.tunnels.close()

    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        return self.switch.port_statistics(bridge, ofport)

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None:
        self.switch.set_admin_state(bridge, ofport, up)
        if self.switch.unwritten:
            self.client.changed.set()

    def _bridge_was_told(self, bridge: Bridge) -> None:
        self.run_datapaths()

    def _controllers_changed(self) -> None:
        self._look_at_controllers = True
        self.client.changed.set()

    def stirred(self) -> None:
        """Packets have come in: what they made is sent once in a turn of the loop, however many they were."""
        if not self._stirred:
            self._stirred = True
            asyncio.get_running_loop().call_soon(self._send)

    def complain(self, bridge: Bridge | None, key: int, result: Result) -> None:
        self._complaints.complain(bridge, key, result)

    def run_datapaths(self) -> None:
        """Lets every datapath do what is due, sends what waits, and sees to it that this happens again."""
        now = self.env.clock.monotonic()
        self.shared.expire(now)
        if (due := self.switch.next_hop_timer()) is not None and due <= now:
            self.switch.look_at_next_hops()
        for datapath in self.datapaths.values():
            datapath.run(now, _SLICE)
        self._send()

    def _send(self) -> None:
        self._stirred = False
        now = self.env.clock.monotonic()
        for datapath in self.datapaths.values():
            for bridge in datapath.fabric.bridges.values():
                bridge.clients.send_waiting(now)
                self.openflow.flush(bridge)
        if self.kept is not None:  # before the answers go out
            self.kept.write()
        self._schedule()

    def counted(self) -> None:
        if self.kept is not None:
            self.kept.write()

    def _schedule(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        now = self.env.clock.monotonic()
        timers = [datapath.next_timer() for datapath in self.datapaths.values()]
        timers += [self.shared.neighbours.next_expiry(), self.switch.next_hop_timer()]
        timers += [
            bridge.clients.next_timer(now)
            for datapath in self.datapaths.values()
            for bridge in datapath.fabric.bridges.values()
        ]
        due = [when for when in timers if when is not None]
        if due:
            delay = max(0.0, min(due) - now)
            self._wake = asyncio.get_running_loop().call_later(delay, self.run_datapaths)

    # ---- the database

    async def follow_database(self) -> None:
        """For ever: configuration in, status out."""
        while True:
            await self._until_changed()
            self.client.changed.clear()
            replica = self.replica
            if replica.synchronized and not self._was_synchronized:
                self.status.forget()
            self._was_synchronized = replica.synchronized
            self._look_at_lock()
            if not replica.has_lock or not (replica.synchronized or self._configured):
                continue
            first = not self._configured
            self._apply()
            await self.openflow.opened()  # whoever hears that a bridge is there may talk to it at once
            if first:
                self.env.ready()
                self.log.info("ovs-vswitchd (Open vSwitch) %s", OPEN_VSWITCH)
            if replica.synchronized:
                await self._write()

    def _look_at_lock(self) -> None:
        """Says once that another switch follows the database, and again when that has happened anew."""
        disabled = self.replica.lock_contended
        if disabled and not self._disabled:
            text = (
                "another ovs-vswitchd process is running, disabling this process (pid %d) until it goes away"
            )
            self.log.err(text, os.getpid())
        self._disabled = disabled

    async def _until_changed(self) -> None:
        """Until there is news from the database, a device or the clock."""
        delay = min(self._next_statistics, self._next_system) - self.env.clock.monotonic()
        try:
            async with asyncio.timeout(max(0.0, delay) if self._was_synchronized else None):
                await self.client.changed.wait()
        except TimeoutError:
            pass

    def _apply(self) -> None:
        first = not self._configured
        self._configured = True
        self.env.counters.counter("bridge_reconfigure").add()
        self._take_keys()
        self.switch.apply(self.replica)
        self._keep_flows(first)
        self.switch.settle_lanes()
        if first:
            if "system" not in self.datapaths:
                self._clear_kernel()
            self.devices.watch(self._device_changed)
            self.devices.watch_routes(self._host_changed)
            self.devices.forget_others(frozenset(self.switch.interfaces.by_name))
        self.run_datapaths()

    def _keep_flows(self, first: bool) -> None:
        """Journals of the flows for the next process, unless the database asks to begin empty each time."""
        if self.kept is None:
            return
        rows = self.replica.rows("Open_vSwitch").values()
        wanted = not any(row.other_config.get("keep-flows") == "false" for row in rows)
        bridges = self.switch.bridges.items() if wanted else ()
        self.kept.follow(((uuid, part.bridge) for uuid, part in bridges), first=first)

    def _take_keys(self) -> None:
        """The SSL table's keys and certificates, where it has a row; else those of the command line."""
        given = self.env.tls
        files = given
        for row in self.replica.rows("SSL").values():
            learned = row.ca_cert if row.bootstrap_ca_cert else None
            files = given._replace(
                private_key=row.private_key,
                certificate=row.certificate,
                ca_certificate=row.ca_cert if learned is None else None,
                bootstrap_ca_certificate=learned,
            )
        if files != self._keys:
            self._keys = files
            self.env.set_tls(files)

    def _device_changed(self, name: str) -> None:
        self.switch.device_changed(name)
        if self.switch.unwritten:
            self.client.changed.set()
        self.run_datapaths()

    def _host_changed(self, routes: Sequence[Route], addresses: Mapping[str, tuple[Address, ...]]) -> None:
        self.switch.host_changed(routes, addresses)
        if self.switch.unwritten:
            self.client.changed.set()
        self.run_datapaths()

    async def _write(self) -> None:
        transaction = Transaction(self.schema)
        self.status.write(self.replica, transaction)
        now = self.env.clock.monotonic()
        if self._look_at_controllers or now >= self._next_statistics:
            self._look_at_controllers = False
            self.status.write_controllers(self.replica, transaction)
        if now >= self._next_statistics:
            rows = list(self.replica.rows("Open_vSwitch").values())
            self._next_statistics = now + statistics_seconds(rows[0] if rows else None)
            for datapath in self.datapaths.values():
                datapath.fetch_statistics()
            self.status.write_statistics(transaction)
        if now >= self._next_system:
            self._next_system = now + _SYSTEM_SECONDS
            directory = self.env.directories.run
            self.status.write_system(self.replica, transaction, lambda: system_statistics(directory))
        if not transaction:
            self.env.counters.counter("txn_unchanged").add()
        else:
            outcome = await self.client.transact(transaction)
            self.env.counters.counter(f"txn_{outcome.status}").add()
            if outcome.status == "error":
                self.log.err(
                    "the database refused what the switch writes: %s", outcome.error, limit=self._refusals
                )
            if outcome.status != "success":
                self.log.dbg("status was not written (%s), writing it anew", outcome.status)
                self.status.forget()

    # ---- life

    async def run(self) -> None:
        """Until asked to stop."""
        self.env.counters.report_memory(self._memory)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.client.run()), group.create_task(self.follow_database())]
            if self.kept is not None:
                tasks.append(group.create_task(self.kept.run()))
            await self.env.stopping.wait()
            for task in tasks:
                task.cancel()
        if self._wake is not None:
            self._wake.cancel()
        if self.kept is not None:
            for datapath in self.datapaths.values():
                datapath.fetch_statistics()
            self.kept.close(keep=not self.cleanup)
        self.switch.close(remove=self.cleanup)
        self.openflow.close()

    def _memory(self) -> Mapping[str, int]:
        bridges = [part.bridge for part in self.switch.bridges.values()]
        usage = {
            "idl-cells-Open_vSwitch": sum(
                len(self.replica.rows(interest.table)) * len(interest.columns or ()) for interest in INTERESTS
            ),
            "ofconns": sum(len(bridge.clients.all) for bridge in bridges),
            "ports": sum(len(bridge.interfaces) for bridge in bridges),
            "rules": sum(bridge.flows.tables.size for bridge in bridges),
            "udpif keys": sum(len(datapath.megaflows) for datapath in self.datapaths.values()),
        }
        return {name: count for name, count in usage.items() if count}

    def commands(self) -> list[Command]:
        def leave(arguments: Sequence[str]) -> str:
            self.cleanup = "--cleanup" in arguments
            self.env.stopping.set()
            return ""

        def list_commands(arguments: Sequence[str]) -> str:
            """Those about datapaths, each with its arguments, in the order that ovs-dpctl has."""
            order = {f"dpctl/{name}": place for place, name in enumerate(DATAPATH_COMMANDS)}
            found = [one for one in self.env.commands if one.name.startswith("dpctl/")]
            found.sort(key=lambda one: order.get(one.name, len(order)))
            lines = [f"  {one.name:<29} {one.usage}\n" for one in found]
            return "The available commands are:\n" + "".join(lines)

        def reconnect(arguments: Sequence[str]) -> str:
            if not self.openflow.reconnect(arguments[0] if arguments else None):
                raise CommandError("Unknown bridge")
            return ""

        return [
            *unspoken_commands(self.switch),
            *every_command(self.datapaths, lambda path: Path(path).read_text(errors="replace")),
            *tunnel_commands(
                self.datapaths, self.shared, self.env.clock, self.switch.interfaces.routes_changed
            ),
            Command("dpctl/list-commands", "", 0, None, list_commands),
            Command("bridge/reconnect", "[bridge]", 0, 1, reconnect),
            exit_command(self.env.stopping)._replace(usage="[--cleanup]", most=1, handler=leave),
        ]


def check(name: str, argument: str | None) -> None:
    """One option by itself.  Raises Fatal."""
    if name == "enable-dummy" and argument not in _DUMMY:
        raise Fatal(f"{argument}: unknown dummy level")
    if name == "dpdk":
        raise Fatal("Using --dpdk to configure DPDK is not supported.")


def _datapath_types(parsed: Parsed) -> list[str]:
    """``--disable-system`` takes the kernel's datapath away, unless a dummy has taken its place before."""
    types, replaced = set(DATAPATH_TYPES), False
    for name, argument in parsed.options:
        if name == "enable-dummy":
            types.add("dummy")
            replaced |= _DUMMY[argument] != "add"
        elif name == "disable-system" and not replaced:
            types.discard("system")
    return sorted(types)


def _follows_routes(parsed: Parsed) -> bool:
    """Whether the system's routes count: not where dummies take the place of its devices."""
    return not any(
        name == "disable-system-route" or (name == "enable-dummy" and _DUMMY[argument] != "add")
        for name, argument in parsed.options
    )


def configure(parsed: Parsed, directories: Directories) -> Run:
    """The daemon that a command line asks for.  Raises Fatal."""
    options = dict(parsed.options)
    if len(parsed.arguments) > 1:
        raise Fatal("at most one non-option argument accepted; use --help for usage")
    database = parsed.arguments[0] if parsed.arguments else f"unix:{directories.run}/db.sock"
    dummy: Dummy = "no"
    if "enable-dummy" in options:
        dummy = _DUMMY[options["enable-dummy"]]
    datapath_types = _datapath_types(parsed)

    async def run(env: Env) -> None:
        loop = asyncio.get_running_loop()
        if "mlockall" in options and (problem := lock_memory()):
            env.log.module("vswitchd").err("%s", problem)
        devices = MachineDevices(
            loop,
            env.directories.run,
            env.clock,
            dummy=dummy,
            routes=_follows_routes(parsed),
            counters=env.counters,
            log=env.log,
        )
        env.commands.add(*devices.commands())
        if dummy != "no" and isinstance(loop, Loop):
            env.commands.add(*time_commands(loop))
        try:
            await serve(env, database, devices, devices.types(), datapath_types=datapath_types, keep=True)
        finally:
            devices.close()

    return run


async def serve(
    env: Env,
    database: str,
    devices: Devices,
    interface_types: Sequence[str] = (),
    *,
    datapath_types: Sequence[str] = DATAPATH_TYPES,
    keep: bool = False,
) -> None:
    """Runs the switch on `devices`, following `database`, until env.stopping.

    `keep`: its flows outlive it, in the run directory.
    """
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _FRAMES))
    if is_passive(database):
        raise Fatal(f"{database}: the switch connects to its database, it does not listen for it")
    daemon = Switchd(env, database, devices, interface_types, datapath_types, keep)
    env.commands.add(*daemon.commands())
    absent = "dpif-netlink/" if daemon.dummy else "dpif-dummy/"  # as in the original
    env.commands.add_missing(row for row in VSWITCHD if not row.name.startswith(absent))
    await daemon.run()


def _usage(directories: Directories) -> str:
    return (
        "ovs-vswitchd: Open vSwitch daemon\n"
        "usage: ovs-vswitchd [OPTIONS] [DATABASE]\n"
        "where DATABASE is a socket on which ovsdb-server is listening\n"
        f'      (default: "unix:{directories.run}/db.sock").\n'
        + usage.streams("DATABASE", passive=False)
        + usage.daemon("ovs-vswitchd", directories.run)
        + usage.logging("ovs-vswitchd", directories.log)
        + "\nOther options:\n"
        "  --unixctl=SOCKET          override default control socket name\n"
        "  -h, --help                display this help message\n"
        "  -V, --version             display version information\n"
    )


PROGRAM: Final = Program("ovs-vswitchd", _usage, (), OPTIONS, configure, datapath=True, check=check)


def main() -> None:
    process_main(PROGRAM)
