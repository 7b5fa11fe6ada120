"""What ``ovs-vsctl --version`` says."""

from trunkline.base.version import version_text


def version() -> str:
    return version_text("ovs-vsctl", "DB Schema 8.3.1")
