"""How every command starts: which modules it loads, and how much processor time that costs.

A tool is started thousands of times by scripts, so it must load no event loop, no netlink library and none of
the standard library's heavy modules before a command needs them.
"""

import json
import os
import resource
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
TOOL_SECONDS = 0.060  # of processor time beyond a bare interpreter
DAEMON_SECONDS = 0.600
BARE_SECONDS = 0.020  # of a bare interpreter on a machine that is not busy; slower ones get more

# command: (module, arguments, modules that it may not load, seconds)
TOOLS: dict[str, tuple[str, list[str], Sequence[str], float]] = {
    "ovs-vsctl": ("trunkline.cli.ovs_vsctl", ["--version"], HEAVY, TOOL_SECONDS),
    "vtep-ctl": ("trunkline.cli.vtep_ctl", ["--version"], HEAVY, TOOL_SECONDS),
    "vtep-ctl, asking": ("trunkline.cli.vtep_ctl", ["--db=unix:/nosuch", "list-ps"], HEAVY, TOOL_SECONDS),
    "ovs-appctl": ("trunkline.cli.ovs_appctl", ["--version"], HEAVY, TOOL_SECONDS),
    "ovs-appctl, asking": ("trunkline.cli.ovs_appctl", ["-t", "/nosuch", "version"], HEAVY, TOOL_SECONDS),
    "ovs-ofctl": ("trunkline.cli.ovs_ofctl", ["--version"], HEAVY, TOOL_SECONDS),
    "ovs-dpctl": ("trunkline.cli.ovs_dpctl", ["--version"], HEAVY, TOOL_SECONDS),
    "ovsdb-client": ("trunkline.cli.ovsdb_client", ["--version"], HEAVY, TOOL_SECONDS),
    "ovsdb-tool": ("trunkline.cli.ovsdb_tool", ["--version"], HEAVY, TOOL_SECONDS),
    "trunkline": ("trunkline.cli.trunkline", ["--version"], HEAVY, TOOL_SECONDS),
    "ovs-ctl": ("trunkline.cli.ovs_ctl", ["--version"], ("asyncio", "pyroute2", "rich"), 0.120),
    "ovsdb-server": ("trunkline.daemons.ovsdb_server", ["--version"], ("rich",), DAEMON_SECONDS),
    "ovs-testcontroller": ("trunkline.daemons.testcontroller", ["--version"], ("rich",), DAEMON_SECONDS),
    "ovs-vswitchd": ("trunkline.daemons.vswitchd", ["--version"], ("rich",), DAEMON_SECONDS),
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


def processor_seconds(command: list[str]) -> float:
    """The least of some runs."""
    best = 1e9
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


@pytest.mark.parametrize("tool", TOOLS)
def test_start(tool: str) -> None:
    module, arguments, forbidden, seconds = TOOLS[tool]
    names = loaded(tool.partition(",")[0], module, arguments)
    assert module in names
    assert not set(forbidden) & set(names)
    code = f"import sys; sys.argv[:] = ['x', *{arguments!r}]; import {module} as m; m.main()"
    bare = processor_seconds([sys.executable, "-c", "pass"])
    cost = processor_seconds([sys.executable, "-c", code]) - bare
    assert cost < seconds * max(1.0, bare / BARE_SECONDS)
