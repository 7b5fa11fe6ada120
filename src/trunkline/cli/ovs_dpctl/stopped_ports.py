"""ovs-dpctl add-dp, del-dp, add-if, set-if and del-if while no switch runs.

What forwards is a program at the ports' devices, with its maps: there is no more to a datapath than that.  So
a port comes by the program being put at its device, which is made ready as the switch would make it
(promiscuous, and what else io/netdev/hold.py knows); with its last port a datapath is gone.  A switch that
starts goes by its database, and lets go of what is not in there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from trunkline.base.directories import Directories
from trunkline.base.log import Log
from trunkline.bpf import adopt, attach, left, probe
from trunkline.bpf.elf import ElfError
from trunkline.bpf.loader import LoadError, Program
from trunkline.bpf.occupants import Occupants
from trunkline.bpf.provider import CAPABILITIES, BpfDatapath
from trunkline.bpf.system_calls import program_descriptor
from trunkline.bpf.type_format import TypeFormatError
from trunkline.bridge.devices import Device, DeviceError
from trunkline.dpif.provider import DatapathError, DatapathPort
from trunkline.io.log_options import MachineClock
from trunkline.io.netdev.factory import MachineDevices
from trunkline.model.tunnels import TUNNEL_TYPES

NAME: Final = CAPABILITIES.name
TITLE: Final = f"system@{NAME}"
_TYPES: Final = ("system", "internal")


class PortError(Exception):
    """The text follows the program's name; more than one line: several ports."""


class _NoReaders:
    """Nobody reads packets here."""

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        pass

    def remove_reader(self, descriptor: int) -> None:
        pass


def _devices(directories: Directories) -> MachineDevices:
    devices = MachineDevices(_NoReaders(), directories.run, MachineClock(), routes=False)
    devices.holder = Occupants(adopt.owner(directories.run), attach.attachments()).holder
    return devices


class Ports:
    """The ports of what a switch has left.  `found` is where its programs are."""

    def __init__(self, datapath: left.LeftDatapath, found: adopt.Adopted, devices: MachineDevices) -> None:
        self._datapath = datapath
        self._found = found
        self._machine = devices
        self._devices = devices.held()
        self._attachments = attach.attachments()

    def port(self, name: str) -> DatapathPort | None:
        return next((port for port in self._datapath.ports() if port.name == name), None)

    def add(self, name: str, options: Mapping[str, str]) -> None:
        """Raises PortError."""
        type = options.get("type") or "system"
        if (there := self.port(name)) is not None:
            if type == there.type:
                raise PortError(f"adding {name} to {TITLE} failed (File exists)")
            raise PortError(f"{name}: failed to open network device (File exists)")
        if type not in _TYPES:
            why = "only ovs-vswitchd can do that, and it does not run"
            if type not in (*TUNNEL_TYPES, "tap", "patch"):
                why = "Address family not supported by protocol"
            raise PortError(f"{name}: failed to open network device ({why})")
        odd = sorted(options.keys() - {"type", "port_no"})
        if odd:
            raise PortError(f"{name}: failed to set configuration ({odd[0]} is no option of type {type})")
        number = _number(name, options.get("port_no"))
        try:
            device = self._devices.open(name, type, {})
        except DeviceError as error:
            raise PortError(f"{name}: failed to open network device ({error})") from None
        try:
            self._datapath.plug(device_index(device), name, type, number, self._attachments, self._program())
        except (DatapathError, OSError) as error:
            device.close(remove=True)
            raise PortError(f"adding {name} to {TITLE} failed ({error})") from None

    def _program(self) -> Program:
        """Raises BpfError."""
        return Program("ingress", program_descriptor(next(iter(self._found.ports.values()))))

    def set(self, name: str, options: Mapping[str, str]) -> None:
        """Type and number cannot be changed, and there are no options but these.  Raises PortError."""
        port = self.port(name)
        if port is None:
            raise PortError(f"{name}: failed to query port in {TITLE} (No such device)")
        for option, value in options.items():
            if option == "type" and value != port.type:
                raise PortError(f"{name}: can't change type from {port.type} to {value}")
            if option == "port_no" and value != str(port.number):
                raise PortError(f"{name}: can't change port number from {port.number} to {value}")
            if option not in ("type", "port_no"):
                raise PortError(
                    f"{name}: failed to set configuration ({option} is no option of type {port.type})"
                )

    def delete(self, name: str, options: Mapping[str, str]) -> None:
        """By name or by number.  Raises PortError."""
        port = self.port(name)
        if port is None and name.isdigit():
            port = next((one for one in self._datapath.ports() if one.number == int(name)), None)
            if port is None:
                raise PortError(f"deleting port {name} from {TITLE} failed (No such device)")
        if port is None:
            raise PortError(f"no port named {name}")
        try:
            self._datapath.unplug(port.number, self._attachments, self._found)
        except OSError as error:
            raise PortError(f"deleting port {name} from {TITLE} failed ({error})") from None
        if port.type in _TYPES:
            try:
                self._devices.open(port.name, port.type, {}).close(remove=True)
            except DeviceError:
                pass  # it has gone

    def each(self, words: Sequence[str], change: Callable[[str, Mapping[str, str]], None]) -> None:
        """`change` for every interface; what is wrong with some does not keep others.  Raises PortError."""
        wrong = []
        for word in words:
            name, *options = word.split(",")
            pairs = (option.partition("=") for option in options)
            try:
                change(name, {key: value for key, _, value in pairs})
            except PortError as error:
                wrong.append(str(error))
        if wrong:
            raise PortError("\novs-dpctl: ".join(wrong))

    def delete_all(self) -> None:
        """The datapath goes, and every device is as it was.  Raises PortError."""
        try:
            for (index, egress), program in {**self._found.ports, **self._found.others}.items():
                self._attachments.detach(index, program, egress=egress)
        except OSError as error:
            raise PortError(f"del_dp ({error})") from None
        self._machine.forget_others(frozenset())


