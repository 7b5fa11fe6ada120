"""The lock on a pid file stays, whoever in this process asks for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.io.pidfile import PidfileError, check_free, make_pidfile, read_pidfile

ASK = "import sys; from trunkline.io.pidfile import read_pidfile; print(read_pidfile(sys.argv[1]))"


def ask(path: Path) -> str:
    """What another process reads."""
    words = [sys.executable, "-c", ASK, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_daemons_in_one_process_do_not_take_each_others_locks(tmp_path: Path) -> None:
    first = make_pidfile(str(tmp_path / "one.pid"))
    second = make_pidfile(str(tmp_path / "two.pid"))
    for path in (tmp_path / "one.pid", tmp_path / "two.pid"):
        assert read_pidfile(str(path)) == os.getpid()
        with pytest.raises(PidfileError):
            check_free(str(path))
        assert ask(path) == str(os.getpid())  # the lock is still there
    first.remove()
    assert not (tmp_path / "one.pid").exists()
    assert ask(tmp_path / "two.pid") == str(os.getpid())
    second.remove()
    with pytest.raises(FileNotFoundError):
        read_pidfile(str(tmp_path / "two.pid"))


def test_a_left_over_file_is_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "old.pid"
    path.write_text(f"{os.getpid()}\n")
    with pytest.raises(ProcessLookupError):
        read_pidfile(str(path))
    check_free(str(path))
