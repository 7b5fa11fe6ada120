"""Rights of the process: another user with a few capabilities, memory that stays."""

import ctypes
import grp
import os
import pwd
import struct
from typing import Final

from trunkline.base.log import Log

# Numbers of capabilities (capabilities(7)).
_NET_BIND_SERVICE, _NET_BROADCAST, _NET_ADMIN, _NET_RAW, _IPC_LOCK = 10, 11, 12, 13, 14
_PR_SET_KEEPCAPS: Final = 8
_CAPABILITY_VERSION_3: Final = 0x20080522
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2


class PrivilegeError(Exception):
    """The text follows the program's name."""


def find_user(text: str) -> tuple[int, int]:
    """User and group ids of ``USER[:GROUP]`` or ``:GROUP``; what is left out is this process's, or the user's
    own group.  Raises PrivilegeError: there is none, the user is not of that group, or we may not."""
    if os.geteuid() != 0:
        raise PrivilegeError("only root can use --user option")
    name, _, group = text.partition(":")
    try:
        user = pwd.getpwnam(name) if name else pwd.getpwuid(os.getuid())
    except KeyError:
        raise PrivilegeError(f"user {name} not found, aborting.") from None
    if not group:
        return user.pw_uid, user.pw_gid if name else os.getgid()
    try:
        found = grp.getgrnam(group)
    except KeyError:
        raise PrivilegeError(f"group {group} not found, aborting.") from None
    if found.gr_gid != user.pw_gid and user.pw_name not in found.gr_mem:
        wrong = f"user {user.pw_name} is not in group {group}"
        raise PrivilegeError(f"Invalid --user option {text} ({wrong}), aborting.")
    return user.pw_uid, found.gr_gid


def become(text: str, log: Log, *, datapath: bool) -> None:
    """Changes this process to ``USER[:GROUP]``, keeping the capabilities that a daemon needs and no other
    groups; the file of `log` goes to that user, who has to open it again.

    `datapath` daemons keep those for devices as well.  Raises PrivilegeError.
    """
    uid, gid = find_user(text)
    kept = [_IPC_LOCK, _NET_BIND_SERVICE]
    if datapath:
        kept += [_NET_ADMIN, _NET_BROADCAST, _NET_RAW]
    library = ctypes.CDLL(None, use_errno=True)
    try:
        if library.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_KEEPCAPS)")
        log.give_file(uid, gid)
        os.setgid(gid)
        os.setgroups([])
        os.setuid(uid)
        mask = sum(1 << number for number in kept)
        header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
        low, high = mask & 0xFFFFFFFF, mask >> 32
        if library.capset(header, struct.pack("6I", low, low, 0, high, high, 0)):
            raise OSError(ctypes.get_errno(), "capset")
    except OSError as error:
        raise PrivilegeError(f"cannot run as {text} ({os.strerror(error.errno or 0)}), aborting.") from None


def lock_memory() -> str:
    """mlockall(2), after forking.  "" or what the log should say."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.mlockall(_MCL_CURRENT | _MCL_FUTURE):
        return f"mlockall failed: {os.strerror(ctypes.get_errno())}"
    return ""


def return_free_memory() -> None:
    """malloc_trim(3): gives what the allocator holds and nobody uses back to the system."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # the GNU library's own
        trim(0)
