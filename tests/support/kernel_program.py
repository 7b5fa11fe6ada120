"""What tests of the kernel datapath need: the compiled program, and a kernel that lets us load it."""

import os

import pytest

from trunkline.bpf import probe


def compiled() -> bytes:
    """The program that the package carries; the test is skipped without it."""
    try:
        return probe.object_code()
    except probe.NoProgramError as error:
        pytest.skip(str(error))


def needs_kernel() -> None:
    """Skips the test where there can be no kernel datapath, with the reason."""
    if os.geteuid():
        pytest.skip("needs root")
    if (obstacle := probe.obstacle()) is not None:
        pytest.skip(f"no kernel datapath here: {obstacle}")
