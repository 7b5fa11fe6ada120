"""A database server asked over its unix socket, without a client library between."""

import json
import socket
import time
from pathlib import Path
from typing import Any


class Peer:
    """Sends requests one at a time and waits for each reply."""

    def __init__(self, path: Path) -> None:
        deadline = time.monotonic() + 20
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(30)
            try:
                self._socket.connect(str(path))
                break
            except OSError:  # the socket is bound and not listened to yet
                self._socket.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self._number = 0

    def call(self, method: str, params: Any) -> Any:
        """The result; AssertionError when the server answers an error."""
        self._number += 1
        request = {"method": method, "params": params, "id": self._number}
        self._socket.sendall(json.dumps(request).encode("utf-8", "surrogateescape"))
        text = b""
        while True:
            part = self._socket.recv(1 << 20)
            assert part, "the server closed the connection"
            text += part
            try:
                reply = json.loads(text)
            except ValueError:
                continue
            assert reply["error"] is None, reply
            return reply["result"]

    def close(self) -> None:
        self._socket.close()
