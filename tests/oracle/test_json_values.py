"""JSON values: what the original server makes of a text, seen in what its `echo` prints, and where it stops.

One connection to each server, many texts: numbers in every spelling, strings with every escape, bytes that
are no UTF-8, names that come twice, messages cut anywhere.
"""

# ruff: noqa: E501

import json
import random
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.database_servers import ORIGINAL, OURS, Client, Running

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not Path(ORIGINAL).exists(), reason="the original is not installed"),
]


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Running, Running]]:
    servers = (Running(OURS), Running(ORIGINAL))
    yield servers
    for server in servers:
        server.remove()


class Raw:
    """Bytes in, bytes out."""

    def __init__(self, server: Running) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(f"{server.directory}/db.sock")
        self.buffer = b""

    def echo(self, text: bytes) -> bytes:
        """What the server prints of the JSON value `text`; b"closed" when it ends the connection."""
        try:
            self.socket.sendall(b'{"method":"echo","params":[' + text + b',"END"],"id":"i"}')
            while b',"END"]' not in self.buffer:
                data = self.socket.recv(1 << 16)
                if not data:
                    return b"closed"
                self.buffer += data
        except ConnectionError:
            return b"closed"
        whole = self._whole()
        match = re.search(rb'"result":\[(.*),"END"\]', whole, re.DOTALL)
        assert match is not None, whole
        return match.group(1)

    def transact(self, *operations: bytes) -> bytes:
        """The reply, without uuids."""
        parameters = b",".join((b'"Open_vSwitch"', *operations))
        self.socket.sendall(b'{"method":"transact","params":[' + parameters + b'],"id":"i"}')
        while b'"id":"i"' not in self.buffer:
            data = self.socket.recv(1 << 16)
            assert data, "the server has closed the connection"
            self.buffer += data
        return re.sub(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"UUID", self._whole())

    def _whole(self) -> bytes:
        while not self.buffer.endswith(b"}"):
            self.buffer += self.socket.recv(1 << 16)
        whole, self.buffer = self.buffer, b""
        return whole


def number(draw: random.Random) -> str:
    """A number in one of the spellings that JSON allows."""
    whole = draw.choice(
        ["0", str(draw.randrange(1, 100)), str(draw.randrange(1, 10 ** draw.randrange(1, 25)))]
    )
    fraction = draw.choice(["", "", ".0", ".000", f".{draw.randrange(10**6)}", f".{draw.randrange(10**20)}"])
    exponent = draw.choice(
        [
            "",
            "",
            "e0",
            "e3",
            "E+2",
            "e-1",
            "e-3",
            f"e{draw.randrange(30)}",
            f"e-{draw.randrange(330)}",
            "e300",
        ]
    )
    return draw.choice(["", "-"]) + whole + fraction + exponent


NUMBERS = (
    "-0", "-0.0", "0e5", "1.0", "1e3", "15e-1", "10e-1", "1e18", "1e19", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "9223372036854775807.0",
    "1e-307", "2.2250738585072014e-308", "1.7976931348623157e308", "0.1", "1e15", "1e16", "123456789012345678.5",
    "0.30000000000000004", "1e100", "100000000000000000000e-20", "0.00000000000000000001e20",
)  # fmt: skip


def test_numbers(both: tuple[Running, Running]) -> None:
    draw = random.Random(4)
    texts = [*NUMBERS, *(number(draw) for _ in range(1500))]
    ours, original = Raw(both[0]), Raw(both[1])
    different = []
    for text in texts:
        found = [ours.echo(text.encode()), original.echo(text.encode())]
        if found[0] != found[1]:
            different.append((text, *found))
        if found[0] == b"closed":  # not a number that has a value: both say so, and end
            ours, original = Raw(both[0]), Raw(both[1])
    assert not different


