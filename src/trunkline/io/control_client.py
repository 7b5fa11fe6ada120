"""The asking side of control sockets: what ovs-appctl does, in a blocking way."""

import errno
import os
from collections.abc import Sequence
from typing import Final

from trunkline.base.json import JsonError, JsonStream
from trunkline.base.log import Log
from trunkline.io.blocking import BlockingStream, dial
from trunkline.io.files import error_text
from trunkline.io.pidfile import read_pidfile
from trunkline.jsonrpc.message import ErrorReply, MessageError, Reply, Request, described, encode, message


class ControlError(Exception):
    """The daemon cannot be asked.  The text is what ovs-appctl prints after its name."""


class Refused(Exception):
    """The daemon answered with an error; the text is the daemon's."""


def socket_of(target: str, run_directory: str, log: Log) -> str:
    """The path of the control socket of `target`: a path, or a daemon's name with a pid file.

    Raises ControlError.
    """
    if target.startswith("/"):
        return target
    path = f"{run_directory}/{target}.pid"
    try:
        pid = read_pidfile(path)
    except OSError as error:
        text = error_text(error)
        if error.errno not in (errno.ESRCH, errno.EINVAL):
            log.module("daemon_unix").warn("%s: open: %s", path, text)
        raise ControlError(f'cannot read pidfile "{path}" ({text})') from None
    return f"{run_directory}/{target}.{pid}.ctl"


def connect(path: str, log: Log, timeout: float | None = None) -> BlockingStream:
    """Connects to a control socket.  Raises ControlError."""
    try:
        return dial(f"unix:{path}", timeout)
    except OSError as error:
        log.module("unixctl").warn("failed to connect to %s", path)
        text = os.strerror(error.errno) if error.errno else str(error)
        raise ControlError(f'cannot connect to "{path}" ({text})') from None


def call(stream: BlockingStream, name: str, arguments: Sequence[str], log: Log, target: str) -> str:
    """Runs one command; returns the daemon's text.  Raises Refused, ControlError."""
    request = Request(name, list(arguments), 0)
    logger = log.module("jsonrpc")
    logger.dbg("%s: send %s", stream.name, described(request))
    messages = JsonStream()
    unixctl = log.module("unixctl")
    try:
        stream.write(encode(request))
        while data := stream.read():
            for value in messages.feed(data):
                answer = message(value)
                logger.dbg("%s: received %s", stream.name, described(answer))
                if isinstance(answer, Reply) and answer.id == 0:
                    return _text(answer.result, "unexpected result type in JSON rpc reply", stream.name, log)
                if isinstance(answer, ErrorReply) and answer.id == 0:
                    text = "unexpected error type in JSON RPC reply"
                    raise Refused(_text(answer.error, text, stream.name, log))
        failure = "End of file"
    except OSError as error:
        failure = os.strerror(error.errno) if error.errno else str(error)
    except JsonError as broken:
        logger.warn("%s: error parsing stream: %s", stream.name, broken)
        failure = "Protocol error"
    except MessageError as broken:
        logger.warn("%s: received bad JSON-RPC message: %s", stream.name, broken)
        failure = "Protocol error"
    except _UnexpectedType:
        raise ControlError(f"{target}: transaction error (Invalid argument)") from None
    unixctl.warn("error communicating with %s: %s", stream.name, failure)
    raise ControlError(f"{target}: transaction error ({failure})")


class _UnexpectedType(Exception):
    pass


_TYPES: Final = {list: "array", dict: "object", bool: "boolean", int: "number", float: "number"}


def _text(value: object, complaint: str, name: str, log: Log) -> str:
    if not isinstance(value, str):
        log.module("unixctl").warn("%s: %s: %s", name, complaint, _TYPES.get(type(value), "null"))
        raise _UnexpectedType
    return value
