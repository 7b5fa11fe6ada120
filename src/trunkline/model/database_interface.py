"""What the original's ovsdb-server, ovsdb-client and ovsdb-tool offer, and what becomes of it in ours: every
method of the protocol, every control command, every option and every command of the tools.

The page docs/reference/database-interface.md is made of this table; tests/oracle/test_database_interface.py
holds it to the originals' manual pages, ``--help`` and ``list-commands``, and to our programs.
"""

from enum import Enum
from typing import Final, NamedTuple


class State(Enum):
    WORKS = "works"
    DIFFERS = "works, differs"
    REFUSED = "refused"


class Kind(Enum):
    METHOD = "Methods and notifications of the protocol"
    CONTROL = "Control commands"
    OPTION = "Options"
    COMMAND = "Commands"


class Entry(NamedTuple):
    """`names` are separated by blanks.  A `note` says what differs, or what to do instead."""

    program: str
    kind: Kind
    names: str
    state: State = State.WORKS
    note: str = ""


_SERVER, _CLIENT, _TOOL = "ovsdb-server", "ovsdb-client", "ovsdb-tool"
_CLUSTER: Final = "clustered databases are not there; `ovsdb-tool` recognizes their files"
_WINDOWS: Final = "for Windows only, unknown to the original on Linux as well"
_LOG: Final = "--verbose --log-file --syslog-method --syslog-target"
_TLS: Final = "--private-key --certificate --ca-cert --bootstrap-ca-cert --ssl-protocols --ssl-ciphers"
_DAEMON: Final = "--detach --monitor --no-chdir --pidfile --overwrite-pidfile --user"
_CONFINED: Final = "nothing is confined, so there is nothing to lift"

