"""What ``vtep-ctl --version`` says."""

from trunkline.base.version import version_text


def version() -> str:
    return version_text("vtep-ctl", "DB Schema 1.7.0")
