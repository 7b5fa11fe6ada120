"""ovs-ofctl: looks at OpenFlow switches and changes them (ovs-ofctl(8)).

This module knows options and commands; each family of commands is a module that is imported when one of its
commands runs, so that ``--version`` costs next to nothing.
"""

import sys
from typing import Final, NamedTuple

from trunkline.base.options import LOGGING, Found, Option, OptionError, option_listing, parse_options
from trunkline.io import standard_streams

PROGRAM: Final = "ovs-ofctl"
OPTIONS: Final = (  # in the original's order, which --option shows
    Option("timeout", "required", "t"),
    Option("strict"),
    Option("readd"),
    Option("flow-format", "required", "F"),
    Option("packet-in-format", "required", "P"),
    Option("more", short="m"),
    Option("timestamp"),
    Option("sort", "optional"),
    Option("rsort", "optional"),
    Option("names"),
    Option("no-names"),
    Option("stats"),
    Option("no-stats"),
    Option("unixctl", "required"),
    Option("help", short="h"),
    Option("option", short="o"),
    Option("bundle"),
    Option("color", "optional"),
    Option("may-create"),
    Option("read-only"),
    Option("detach"),
    Option("no-chdir"),
    Option("pidfile", "optional"),
    Option("overwrite-pidfile"),
    Option("monitor"),
    Option("user", "required"),
    Option("version", short="V"),
    Option("protocols", "required", "O"),
    *LOGGING,
    Option("private-key", "required", "p"),
    Option("certificate", "required", "c"),
    Option("ca-cert", "required", "C"),
    Option("ssl-protocols", "required"),
    Option("ssl-ciphers", "required"),
)
_NOT_YET_OPTIONS: Final = frozenset(["user"])


class Command(NamedTuple):
    """`module` and `function` carry it out with `least` to `most` arguments; --read-only refuses `writes`."""

    name: str
    least: int
    most: int
    module: str
    function: str
    writes: bool = False


_MANY: Final = 1 << 30
COMMANDS: Final = (
    Command("show", 1, 1, "inspect", "show"),
    Command("monitor", 1, 3, "monitor", "monitor"),
    Command("snoop", 1, 1, "monitor", "snoop"),
    Command("dump-desc", 1, 1, "inspect", "dump_description"),
    Command("dump-tables", 1, 1, "inspect", "dump_tables"),
    Command("dump-table-features", 1, 1, "tables", "dump_table_features"),
    Command("dump-table-desc", 1, 1, "tables", "dump_table_description"),
    Command("dump-flows", 1, 2, "flows", "dump_flows"),
    Command("dump-aggregate", 1, 2, "flows", "dump_aggregate"),
    Command("queue-stats", 1, 3, "inspect", "queue_stats"),
    Command("queue-get-config", 1, 3, "tables", "queue_get_config"),
    Command("add-flow", 2, 2, "flows", "add_flow", True),
    Command("add-flows", 2, 2, "flows", "add_flows", True),
    Command("mod-flows", 2, 2, "flows", "mod_flows", True),
    Command("del-flows", 1, 2, "flows", "del_flows", True),
    Command("replace-flows", 2, 2, "differ", "replace_flows", True),
    Command("diff-flows", 2, 2, "differ", "diff_flows"),
    Command("add-meter", 2, 2, "meters", "add_meter", True),
    Command("mod-meter", 2, 2, "meters", "mod_meter", True),
    Command("del-meter", 1, 2, "meters", "del_meters", True),
    Command("del-meters", 1, 1, "meters", "del_meters", True),
    Command("dump-meter", 2, 2, "meters", "dump_meters"),
    Command("dump-meters", 1, 2, "meters", "dump_meters"),
    Command("meter-stats", 1, 2, "meters", "meter_stats"),
    Command("meter-features", 1, 1, "meters", "meter_features"),
    Command("packet-out", 2, _MANY, "packets", "packet_out", True),
    Command("dump-ports", 1, 2, "inspect", "dump_ports"),
    Command("dump-ports-desc", 1, 2, "inspect", "dump_ports_description"),
    Command("mod-port", 3, 3, "modify", "mod_port", True),
    Command("mod-table", 3, 3, "tables", "mod_table", True),
    Command("get-frags", 1, 1, "modify", "get_frags"),
    Command("set-frags", 2, 2, "modify", "set_frags", True),
    Command("probe", 1, 1, "echo", "probe"),
    Command("ping", 1, 2, "echo", "ping"),
    Command("benchmark", 3, 3, "echo", "benchmark"),
    Command("dump-ipfix-bridge", 1, 1, "extensions", "dump_ipfix_bridge"),
    Command("dump-ipfix-flow", 1, 1, "extensions", "dump_ipfix_flow"),
    Command("ct-flush-zone", 2, 2, "extensions", "ct_flush_zone", True),
    Command("ct-flush", 1, 4, "extensions", "ct_flush", True),
    Command("ofp-parse", 1, 1, "offline", "ofp_parse"),
    Command("ofp-parse-pcap", 1, _MANY, "capture", "ofp_parse_pcap"),
    Command("add-group", 1, 2, "groups", "add_group", True),
    Command("add-groups", 1, 2, "groups", "add_groups", True),
    Command("mod-group", 1, 2, "groups", "mod_group", True),
    Command("del-groups", 1, 2, "groups", "del_groups", True),
    Command("insert-buckets", 1, 2, "groups", "insert_buckets", True),
    Command("remove-buckets", 1, 2, "groups", "remove_buckets", True),
    Command("dump-groups", 1, 2, "groups", "dump_groups"),
    Command("dump-group-stats", 1, 2, "groups", "dump_group_stats"),
    Command("dump-group-features", 1, 1, "groups", "dump_group_features"),
    Command("bundle", 2, 2, "bundles", "bundle", True),
    Command("add-tlv-map", 2, 2, "extensions", "add_tlv_map", True),
    Command("del-tlv-map", 1, 2, "extensions", "del_tlv_map", True),
    Command("dump-tlv-map", 1, 1, "extensions", "dump_tlv_map"),
    Command("help", 0, _MANY, "", "help"),
    Command("list-commands", 0, _MANY, "", "list-commands"),
    Command("parse-flow", 1, 1, "offline", "parse_flow"),
    Command("parse-flows", 1, 1, "offline", "parse_flows"),
    Command("parse-group", 1, 1, "offline", "parse_group"),
    Command("parse-nx-match", 0, 0, "lab", "parse_nx_match"),
    Command("parse-nxm", 0, 0, "lab", "parse_nxm"),
    Command("parse-oxm", 1, 1, "lab", "parse_oxm"),
    Command("parse-actions", 1, 1, "lab", "parse_actions"),
    Command("parse-instructions", 1, 1, "lab", "parse_instructions"),
    Command("parse-ofp10-match", 0, 0, "lab", "parse_ofp10_match"),
    Command("parse-ofp11-match", 0, 0, "lab", "parse_ofp11_match"),
    Command("parse-pcap", 1, _MANY, "frames", "parse_pcap"),
    Command("print-error", 1, 1, "offline", "print_error"),
    Command("encode-error-reply", 2, 2, "offline", "encode_error_reply"),
    Command("ofp-print", 1, 2, "offline", "ofp_print"),
    Command("encode-hello", 1, 1, "offline", "encode_hello"),
    Command("parse-key-value", 1, _MANY, "offline", "parse_key_value"),
    Command("compose-packet", 1, 2, "frames", "compose_packet"),
    Command("parse-packet", 0, 0, "frames", "parse_packet"),
)


