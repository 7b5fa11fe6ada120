"""TLS between the original and ours, each as server and as client: who connects, and what both sides log."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from support.certificates import make_certificates
from support.database_servers import BIN, ORIGINAL, OURS, SCHEMA, Running

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command"),
]
CLIENTS = ("/usr/bin/ovsdb-client", str(BIN / "ovsdb-client"))
# key, certificate, CA certificate ("" for none) and more options; a name without a file is one, too
CASES = [
    ("c", "c", "ca", ""),
    ("x", "x", "ca", ""),
    ("c", "c", "ca2", ""),
    ("c", "expired", "ca", ""),
    ("", "", "ca", ""),
    ("c", "c", "", ""),
    ("c", "x", "ca", ""),
    ("c", "c", "none", ""),
    ("nokey", "c", "ca", ""),
    ("c", "nocert", "ca", ""),
    ("c", "c", "noca", ""),
    ("c", "c", "ca", "--ssl-protocols=TLSv1.1"),
    ("c", "c", "ca", "--ssl-protocols=TLSv1.2"),
    ("c", "c", "ca", "--ssl-protocols=TLSv1,TLSv1.2"),
    ("c", "c", "ca", "--ssl-protocols=TLSv9"),
    ("c", "c", "ca", "--ssl-ciphers=FOO"),
    ("c", "c", "ca", "--ssl-protocols=TLSv1.2 --ssl-ciphers=AES128-SHA"),
    ("c", "c", "", "--bootstrap-ca-cert=DIR/boot.pem"),  # fetches it,
    ("c", "c", "", "--bootstrap-ca-cert=DIR/boot.pem"),  # and uses it
]
# The server refuses after the client's part of TLS 1.3 is done: whether the client hears of it in writing or
# in reading is a matter of time.
LATE = {("x", "x", "ca", ""), ("c", "expired", "ca", "")}
# With such settings the original connects before it looks at them, ours does not connect.
EARLY = {
    ("", "", "ca", ""),
    ("c", "c", "", ""),
    ("c", "x", "ca", ""),
    ("nokey", "c", "ca", ""),
    ("c", "nocert", "ca", ""),
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("pki"))


class Served(Running):
    """A server that listens for TLS."""

    def __init__(self, program: str, keys: Path, host: str = "127.0.0.1") -> None:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
            free.bind((host.strip("[]"), 0))
            self.port = free.getsockname()[1]
        self.host = host
        names = [f"--private-key={keys}/s.key", f"--certificate={keys}/s.pem", f"--ca-cert={keys}/ca.pem"]
        peer = f"--peer-ca-cert={keys}/ca.pem"
        super().__init__(program, *names, peer, f"--remote=pssl:{self.port}:{host}")
        self.control("vlog/disable-rate-limit")
        self.seen = 0

    def news(self, least: int) -> list[str]:
        """What was logged of connections since the last call, once there are `least` lines of it."""
        deadline = time.monotonic() + 10
        while True:
            lines = self.log_lines("stream_ssl", "reconnect")
            if len(lines) >= self.seen + least or time.monotonic() > deadline:
                new, self.seen = lines[self.seen :], len(lines)
                return [re.sub(r"(127.0.0.1|::1\]):\d+", r"\1:PORT", line) for line in new]
            time.sleep(0.02)


def ask(
    server: Served, client: str, keys: Path, case: tuple[str, str, str, str]
) -> tuple[int, str, list[str]]:
    key, certificate, authority, more = case
    words = [client, "--timeout=10", *more.replace("DIR", server.directory).split()]
    if key:
        words.append(f"--private-key={keys}/{key}.key")
    if certificate:
        words.append(f"--certificate={keys}/{certificate}.pem")
    if authority:
        words.append("--ca-cert=none" if authority == "none" else f"--ca-cert={keys}/{authority}.pem")
    done = server.run(*words, "list-dbs", f"ssl:{server.host}:{server.port}")
    text = (
        done.stderr.replace(server.directory, "DIR")
        .replace("/usr/bin/", "")
        .replace(str(server.port), "PORT")
    )
    lines = [re.sub(r"^\S+Z\|\d+\|", "", line) for line in text.splitlines()]
    return done.returncode, done.stdout, [] if case in LATE else lines


def test_whoever_connects_and_whoever_does_not(keys: Path) -> None:
    """All four pairs of server and client say and do what the two originals do."""
    servers = [Served(program, keys) for program in (ORIGINAL, OURS)]
    try:
        wanted = []
        for case in CASES:
            answer = ask(servers[0], CLIENTS[0], keys, case)
            fails = answer[0] != 0 and "killing" not in str(answer)
            wanted.append((answer, servers[0].news(2 if fails else 0)))
        for server, client in ((servers[0], CLIENTS[1]), (servers[1], CLIENTS[0]), (servers[1], CLIENTS[1])):
            Path(server.directory, "boot.pem").unlink(missing_ok=True)
            for case, (answer, lines) in zip(CASES, wanted):
                got = ask(server, client, keys, case)
                assert (case, got) == (case, answer), (server.program, client)
                if "bootstrap" in case[3]:
                    continue  # how the fetching connection ends for the server is a matter of time
                quiet = case in EARLY and client == CLIENTS[1]
                assert (case, server.news(0 if quiet else len(lines))) == (case, [] if quiet else lines)
    finally:
        for server in servers:
            server.remove()


def speak(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        if data:
            connection.sendall(data)
            connection.settimeout(10)
            return connection.recv(100)
    return b""


def handshake(port: int, keys: Path, certificate: str, newest: ssl.TLSVersion) -> str:
    """The alert with which the server refuses, or the answer to an echo."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.check_hostname = False
    settings.verify_mode = ssl.CERT_NONE
    settings.maximum_version = newest
    if certificate:
        settings.load_cert_chain(keys / f"{certificate}.pem", keys / f"{certificate}.key")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            with settings.wrap_socket(connection) as secured:
                if certificate == "c":
                    secured.sendall(b'{"method":"echo","params":[],"id":1}')
                answer = secured.recv(100).decode()
                secured.settimeout(0)
                secured.unwrap()
        except ssl.SSLWantReadError:
            return answer
        except ssl.SSLError as error:
            return str(error.reason)
        return answer


