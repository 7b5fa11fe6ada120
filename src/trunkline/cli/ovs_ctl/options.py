"""The command line of ovs-ctl: any mixture of ``--name=value``, ``--name``, ``--no-name`` and one command.

As in the original an unknown long option is only warned of, so that an old start script survives a new
version.
"""

from typing import Final, NamedTuple

from trunkline.base.directories import Directories

HELP: Final = """\
@PROGRAM@: controls Open vSwitch daemons
usage: @PROGRAM@ [OPTIONS] COMMAND

This program is intended to be invoked internally by Open vSwitch startup
scripts.  System administrators should not normally invoke it directly.

Commands:
  start                       start Open vSwitch daemons
  stop                        stop Open vSwitch daemons
  restart                     stop and start Open vSwitch daemons
  status                      check whether Open vSwitch daemons are running
  version                     print versions of Open vSwitch daemons
  load-kmod                   succeeds: no kernel module is needed
  force-reload-kmod           restart, for there is no kernel module to reload
  enable-protocol             enable protocol specified in options with
                              iptables
  delete-transient-ports      delete transient (other_config:transient=true)
                              ports
  record-hostname-if-not-set  determine the system hostname and record it in
                              the Open vSwitch database if not already set
  help                        display this help message

One of the following options is required for "start", "restart" and "force-reload-kmod":
  --system-id=UUID   set specific ID to uniquely identify this system
  --system-id=random  use a random but persistent UUID to identify this system

Other important options for "start", "restart" and "force-reload-kmod":
  --system-type=TYPE  set system type (e.g. "KVM")
  --system-version=VERSION  set system version (e.g. "12")
  --external-id="key=value"
                     add given key-value pair to Open_vSwitch external-ids
  --delete-bridges   delete all bridges just before starting ovs-vswitchd
  --ovs-user="user[:group]"  pass the --user flag to ovs daemons

Less important options for "start", "restart" and "force-reload-kmod":
  --daemon-cwd=DIR               set working dir for OVS daemons (default: /)
  --no-force-corefiles           do not force on core dumps for OVS daemons
  --no-mlockall                  do not lock all of ovs-vswitchd into memory
  --ovsdb-server-priority=NICE   set ovsdb-server's niceness (default: -10)
  --ovsdb-server-options=OPTIONS additional options for ovsdb-server (example: '-vconsole:dbg -vfile:dbg')
  --ovs-vswitchd-priority=NICE   set ovs-vswitchd's niceness (default: -10)
  --ovs-vswitchd-options=OPTIONS additional options for ovs-vswitchd (example: '-vconsole:dbg -vfile:dbg')
  --no-full-hostname             set short hostname instead of full hostname
  --no-record-hostname           do not attempt to determine/record system
                                 hostname as part of start command

File location options:
  --db-file=FILE     database file name (default: @DATABASE@/conf.db)
  --db-sock=SOCKET   JSON-RPC socket name (default: @RUN@/db.sock)
  --db-schema=FILE   database schema file name (default: @DATA@/vswitch.ovsschema)

Options for "enable-protocol":
  --protocol=PROTOCOL  protocol to enable with iptables (default: gre)
  --sport=PORT       source port to match (for tcp or udp protocol)
  --dport=PORT       ddestination port to match (for tcp or udp protocol)

Other options:
  -h, --help                  display this help message
  -V, --version               display version information

Default directories with "configure" option and environment variable override:
  logs: @LOG@ (--with-logdir, OVS_LOGDIR)
  pidfiles and sockets: @RUN@ (--with-rundir, OVS_RUNDIR)
  conf.db: @DATABASE@ (--with-dbdir, OVS_DBDIR)
  system configuration: @CONFIGURATION@ (--sysconfdir, OVS_SYSCONFDIR)
  data files: @DATA@ (--pkgdatadir, OVS_PKGDATADIR)
  user binaries: /usr/bin (--bindir, OVS_BINDIR)
  system binaries: /usr/sbin (--sbindir, OVS_SBINDIR)
"""

# Options with a value and their defaults; "" stands for what depends on the directories.
VALUES: Final = {
    "system-id": "",
    "system-type": "",
    "system-version": "",
    "ovs-user": "",
    "daemon-cwd": "/",
    "ovsdb-server-priority": "-10",
    "ovsdb-server-options": "",
    "ovs-vswitchd-priority": "-10",
    "ovs-vswitchd-options": "",
    "ovsdb-server-wrapper": "",
    "ovs-vswitchd-wrapper": "",
    "db-file": "",
    "db-sock": "",
    "db-schema": "",
    "extra-dbs": "",
    "protocol": "gre",
    "sport": "",
    "dport": "",
}
# Options that are on or off, and their defaults; ``--no-name`` switches off.
SWITCHES: Final = {
    "ovsdb-server": True,
    "ovs-vswitchd": True,
    "delete-bridges": False,
    "delete-transient-ports": False,
    "force-corefiles": True,
    "mlockall": True,
    "monitor": True,
    "self-confinement": True,
    "full-hostname": True,
    "record-hostname": True,
}


class Settings(NamedTuple):
    """The options, read: values and switches by name, ``--external-id`` as given, and the directories."""

    program: str
    directories: Directories
    values: dict[str, str]
    switches: dict[str, bool]
    external_ids: tuple[str, ...]

    @property
    def database(self) -> str:
        return self.values["db-file"] or f"{self.directories.database}/conf.db"

    @property
    def socket(self) -> str:
        return self.values["db-sock"] or f"{self.directories.run}/db.sock"

    def configuration_file(self, name: str) -> str:
        return f"{self.directories.configuration}/openvswitch/{name}"


class CommandLine(NamedTuple):
    """`warnings` are lines about unknown options; `bad` is one after which nothing is done."""

    settings: Settings
    commands: tuple[str, ...]
    warnings: tuple[str, ...]
    bad: str = ""


def parse(program: str, argv: list[str], directories: Directories) -> CommandLine:
    """Reads the command line; never fails."""
    values, switches = dict(VALUES), dict(SWITCHES)
    external_ids: list[str] = []
    commands: list[str] = []
    warnings: list[str] = []
    bad = ""
    for word in argv:
        name, equals, value = word[2:].partition("=")
        if word in ("-h", "--help"):
            commands = ["help"]
            break
        if word in ("-V", "--version"):
            commands = ["--version"]
            break
        if not word.startswith("-"):
            commands.append(word)
        elif word.startswith("--external-id="):
            external_ids.append(value)
        elif word.startswith("--") and equals and name in values:
            values[name] = value
        elif word.startswith("--") and not equals and name in switches:
            switches[name] = True
        elif word.startswith("--no-") and not equals and name.removeprefix("no-") in switches:
            switches[name.removeprefix("no-")] = False
        else:
            warning = f'{program}: unknown option "{word}" (use --help for help)'
            if not word.startswith("--"):
                bad = warning
                break
            warnings.append(warning)
    settings = Settings(program, directories, values, switches, tuple(external_ids))
    return CommandLine(settings, tuple(commands), tuple(warnings), bad)


def help_text(program: str, directories: Directories) -> str:
    text = HELP.replace("@PROGRAM@", program).replace("@LOG@", directories.log)
    text = text.replace("@RUN@", directories.run).replace("@DATABASE@", directories.database)
    return text.replace("@CONFIGURATION@", directories.configuration).replace("@DATA@", directories.data)
