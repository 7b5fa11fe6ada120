"""``dpctl/add-dp``, ``del-dp``, ``add-if``, ``set-if`` and ``del-if``: datapaths and their ports by hand.

Datapaths and ports here are what the database says, so nothing is made or taken away by hand.  What is there
already, what is not there, and what cannot be changed is answered as the original answers it; whatever would
have an effect is refused by name.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from trunkline.dpif.provider import DatapathPort
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.upcall.commands import Datapaths
from trunkline.upcall.datapath import Datapath

_PROGRAM: Final = "ovs-vswitchd"
_DATABASE: Final = "datapaths and their ports follow the database: use ovs-vsctl"


def port_commands(datapaths: Datapaths) -> list[Command]:
    table: tuple[tuple[str, str, int, int | None, Callable[[Datapaths, Sequence[str]], str]], ...] = (
        ("dpctl/add-dp", "dp [iface...]", 1, None, _add_datapath),
        ("dpctl/del-dp", "dp", 1, 1, _delete_datapath),
        ("dpctl/add-if", "dp iface...", 2, None, partial(_each, change=_add)),
        ("dpctl/set-if", "dp iface...", 2, None, partial(_each, change=_set)),
        ("dpctl/del-if", "dp iface...", 2, None, partial(_each, change=_delete)),
    )
    return [
        Command(name, usage, least, most, partial(run, datapaths)) for name, usage, least, most, run in table
    ]


def _find(datapaths: Datapaths, name: str) -> Datapath | None:
    titles = {datapath.title: datapath for datapath in datapaths.values()}
    return titles.get(name) or titles.get(f"system@{name}")


def _add_datapath(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    there = _find(datapaths, arguments[0])
    raise CommandError(f"{_PROGRAM}: add_dp ({'File exists' if there else _DATABASE})\n")


def _delete_datapath(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    _open(datapaths, arguments[0])
    raise CommandError(f"{_PROGRAM}: del_dp ({_DATABASE})\n")


def _open(datapaths: Datapaths, name: str) -> Datapath:
    datapath = _find(datapaths, name)
    if datapath is None:
        raise CommandError(f"{_PROGRAM}: opening datapath (No such device)\n")
    return datapath


def _each(
    datapaths: Datapaths, arguments: Sequence[str], *, change: Callable[[Datapath, str, dict[str, str]], str]
) -> str:
    """What is wrong with each interface, a line each."""
    datapath = _open(datapaths, arguments[0])
    wrong = []
    for word in arguments[1:]:
        name, *options = word.split(",")
        pairs = (option.partition("=") for option in options)
        if text := change(datapath, name, {key: value for key, _, value in pairs}):
            wrong.append(f"{_PROGRAM}: {text}\n")
    if wrong:
        raise CommandError("".join(wrong))
    return ""


def _port(datapath: Datapath, name: str) -> DatapathPort | None:
    return next((port for port in datapath.provider.ports() if port.name == name), None)


def _add(datapath: Datapath, name: str, options: dict[str, str]) -> str:
    port = _port(datapath, name)
    if port is None:
        return f"adding {name} to {datapath.title} failed ({_DATABASE})"
    if options.get("type") != port.type:
        return f"{name}: failed to open network device (File exists)"
    return f"adding {name} to {datapath.title} failed (File exists)"


def _set(datapath: Datapath, name: str, options: dict[str, str]) -> str:
    """Type and number cannot be changed anywhere; options can, but not here."""
    port = _port(datapath, name)
    if port is None:
        return f"{name}: failed to query port in {datapath.title} (No such device)"
    for option, value in options.items():
        if option == "type" and value != port.type:
            return f"{name}: can't change type from {port.type} to {value}"
        if option == "port_no" and value != str(port.number):
            return f"{name}: can't change port number from {port.number} to {value}"
        if option not in ("type", "port_no"):
            return f"{name}: failed to set configuration ({_DATABASE})"
    return ""


def _delete(datapath: Datapath, name: str, options: dict[str, str]) -> str:
    ports = list(datapath.provider.ports())
    if name.isdigit():
        if all(port.number != int(name) for port in ports):
            return f"deleting port {name} from {datapath.title} failed (No such device)"
    elif all(port.name != name for port in ports):
        return f"no port named {name}"
    return f"deleting port {name} from {datapath.title} failed ({_DATABASE})"
