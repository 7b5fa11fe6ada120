"""Control commands about what nothing here does yet: bonds, LACP, spanning trees, CFM, BFD, LLDP, QoS.

Whoever uses none of them hears what the original says of nothing: an empty listing, "no such bond".  Where
one is configured the command says that it is not implemented yet, and what is the case instead; it never
shows an empty listing for something that the database asks for.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from trunkline.base.addresses import parse_mac
from trunkline.bridge.parts import InterfacePart, PortPart
from trunkline.bridge.switch import Switch
from trunkline.flow.hashes import of_address
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.model.control_commands import VSWITCHD
from trunkline.ovsdb.rows import Row

_MISSING: Final = {row.name: row for row in VSWITCHD}
_BOND_BUCKETS: Final = 256
_NUMBER: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")


class Unspoken(NamedTuple):
    """A command with an optional name.

    `users` finds who has it configured, by name; `nothing` is shown where nobody has; `unknown` is the error
    about a name that has it not (None: `nothing` is shown for that, too).
    """

    command: str
    users: Callable[[Switch], Iterator[str]]
    nothing: str
    unknown: str | None


def _bridges(switch: Switch, uses: Callable[[Row], bool]) -> Iterator[str]:
    return (part.name for part in switch.bridges.values() if uses(part.row))


def _ports(switch: Switch, uses: Callable[[PortPart], bool]) -> Iterator[str]:
    for bridge in switch.bridges.values():
        yield from (port.name for port in bridge.ports.values() if uses(port))


def _interfaces(switch: Switch, uses: Callable[[Row], bool]) -> Iterator[str]:
    for part in switch.interfaces.all.values():
        row = switch.row_of(part)
        if row is not None and uses(row):
            yield part.settings.name


def _bonds(switch: Switch) -> Iterator[str]:
    return _ports(switch, lambda port: port.is_bond)


def _lacp(switch: Switch) -> Iterator[str]:
    return _ports(switch, lambda port: port.row is not None and port.row.lacp in ("active", "passive"))


def _stp(switch: Switch) -> Iterator[str]:
    return _bridges(switch, lambda row: bool(row.stp_enable))


def _rstp(switch: Switch) -> Iterator[str]:
    return _bridges(switch, lambda row: bool(row.rstp_enable))


def _auto_attach(switch: Switch) -> Iterator[str]:
    return _bridges(switch, lambda row: bool(row.auto_attach))


def _cfm(switch: Switch) -> Iterator[str]:
    return _interfaces(switch, lambda row: row.cfm_mpid is not None)


def _bfd(switch: Switch) -> Iterator[str]:
    return _interfaces(switch, lambda row: row.bfd.get("enable") == "true")


_NO_BOND: Final = "no such bond"
_BONDS: Final = Unspoken("bond/list", _bonds, "bond\ttype\trecircID\tmembers\n", None)
_MIGRATE: Final = Unspoken("bond/migrate", _bonds, "", _NO_BOND)
_OPTIONAL: Final = (
    Unspoken("bond/show", _bonds, "", _NO_BOND),
    Unspoken("dpif-netdev/bond-show", _bonds, "", "please specify an existing datapath"),
    Unspoken("lacp/show", _lacp, "", "no such lacp object"),
    Unspoken("lacp/show-stats", _lacp, "", "no such lacp object"),
    Unspoken("stp/show", _stp, "", "no such stp object"),
    Unspoken("stp/tcn", _stp, "OK\n", "no such stp object"),
    Unspoken("rstp/show", _rstp, "", "No such RSTP object"),
    Unspoken("rstp/tcn", _rstp, "OK\n", "No such RSTP object"),
    Unspoken("cfm/show", _cfm, "", "no such CFM object"),
    Unspoken("bfd/show", _bfd, "", "no such bfd object"),
    Unspoken("autoattach/status", _auto_attach, "", None),
    Unspoken("autoattach/show-isid", _auto_attach, "", None),
    Unspoken("autoattach/statistics", _auto_attach, "", None),
)
_STATES: Final = (
    Unspoken("cfm/set-fault", _cfm, "OK\n", "no such CFM object"),
    Unspoken("bfd/set-forwarding", _bfd, "OK\n", "no such BFD object"),
)
_QOS: Final = {
    "qos/show": "QoS not configured on %s\n",
    "qos/show-types": "No QoS types supported for interface: %s\n",
}
_MEMBERS: Final = ("bond/disable-member", "bond/enable-member", "bond/set-active-member")


def unspoken_commands(switch: Switch) -> list[Command]:
    """The commands, as they answer about what this switch is told to do."""
    members = (Unspoken(name, _bonds, "", _NO_BOND) for name in _MEMBERS)
    return [
        *(_command(row.command, 0, 1, partial(_about, switch, row)) for row in _OPTIONAL),
        *(_command(row.command, 1, 2, partial(_set_state, switch, row)) for row in _STATES),
        *(_command(row.command, 2, 2, partial(_about, switch, row)) for row in members),
        *(_command(name, 1, 1, partial(_qos, switch, name, text)) for name, text in _QOS.items()),
        _command("bond/list", 0, 0, partial(_about, switch, _BONDS)),
        _command("bond/migrate", 3, 3, partial(_about, switch, _MIGRATE)),
        _command("bond/hash", 1, 3, _bond_hash),
    ]


def _command(name: str, least: int, most: int, handler: Callable[[Sequence[str]], str]) -> Command:
    return Command(name, _MISSING[name].usage, least, most, handler)


def refusal(name: str) -> CommandError:
    """The error of a command that is asked about something configured."""
    return CommandError(f"{name} is not implemented yet: {_MISSING[name].instead}")


def _about(switch: Switch, row: Unspoken, words: Sequence[str]) -> str:
    named = words[0] if words else None
    users = set(row.users(switch))
    if users if named is None else named in users:
        raise refusal(row.command)
    if named is not None and row.unknown is not None:
        raise CommandError(row.unknown)
    return row.nothing


def _set_state(switch: Switch, row: Unspoken, words: Sequence[str]) -> str:
    if words[-1] not in ("normal", "false", "true"):
        raise CommandError("unknown fault string")
    return _about(switch, row, words[:-1])


def _qos(switch: Switch, name: str, text: str, words: Sequence[str]) -> str:
    part: InterfacePart | None = switch.interfaces.by_name.get(words[0])
    if part is None or not part.is_there:
        raise CommandError("no such interface")
    if part.port.row is not None and part.port.row.qos:
        raise refusal(name)
    return text % words[0]


def _bond_hash(words: Sequence[str]) -> str:
    """The bucket of a bond that an address belongs to."""
    mac = parse_mac(words[0])
    if mac is None:
        raise CommandError("invalid mac")
    vlan = basis = 0
    if len(words) > 1:
        vlan = _number(words[1], "vlan")
    if len(words) > 2:
        basis = _number(words[2], "basis")
    return f"{of_address(mac, vlan & 0xFFFF, basis & 0xFFFFFFFF) % _BOND_BUCKETS}\n"


def _number(text: str, what: str) -> int:
    found = _NUMBER.match(text)
    if found is None:
        raise CommandError(f"invalid {what}")
    return int(found[1])
