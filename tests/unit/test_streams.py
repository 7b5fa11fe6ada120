"""Streams over sockets, TLS and memory behave alike; time can be held, moved and jumped."""

import asyncio
import gc
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from trunkline.base.clock import ManualClock
from trunkline.base.counters import Counters
from trunkline.base.log import Log
from trunkline.daemons.env import embedded
from trunkline.io import blocking
from trunkline.io.loop import Collector, Loop, LoopClock, run
from trunkline.io.memory import MemoryNetwork
from trunkline.io.streams import Sockets, Stream
from trunkline.io.tls import TlsFiles
from trunkline.io.unixctl import ControlServer

METHODS = ["punix:s", "ptcp:0:127.0.0.1", "ptcp:0:[::1]", "memory punix:s", "memory ptcp:0:127.0.0.1"]


def quiet_log() -> Log:
    return Log("test", ManualClock())


@asynccontextmanager
async def connected(kind: str, directory: Path) -> AsyncIterator[tuple[Stream, Stream]]:
    """(dialled, accepted)"""
    words = kind.split()
    network: Sockets | MemoryNetwork = Sockets(quiet_log(), str(directory))
    if len(words) > 1:
        network = MemoryNetwork(str(directory))
    accepted: asyncio.Queue[Stream] = asyncio.Queue()
    listener = await network.listen(words[-1], accepted.put_nowait)
    method, _, rest = listener.target.partition(":")
    target = f"{method[1:]}:{rest}"
    if method == "ptcp":
        port, _, host = rest.partition(":")
        target = f"tcp:{host}:{port}"
    dialled = await network.dial(target)
    assert dialled.name == target
    other = await accepted.get()
    assert other.name.startswith(("unix#0", "tcp:127.0.0.1:", "tcp:[::1]:"))
    try:
        yield dialled, other
    finally:
        listener.close()
        dialled.close()
        other.close()
        with pytest.raises(OSError):
            await network.dial(target)


@pytest.mark.parametrize("kind", METHODS)
def test_bytes_both_ways(kind: str, short_directory: Path) -> None:
    async def scenario() -> None:
        async with connected(kind, short_directory) as (one, other):
            one.write(b"hello")
            assert await other.read() == b"hello"
            other.write(b"ab" * 3)
            assert await one.read(4) == b"abab"
            assert await one.read() == b"ab"
            received: list[bytes] = []
            other.receive(received.append)
            one.write(b"x" * 1_000_000)
            await one.drain()
            one.close()
            while not received or received[-1]:
                await asyncio.sleep(0.001)
            assert b"".join(received) == b"x" * 1_000_000

    run(scenario())


@pytest.mark.parametrize("kind", METHODS)
def test_a_reader_that_does_not_read_holds_the_writer_back(kind: str, short_directory: Path) -> None:
    async def scenario() -> None:
        async with connected(kind, short_directory) as (one, other):
            for _ in range(200):
                one.write(b"y" * 100_000)
            waiting = asyncio.ensure_future(one.drain())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert one.backlog > 1_000_000
            total = 0
            while total < 20_000_000:
                total += len(await other.read(1 << 20))
            await asyncio.wait_for(waiting, 5)
            assert one.backlog == 0
            other.close()
            assert await one.read() == b""

    run(scenario())


@pytest.mark.parametrize("kind", METHODS)
def test_who_waits_for_all_to_be_sent_is_told_once(kind: str, short_directory: Path) -> None:
    """With nothing queued, with something, also if the stream is written to meanwhile, and at the end."""

    async def scenario() -> None:
        async with connected(kind, short_directory) as (one, other):
            told: list[str] = []
            one.when_sent(lambda: told.append("at once"))
            while not told:
                await asyncio.sleep(0)
            one.write(b"y" * 20_000_000)  # more than lies in sockets
            assert one.backlog
            for name in ("a", "b"):
                one.when_sent(lambda name=name: told.append(f"{name} {one.backlog}"))  # type: ignore[misc]
            one.write(b"y" * 3_000_000)
            assert told == ["at once"]
            total = 0
            while total < 23_000_000:
                total += len(await other.read(1 << 20))
            while len(told) < 3:
                await asyncio.sleep(0.001)
            assert told == ["at once", "a 0", "b 0"]
            one.write(b"y" * 20_000_000)
            one.when_sent(lambda: told.append("gone"))
            other.abort()
            while len(told) < 4:
                await asyncio.sleep(0.001)
            assert told[-1] == "gone"

    run(scenario())


