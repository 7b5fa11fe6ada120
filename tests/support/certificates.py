"""Keys and certificates for tests of TLS, made by openssl(1)."""

import subprocess
from pathlib import Path

_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(directory: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True, timeout=60)


def make_certificates(directory: Path) -> Path:
    """Two CAs (ca.pem, ca2.pem); keys and certificates of a server (s) and a client (c) by the first, of
    another (x) by the second; the client's once more, expired (expired.pem)."""
    for name in ("ca", "ca2"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl(directory, "req", "-x509", *_NEW, *files, "-days", "2", "-subj", f"/C=CH/CN={name}")
    for name in ("s", "c", "x"):
        openssl(
            directory, "req", *_NEW, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
    for name, request, authority, days in (
        ("s", "s", "ca", "2"), ("c", "c", "ca", "2"), ("x", "x", "ca2", "2"), ("expired", "c", "ca", "-1")
    ):  # fmt: skip
        signing = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", days)
        openssl(directory, "x509", "-req", "-in", f"{request}.csr", *signing, "-out", f"{name}.pem")
    return directory
