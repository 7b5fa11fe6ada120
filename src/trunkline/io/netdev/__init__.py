"""Devices: where packets of an interface come from and go to, a file a type."""