class Failure(Exception):
    """The command cannot be carried out; the text follows ``ovs-ofctl: ``."""


def main() -> None:
    """Exit status 0, or 1 when something is wrong (2 where the manual says so)."""
    standard_streams.prepare()
    try:
        status = _run(sys.argv[1:])
        sys.stdout.flush()
    except (OptionError, Failure) as error:
        sys.stdout.flush()
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        status = 1
    except BrokenPipeError:
        status = 1
    sys.exit(status)


def _run(argv: list[str]) -> int:
    try:
        parsed = parse_options(argv, OPTIONS)
    except OptionError as error:
        if _answered(error.found):
            return 0
        if error.found:
            from trunkline.cli.ovs_ofctl.tool import take_options

            take_options(error.found)
        raise
    if _answered(parsed.options):
        return 0
    from trunkline.cli.ovs_ofctl.tool import make_tool

    tool = make_tool(parsed.options)
    if not parsed.arguments:
        raise Failure("missing command name; use --help for help")
    name, *arguments = parsed.arguments
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        raise Failure(f"unknown command '{name}'; use --help for help")
    if len(arguments) < command.least:
        raise Failure(f"'{name}' command requires at least {command.least} arguments")
    if len(arguments) > command.most:
        raise Failure(f"'{name}' command takes at most {command.most} arguments")
    if command.writes and tool.read_only:
        raise Failure(f"'{name}' command does not work in read only mode")
    if command.function == "help":
        sys.stdout.write(_help_text())
        return 0
    if command.function == "list-commands":
        from trunkline.cli.ovs_ofctl.help import ARGUMENTS

        lines = [f"  {command.name:<23} {ARGUMENTS.get(command.name, '')}\n" for command in COMMANDS]
        sys.stdout.write("The available commands are:\n" + "".join(lines))
        return 0
    if not command.module:
        raise Failure(f"{name}: not implemented yet")
    from importlib import import_module

    run = getattr(import_module(f"{__name__}.{command.module}"), command.function)
    from trunkline.cli.ovs_ofctl.tool import run_command

    return run_command(tool, run, arguments)


def _answered(options: Found) -> bool:
    """Whether an option asks for information, and has been answered; those before it are minded."""
    for place, (name, _) in enumerate(options):
        if name in _NOT_YET_OPTIONS:
            raise Failure(f"--{name}: not implemented yet")
        if name in ("help", "option", "version"):
            if place:
                from trunkline.cli.ovs_ofctl.tool import take_options

                take_options(options[:place])
            if name == "version":
                from trunkline.base.version import version_text

                sys.stdout.write(version_text(PROGRAM, "OpenFlow versions 0x1:0x6"))
            else:
                sys.stdout.write(_help_text() if name == "help" else option_listing(OPTIONS))
            return True
    return False


def seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 1 << 32:
        raise Failure(f"value {text} on -t or --timeout is invalid")
    return int(text)


def _help_text() -> str:
    from trunkline.cli.ovs_ofctl.help import HELP

    return HELP
