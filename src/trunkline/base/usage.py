"""The parts that the ``--help`` of many programs share, each as the original prints it.

A program puts its own head before them and its ``Other options:`` after, as ovs-vswitchd does with
``head + streams("DATABASE", passive=False) + daemon(...) + logging(...) + tail``.
"""

from typing import Final

_SSL: Final = """\
PKI configuration (required to use SSL):
  -p, --private-key=FILE  file with private key
  -c, --certificate=FILE  file with certificate for private key
  -C, --ca-cert=FILE      file with peer CA certificate
"""
_BOOTSTRAP: Final = "  --bootstrap-ca-cert=FILE  file with peer CA certificate to read or create\n"
_SSL_OPTIONS: Final = """\
SSL options:
  --ssl-protocols=PROTOS  list of SSL protocols to enable
  --ssl-ciphers=CIPHERS   list of SSL ciphers to enable
"""


def streams(name: str, *, active: bool = True, passive: bool = True, bootstrap: bool = True) -> str:
    """What may stand for `name` ("database", "DATABASE", "JSON-RPC"), and the options of TLS."""
    text = ""
    if active:
        text += (
            f"\nActive {name} connection methods:\n"
            "  tcp:HOST:PORT           PORT at remote HOST\n"
            "  ssl:HOST:PORT           SSL PORT at remote HOST\n"
            "  unix:FILE               Unix domain socket named FILE\n"
        )
    if passive:
        text += (
            ("" if active else "\n") + f"Passive {name} connection methods:\n"
            "  ptcp:PORT[:IP]          listen to TCP PORT on IP\n"
            "  pssl:PORT[:IP]          listen for SSL on PORT on IP\n"
            "  punix:FILE              listen on Unix domain socket FILE\n"
        )
    return text + _SSL + (_BOOTSTRAP if bootstrap else "") + _SSL_OPTIONS


def openflow_streams() -> str:
    """As `streams`, for OpenFlow, where a port may be left out."""
    return (
        "\nActive OpenFlow connection methods:\n"
        "  tcp:HOST[:PORT]         PORT (default: 6653) at remote HOST\n"
        "  ssl:HOST[:PORT]         SSL PORT (default: 6653) at remote HOST\n"
        "  unix:FILE               Unix domain socket named FILE\n"
        "Passive OpenFlow connection methods:\n"
        "  ptcp:[PORT][:IP]        listen to TCP PORT (default: 6653) on IP\n"
        "  pssl:[PORT][:IP]        listen for SSL on PORT (default: 6653) on IP\n"
        "  punix:FILE              listen on Unix domain socket FILE\n" + _SSL
    )


def daemon(program: str, run_directory: str) -> str:
    return f"""
Daemon options:
  --detach                run in background as daemon
  --monitor               creates a process to monitor this daemon
  --user=username[:group] changes the effective daemon user:group
  --no-chdir              do not chdir to '/'
  --pidfile[=FILE]        create pidfile (default: {run_directory}/{program}.pid)
  --overwrite-pidfile     with --pidfile, start even if already running
"""


def logging(program: str, log_directory: str) -> str:
    return f"""
Logging options:
  -vSPEC, --verbose=SPEC   set logging levels
  -v, --verbose            set maximum verbosity level
  --log-file[=FILE]        enable logging to specified FILE
                           (default: {log_directory}/{program}.log)
  --syslog-method=(libc|unix:file|udp:ip:port)
                           specify how to send messages to syslog daemon
  --syslog-target=HOST:PORT  also send syslog msgs to HOST:PORT via UDP
"""