ENTRIES: Final = (
    Entry(_SERVER, Kind.METHOD, "list_dbs get_schema transact monitor monitor_cancel lock steal unlock echo"),
    Entry(_SERVER, Kind.METHOD, "update locked stolen"),
    Entry(_SERVER, Kind.METHOD, "cancel", State.DIFFERS,
          "answered with the error \"canceled\" (RFC 7047, 4.1.4); the original sends nothing"),
    Entry(_SERVER, Kind.METHOD, "monitor_cond monitor_cond_change update2 update3 monitor_canceled"),
    Entry(_SERVER, Kind.METHOD, "monitor_cond_since", State.DIFFERS,
          "finds transactions of standalone databases, too; the original those of clustered ones only"),
    Entry(_SERVER, Kind.METHOD, "get_server_id set_db_change_aware convert"),

    Entry(_SERVER, Kind.CONTROL, "exit list-commands version memory/show coverage/show vlog/list"),
    Entry(_SERVER, Kind.CONTROL, "vlog/set vlog/list-pattern vlog/close vlog/reopen"),
    Entry(_SERVER, Kind.CONTROL, "vlog/disable-rate-limit vlog/enable-rate-limit"),
    Entry(_SERVER, Kind.CONTROL, "coverage/read-counter", State.DIFFERS,
          "counts events of ours that the original has, too (locks, sockets opened, control commands)"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/add-db ovsdb-server/remove-db ovsdb-server/list-dbs"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/add-remote ovsdb-server/remove-remote"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/list-remotes ovsdb-server/reconnect"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/compact", State.DIFFERS,
          "goes on in small steps while requests are answered; refused for a relay (the original crashes)"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/memory-trim-on-compaction ovsdb-server/disable-monitor-cond"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/perf-counters-show ovsdb-server/perf-counters-clear",
          State.WORKS, "both say what the original says where the machine has no such counters"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/get-db-storage-status"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/tlog-set ovsdb-server/tlog-list"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/set-active-ovsdb-server ovsdb-server/get-active-ovsdb-server"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/set-active-ovsdb-server-probe-interval"),
    Entry(_SERVER, Kind.CONTROL,
          "ovsdb-server/connect-active-ovsdb-server ovsdb-server/disconnect-active-ovsdb-server",
          State.DIFFERS, "close the clients' connections as the manual page says; the original's stay"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/set-sync-exclude-tables", State.DIFFERS,
          "a backup copies anew at once"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/get-sync-exclude-tables"),
    Entry(_SERVER, Kind.CONTROL, "ovsdb-server/sync-status", State.DIFFERS,
          "says `connecting` as soon as the connection is lost"),
    Entry(_SERVER, Kind.CONTROL,
          "cluster/cid cluster/sid cluster/status cluster/leave cluster/kick cluster/change-election-timer "
          "cluster/set-backlog-threshold", State.REFUSED,
          "not valid commands, as with the original while no clustered database is open; " + _CLUSTER),

    Entry(_SERVER, Kind.OPTION, "--remote --run --unixctl --help --version"),
    Entry(_SERVER, Kind.OPTION, "--sync-from --sync-exclude-tables --active --disable-file-column-diff"),
    Entry(_SERVER, Kind.OPTION, f"{_DAEMON} {_LOG} {_TLS} --peer-ca-cert"),
    Entry(_SERVER, Kind.OPTION, "--no-self-confinement", State.DIFFERS, _CONFINED),
    Entry(_SERVER, Kind.OPTION, "--record --replay", State.DIFFERS,
          "a replay ends where the recording does; who can replay what: docs/design/recordings.md"),
    Entry(_SERVER, Kind.OPTION, "--service --service-monitor", State.REFUSED, _WINDOWS),
    Entry(_SERVER, Kind.OPTION, "--cid --force", State.REFUSED, "named in the manual page, of other programs"),

    Entry(_CLIENT, Kind.COMMAND, "list-dbs get-schema get-schema-version get-schema-cksum"),
    Entry(_CLIENT, Kind.COMMAND, "list-tables list-columns", State.DIFFERS, "sorted by name"),
    Entry(_CLIENT, Kind.COMMAND, "transact query convert needs-conversion dump backup restore"),
    Entry(_CLIENT, Kind.COMMAND, "monitor monitor-cond monitor-cond-since lock steal unlock wait help"),
    Entry(_CLIENT, Kind.OPTION, "--format --data --no-headings --pretty --bare --max-column-width"),
    Entry(_CLIENT, Kind.OPTION, "--timestamp --timeout --force --leader-only --no-leader-only --help --version"),
    Entry(_CLIENT, Kind.OPTION, "--db-change-aware --no-db-change-aware"),
    Entry(_CLIENT, Kind.OPTION, f"{_DAEMON} {_LOG} {_TLS}"),
    Entry(_CLIENT, Kind.OPTION, "--no-self-confinement", State.DIFFERS, _CONFINED),
    Entry(_CLIENT, Kind.OPTION, "--record --replay", State.DIFFERS,
          "not of passive targets; a replay ends where the recording does"),

    Entry(_TOOL, Kind.COMMAND, "create compact convert needs-conversion query transact show-log"),
    Entry(_TOOL, Kind.COMMAND, "db-name db-version db-cksum schema-name schema-version schema-cksum"),
    Entry(_TOOL, Kind.COMMAND, "compare-versions db-is-clustered db-is-standalone help list-commands"),
    Entry(_TOOL, Kind.COMMAND, "db-cid db-sid db-local-address", State.WORKS, "of clustered files"),
    Entry(_TOOL, Kind.COMMAND, "create-cluster join-cluster check-cluster cluster-to-standalone",
          State.REFUSED, "clustered databases are not there"),
    Entry(_TOOL, Kind.OPTION, "--verbose --more --rbac-role --help --version --option"),
    Entry(_TOOL, Kind.OPTION, "--log-file --syslog-method --syslog-target", State.REFUSED,
          "as by the original, whose help names them"),
    Entry(_TOOL, Kind.OPTION, "--cid --election-timer", State.REFUSED,
          "belong to commands for clustered databases, which are refused"),
    Entry(_TOOL, Kind.OPTION, "--detach", State.REFUSED, "named in the manual page, of other programs"),
)  # fmt: skip