def device_index(device: Device) -> int:
    index: int = getattr(device, "index")  # noqa: B009 -- devices of the kernel have one
    return index


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise PortError(f"{name}: port_no {text} is no number")
    return int(text)


def create(name: str, words: Sequence[str], directories: Directories, log: Log) -> None:
    """add-dp: a datapath with its own device, and ports.  Raises PortError."""
    if name not in (NAME, TITLE):
        raise PortError(f"add_dp (a run directory has one datapath in the kernel, and it is called {NAME})")
    if problem := probe.obstacle():
        raise PortError(f"add_dp ({problem})")
    devices = _devices(directories)
    try:
        device = devices.held().open(NAME, "internal", {})
    except DeviceError as error:
        raise PortError(f"add_dp ({error})") from None
    try:
        datapath = BpfDatapath(NAME, MachineClock(), directories.run, log=log)
        datapath.port_add(NAME, "internal", 0)
        datapath.attach_device(0, device)
    except (OSError, LoadError, ElfError, TypeFormatError, DatapathError) as error:
        device.close(remove=True)
        raise PortError(f"add_dp ({error})") from None
    if not words:
        return
    found = left.find(directories.run)
    assert found is not None  # it has just been made
    ports = Ports(left.LeftDatapath(found.maps, MachineClock()), found, devices)
    ports.each(words, ports.add)


def change(command: str, arguments: Sequence[str], directories: Directories, log: Log) -> None:
    """Carries out one of the commands.  Raises PortError, BpfError, OtherVersionError, TextError."""
    found = left.find(directories.run)
    name, *words = arguments
    if command == "add-dp":
        if found is None:
            return create(name, words, directories, log)
        if name in (NAME, TITLE):
            raise PortError("add_dp (File exists)")
        return create(name, words, directories, log)  # which refuses it
    if found is None or name not in (NAME, TITLE):
        raise PortError("opening datapath (No such device)")
    ports = Ports(left.LeftDatapath(found.maps, MachineClock()), found, _devices(directories))
    if command == "del-dp":
        return ports.delete_all()
    return ports.each(words, {"add-if": ports.add, "set-if": ports.set, "del-if": ports.delete}[command])