def test_peers_that_speak_something_else(keys: Path) -> None:
    found = []
    for program in (ORIGINAL, OURS):
        server = Served(program, keys)
        said: list[object] = []
        try:
            for data in (
                b'{"method":"echo"}',
                b"GET / HTTP/1.0\r\n\r\n",
                b"\0\1\2hello",
                b"\x04\0\0\x08\0\0\0\1",
                b"",
            ):
                said.append((speak(server.port, data), server.news(3 if data[:1] == b"{" else 2)))
            for data in (b"{", b'{"', b'{"a', b'{ "id":1', b"{{{{{{", b"[[[[[["):  # and no more
                with socket.create_connection(("127.0.0.1", server.port)) as connection:
                    connection.sendall(data)
                said.append((data, server.news(3 if data[:2] == b'{"' else 2)))
            for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                for certificate in ("", "x", "c"):
                    answer = handshake(server.port, keys, certificate, newest)
                    said.append((answer, server.news(0 if certificate == "c" else 2)))
            assert server.process.poll() is None
        finally:
            server.remove()
        found.append(said)
    assert found[0] == found[1]


@pytest.mark.parametrize("client", CLIENTS)
def test_over_ipv6(keys: Path, client: str) -> None:
    server = Served(OURS, keys, "[::1]")
    try:
        assert ask(server, client, keys, ("c", "c", "ca", "")) == (0, "Open_vSwitch\n_Server\n", [])
    finally:
        server.remove()


