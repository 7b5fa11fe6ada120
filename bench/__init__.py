"""Benchmarks beside the originals: `python -m bench` runs all, `python -m bench start sim` some.

Every module bench_*.py has `run()`, which yields rows (measure.py).  Ours and the original are measured in
the same run on the same machine, so the ratio means something also where the figures do not.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # the tests' support package: peers, originals
