"""--bootstrap-ca-cert and --peer-ca-cert between our tools and our server, with certificates by openssl."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.database_servers import BIN, OURS, Client, Running
from trunkline.model.schemas import schema_path

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


def openssl(directory: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA (ca.pem), a server's and a client's key and certificate (s, c)."""
    made = tmp_path_factory.mktemp("pki")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        made,
        "req",
        "-x509",
        *new,
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-days",
        "2",
        "-subj",
        "/C=CH/CN=ca",
    )
    for name in ("s", "c"):
        openssl(made, "req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        openssl(made, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    return made


def serve(certificates: Path, *options: str) -> tuple[Running, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = (f"--private-key={certificates}/s.key", f"--certificate={certificates}/s.pem")
    server = Running(
        OURS, *own, *options, f"--remote=pssl:{port}:127.0.0.1", schema=schema_path("Open_vSwitch")
    )
    Client(server).call("transact", ["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {}}])
    return server, f"ssl:127.0.0.1:{port}"


@pytest.fixture
def server(certificates: Path) -> Iterator[tuple[Running, str]]:
    """One that checks nobody and sends its CA's certificate."""
    found = serve(certificates, "--ca-cert=none", f"--peer-ca-cert={certificates}/ca.pem")
    yield found
    found[0].remove()


def vsctl(server: Running, certificates: Path, remote: str, *words: str) -> subprocess.CompletedProcess[str]:
    own = (f"--private-key={certificates}/c.key", f"--certificate={certificates}/c.pem", f"--db={remote}")
    return server.run(str(BIN / "ovs-vsctl"), "--no-wait", "--timeout=20", *own, *words)


def test_the_first_connection_fetches_the_ca_and_the_second_checks(
    server: tuple[Running, str], certificates: Path, tmp_path: Path
) -> None:
    running, remote = server
    path = tmp_path / "fetched.pem"
    option = f"--bootstrap-ca-cert={path}"
    first = vsctl(running, certificates, remote, "-vstream_ssl:console:info", option, "list-br")
    assert first.returncode == 1
    assert f"successfully bootstrapped CA cert to {path}" in first.stderr
    assert "(/C=CH/CN=ca) (fingerprint " in first.stderr
    assert first.stderr.endswith(f"ovs-vsctl: {remote}: database connection failed (Protocol error)\n")
    assert path.read_text() == (certificates / "ca.pem").read_text()
    second = vsctl(running, certificates, remote, option, "add-br", "br0", "--", "list-br")
    assert (second.returncode, second.stdout, second.stderr) == (0, "br0\n", "")


def test_retry_goes_on_by_itself(server: tuple[Running, str], certificates: Path, tmp_path: Path) -> None:
    running, remote = server
    option = f"--bootstrap-ca-cert={tmp_path}/fetched.pem"
    done = vsctl(running, certificates, remote, option, "--retry", "add-br", "br1", "--", "list-br")
    assert (done.returncode, done.stdout) == (0, "br1\n"), done.stderr


def test_what_cannot_be_fetched_or_trusted(certificates: Path, tmp_path: Path) -> None:
    running, remote = serve(certificates, "--ca-cert=none")  # sends its own certificate only
    try:
        path = tmp_path / "fetched.pem"
        done = vsctl(running, certificates, remote, f"--bootstrap-ca-cert={path}", "list-br")
        assert done.returncode == 1
        assert "could not bootstrap CA cert: obtained certificate is not self-signed" in done.stderr
        assert "only one certificate was received" in done.stderr
        assert not path.exists()
        done = vsctl(running, certificates, remote, f"--ca-cert={certificates}/c.pem", "list-br")
        assert done.returncode == 1
        assert "certificate verify failed" in done.stderr
        assert done.stderr.endswith(f"ovs-vsctl: {remote}: database connection failed (Protocol error)\n")
    finally:
        running.remove()
    running, remote = serve(certificates, "--ca-cert=none", f"--peer-ca-cert={certificates}/ca.pem")
    try:
        done = vsctl(running, certificates, remote, "--bootstrap-ca-cert=/nowhere/fetched.pem", "list-br")
        assert (
            "could not bootstrap CA cert: creating /nowhere/fetched.pem failed: No such file" in done.stderr
        )
    finally:
        running.remove()
