"""``python -m trunkline`` is the command ``trunkline``."""

from trunkline.start import trunkline

trunkline()
