"""Names that a device may have, and those that the kernel would refuse, cut or complete."""

import pytest

from trunkline.base.clock import ManualClock
from trunkline.bridge.devices import DeviceError, name_fault
from trunkline.io.netdev.factory import MachineDevices

TOO_LONG, WRONG = "Numerical result out of range", "Invalid argument"
CASES = (
    *((name, None) for name in ("1", "eth0", "abcdefghijklmno", "éééééée", "...", "a-b", "x@y")),
    *((name, TOO_LONG) for name in ("abcdefghijklmnop", "éééééééé", "a" * 300)),
    *((name, WRONG) for name in ("", ".", "..", "a/b", "a b", "a:b", "x%d", "a\tb", "a\n")),
)


class NoReaders:
    """Nothing is opened, so nothing is read."""

    def add_reader(self, descriptor: int, callback: object) -> None:
        raise AssertionError(descriptor)

    def remove_reader(self, descriptor: int) -> bool:
        raise AssertionError(descriptor)


@pytest.mark.parametrize(("name", "fault"), CASES)
def test_what_a_name_lacks(name: str, fault: str | None) -> None:
    assert name_fault(name) == fault


@pytest.mark.parametrize("type", ["internal", "tap"])
def test_no_device_is_made_under_another_name(type: str) -> None:
    devices = MachineDevices(NoReaders(), "/nowhere", ManualClock())
    for name, fault in CASES:
        if fault is not None:
            with pytest.raises(DeviceError, match=fault):
                devices.open(name, type, {})