def test_keys_that_change_under_their_names(keys: Path, tmp_path: Path) -> None:
    """The server takes new files up without a restart."""
    own = tmp_path / "own"
    shutil.copytree(keys, own)
    server = Served(OURS, own)
    try:
        assert ask(server, CLIENTS[0], keys, ("c", "c", "ca", ""))[0] == 0
        assert ask(server, CLIENTS[0], keys, ("x", "x", "ca2", ""))[0] == 1
        for new, name in (("x.key", "s.key"), ("x.pem", "s.pem"), ("ca2.pem", "ca.pem")):
            shutil.copy(keys / new, own / f"{name}.new")
            os.replace(own / f"{name}.new", own / name)
        assert ask(server, CLIENTS[0], keys, ("c", "c", "ca", ""))[0] == 1
        assert ask(server, CLIENTS[0], keys, ("x", "x", "ca2", ""))[0] == 0
    finally:
        server.remove()


UNUSED = (
    "--ssl-protocols=foo",
    "--ssl-protocols=TLSv1.2,foo",
    "--ssl-ciphers=FOO",
    "--ca-cert=none",
    "--ca-cert=nofile",
    "--ca-cert=KEYS/s.key",
    "--peer-ca-cert=nofile",
    "--peer-ca-cert=KEYS/s.key",
    "--peer-ca-cert=KEYS/ca.pem",
    "--bootstrap-ca-cert=nofile",
    "--private-key=nofile",
    "--private-key=nofile --certificate=nofile",
    "--private-key=nofile --certificate=KEYS/s.pem",
    "--private-key=KEYS/s.key --certificate=nofile",
    "--private-key=KEYS/s.key --certificate=KEYS/s.pem --ca-cert=KEYS/ca.pem",
    "--private-key=nofile --certificate=nofile --ca-cert=none --peer-ca-cert=nofile --ssl-ciphers=FOO",
)


def test_settings_that_nothing_uses_are_complained_of_nevertheless(keys: Path, tmp_path: Path) -> None:
    """The original says some of it several times, and shows the reason of one error with the next."""
    database = str(tmp_path / "x.db")
    subprocess.run(["/usr/bin/ovsdb-tool", "create", database, SCHEMA], check=True, timeout=30)
    heard = []
    for program in (ORIGINAL, OURS):
        for options in UNUSED:
            words = [program, database, "--unixctl=none", "--run=true", *options.split()]
            words = [word.replace("KEYS", str(keys)) for word in words]
            done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            lines = {line.split("|", 2)[2] for line in done.stderr.splitlines()}
            if options.count("nofile") > 1:
                lines = {re.sub(" error:.*", " ...", line) for line in lines}
            heard.append((options, done.returncode, lines))
    assert heard[: len(UNUSED)] == heard[len(UNUSED) :]
    assert sum(len(lines) for *_, lines in heard) > len(UNUSED)


@pytest.mark.parametrize("options", ["", "--private-key=nofile --certificate=nofile --ca-cert=none"])
def test_a_listener_without_keys_says_so_for_each_connection(options: str) -> None:
    heard = []
    for program in (ORIGINAL, OURS):
        server = Running(program, *options.split(), "--remote=pssl:0:127.0.0.1")
        try:
            port = server.chosen_port()
            for count in (1, 2):
                with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.settimeout(20)
                    assert not connection.recv(1)
                deadline = time.monotonic() + 20
                while len(server.log_lines("ovsdb_jsonrpc_server")) < count:
                    assert time.monotonic() < deadline, server.log_lines("stream_ssl")
                    time.sleep(0.02)
            lines = server.log_lines("stream_ssl", "ovsdb_jsonrpc_server")
            lines = [re.sub(" error:.*", " ...", line).replace(str(port), "PORT") for line in lines]
            heard.append(lines)
        finally:
            server.remove()
    assert heard[0] == heard[1]
    assert heard[1][-1].endswith("pssl:PORT:127.0.0.1: accept failed: Protocol not available")