def test_errors_of_dialling(short_directory: Path) -> None:
    async def scenario() -> None:
        log = quiet_log()
        lines: list[str] = []
        log.attach("console", lambda level, line: lines.append(line.split("|", 2)[2]))
        sockets = Sockets(log, str(short_directory))
        for target, text in [
            ("foo:bar", "Address family not supported by protocol"),
            ("tcp:127.0.0.1:x", "Address family not supported by protocol"),
            ("unix:nosuch", "No such file or directory"),
        ]:
            with pytest.raises(OSError, match=text):
                await sockets.dial(target)
            with pytest.raises(OSError, match=text):
                blocking.dial(target, directory=str(short_directory))
        with pytest.raises(OSError, match="No such file"):
            await sockets.listen("punix:/nosuch/x", lambda stream: None)
        with pytest.raises(OSError, match="not available"):
            await sockets.dial("ssl:127.0.0.1:1")
        assert lines == [
            'socket_util|ERR|127.0.0.1:x: bad port number "x"',
            "stream_tcp|ERR|tcp:127.0.0.1:x: connect: Address family not supported by protocol",
            'fatal_signal|WARN|could not unlink "/nosuch/x" (No such file or directory)',
            "stream_unix|ERR|/nosuch/x: binding failed: No such file or directory",
            "stream_ssl|ERR|Private key must be configured to use SSL",
            "stream_ssl|ERR|Certificate must be configured to use SSL",
            "stream_ssl|ERR|CA certificate must be configured to use SSL",
        ]

    run(scenario())


def certificates(directory: Path) -> TlsFiles:
    key, certificate = directory / "key.pem", directory / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=test", "-days", "2"]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return TlsFiles(str(key), str(certificate), str(certificate))


def test_tls(short_directory: Path) -> None:
    files = certificates(short_directory)

    async def scenario() -> None:
        sockets = Sockets(quiet_log(), "", files)
        accepted: asyncio.Queue[Stream] = asyncio.Queue()
        listener = await sockets.listen("pssl:0:127.0.0.1", accepted.put_nowait)
        port = listener.target.split(":")[1]
        one = await sockets.dial(f"ssl:127.0.0.1:{port}")
        other = await accepted.get()
        assert other.name.startswith("ssl:127.0.0.1:")
        one.write(b"secret")
        assert await other.read() == b"secret"
        stream = await asyncio.to_thread(blocking.dial, f"ssl:127.0.0.1:{port}", tls=files)
        stream.write(b"blocking")
        assert await (await accepted.get()).read() == b"blocking"
        stream.close()
        dialler = Sockets(quiet_log(), "")
        dialler.tls = files._replace(ca_certificate="", bootstrap_ca_certificate=files.certificate)
        (await dialler.dial(f"ssl:127.0.0.1:{port}")).close()
        fetched = f"{files.certificate}.fetched"
        dialler.tls = files._replace(bootstrap_ca_certificate=fetched)
        with pytest.raises(OSError, match="Protocol error"):
            await dialler.dial(f"ssl:127.0.0.1:{port}")
        for wrong in ({"ca_certificate": "/nosuch.pem"}, {"private_key": "/nosuch.pem"}):
            dialler.tls = files._replace(**wrong)  # the last good ones go on, where there are such
            (await dialler.dial(f"ssl:127.0.0.1:{port}")).close()
            with pytest.raises(OSError):
                await Sockets(quiet_log(), "", dialler.tls).dial(f"ssl:127.0.0.1:{port}")
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE

        def without_certificate() -> bytes:
            with socket.create_connection(("127.0.0.1", int(port))) as raw, nobody.wrap_socket(raw) as client:
                try:
                    return client.recv(1)
                except OSError:
                    return b""

        assert await asyncio.to_thread(without_certificate) == b""
        listener.close()
        one.close()
        other.close()

    run(scenario())


