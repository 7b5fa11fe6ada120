"""``trunkline install-units``: systemd units, under the names that Debian gives them.

ovsdb-server.service and ovs-vswitchd.service run the daemons, openvswitch-switch.service stands for both and
is wanted by multi-user.target, so after a boot bridges and ports are as the database has them, before the
network is configured.  The name of the machine may come with the network: ovs-record-hostname.service writes
it down later.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from trunkline.base.options import Option, OptionError, parse_options

OPTIONS: Final = (
    Option("help", short="h"),
    Option("root", "required"),
    Option("now"),
    Option("remove"),
)
HELP: Final = """\
usage: trunkline install-units [OPTIONS]
Has systemd start the database server and the switch at boot.
  --now       start them at once as well
  --remove    take the units away again (stops nothing that runs)
  --root=DIR  write below DIR instead of / and leave systemd alone
  -h, --help  this text
Options for ovs-ctl may be kept in /etc/default/openvswitch-switch as OVS_CTL_OPTS='...'.
"""
DIRECTORY: Final = "etc/systemd/system"
MAIN: Final = "openvswitch-switch.service"
HOSTNAME: Final = "ovs-record-hostname.service"
LINKS: Final = {"multi-user.target.wants": MAIN, f"{MAIN}.requires": HOSTNAME}
"""What systemd looks into to find what to start: directory and unit."""

_SWITCH: Final = """\
[Unit]
Description=Open vSwitch (Trunkline)
Requires=ovsdb-server.service ovs-vswitchd.service
After=network-pre.target ovsdb-server.service ovs-vswitchd.service
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecReload=/bin/systemctl reload ovsdb-server.service

[Install]
WantedBy=multi-user.target
Also=ovs-record-hostname.service
"""
_HOSTNAME: Final = """\
[Unit]
Description=Open vSwitch hostname (Trunkline)
Requires=ovsdb-server.service ovs-vswitchd.service
Wants=network-online.target
After=ovsdb-server.service ovs-vswitchd.service network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={control} record-hostname-if-not-set
TimeoutSec=300

[Install]
RequiredBy=openvswitch-switch.service
"""
_DAEMON: Final = """\
[Unit]
Description={description}
DefaultDependencies=no
PartOf=openvswitch-switch.service
After=local-fs.target network-pre.target systemd-journald.socket{after}
Before=network.target networking.service shutdown.target
Conflicts=shutdown.target
{more}
[Service]
Type=forking
PIDFile=/run/openvswitch/{daemon}.pid
EnvironmentFile=-/etc/default/openvswitch-switch
ExecStart={control} {only} --no-monitor --system-id=random --no-record-hostname start $OVS_CTL_OPTS
ExecStop={control} {only} stop
ExecReload={control} {only} --no-monitor --system-id=random --no-record-hostname restart $OVS_CTL_OPTS
Restart=on-failure
LimitNOFILE=1048576
OOMScoreAdjust=-900
TimeoutSec=300
RuntimeDirectory=openvswitch
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
"""


def units(control: str) -> dict[str, str]:
    """The units by name; `control` is the absolute path of ovs-ctl."""
    return {
        MAIN: _SWITCH,
        "ovsdb-server.service": _DAEMON.format(
            description="Open vSwitch database (Trunkline)",
            daemon="ovsdb-server",
            control=control,
            only="--no-ovs-vswitchd",
            after="",
            more="",
        ),
        "ovs-vswitchd.service": _DAEMON.format(
            description="Open vSwitch forwarding (Trunkline)",
            daemon="ovs-vswitchd",
            control=control,
            only="--no-ovsdb-server",
            after=" ovsdb-server.service",
            more="Requires=ovsdb-server.service\nReloadPropagatedFrom=ovsdb-server.service\n",
        ),
        HOSTNAME: _HOSTNAME.format(control=control),
    }


def main(argv: Sequence[str]) -> int:
    try:
        parsed = parse_options(argv, OPTIONS)
        if parsed.arguments:
            raise OptionError(f"unexpected argument '{parsed.arguments[0]}'")
        given = dict(parsed.options)
        if "help" in given:
            sys.stdout.write(HELP)
            return 0
        root = given.get("root") or ""
        (_remove if "remove" in given else _install)(root or "/")
    except OptionError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}")
    if root:
        return 0
    return _tell_systemd("now" in given and "remove" not in given)


def _fail(text: str) -> int:
    sys.stderr.write(f"trunkline install-units: {text}\n")
    return 1


def _install(root: str) -> None:
    directory = os.path.join(root, DIRECTORY)
    os.makedirs(directory, exist_ok=True)
    control = os.path.join(os.path.dirname(sys.executable), "ovs-ctl")
    for name, text in units(control).items():
        path = os.path.join(directory, name)
        with open(path, "w") as file:
            file.write(text)
        print(f"wrote {path}")
    for place, name in LINKS.items():
        link = os.path.join(directory, place, name)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(f"../{name}", link)
        print(f"enabled {link}")
    print(f"the units run {control}: keep it there, or install them again")


def _remove(root: str) -> None:
    directory = os.path.join(root, DIRECTORY)
    links = [os.path.join(place, name) for place, name in LINKS.items()]
    for path in (*links, *units("")):
        path = os.path.join(directory, path)
        if os.path.lexists(path):
            os.unlink(path)
            print(f"removed {path}")


def _tell_systemd(now: bool) -> int:
    """Has a running systemd read the units; where none runs, they wait for the next boot."""
    if not os.path.isdir("/run/systemd/system") or not shutil.which("systemctl"):
        if now:
            return _fail("systemd does not run here, so nothing was started; use ovs-ctl start")
        return 0
    commands = [["systemctl", "daemon-reload"]]
    if now:
        commands.append(["systemctl", "start", MAIN])
    return max(subprocess.run(command, check=False).returncode for command in commands)
