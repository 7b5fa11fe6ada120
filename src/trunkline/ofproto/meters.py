"""Meters as a bridge holds them; what they measure is the datapath's to know."""

from trunkline.openflow.meters import Band


class Meter:
    """A meter; `number` is its number in the datapath, where those of all bridges are."""

    __slots__ = ("bands", "created", "flags", "id", "number")

    def __init__(self, id: int, flags: int, bands: tuple[Band, ...], now: float, number: int) -> None:
        self.id = id
        self.flags = flags
        self.bands = bands
        self.created = now
        self.number = number
