"""How every command starts: which modules it loads, and how many.

A tool is started thousands of times by scripts, so it must load no event loop, no netlink library and none of
the standard library's heavy modules before a command needs them.  What a start takes is measured in
bench/bench_start.py; a number of modules is the same on every machine, whatever else it does.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

HEAVY = (
    "asyncio",
    "dataclasses",
    "inspect",
    "argparse",
    "logging",
    "pyroute2",
    "rich",
    "subprocess",
    "random",
    "ssl",
)
# command: (module, arguments, modules that it may not load, how many it may load in all)
TOOLS: dict[str, tuple[str, list[str], Sequence[str], int]] = {
    "ovs-vsctl": ("trunkline.cli.ovs_vsctl", ["--version"], HEAVY, 100),
    "vtep-ctl": ("trunkline.cli.vtep_ctl", ["--version"], HEAVY, 90),
    "vtep-ctl, asking": ("trunkline.cli.vtep_ctl", ["--db=unix:/nosuch", "list-ps"], HEAVY, 155),
    "ovs-appctl": ("trunkline.cli.ovs_appctl", ["--version"], HEAVY, 90),
    "ovs-appctl, asking": ("trunkline.cli.ovs_appctl", ["-t", "/nosuch", "version"], HEAVY, 130),
    "ovs-ofctl": ("trunkline.cli.ovs_ofctl", ["--version"], HEAVY, 90),
    "ovs-dpctl": ("trunkline.cli.ovs_dpctl", ["--version"], HEAVY, 105),
    "ovsdb-client": ("trunkline.cli.ovsdb_client", ["--version"], HEAVY, 135),
    "ovsdb-tool": ("trunkline.cli.ovsdb_tool", ["--version"], HEAVY, 90),
    "trunkline": ("trunkline.cli.trunkline", ["--version"], HEAVY, 90),
    "ovs-ctl": ("trunkline.cli.ovs_ctl", ["--version"], ("asyncio", "pyroute2", "rich"), 135),
    "ovsdb-server": ("trunkline.daemons.ovsdb_server", ["--version"], ("rich",), 280),
    "ovs-testcontroller": ("trunkline.daemons.testcontroller", ["--version"], ("rich",), 290),
    "ovs-vswitchd": ("trunkline.daemons.vswitchd", ["--version"], ("rich",), 520),
}

SCRIPT = """
import atexit, importlib, json, os, sys
sys.argv[:] = [{name!r}, *{arguments!r}]
def report(): os.write(3, json.dumps(sorted(sys.modules)).encode())
atexit.register(report)
leave = os._exit
def exit_now(status):
    report()
    leave(status)
os._exit = exit_now
importlib.import_module({module!r}).main()
"""


def loaded(name: str, module: str, arguments: list[str]) -> list[str]:
    """The modules that a run of the command has loaded at its end."""
    reading, writing = os.pipe()
    code = f"import os; os.dup2({writing}, 3)\n" if writing != 3 else ""
    script = code + SCRIPT.format(name=name, module=module, arguments=arguments)
    subprocess.run(
        [sys.executable, "-c", script],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with open(reading) as pipe:
        names: list[str] = json.JSONDecoder().raw_decode(pipe.read())[0]
    return names


@pytest.mark.parametrize("tool", TOOLS)
def test_start(tool: str) -> None:
    module, arguments, forbidden, most = TOOLS[tool]
    names = loaded(tool.partition(",")[0], module, arguments)
    assert module in names
    assert not set(forbidden) & set(names)
    assert len(names) <= most, sorted(names)
