"""Controllers out of database rows: which ones a bridge has, and which are refused.

Who may write the database must not get a switch that runs as root to overwrite files or to talk to any
socket of the machine, so targets of unix sockets are confined to the run directory.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from trunkline.base.log import Log
from trunkline.base.targets import OPENFLOW_PORT, OVSDB_PORT, is_active, is_passive
from trunkline.bridge.settings import flag
from trunkline.ofproto.in_band import Remote, remote_of
from trunkline.ofproto.primaries import MIN_PROBE, ControllerSettings
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.rows import Row

_MAX_BACKOFF: Final = 8.0


def controllers_of(
    bridge: str, rows: Iterable[Row], run_directory: str, log: Log
) -> Mapping[Uuid, ControllerSettings]:
    """The controllers of a bridge by row; what cannot be one is logged and left out."""
    found = {}
    for row in sorted(rows, key=lambda row: str(row.target)):
        refused = _refused(bridge, row.target, run_directory)
        if refused is not None:
            log.module("bridge").err("bridge %s: %s", bridge, refused)
        elif not is_active(row.target) and not is_passive(row.target):
            log.module("connmgr").warn('%s: unsupported controller "%s"', bridge, row.target)
        else:
            found[row.uuid] = _settings(row)
    return found


def remotes_in_band(
    row: Row, controllers: Iterable[ControllerSettings], managers: Iterable[Row]
) -> frozenset[Remote]:
    """Who is to be reached through the bridge: its controllers and the database's managers."""
    if flag(row.other_config, "disable-in-band"):
        return frozenset()
    found = [remote_of(one.target, OPENFLOW_PORT) for one in controllers if one.in_band]
    found += [remote_of(one.target, OVSDB_PORT) for one in managers if one.connection_mode != "out-of-band"]
    return frozenset(one for one in found if one is not None)


def _settings(row: Row) -> ControllerSettings:
    kind = row.type or ("service" if is_passive(row.target) else "primary")
    rate = row.controller_rate_limit or 0
    return ControllerSettings(
        row.target,
        kind == "service",
        _MAX_BACKOFF if row.max_backoff is None else max(row.max_backoff, 1000) / 1000,
        MIN_PROBE if row.inactivity_probe is None else max(row.inactivity_probe, 0) / 1000,
        row.enable_async_messages is not False,
        rate,
        row.controller_burst_limit or rate // 4,
        row.controller_queue_size or 0,
        _dscp(row.other_config.get("dscp", "")),
        row.connection_mode != "out-of-band",
    )


def _dscp(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) < 64 else None


def _refused(bridge: str, target: str, run_directory: str) -> str | None:
    """Why a unix socket is not to be used, or None."""
    method, _, path = target.partition(":")
    usual = (
        f'or connect to "unix:{run_directory}/{bridge}.mgmt" '
        "(which is always available without special configuration)."
    )
    if method == "unix" and not _confined(path, run_directory):
        return (
            f'Not connecting to socket controller "{target}" due to possibility for remote exploit.  '
            f'Instead, specify socket in permitted directory "unix:{run_directory}/" {usual}'
        )
    prefix = f"{run_directory}/{bridge}."
    if method == "punix" and not (path.startswith(prefix) and "/" not in path[len(prefix) :]):
        return (
            f'Not adding Unix domain socket controller "{target}" due to possibility of overwriting local '
            f'files. Instead, specify path in permitted format "punix:{prefix}*" {usual}'
        )
    return None


def _confined(path: str, run_directory: str) -> bool:
    """A relative path is one of the run directory."""
    if ".." in path.split("/"):
        return False
    return not path.startswith("/") or path.startswith(f"{run_directory}/")
