"""A world without a kernel: simulated devices, and simulated machines to plug into them."""
