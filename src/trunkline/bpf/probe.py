"""Whether the kernel datapath can be had here, and if not, what is missing, in words.

Nothing is guessed from version numbers where the kernel can be asked: a map is made, the compiled program is
looked for, the smallest program is loaded.  Only what a refusal means is then looked up: EPERM comes from a
missing capability, from a user namespace, or from lockdown.
"""

import errno
import os
from importlib.resources import files
from pathlib import Path
from typing import Final

from trunkline.bpf import loader, maps, type_format
from trunkline.bpf.attach import attachments
from trunkline.bpf.system_calls import BpfError, NoSystemCallError

OBJECT: Final = "datapath.bpf.o"
OLDEST: Final = (6, 1)
"""The oldest kernel that the program is tested on; bpf_loop alone needs 5.17."""
_NOT_BUILT: Final = (
    "this installation was built without the compiled kernel program "
    "(in a checkout, python3 hatch_build.py builds it)"
)
FORBIDDEN: Final = "TRUNKLINE_NO_BPF"
"""An environment variable; 1: the switch is to do without."""
_CAP_NET_ADMIN, _CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 12, 21, 38, 39
_NAMES: Final = {_CAP_NET_ADMIN: "CAP_NET_ADMIN", _CAP_PERFMON: "CAP_PERFMON", _CAP_BPF: "CAP_BPF"}


class NoProgramError(Exception):
    """The package was built without the compiled program."""


def object_code() -> bytes:
    """The compiled program that this package carries.  Raises NoProgramError."""
    try:
        return files("trunkline.bpf").joinpath("program", OBJECT).read_bytes()
    except OSError:
        raise NoProgramError(_NOT_BUILT) from None


def obstacle() -> str | None:
    """Why there cannot be a kernel datapath here; None: nothing is in its way."""
    if os.environ.get(FORBIDDEN) == "1":
        return f"{FORBIDDEN}=1 in the environment"
    version = kernel_version()
    if version < OLDEST:
        return "the kernel is {}.{}, and {}.{} is the oldest that will do".format(*version, *OLDEST)
    try:
        object_code()
        maps.create("probe", maps.ARRAY, 4, 4, 1).close()
        maps.create("probe", maps.RINGBUF, 0, 0, 4096).close()
        ways = attachments()
        if ways.moves and not os.access(type_format.KERNEL, os.R_OK):
            return "the kernel does not tell its types (/sys/kernel/btf/vmlinux is not there)"
        loader.smallest_program().close()
    except NoProgramError as error:
        return str(error)
    except NoSystemCallError as error:
        return str(error.strerror)
    except BpfError as error:
        return _refusal(error)
    except OSError as error:
        return f"rtnetlink: {error.strerror}"
    return None


def kernel_version() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(digit for digit in minor if digit.isdigit()) or 0)


def _refusal(error: BpfError) -> str:
    if error.errno == errno.ENOSYS:
        return "the kernel was built without bpf(2), or a seccomp filter hides it"
    if error.errno != errno.EPERM:
        return str(error.strerror)
    missing = [name for number, name in _NAMES.items() if not _has(number)]
    if _has(_CAP_SYS_ADMIN):
        missing = [name for name in missing if name == "CAP_NET_ADMIN"]
    if missing:
        return f"this process lacks {' and '.join(missing)}"
    if not _in_first_user_namespace():
        return "this process is in a user namespace, where the kernel does not allow BPF programs"
    lockdown = _lockdown()
    if lockdown not in ("", "none"):
        return f"the kernel is locked down ({lockdown})"
    return f"{error.strerror} (a security module or a seccomp filter forbids it)"


def can_take_up() -> bool:
    """Whether this process may open what an earlier one has left in the kernel."""
    return _has(_CAP_SYS_ADMIN) and _in_first_user_namespace()


def _has(capability: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return False


def _in_first_user_namespace() -> bool:
    """There, and only there, every user id stands for itself."""
    try:
        words = Path("/proc/self/uid_map").read_text().split()
    except OSError:
        return True
    return words == ["0", "0", "4294967295"]


def _lockdown() -> str:
    try:
        text = Path("/sys/kernel/security/lockdown").read_text()
    except OSError:
        return ""
    return text.partition("[")[2].partition("]")[0]
