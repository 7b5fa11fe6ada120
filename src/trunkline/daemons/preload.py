"""All that a daemon may import or read of its own package later, loaded beforehand.

Much is imported where it is first needed, so that daemons and tools start quickly.  A daemon that takes on
another user (``--user``) may not be able to read its library any more: Python under /root, a virtual
environment of mode 0700.  Then everything must be there before.
"""

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages
from typing import Final

from trunkline.model.schemas import schema_text

PACKAGES: Final = (
    "base",
    "model",
    "flow",
    "packet",
    "jsonrpc",
    "openflow",
    "ovsdb",
    "dpif",
    "proto",
    "conntrack",
    "ofproto",
    "translate",
    "upcall",
    "sim",
    "bridge",
    "ovn",
    "io",
    "bpf",
    "daemons",
)
LIBRARY: Final = (
    "_ssl",
    "asyncio.sslproto",
    "asyncio.staggered",
    "base64",
    "concurrent.futures.thread",
    "ctypes",
    "datetime",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.unicode_escape",
    "getpass",
    "hashlib",
    "json.decoder",
    "linecache",
    "locale",
    "queue",
    "random",
    "socket",
    "ssl",
    "stringprep",
    "syslog",
    "tempfile",
    "traceback",
    "zlib",
)
"""Of the standard library: what modules of PACKAGES, or the library itself, import within functions."""


def preload() -> None:
    """Imports every module of PACKAGES and LIBRARY that is there, and reads the schemas."""
    for name in LIBRARY:
        import_module(name)
    for package in PACKAGES:
        name = f"trunkline.{package}"
        if find_spec(name) is not None:
            for found in walk_packages(import_module(name).__path__, f"{name}."):
                if not found.name.endswith(".__main__"):
                    with suppress(ImportError):  # it wants what this machine has not: nobody can need it
                        import_module(found.name)
    for schema in ("Open_vSwitch", "_Server"):
        schema_text(schema)
