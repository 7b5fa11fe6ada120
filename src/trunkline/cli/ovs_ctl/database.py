"""The database file before ovsdb-server starts, and the few values written into it after."""

import os
import platform
import shutil
import socket
import uuid

from trunkline.base.version import OPEN_VSWITCH
from trunkline.cli.ovs_ctl.actions import StepFailed, find, output, quiet, run, say, step
from trunkline.cli.ovs_ctl.options import Settings


def schema(settings: Settings) -> str:
    """The schema file: as given, the one of the data directory, or the one that Trunkline carries."""
    given = settings.values["db-schema"]
    if given:
        return given
    installed = f"{settings.directories.data}/vswitch.ovsschema"
    if os.path.exists(installed):
        return installed
    from trunkline import model

    return os.path.join(os.path.dirname(model.__file__), "vswitch.ovsschema")


def prepare(settings: Settings) -> str:
    """Creates the database, or converts it to the schema, whose version it gives, "" if that cannot be read.
    Raises StepFailed."""
    database, wanted = settings.database, schema(settings)
    if not os.path.exists(database):
        say(f"{database} does not exist ... (warning).")
        os.makedirs(os.path.dirname(database) or ".", exist_ok=True)
        step(f"Creating empty database {database}", lambda: run("ovsdb-tool", "create", database, wanted))
    elif output("ovsdb-tool", "needs-conversion", database, wanted) == "yes":
        _convert(database, wanted)
    return output("ovsdb-tool", "schema-version", wanted) or ""


def _convert(database: str, wanted: str) -> None:
    version = output("ovsdb-tool", "db-version", database) or "unknown"
    checksum = (output("ovsdb-tool", "db-cksum", database) or "").partition(" ")[0]
    backup = f"{database}.backup{version}-{checksum}"

    def copy() -> bool:
        try:
            shutil.copy2(database, backup)
        except OSError as error:
            say(f"{backup}: {error.strerror}")
            return False
        return True

    step(f"Backing up database to {backup}", copy)
    # A database that cannot be compacted may still be converted.
    step("Compacting database", lambda: run("ovsdb-tool", "compact", database), fatal=False)
    step("Converting database schema", lambda: run("ovsdb-tool", "convert", database, wanted))


def vsctl(settings: Settings, *arguments: str) -> bool:
    return run("ovs-vsctl", f"--db=unix:{settings.socket}", "--no-wait", *arguments)


def configure(settings: Settings, version: str) -> None:
    """Writes versions (that of the schema is given), ids and what else identifies the machine.  Raises
    StepFailed."""
    if not vsctl(settings, "--", "init", "--", "set", "Open_vSwitch", ".", f"db-version={version}"):
        raise StepFailed  # the tools have said why, a schema that cannot be read for instance
    values = [f"ovs-version={OPEN_VSWITCH}"]
    system_id = _system_id(settings)
    if system_id:
        values.append(f'external-ids:system-id="{system_id}"')
    else:
        say("system ID not configured, please use --system-id ... failed!")
    values.append(f'external-ids:rundir="{settings.directories.run}"')
    values += [f"external-ids:{pair}" for pair in settings.external_ids]
    for name, detected in (("type", _detected()[0]), ("version", _detected()[1])):
        value = settings.values[f"system-{name}"] or _configured(settings, f"system-{name}.conf") or detected
        values.append(f'system-{name}="{value}"')
    step("Configuring Open vSwitch system IDs", lambda: vsctl(settings, "set", "Open_vSwitch", ".", *values))
    if settings.switches["record-hostname"]:
        record_hostname(settings)
    if settings.switches["delete-bridges"]:
        names = output("ovs-vsctl", f"--db=unix:{settings.socket}", "--no-wait", "list-br") or ""
        for bridge in names.split():
            vsctl(settings, "del-br", bridge)
    if settings.switches["delete-transient-ports"]:
        delete_transient_ports(settings)


def record_hostname(settings: Settings) -> bool:
    """Sets external_ids:hostname unless it is set."""
    name = _full_hostname() if settings.switches["full-hostname"] else socket.gethostname()
    return vsctl(settings, "add", "Open_vSwitch", ".", "external-ids", f'hostname="{name}"')


def _full_hostname() -> str:
    """The name with its domain, where the resolver knows one."""
    name = socket.gethostname()
    try:
        full = socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)[0][3]
    except OSError:
        return name
    return full if full.startswith(name) else name


def delete_transient_ports(settings: Settings) -> bool:
    command = ("--bare", "--columns=name", "find", "port", "other_config:transient=true")
    names = output("ovs-vsctl", f"--db=unix:{settings.socket}", "--no-wait", *command)
    if names is None:
        return False
    return all(vsctl(settings, "--if-exists", "del-port", port) for port in names.split())


def enable_managers(settings: Settings) -> None:
    """Has ovsdb-server connect to and listen for the managers that the database names."""
    if not quiet("ovs-appctl", "-t", "ovsdb-server", "version"):
        return
    remote = "db:Open_vSwitch,Open_vSwitch,manager_options"
    arguments = ("-t", "ovsdb-server", "ovsdb-server/add-remote", remote)
    step("Enabling remote OVSDB managers", lambda: run("ovs-appctl", *arguments), fatal=False)


def _configured(settings: Settings, name: str) -> str:
    try:
        with open(settings.configuration_file(name)) as file:
            return file.readline().strip()
    except OSError:
        return ""


def _system_id(settings: Settings) -> str:
    """The system's id; "random" is made once and kept in a file."""
    wanted = settings.values["system-id"]
    if wanted != "random":
        return wanted
    kept = _configured(settings, "system-id.conf")
    if kept:
        return kept
    made = str(uuid.uuid4())
    path = settings.configuration_file("system-id.conf")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(f"{made}\n")
    except OSError as error:
        say(f"{path}: {error.strerror}: the system ID will not persist ... (warning).")
    return made


def _detected() -> tuple[str, str]:
    """Name and version of the operating system."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "unknown", "unknown"
    return release.get("ID", "unknown"), release.get("VERSION_ID", "unknown")


def tools_there() -> None:
    """Raises StepFailed, with a line, if a program that `start` needs is missing."""
    for program in ("ovsdb-tool", "ovs-vsctl", "ovs-appctl"):
        find(program)
