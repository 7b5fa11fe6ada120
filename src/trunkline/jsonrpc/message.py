"""JSON-RPC 1.0 messages as OVSDB uses them (RFC 7047, section 4): records, and the road to and from JSON.

A message with ``result`` is a reply, with ``error`` an error, with an ``id`` a request, else a notification;
null members count as absent.  `message` checks the rest and words what is wrong as the originals do.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from trunkline.base.json import Json, dumps


class Request(NamedTuple):
    method: str
    params: Sequence[Json]
    id: Json


class Notification(NamedTuple):
    method: str
    params: Sequence[Json]


class Reply(NamedTuple):
    id: Json
    result: Json


class ErrorReply(NamedTuple):
    id: Json
    error: Json


Message = Request | Notification | Reply | ErrorReply


class MessageError(Exception):
    """JSON, but no JSON-RPC message; the text is the original's."""


_MEMBERS: Final = ("method", "params", "result", "error", "id")
# kind: the members that it has
_PATTERNS: Final = {
    "reply": ("result", "id"),
    "error": ("error", "id"),
    "request": ("method", "params", "id"),
    "notification": ("method", "params"),
}


def message(value: Json) -> Message:
    """The message that the JSON `value` is.  Raises MessageError."""
    if type(value) is not dict:
        raise MessageError("message is not a JSON object")
    if value.keys() == _OF_REQUEST:  # most messages, and nothing is wrong with most of them
        method, params, id_ = value["method"], value["params"], value["id"]
        if type(method) is str and type(params) is list and id_ is not None:
            return Request(method, params, id_)
    method = value.get("method")
    if "method" in value and type(method) is not str:
        raise MessageError("method is not a JSON string")
    if len(value) > 3 or not value.keys() <= _KNOWN:
        for name in value:
            if name not in _KNOWN:
                raise MessageError(f'message has unexpected member "{name}"')
    params, result, error, id_ = value.get("params"), value.get("result"), value.get("error"), value.get("id")
    if params is not None and type(params) is not list:
        raise MessageError('"params" must be JSON array')
    if method is not None and params is not None and result is None and error is None:
        return Notification(method, params) if id_ is None else Request(method, params, id_)
    if result is not None:
        kind = "reply"
    elif error is not None:
        kind = "error"
    else:
        kind = "notification" if id_ is None else "request"
    for name in _MEMBERS:
        present = value.get(name) is not None
        if present and name not in _PATTERNS[kind]:
            raise MessageError(f'{kind} must not have "{name}"')
        if not present and name in _PATTERNS[kind]:
            raise MessageError(f'{kind} must have "{name}"')
    return Reply(id_, result) if kind == "reply" else ErrorReply(id_, error)


_KNOWN: Final = frozenset(_MEMBERS)
_OF_REQUEST: Final = frozenset(_PATTERNS["request"])


def encode(item: Message) -> bytes:
    """The message as the originals send it: no white space, no new-line."""
    if type(item) is Request:
        value: Json = {"id": item.id, "method": item.method, "params": item.params}
    elif type(item) is Notification:
        value = {"id": None, "method": item.method, "params": item.params}
    elif type(item) is Reply:
        value = {"id": item.id, "result": item.result, "error": None}
    else:
        assert type(item) is ErrorReply
        value = {"id": item.id, "error": item.error}  # without a "result", as the originals send it
    return dumps(value).encode("utf-8", "surrogateescape")


def described(item: Message) -> str:
    """A message as the log shows it: its kind, then the members that it has."""
    if isinstance(item, Request):
        return f'request, method="{item.method}", params={dumps(item.params)}, id={dumps(item.id)}'
    if isinstance(item, Notification):
        return f'notification, method="{item.method}", params={dumps(item.params)}'
    if isinstance(item, Reply):
        return f"reply, result={dumps(item.result)}, id={dumps(item.id)}"
    return f"error, error={dumps(item.error)}, id={dumps(item.id)}"
