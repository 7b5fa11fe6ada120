"""What a switch logs while its database is not there, and when it goes away: as the original does."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from support.database_servers import BIN

pytestmark = pytest.mark.oracle
LINE = re.compile(r"\|reconnect\|(.*)")
LAST = "continuing to reconnect in the background"


def told(program: Path, place: str, directory: Path) -> "subprocess.Popen[str]":
    variables = {**os.environ, "OVS_LOGDIR": str(directory), "OVS_RUNDIR": str(directory)}
    words = [program, f"unix:{place}", f"--unixctl={directory}/ctl"]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=variables)


def lines(process: "subprocess.Popen[str]", place: str, last: str) -> list[str]:
    """Of the connection, up to the line that has `last`; the time limit of the test is the deadline."""
    assert process.stderr is not None
    found = []
    for line in process.stderr:
        told = LINE.search(line)
        if told is not None:
            found.append(told[1].replace(place, "PLACE"))
            if last in line:
                break
    return found


def end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    assert process.stderr is not None
    process.stderr.close()
    process.wait(60)


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    processes = []
    found = []
    for name, program in (("o", Path("/usr/sbin/ovs-vswitchd")), ("u", BIN / "ovs-vswitchd")):
        (tmp_path / name).mkdir()
        processes.append((told(program, f"{tmp_path}/{name}/s", tmp_path / name), f"{tmp_path}/{name}/s"))
    for process, place in processes:
        found.append(lines(process, place, LAST))
        end(process)
    assert found[0] == found[1]
    assert sum("waiting" in line for line in found[0]) == 2


def test_a_database_that_closes_the_connection(tmp_path: Path) -> None:
    """The peer reads what it was sent, so that the connection ends in peace."""
    found = []
    for name, program in (("o", Path("/usr/sbin/ovs-vswitchd")), ("u", BIN / "ovs-vswitchd")):
        (tmp_path / name).mkdir()
        place = f"{tmp_path}/{name}/s"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(place)
            listener.listen()
            process = told(program, place, tmp_path / name)
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 20)
                connection.shutdown(socket.SHUT_WR)
                found.append(lines(process, place, "closed by peer"))
            end(process)
    assert found[0] == found[1]
