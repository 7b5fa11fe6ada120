"""Trunkline: Open vSwitch and OVN, in Python.

The packages are layers; docs/design/layers.md draws them and tests/unit/test_layers.py holds them.
"""

__version__ = "0.1.0"
