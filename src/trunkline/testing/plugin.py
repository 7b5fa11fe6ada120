"""The pytest plugin: fixtures that give a whole site in one process, without root, on virtual time.

``site`` has a database server and a switch without any bridge; see trunkline.testing.site.Site.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trunkline.testing.site import Site


@pytest.fixture
def site() -> "Iterator[Site]":
    """A fresh `Site`, stopped at the end of the test."""
    from trunkline.testing.site import Site

    directory = Path(tempfile.mkdtemp(prefix="trunkline."))
    try:
        with Site(directory) as running:
            yield running
    finally:
        shutil.rmtree(directory, ignore_errors=True)
