"""Controllers over TLS: the original and ours, connecting (CA by bootstrap) and listening."""

import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import make_certificates
from support.outcomes import Side
from support.waiting import until

pytestmark = pytest.mark.oracle

HELLO, FEATURES_REQUEST = bytes.fromhex("0100000800000001"), bytes.fromhex("0105000800000002")


@pytest.fixture(params=(False, True), ids=("original", "ours"))
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    with tempfile.TemporaryDirectory(prefix="ctl.", dir="/tmp") as directory:
        one = Side(Path(directory) / "s", ours=request.param)
        try:
            make_certificates(one.directory)
            one.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy")
            yield one
        finally:
            one.stop()


def serve(listener: socket.socket, context: ssl.SSLContext, replies: list[int]) -> None:
    """Asks each switch that connects for its features; notes the kinds of its messages."""
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        try:
            plain.settimeout(10)
            with context.wrap_socket(plain, server_side=True) as peer:
                peer.sendall(HELLO + FEATURES_REQUEST)
                buffer = b""
                while data := peer.recv(65536):
                    buffer += data
                    while len(buffer) >= 8 and len(buffer) >= (length := int.from_bytes(buffer[2:4], "big")):
                        replies.append(buffer[1])
                        buffer = buffer[length:]
        except OSError:
            plain.close()


def test_a_controller_whose_authority_is_learned(side: Side) -> None:
    at = side.directory
    (at / "chain.pem").write_text((at / "c.pem").read_text() + (at / "ca.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(at / "chain.pem", at / "c.key")
    context.load_verify_locations(at / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    replies: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, context, replies), daemon=True)
        thread.start()
        target = f"ssl:127.0.0.1:{listener.getsockname()[1]}"
        side.vsctl("--", "--bootstrap", "set-ssl", f"{at}/s.key", f"{at}/s.pem", f"{at}/learned.pem")
        side.vsctl("set-controller", "br0", target)
        until(lambda: 6 in replies)
        learned = (at / "learned.pem").read_text()
        assert ssl.PEM_cert_to_DER_cert(learned) == ssl.PEM_cert_to_DER_cert((at / "ca.pem").read_text())
        until(lambda: side.rows("Controller", ("is_connected",)) == [{"is_connected": True}])
        listener.shutdown(socket.SHUT_RDWR)


def test_a_bridge_that_listens(side: Side) -> None:
    at = side.directory
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    side.vsctl("set-ssl", f"{at}/s.key", f"{at}/s.pem", f"{at}/ca.pem")
    side.vsctl("set-controller", "br0", f"pssl:{port}:127.0.0.1")

    def show(name: str) -> str:
        keys = ("-p", f"{at}/{name}.key", "-c", f"{at}/{name}.pem", "-C", f"{at}/ca.pem")
        return side.ofctl(*keys, "show", f"ssl:127.0.0.1:{port}")

    until(lambda: "n_tables:254" in show("c"))
    assert "n_tables" not in show("x")
