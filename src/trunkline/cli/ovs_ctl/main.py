"""The commands of ovs-ctl."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn

from trunkline.base.directories import from_environment
from trunkline.base.version import OPEN_VSWITCH, TRUNKLINE
from trunkline.cli.ovs_ctl import database
from trunkline.cli.ovs_ctl.actions import StepFailed, output, quiet, run, say, start_daemon, step
from trunkline.cli.ovs_ctl.flows import SavedFlows
from trunkline.cli.ovs_ctl.options import Settings, help_text, parse
from trunkline.io import standard_streams
from trunkline.io.pidfile import read_pidfile

# What is tried to end a daemon: (title, signal or None for the exit command, seconds to wait after it).
_STOPPING: Final = (
    ("Exiting", None, 5.0),
    ("Killing", signal.SIGTERM, 5.0),
    ("Killing with SIGKILL", signal.SIGKILL, 2.0),
)
_NO_MODULE: Final = "Trunkline needs no kernel module.  Skipping modprobe."


def main() -> None:
    standard_streams.prepare()
    program = sys.argv[0]
    line = parse(program, sys.argv[1:], from_environment(os.environ))
    for warning in line.warnings:
        sys.stderr.write(f"{warning}\n")
    if line.bad:
        sys.stderr.write(f"{line.bad}\n")
        sys.exit(1)
    if len(line.commands) != 1:
        text = "exactly one non-option argument required" if line.commands else "missing command name"
        _complain(program, f"{text} (use --help for help)")
    command = _COMMANDS.get(line.commands[0])
    if command is None:
        _complain(program, f'unknown command "{line.commands[0]}" (use --help for help)')
    try:
        good = command(line.settings)
    except StepFailed:
        good = False
    sys.exit(0 if good else 1)


def _complain(program: str, text: str) -> NoReturn:
    sys.stderr.write(f"{program}: {text}\n")
    sys.exit(1)


# -- starting -------------------------------------------------------------------------------------------


def _pid(settings: Settings, daemon: str) -> int:
    """The pid of a running daemon, or 0."""
    try:
        return read_pidfile(f"{settings.directories.run}/{daemon}.pid")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            say(f"{settings.directories.run}/{daemon}.pid: {error.strerror} ... (warning).")
        return 0


def _start_database(settings: Settings) -> None:
    if _pid(settings, "ovsdb-server"):
        say("ovsdb-server is already running.")
        return
    database.tools_there()
    version = database.prepare(settings)
    ssl = "db:Open_vSwitch,SSL"
    files = [settings.database]
    for extra in settings.values["extra-dbs"].split():
        path = extra if extra.startswith("/") else f"{settings.directories.database}/{extra}"
        if os.path.exists(path):
            files.append(path)
        else:
            say(f"{path} (from $EXTRA_DBS) does not exist. ... (warning).")
    remote = f"--remote=punix:{settings.socket}"
    keys = [f"--private-key={ssl},private_key", f"--certificate={ssl},certificate"]
    keys.append(f"--bootstrap-ca-cert={ssl},ca_cert")
    _start_daemon(settings, "ovsdb-server", [*files, *_VERBOSITY, remote, *keys])
    database.configure(settings, version)


_VERBOSITY: Final = ("-vconsole:emer", "-vsyslog:err", "-vfile:info")


def _start_switch(settings: Settings) -> None:
    if _pid(settings, "ovs-vswitchd"):
        say("ovs-vswitchd is already running.")
        return
    lock = ["--mlockall"] if settings.switches["mlockall"] else []
    _start_daemon(settings, "ovs-vswitchd", [f"unix:{settings.socket}", *_VERBOSITY, *lock])


def _start_daemon(settings: Settings, daemon: str, arguments: list[str]) -> None:
    if settings.values[f"{daemon}-wrapper"]:
        say(f"--{daemon}-wrapper: {daemon} is a Python program, for which there is no wrapper ... failed!")
        raise StepFailed
    os.makedirs(settings.directories.run, exist_ok=True)
    os.makedirs(settings.directories.log, 0o750, exist_ok=True)
    arguments = [
        *arguments,
        "--no-chdir",
        f"--log-file={settings.directories.log}/{daemon}.log",
        f"--pidfile={settings.directories.run}/{daemon}.pid",
        "--detach",
    ]
    for name, argument in (("monitor", "--monitor"),):
        if settings.switches[name]:
            arguments.append(argument)
    if not settings.switches["self-confinement"]:
        arguments.append("--no-self-confinement")
    if settings.values["ovs-user"]:
        arguments += ["--user", settings.values["ovs-user"]]
    arguments += settings.values[f"{daemon}-options"].split()

    def start() -> bool:
        return start_daemon(
            daemon,
            arguments,
            niceness=int(settings.values[f"{daemon}-priority"] or 0),
            directory=settings.values["daemon-cwd"],
            cores=settings.switches["force-corefiles"],
        )

    step(f"Starting {daemon}", start)


def _start(settings: Settings) -> bool:
    if settings.switches["ovsdb-server"]:
        _start_database(settings)
    if settings.switches["ovs-vswitchd"]:
        _start_switch(settings)
    database.enable_managers(settings)
    return True


# -- stopping -------------------------------------------------------------------------------------------


def _stop_daemon(settings: Settings, daemon: str) -> bool:
    pid = _pid(settings, daemon)
    if not pid:
        say(f"{daemon} is not running.")
        return True
    for title, number, seconds in _STOPPING:
        step(
            f"{title} {daemon} ({pid})",
            partial(_ask, settings, daemon, pid, number),
            fatal=False,
        )
        if _gone(pid, seconds):
            return True
    say(f"{daemon} ({pid}) does not end ... failed!")
    return False


def _ask(settings: Settings, daemon: str, pid: int, number: int | None) -> bool:
    if number is None:
        return quiet("ovs-appctl", "-T", "5", "-t", f"{settings.directories.run}/{daemon}.{pid}.ctl", "exit")
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def _gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def _stop(settings: Settings) -> bool:
    good = True
    if settings.switches["ovs-vswitchd"]:
        good &= _stop_daemon(settings, "ovs-vswitchd")
    if settings.switches["ovsdb-server"]:
        good &= _stop_daemon(settings, "ovsdb-server")
    return good


def _restart(settings: Settings) -> bool:
    """Both daemons anew, with the OpenFlow flows that were there."""
    flows = SavedFlows(settings)
    try:
        running = _pid(settings, "ovsdb-server") and _pid(settings, "ovs-vswitchd")
        keep = running and settings.switches["ovs-vswitchd"] and not settings.switches["delete-bridges"]
        if keep:
            flows.save()
        if flows:
            say("Saving flows.")
        if settings.switches["ovsdb-server"]:
            _stop_daemon(settings, "ovsdb-server")
            _start_database(settings)
        if settings.switches["ovs-vswitchd"]:
            _stop_daemon(settings, "ovs-vswitchd")
            _start_switch(settings)
        if flows:
            step("Restoring saved flows", flows.restore, fatal=False)
    finally:
        flows.close()
    database.enable_managers(settings)
    return True


# -- the rest -------------------------------------------------------------------------------------------


def _status(settings: Settings) -> bool:
    good = True
    for daemon in ("ovsdb-server", "ovs-vswitchd"):
        pid = _pid(settings, daemon)
        say(f"{daemon} is running with pid {pid}" if pid else f"{daemon} is not running")
        good &= bool(pid)
    if good:
        _datapath_notes(settings)
    return good


def _datapath_notes(settings: Settings) -> None:
    """What ``dpif/show`` notes of datapaths that are not what was asked for."""
    path = f"{settings.directories.run}/ovs-vswitchd.{_pid(settings, 'ovs-vswitchd')}.ctl"
    datapath = ""
    for line in (output("ovs-appctl", "-T", "5", "-t", path, "dpif/show") or "").splitlines():
        if line.startswith(" note: "):
            say(f"datapath {datapath} {line.removeprefix(' note: ')}")
        elif line and not line.startswith(" "):
            datapath = line.partition(":")[0]


def _version(_: Settings) -> bool:
    return run("ovsdb-server", "--version") and run("ovs-vswitchd", "--version")


def _own_version(settings: Settings) -> bool:
    say(f"{settings.program} (Open vSwitch) {OPEN_VSWITCH}\nTrunkline {TRUNKLINE}")
    return True


def _load_kmod(_: Settings) -> bool:
    say(_NO_MODULE)
    return True


def _force_reload_kmod(settings: Settings) -> bool:
    if not settings.switches["ovs-vswitchd"]:
        say("force-reload-kmod does not go with --no-ovs-vswitchd ... failed!")
        return False
    say(_NO_MODULE)
    return _restart(settings)


def _enable_protocol(settings: Settings) -> bool:
    """Accepts a protocol with iptables, unless some rule is about it already."""
    import shutil

    if not shutil.which("iptables-save") or not shutil.which("iptables"):
        return True
    protocol = settings.values["protocol"]
    match, what = ["-p", protocol], protocol
    if port := settings.values["dport"]:
        what += f" to port {port}"
    if port := settings.values["sport"]:
        what += f" from port {port}"
    for name in ("sport", "dport"):
        if port := settings.values[name]:
            match += [f"--{name}", port]
    rules = output("iptables-save") or ""
    ours = [rule.split() for rule in rules.splitlines() if rule.startswith("-A INPUT ")]
    if any(all(word in rule for word in match) for rule in ours):
        say(f"iptables already has a rule for {what}, not explicitly enabling.")
        return True
    return step(
        f"Enabling {what} with iptables",
        lambda: run("iptables", "-I", "INPUT", *match, "-j", "ACCEPT"),
    )


def _help(settings: Settings) -> bool:
    sys.stdout.write(help_text(settings.program, settings.directories))
    return True


def _no_ipsec(settings: Settings) -> bool:
    sys.stderr.write(
        f"{settings.program}: tunnels with IPsec are not there yet, so there is no such daemon\n"
    )
    return False


_COMMANDS: Final[dict[str, Callable[[Settings], bool]]] = {
    "start": _start,
    "stop": _stop,
    "restart": _restart,
    "status": _status,
    "version": _version,
    "--version": _own_version,
    "load-kmod": _load_kmod,
    "force-reload-kmod": _force_reload_kmod,
    "enable-protocol": _enable_protocol,
    "delete-transient-ports": database.delete_transient_ports,
    "record-hostname-if-not-set": database.record_hostname,
    "start-ovs-ipsec": _no_ipsec,
    "stop-ovs-ipsec": _no_ipsec,
    "help": _help,
}
