"""What programs say of options for keys and certificates: when they meet them, and when TLS is wanted."""

import itertools
import os
import re
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from support.certificates import make_certificates, openssl
from support.database_servers import BIN, DB, ORIGINAL, OURS, SCHEMA, Running, variables
from support.waiting import until

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command"),
]
KEY = ("", "--private-key=KEYS/s.key", "--private-key=nofile")
CERTIFICATE = ("", "--certificate=KEYS/s.pem", "--certificate=nofile")
AUTHORITY = ("", "--ca-cert=KEYS/ca.pem", "--ca-cert=nofile")
SUBSETS = [" ".join(words).strip() for words in itertools.product(KEY, CERTIFICATE, AUTHORITY)]
SOME = SUBSETS[1::8]
ODD = (
    "--ca-cert=nofile --private-key=nofile",
    "--private-key=nofile --private-key=KEYS/s.key",
    "--private-key=nofile --version",
    "--version --private-key=nofile",
    "--private-key=nofile --nosuch",
    "--ssl-protocols=foo",
    "--ssl-protocols=",
    "--ssl-protocols=,",
    "--ssl-protocols=TLSv1,,foo",
    "--ssl-ciphers=",
    "--ssl-ciphers=FOO",
    "--bootstrap-ca-cert=nofile",
    "--bootstrap-ca-cert=KEYS/s.key",
    "--ca-cert=none",
    "--ca-cert=KEYS/s.key",
    "--ca-cert=/",
    "--ca-cert=",
    "--private-key=KEYS/s.pem",
    "--private-key=/",
    "--private-key=",
    "--certificate=KEYS/s.key",
    "--certificate=/",
    "--certificate=",
    "--private-key=KEYS/s.key --certificate=KEYS/x.pem",
)
TOOLS = {
    "ovsdb-client": "--timeout=20 list-dbs TARGET",
    "ovs-vsctl": "--timeout=20 --db=TARGET show",
    "ovs-ofctl": "--timeout=20 show TARGET",
    "vtep-ctl": "--timeout=20 --db=TARGET show",
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("pki"))


def reasonless(lines: list[str]) -> list[str]:
    """Without the library's reasons where several errors follow each other: the original shows the reason of
    one with the next."""
    several = sum(" error:" in line for line in lines) > 1
    return [re.sub(" error:.*", " ...", line) for line in lines] if several else lines


def tool(path: Path, options: str, keys: Path, target: str) -> tuple[int, str, list[str]]:
    words = [*options.replace("KEYS", str(keys)).split(), *TOOLS[path.name].replace("TARGET", target).split()]
    done = subprocess.run(
        [path, *words], env=variables(str(keys)), cwd=keys, capture_output=True, text=True, timeout=60
    )
    text = done.stderr.replace(f"{path.parent}/", "")
    lines = [re.sub(r"^\S+Z\|\d+\|", "", line) for line in text.splitlines()]
    return done.returncode, done.stdout.partition("\n")[0], reasonless(lines)


def test_tools(keys: Path) -> None:
    cases = [(name, options, "ssl:127.0.0.1:1") for name in TOOLS for options in SOME]
    cases += [("ovsdb-client", options, "ssl:127.0.0.1:1") for options in SUBSETS if options not in SOME]
    cases += [("ovsdb-client", options, "unix:nosuch") for options in ODD]
    cases += [(name, ODD[0], "unix:nosuch") for name in TOOLS]
    said = 0
    for name, options, target in cases:
        want = tool(Path("/usr/bin", name), options, keys, target)
        assert (name, options, tool(BIN / name, options, keys, target)) == (name, options, want)
        said += len(want[2])
    assert said > 2 * len(cases)