def string(draw: random.Random) -> bytes:
    parts = []
    for _ in range(draw.randrange(6)):
        parts.append(
            draw.choice(
                [
                    b"a", b"Z~ ", b"/", b"\\/", b'\\"', b"\\\\", b"\\b\\f\\n\\r\\t", b"\\u0041", b"\\u00e9", b"\\u20AC",
                    b"\\uD83D\\uDE00", b"\\udc00", b"\\uffff", "é€😀".encode(), b"\x7f", b"\\\\ud800", b"\\u001f",
                    b"\xff", b"\xc3", b"\xed\xa0\x80", b"\\\\u0000",
                ]
            )
        )  # fmt: skip
    return b'"' + b"".join(parts) + b'"'


def test_strings(both: tuple[Running, Running]) -> None:
    draw = random.Random(5)
    ours, original = Raw(both[0]), Raw(both[1])
    texts = [string(draw) for _ in range(800)]
    different = [(text, ours.echo(text), original.echo(text)) for text in texts]
    assert not [one for one in different if one[1] != one[2]]


NAMES = (
    b'{"a":1,"a":2}', b'{"a":1,"b":2,"a":3}', b'{"b":1,"a":2}', b'{"":0}', b'{"\\u0061":1,"a":2}',
    b'{"10":1,"9":2,"a":3}', b'{"a":{"z":1,"y":2},"A":[]}', b"{}", b"[[],{},[{}]]", b'{"\xff":1}',
    b'{"a":null,"b":true,"c":false}', b"[ 1 , 2\n,\t3 ]",
)  # fmt: skip


def test_names_and_containers(both: tuple[Running, Running]) -> None:
    def members(text: bytes) -> object:
        return json.loads(text.decode("latin-1")) if text != b"closed" else text

    ours, original = Raw(both[0]), Raw(both[1])
    different = [(text, ours.echo(text), original.echo(text)) for text in NAMES]
    # The original prints members in the order of a hash; which there are, and with which values, counts.
    assert not [one for one in different if members(one[1]) != members(one[2])]


@pytest.mark.parametrize("depth", [100, 900, 995, 998])
def test_depth(both: tuple[Running, Running], depth: int) -> None:
    """Messages that nest deeply are answered as deeply, up to the depth that both refuse."""
    text = b"[" * depth + b"]" * depth
    found = [Raw(server).echo(text) for server in both]
    assert found[0] == found[1] == text
    deeper = b"[" * 999 + b"]" * 999
    assert [Raw(server).echo(deeper) for server in both] == [b"closed", b"closed"]
    query = b'{"op":"select","table":"Bridge","where":' + text[1:-1] + b"}"
    for server in both:
        client = Raw(server)
        client.socket.sendall(
            b'{"id":1,"method":"transact","params":["Open_vSwitch",' + query + b"]}"
            b'{"id":2,"method":"echo","params":["after"]}'
        )
        data = b""
        while b'["after"]' not in data:
            more = client.socket.recv(1 << 20)
            assert more, "closed"
            data += more
        assert b'"syntax error"' in data


GARBAGE = (
    b"\x00", b"hello", b"12 ", b'"abc"', b"[1,]", b"{,}", b'{"a" 1}', b'{"method":"echo"\xff}', b"]", b"}", b"[01]",
    b'{"method":"echo","params":["\x01"],"id":1}', b'{"a":"\\u0000"}', b'{"a":"\\ud800"}', b'{"a":"\\ud800\\u0041"}',
    b"[1e999]", b"[1e-400]", b"[" * 1001, b'{"a":' * 1001, b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\n\r\n",
    b"[nul]", b"[truefalse]", b"[--1]", b"{1:2}", b"[1 2]", b"\xef\xbb\xbf[]", b"[]", b"[1,2]", b"{}", b'{"id":1}',
    b'{"method":7,"params":[],"id":1}', b'{"method":"echo","params":{},"id":1}', b'{"id":1,"result":{},"error":null}',
    b'{"method":"echo","params":[],"id":1,"more":2}',
)  # fmt: skip


