"""The trunkline command: sub-commands, systemd units, `up`."""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

import trunkline as package
from support.originals import environment
from trunkline.cli import trunkline
from trunkline.cli.trunkline import units


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert package.__version__ == metadata.version("trunkline")
    assert trunkline.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"trunkline {package.__version__} (")


def test_wrong_sub_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert trunkline.run(["nosuch"]) == 1
    assert trunkline.run([]) == 1
    assert capsys.readouterr().err.splitlines() == [
        'trunkline: unknown command "nosuch" (use --help for help)',
        "trunkline: missing command (use --help for help)",
    ]
    assert trunkline.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {command.name} " in text for command in trunkline.SUB_COMMANDS)


def test_units_are_written_enabled_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert units.main([f"--root={tmp_path}"]) == 0
    directory = tmp_path / "etc/systemd/system"
    link = directory / "multi-user.target.wants/openvswitch-switch.service"
    assert link.resolve() == directory / "openvswitch-switch.service"
    names = {path.name for path in directory.glob("*.service")}
    assert names == set(units.units(""))
    assert len(names) == 4
    wanted = directory / "openvswitch-switch.service.requires/ovs-record-hostname.service"
    assert wanted.resolve() == directory / "ovs-record-hostname.service"
    control = os.path.join(os.path.dirname(sys.executable), "ovs-ctl")
    assert f"ExecStart={control} --no-ovsdb-server " in (directory / "ovs-vswitchd.service").read_text()
    assert units.main([f"--root={tmp_path}", "--remove"]) == 0
    assert not [path for path in directory.rglob("*") if not path.is_dir()]
    assert units.main(["--nosuch"]) == 1
    assert units.main(["x"]) == 1
    assert units.main([f"--root={__file__}"]) == 1
    assert "Not a directory" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="NO systemd-analyze HERE")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for name, text in units.units("/bin/true").items():
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))]
    verified = subprocess.run(command, capture_output=True, text=True, timeout=60)
    mine = [line for line in verified.stderr.splitlines() if str(tmp_path) in line or "ovs" in line]
    assert (verified.returncode, mine) == (0, [])


def test_up_serves_until_it_is_told(short_directory: Path) -> None:
    variables = {**environment(short_directory), "OVS_SYSLOG_METHOD": "null"}
    bare = [sys.executable, "-m", "trunkline.cli.trunkline"]
    for ending in ("signal", "exit"):
        log = (short_directory / "out").open("w")
        process = subprocess.Popen([*bare, "up"], env=variables, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            pidfile = short_directory / "ovs-vswitchd.pid"
            asking = [sys.executable, "-m", "trunkline.cli.ovs_appctl", "-T5", "-t"]
            while subprocess.run([*bare, "status"], env=variables, capture_output=True).returncode:
                assert process.poll() is None, (short_directory / "out").read_text()
                assert time.monotonic() < deadline
            assert (
                pidfile.read_text()
                == (short_directory / "ovsdb-server.pid").read_text()
                == f"{process.pid}\n"
            )
            databases = [*asking, "ovsdb-server", "ovsdb-server/list-dbs"]
            listed = subprocess.run(databases, env=variables, capture_output=True, text=True)
            assert "Open_vSwitch" in listed.stdout.split()
            second = subprocess.run([*bare, "up"], env=variables, capture_output=True, text=True, timeout=30)
            assert second.returncode == 1
            assert f"already running as pid {process.pid}, aborting" in second.stderr
            if ending == "signal":
                process.send_signal(signal.SIGTERM)
            else:
                subprocess.run([*asking, "ovs-vswitchd", "exit"], env=variables, check=True)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
            log.close()
        left = {path.name for path in short_directory.iterdir()} - {"out"}
        assert left == {"conf.db", "openvswitch", ".conf.db.~lock~"} or left == {"conf.db", "openvswitch"}