ENCRYPTED = ("Enter PEM pass phrase:",) * 2
"""What the original asks on standard error, even without a terminal; ours asks nobody."""
FILES = {
    "private-key": "rsa1024.key traditional.key encrypted.key traditional-encrypted.key ec.key public.key "
    "empty garbage broken.key base64.key unreadable.key cut.key both.pem cut.pem / nodir/x s.pem/x",
    "certificate": "s.csr rsa1024.pem empty garbage binary broken.pem base64.pem cut.pem cut.key broken.key "
    "both.pem words.pem mixed.pem crlf.pem mark.pem nodir/x s.pem/x",
    "ca-cert": "broken.pem base64.pem cut.pem base64.key both.pem mixed.pem mark.pem s.pem/x",
    "bootstrap-ca-cert": "mixed.pem s.pem/x",
    "peer-ca-cert": "broken.pem",
    "ssl-ciphers": "/path HIGH HIGH:FOO !ALL @SECLEVEL=0 @SECLEVEL=9 é @FOO ! + AES128-SHA:: HIGH;AES",
    "ssl-protocols": "TLSv1.3 all TLSv1.2, TLSv1.2;TLSv1 é",
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that are not quite what they should be."""
    directory = make_certificates(tmp_path_factory.mktemp("odd"))

    def make(*words: str) -> None:
        openssl(directory, *words)

    make("genrsa", "-out", "rsa1024.key", "1024")
    make("req", "-x509", "-key", "rsa1024.key", "-out", "rsa1024.pem", "-subj", "/CN=r", "-days", "2")
    make("rsa", "-in", "rsa1024.key", "-out", "traditional.key", "-traditional")
    encryption = ("-aes128", "-passout", "pass:abcd")
    make("rsa", "-in", "rsa1024.key", "-out", "encrypted.key", *encryption)
    make("rsa", "-in", "rsa1024.key", "-out", "traditional-encrypted.key", "-traditional", *encryption)
    make("rsa", "-in", "rsa1024.key", "-out", "public.key", "-pubout")
    make("ec", "-in", "s.key", "-out", "ec.key")
    key, certificate = (directory / "s.key").read_bytes(), (directory / "s.pem").read_bytes()

    def block(kind: bytes, body: bytes) -> bytes:
        return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (kind, body, kind)

    for name, content in {
        "empty": b"",
        "garbage": b"hello\nworld\n",
        "binary": bytes(range(256)),
        "broken.pem": block(b"CERTIFICATE", b"AAAA"),
        "base64.pem": block(b"CERTIFICATE", b"!!!!"),
        "cut.pem": certificate[:200],
        "broken.key": block(b"PRIVATE KEY", b"AAAA"),
        "base64.key": block(b"PRIVATE KEY", b"!!!!"),
        "unreadable.key": block(b"RSA PRIVATE KEY", b"AAAA"),
        "cut.key": key[:100],
        "both.pem": key + certificate,
        "words.pem": b"some words\n" + certificate,
        "mixed.pem": certificate + certificate[:200],
        "crlf.pem": certificate.replace(b"\n", b"\r\n"),
        "mark.pem": b"\xef\xbb\xbf" + certificate,
    }.items():
        (directory / name).write_bytes(content)
    return directory


def test_odd_files(odd: Path) -> None:
    """One at a time, and so with the library's reason."""
    cases = [f"--{option}={value}" for option, values in FILES.items() for value in values.split()]
    for options in cases:
        status, text, lines = tool(Path("/usr/bin/ovsdb-client"), options, odd, "unix:nosuch")
        wanted = (status, text, [line for line in lines if line not in ENCRYPTED])
        assert (options, tool(BIN / "ovsdb-client", options, odd, "unix:nosuch")) == (options, wanted)


def served(program: str, options: str, keys: Path) -> list[str]:
    """What a database server logs until its first client is refused."""
    server = Running(
        program, *options.replace("KEYS", str(keys)).split(), "--remote=pssl:0:127.0.0.1", manager=False
    )
    try:
        port = server.chosen_port()
        with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(30)
            assert not connection.recv(1)
        until(lambda: server.log_lines("ovsdb_jsonrpc_server"))
        found = server.log_lines("stream_ssl", "ovsdb_jsonrpc_server")
        return reasonless([line.replace(str(port), "PORT") for line in found])
    finally:
        server.remove()


def test_servers_take_key_and_certificate_together(keys: Path) -> None:
    for options in (KEY[1], f"{CERTIFICATE[2]} {AUTHORITY[2]}", f"{KEY[2]} {CERTIFICATE[1]}"):
        assert (options, served(OURS, options, keys)) == (options, served(ORIGINAL, options, keys))


def test_columns_that_hold_no_names_of_files(tmp_path: Path) -> None:
    subprocess.run(["ovsdb-tool", "create", tmp_path / "x.db", SCHEMA], check=True, timeout=60)
    columns = ("name", "fail_mode", "protocols", "stp_enable", "flood_vlans", "ports", "other_config", "")
    refused = 0
    for number, column in enumerate(columns):
        option = ("private-key", "certificate", "ca-cert", "bootstrap-ca-cert")[number % 4]
        name = f"db:{DB},Bridge,{column}"
        words = [str(tmp_path / "x.db"), f"--{option}={name}", "--unixctl=none", "--run=true"]
        want, got = (
            subprocess.run([program, *words], capture_output=True, text=True, timeout=60)
            for program in (ORIGINAL, OURS)
        )
        assert (column, got.returncode) == (column, want.returncode)
        refused += want.returncode
        if want.returncode:
            assert got.stderr == want.stderr.replace("/usr/sbin/", "")
    assert refused == 5


def test_a_controller_looks_at_files_when_it_meets_the_options(keys: Path) -> None:
    options = "--ssl-protocols= --certificate=nofile --ca-cert=KEYS/s.key".replace("KEYS", str(keys)).split()
    heard = []
    for path in ("/usr/bin/ovs-testcontroller", BIN / "ovs-testcontroller"):
        done = subprocess.run([path, *options], capture_output=True, text=True, timeout=60, cwd=keys)
        lines = [re.sub(r"^\S+Z\|\d+\|", "", line) for line in done.stderr.splitlines()]
        heard.append((done.returncode, reasonless(lines)))
    assert heard[0] == heard[1]
    assert len(heard[0][1]) == 4


def test_nobody_is_asked_twice(keys: Path) -> None:
    """A database server says once what is wrong with a setting, the original several times."""
    database = str(keys / "x.db")
    subprocess.run(
        ["/usr/bin/ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema"],
        check=True,
        timeout=60,
    )
    for option in ("--ssl-protocols=", "--ssl-ciphers=", "--peer-ca-cert="):
        said = []
        for program in (ORIGINAL, OURS):
            done = subprocess.run(
                [program, database, "--unixctl=none", "--run=true", option],
                capture_output=True,
                text=True,
                timeout=60,
                env={**os.environ, "OVS_RUNDIR": str(keys)},
            )
            said.append([line.split("|", 2)[2] for line in done.stderr.splitlines()])
        assert set(said[0]) == set(said[1])
        assert len(said[1]) == 1
