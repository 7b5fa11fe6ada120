"""What every client of a database server sends, whatever it asks for: numbered requests, answers to the
server's own (its ``echo``), and questions for a sign of life."""

from trunkline.base.json import Json
from trunkline.jsonrpc.message import ErrorReply, Reply, Request, encode


class Asking:
    """The outgoing half of a conversation; whoever drives the connection sends what `take_output` gives."""

    def __init__(self) -> None:
        self._output: list[bytes] = []
        self._next_id = 0

    def take_output(self) -> bytes:
        data = b"".join(self._output)
        self._output.clear()
        return data

    def probe(self) -> None:
        """Asks for a sign of life."""
        self._output.append(encode(Request("echo", [], "echo")))

    def _request(self, method: str, params: list[Json]) -> int:
        """Sends a request; gives its id."""
        number = self._next_id
        self._output.append(encode(Request(method, params, number)))
        self._next_id += 1
        return number

    def _answer(self, item: Request) -> None:
        """Answers a request of the server, which only wants to hear an echo."""
        known = item.method == "echo"
        self._output.append(
            encode(Reply(item.id, item.params) if known else ErrorReply(item.id, "unknown method"))
        )