def test_a_tls_listener_may_be_there_before_its_keys(short_directory: Path) -> None:
    files = certificates(short_directory)

    async def scenario() -> None:
        lines: list[str] = []
        log = quiet_log()
        log.attach("console", lambda _, line: lines.append(line))
        sockets, dialler = Sockets(log, ""), Sockets(quiet_log(), "", files)
        accepted: asyncio.Queue[Stream] = asyncio.Queue()
        listener = await sockets.listen("pssl:0:127.0.0.1", accepted.put_nowait)
        target = f"ssl:127.0.0.1:{listener.target.split(':')[1]}"
        with pytest.raises(OSError):
            await dialler.dial(target)
        sockets.tls = files
        one = await dialler.dial(target)
        one.write(b"now")
        assert await (await accepted.get()).read() == b"now"
        with socket.create_connection(("127.0.0.1", int(target.split(":")[2]))) as plain:
            plain.sendall(b'{"method":"list_dbs","params":[],"id":0}')
            await asyncio.to_thread(plain.recv, 1)
        assert any("SSL_accept" in line for line in lines), lines
        assert accepted.empty()
        listener.close()
        one.close()

    run(scenario())


def test_virtual_time_jumps() -> None:
    async def scenario() -> float:
        start = asyncio.get_running_loop().time()
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(10))
        return asyncio.get_running_loop().time() - start

    begun = time.monotonic()
    assert run(scenario(), "virtual") == pytest.approx(3600)
    assert time.monotonic() - begun < 3600


def test_real_time_that_is_moved_goes_on() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        before = loop.time()
        sleeper = asyncio.ensure_future(asyncio.sleep(3600))
        await asyncio.sleep(0)
        loop.warp(3600)
        await sleeper
        assert loop.time() >= before + 3600
        await asyncio.sleep(0.01)  # for ever, if time stood

    run(scenario())


def test_stopped_time_stands_and_is_moved() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        clock = LoopClock(loop)
        loop.stop_time()
        now = clock.monotonic()
        sleeper = asyncio.ensure_future(asyncio.sleep(5))
        await asyncio.sleep(0)
        assert clock.monotonic() == now
        loop.warp(4.9)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not sleeper.done()
        loop.warp(0.2)
        await sleeper
        loop.start_time()
        assert now + 5.1 <= clock.monotonic() < now + 65
        await asyncio.sleep(0.01)

    run(scenario())


def test_idle_collection() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        Collector().install(loop)
        assert not gc.isenabled()
        for _ in range(3000):
            cycle: list[object] = []
            cycle.append(cycle)
        before = gc.get_count()[0]
        await asyncio.sleep(0.01)
        assert gc.get_count()[0] < min(before, Collector.YOUNG)

    try:
        run(scenario())
    finally:
        gc.enable()
        gc.unfreeze()


def test_a_busy_loop_collects_too() -> None:
    """Many objects that stay are looked at a part at a time, and then no more."""
    kept: list[list[object]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        Collector().install(loop)
        for _ in range(40):
            before = gc.get_freeze_count()
            kept.extend([] for _ in range(Collector.MANY // 4))
            await asyncio.sleep(0)
            assert gc.get_count()[0] < Collector.MANY * 3 // 2
            assert gc.get_freeze_count() - before <= 3 * Collector.MANY
        assert gc.get_freeze_count() > Collector.MANY

    try:
        run(scenario())
    finally:
        gc.enable()
        gc.unfreeze()


def test_an_embedded_daemon_has_control_commands() -> None:
    async def scenario() -> None:
        network = MemoryNetwork("/run")
        env = embedded("ovs-vswitchd", network)
        server = ControlServer(env.commands, env.log)
        await server.start(env.listen, "/run/x.ctl")
        stream = await network.dial("unix:x.ctl")
        stream.write(b'{"id":1,"method":"version","params":[]}')
        assert await stream.read() == b'{"id":1,"result":"ovs-vswitchd (Open vSwitch) 3.1.0\\n","error":null}'
        await server.stop()
        assert await stream.read() == b""

    run(scenario(), "virtual")


def test_counters() -> None:
    counters = Counters()
    counter = counters.counter("poll")
    counters.counter("never")
    for _ in range(3):
        counter.add(10)
        counters.sample()
    lines = counters.coverage_text().splitlines()
    assert lines[1] == f"{'poll':<24}   2.0/sec     0.500/sec        0.0083/sec   total: 30"
    assert lines[2] == "1 events never hit"
    usage: list[Callable[[], dict[str, int]]] = [
        lambda: {"cells": 4, "none": 0},
        lambda: {"cells": 2, "atoms": 1},
    ]
    for each in usage:
        counters.report_memory(each)
    assert counters.memory_text() == "atoms:1 cells:6 none:0\n"
