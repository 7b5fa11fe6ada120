"""Where every command begins: what an impatient Ctrl-C may interrupt is loaded only after it can end quietly.

Python turns SIGINT into an exception, which while modules are loaded nobody catches: its traceback would be
the answer.  The originals just end by the signal, and so does a command from here on, until it says otherwise
(io/alarm.py for the tools, the event loop for the daemons).  So this module imports next to nothing, and each
command imports what it is after that.  A signal that the command's parent chose to ignore stays ignored.

Who uses the tools as a library, and ``trunkline.testing``, do not come by here: their signals are theirs.
"""

import signal


def ovsdb_server() -> object:
    return _run("trunkline.daemons.ovsdb_server")


def ovs_vswitchd() -> object:
    return _run("trunkline.daemons.vswitchd")


def ovs_testcontroller() -> object:
    return _run("trunkline.daemons.testcontroller")


def ovsdb_client() -> object:
    return _run("trunkline.cli.ovsdb_client")


def ovsdb_tool() -> object:
    return _run("trunkline.cli.ovsdb_tool")


def ovs_vsctl() -> object:
    return _run("trunkline.cli.ovs_vsctl")


def vtep_ctl() -> object:
    return _run("trunkline.cli.vtep_ctl")


def ovs_ofctl() -> object:
    return _run("trunkline.cli.ovs_ofctl")


def ovs_appctl() -> object:
    return _run("trunkline.cli.ovs_appctl")


def ovs_dpctl() -> object:
    return _run("trunkline.cli.ovs_dpctl")


def ovs_ctl() -> object:
    return _run("trunkline.cli.ovs_ctl")


def trunkline() -> object:
    return _run("trunkline.cli.trunkline")


def _run(module: str) -> object:
    """The exit status, if the command does not exit by itself."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from importlib import import_module

    status: object = import_module(module).main()
    return status
