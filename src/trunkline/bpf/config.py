"""The settings of the program, which it reads at each packet: one record in shared memory."""

from collections.abc import Mapping

from trunkline.bpf import layout as program
from trunkline.bpf.maps import Map

_MASKS, _VLAN_LIMIT, _ROUND, _GENERATION = range(6, 10)  # words of the record


class Config:
    """The map `config`, shared memory: who this is, how many masks there are, which bank of bits is written,
    and how often flows have changed."""

    def __init__(self, maps: Mapping[str, Map], owner: bytes | None, layout_digest: int = 0) -> None:
        """Without an owner it stays as an earlier process has left it."""
        if owner is not None:
            record = program.CONFIG.packed.pack(owner, layout_digest, 0, 1, 1, 1)
            maps["config"].update(bytes(4), record)
        self._words = memoryview(maps["config"].memory()).cast("B").cast("I")

    @property
    def masks(self) -> int:
        return self._words[_MASKS]

    def set_masks(self, count: int) -> None:
        self._words[_MASKS] = count

    def set_vlan_limit(self, limit: int) -> None:
        self._words[_VLAN_LIMIT] = limit

    def flip(self) -> int:
        """The bank that was written until now; from now on it is the other."""
        before = self._words[_ROUND]
        self._words[_ROUND] = before + 1 & 0xFFFFFFFF
        return before & 1

    def changed(self) -> None:
        """A flow is another now, or is not there any more: nobody may go by what he remembers of it.

        (0 is no generation: in a processor's memory of flows it says that there is nothing.)
        """
        self._words[_GENERATION] = self._words[_GENERATION] % 0xFFFFFFFF + 1

    def close(self) -> None:
        self._words.release()