def test_garbage_ends_the_connection_with_the_same_words(both: tuple[Running, Running]) -> None:
    """Whole and byte by byte; the server goes on, and says the same about it.

    On a busy machine a server may meet the end of a connection before it has read all of it, so what is said
    is gathered over some rounds.
    """
    said: tuple[set[str], set[str]] = set(), set()
    for server in both:
        assert server.control("vlog/disable-rate-limit")[0] == 0
    for rounds in range(1, 6):
        for server, lines in zip(both, said, strict=True):
            _send_garbage(server)
            lines |= _warnings(server, "invalid character '!'", rounds)
        if said[0] == said[1]:
            break
    assert said[0] == said[1]
    assert len(said[0]) > 30


def _send_garbage(server: Running) -> None:
    waiting = Client(server)
    for text in (b"?", *GARBAGE, b"!"):
        for step in (len(text), 1):
            client = Raw(server)
            try:
                for at in range(0, len(text), step):
                    client.socket.sendall(text[at : at + step])
                client.socket.shutdown(socket.SHUT_WR)
                while client.socket.recv(1 << 16):
                    pass
            except ConnectionError:
                pass
            client.socket.close()
    assert waiting.call("echo", ["still there"])[-1]["result"] == ["still there"]
    waiting.close()


def _warnings(server: Running, last: str, rounds: int) -> set[str]:
    """What was logged about streams from the first mark to the last of so many rounds, without connections'
    numbers."""
    deadline = time.monotonic() + 10
    while True:
        lines = Path(server.directory, "log").read_text().splitlines()
        lines = [re.sub(r"^[^|]*\|[^|]*\||#\d+", "", line) for line in lines if "jsonrpc" in line]
        lines = [line for line in lines if "WARN" in line and "Dropped" not in line]
        # Where the original meets these depends on how the bytes come in.
        lines = [re.sub(r"line.*byte \d+: ('-' must)", r"\1", line) for line in lines]
        if sum(last in line for line in lines) == 2 * rounds:
            return set(lines[next(at for at, line in enumerate(lines) if "'?'" in line) :])
        assert time.monotonic() < deadline
        time.sleep(0.02)


NO_UTF8 = (
    b"\xff", b"\xfe\xff", b"a\x80b", b"\xc0\x80", b"\xc3", b"\xc3(", b"\xe0\x80\x80", b"\xe2\x82", b"\xe2\x28\xa1",
    b"\xed\xa0\x80", b"\xf0\x80\x80\x80", b"\xf0\x90\x8c", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\\udd1e", b"a\\udc80",
    "good é € 😀".encode(), b"\\ud834\\udd1e",
)  # fmt: skip
PLACES = (
    b'{"op":"insert","table":"SSL","row":{"private_key":"@"}}',
    b'{"op":"insert","table":"Manager","row":{"target":"@","external_ids":["map",[["@","x"]]]}}',
    b'{"op":"insert","table":"Manager","row":{"external_ids":["map",[["x","@"]]]}}',
    b'{"op":"update","table":"Open_vSwitch","where":[],"row":{"iface_types":["set",["a","@"]]}}',
    b'{"op":"mutate","table":"Open_vSwitch","where":[],"mutations":[["iface_types","insert","@"]]}',
    b'{"op":"select","table":"Bridge","where":[["name","==","@"]]}',
    b'{"op":"wait","table":"Bridge","timeout":0,"where":[],"columns":["name"],"until":"==","rows":[{"name":"@"}]}',
    b'{"op":"comment","comment":"@"}',
)


def test_strings_that_are_no_utf8_are_kept_out(both: tuple[Running, Running]) -> None:
    """They would be in the way of every other reader of the file, and of every client."""
    ours, original = Raw(both[0]), Raw(both[1])
    for place in PLACES:
        for text in NO_UTF8:
            operation = place.replace(b"@", text)
            answers = [
                json.loads(side.transact(operation, b'{"op":"abort"}').decode("latin-1"))
                for side in (ours, original)
            ]
            assert answers[0] == answers[1], operation
