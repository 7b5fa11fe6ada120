"""Doing something in another network namespace, one that the kernel has given this one a number for.

When a device moves away the kernel tells by rtnetlink where to: a number of that namespace, which holds here
alone (IFLA_NEW_NETNSID), and the index of the device there.  To enter a namespace takes a descriptor, and
that comes from a name (ip-netns(8)) or from a process that is inside.  So both are looked through, and each
is asked for its number (RTM_GETNSID); a namespace that has neither cannot be entered.

setns(2) changes the thread that calls it, so what is to be done is done by a thread of its own.  It needs
CAP_SYS_ADMIN in the user namespace of the other, and of this process.
"""

import ctypes
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import iglob
from typing import Final

from trunkline.io.netlink import Conversation, NetlinkError, attribute, attributes

_GETNSID: Final = 90
_NETNSA_NSID, _NETNSA_FD = 1, 3
_CLONE_NEWNET: Final = 0x40000000
_PLACES: Final = ("/run/netns/*", "/run/docker/netns/*", "/proc/[0-9]*/ns/net")


def enter(number: int, work: Callable[[], None]) -> None:
    """Does `work` in the namespace with that number, by a thread, and waits for it.

    Raises OSError: ESRCH where no name and no process leads there; whatever `work` raises of it.
    """
    failures: list[OSError] = []

    def inside(descriptor: int) -> None:
        try:
            library = ctypes.CDLL(None, use_errno=True)
            if library.setns(descriptor, _CLONE_NEWNET):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
            work()
        except OSError as error:
            failures.append(error)

    with _namespace(number) as descriptor:
        thread = threading.Thread(target=inside, args=(descriptor,), daemon=True)
        thread.start()
        thread.join()
    if failures:
        raise failures[0]


@contextmanager
def _namespace(number: int) -> Iterator[int]:
    """A descriptor of the namespace.  Raises OSError."""
    asking = Conversation(socket.NETLINK_ROUTE)
    try:
        for descriptor in _all():
            try:
                if _number(asking, descriptor) == number:
                    yield descriptor
                    return
            finally:
                os.close(descriptor)
    finally:
        asking.close()
    raise OSError(errno.ESRCH, "it has no name in /run/netns, and no process is to be seen in it")


def _all() -> Iterator[int]:
    """Descriptors of the network namespaces that can be found, each once; not of this process's own."""
    own = os.stat("/proc/self/ns/net")
    seen = {(own.st_dev, own.st_ino)}
    for place in _PLACES:
        for path in iglob(place):
            with suppress(OSError):
                which = os.stat(path)
                if (which.st_dev, which.st_ino) not in seen:
                    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    seen.add((which.st_dev, which.st_ino))
                    yield descriptor


def _number(asking: Conversation, descriptor: int) -> int | None:
    body = bytes(4) + attribute(_NETNSA_FD, descriptor.to_bytes(4, "little"))
    try:
        answers = asking.request(_GETNSID, 0, body)
    except NetlinkError:
        return None  # a file of another kind
    for kind, value in attributes(answers[0][4:]):
        if kind == _NETNSA_NSID:
            return int(struct.unpack("=i", value)[0])
    return None
