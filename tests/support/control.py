"""One connection to a control socket, for asking thousands of things without starting a process for each."""

import json
import socket
import time
from pathlib import Path


def control_socket(directory: Path, daemon: str = "ovsdb-server") -> Path:
    """The control socket of the daemon that lives in `directory`, as soon as it is there."""
    deadline = time.monotonic() + 20
    while True:
        for found in directory.glob(f"{daemon}.*.ctl"):
            return found
        assert time.monotonic() < deadline, f"{daemon} has no control socket"
        time.sleep(0.01)


class Control:
    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(path))
        self._pending = ""

    def ask(self, name: str, *arguments: str) -> tuple[str, str]:
        """("result" or "error", text)."""
        request = {"id": 0, "method": name, "params": list(arguments)}
        self._socket.sendall(json.dumps(request).encode())
        while True:
            try:
                reply, end = json.JSONDecoder().raw_decode(self._pending)
                self._pending = self._pending[end:]
                break
            except ValueError:
                data = self._socket.recv(65536)
                assert data, "the daemon closed the connection"
                self._pending += data.decode()
        if reply.get("error") is not None:
            return "error", reply["error"]
        return "result", reply["result"]

    def close(self) -> None:
        self._socket.close()
