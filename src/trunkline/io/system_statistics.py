"""What the machine is doing, for Open_vSwitch:statistics (ovs-vswitchd.conf.db(5), "Statistics").

Everything is read from /proc as proc(5) describes it; what cannot be read is left out.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_CRASHES: Final = re.compile(rb"monitoring pid \d+ \((\d+) crashes")
_LOCK: Final = re.compile(r"POSIX +\S+ +WRITE (\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ")
_MEMORY: Final = re.compile(r"^(\w+): +(\d+) kB$", re.MULTILINE)


class _Process(NamedTuple):
    """Memory in kilobytes, durations in milliseconds."""

    parent: int
    virtual: int
    resident: int
    busy: int
    age: int
    processor: int


def system_statistics(run_directory: str) -> dict[str, str]:
    """The statistics by key; processes are those whose pid files lie in `run_directory`."""
    found: dict[str, str] = {}
    processors = os.sysconf("SC_NPROCESSORS_ONLN")
    if processors > 0:
        found["cpu"] = str(processors)
    try:
        found["load_average"] = ",".join(f"{load:.2f}" for load in os.getloadavg())
    except OSError:
        pass
    memory = _memory()
    if memory:
        found["memory"] = ",".join(str(part) for part in memory)
    for name, pid in _pids(Path(run_directory)):
        found[f"process_{name}"] = _process_text(pid)
    file_systems = " ".join(_file_systems())
    if file_systems:
        found["file_systems"] = file_systems
    return found


def _memory() -> tuple[int, ...]:
    """Total, used, of that cache; swap, used of it."""
    try:
        text = (_PROC / "meminfo").read_text()
    except OSError:
        return ()
    sizes = {name: int(size) for name, size in _MEMORY.findall(text)}
    swap = sizes.get("SwapTotal", 0)
    return (
        sizes["MemTotal"],
        sizes["MemTotal"] - sizes["MemFree"],
        sizes.get("Buffers", 0) + sizes.get("Cached", 0),
        swap,
        swap - sizes.get("SwapFree", 0),
    )


def _pids(directory: Path) -> Iterator[tuple[str, int]]:
    """The daemons that hold a pid file there.

    Who holds it is looked up among the system's locks, for opening and closing a pid file of this very
    process would give up its lock (io/pidfile.py).
    """
    try:
        locks = (_PROC / "locks").read_text()
    except OSError:
        return
    holders = {
        (os.makedev(int(major, 16), int(minor, 16)), int(inode)): int(pid)
        for pid, major, minor, inode in _LOCK.findall(locks)
    }
    for path in sorted(directory.glob("*.pid")):
        try:
            state = path.stat()
        except OSError:
            continue
        pid = holders.get((state.st_dev, state.st_ino))
        if pid is not None:
            yield path.name.removesuffix(".pid"), pid


def _process_text(pid: int) -> str:
    """Memory, time used, crashes, time since it was started first and last, the processor it is on."""
    process = _process(pid)
    if process is None:
        return ""
    crashes, first = 0, process.age
    try:
        title = (_PROC / str(process.parent) / "cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        title = b""
    monitored = _CRASHES.search(title)
    monitor = _process(process.parent) if monitored is not None else None
    if monitored is not None and monitor is not None:
        crashes, first = int(monitored[1]), monitor.age
    numbers = (process.virtual, process.resident, process.busy, crashes, first, process.age)
    return ",".join(str(number) for number in (*numbers, process.processor))


def _process(pid: int) -> _Process | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
        uptime = float((_PROC / "uptime").read_text().split()[0])
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # from the third on, the name may hold anything
    ticks = os.sysconf("SC_CLK_TCK")
    return _Process(
        int(fields[1]),
        int(fields[20]) // 1024,
        int(fields[21]) * os.sysconf("SC_PAGE_SIZE") // 1024,
        (int(fields[11]) + int(fields[12])) * 1000 // ticks,
        max(0, int(uptime * 1000) - int(fields[19]) * 1000 // ticks),
        int(fields[36]),
    )


def _file_systems() -> Iterator[str]:
    """Of each local, writable file system where it is mounted, its size and how much is used (kilobytes)."""
    try:
        lines = (_PROC / "self" / "mounts").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        device, place, _, options, *_ = line.split(" ")
        if not device.startswith("/") or "rw" not in options.split(","):
            continue
        where = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), place)
        try:
            state = os.statvfs(where)
        except OSError:
            continue
        if not state.f_blocks:
            continue
        total = state.f_blocks * state.f_frsize // 1024
        used = (state.f_blocks - state.f_bfree) * state.f_frsize // 1024
        yield f"{re.sub('[ ,]', '_', where)},{total},{used}"
