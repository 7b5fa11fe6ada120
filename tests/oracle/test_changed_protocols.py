"""Versions of OpenFlow that a bridge is no longer to speak: connections begin anew, as the original's do."""

import re
import socket
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Switch, fresh_pair
from support.waiting import until

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def hello(port: int, version: int) -> tuple[socket.socket, bytes]:
    """A controller that comes by itself, and what it is answered: a hello, or an error behind it."""
    came = until(lambda: _reach(port))
    came.settimeout(20)
    came.sendall(bytes((version, 0, 0, 8, 0, 0, 0, 1)))
    return came, came.recv(16)[1:2] + came.recv(100)[1:2] if version == 1 else came.recv(16)[1:2]


def _reach(port: int) -> socket.socket | None:
    try:
        return socket.create_connection(("127.0.0.1", port))
    except ConnectionRefusedError:
        return None


def course(switch: Switch) -> list[object]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    switch.vsctl("set-controller", "br0", f"ptcp:{port}:127.0.0.1")
    switch.vsctl("set", "bridge", "br0", "protocols=OpenFlow10,OpenFlow13")
    came, first = hello(port, 4)
    managing = switch.peer(4)
    seen: list[object] = [first]
    switch.vsctl("set", "bridge", "br0", "protocols=OpenFlow13,OpenFlow14")
    while more := came.recv(100):
        seen.append(more)
    seen.append(managing.receive())
    again, answer = hello(port, 4)
    seen.append(answer)
    for one in (came, again):
        one.close()
    managing.close()
    told = re.findall(r'br0: (Changes to controller) "ptcp:\d+:127.0.0.1" (expects .*)', switch.log())
    return [*seen, told[-1:]]


def test_connections_begin_anew(pair: Pair) -> None:
    theirs, ours = (course(switch) for switch in pair.both)
    assert ours == theirs
    assert b"" in theirs
