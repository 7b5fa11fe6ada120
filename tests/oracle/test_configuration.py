"""The table of settings is whole: it names what the manual page names, no more and no less."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from trunkline.model.configuration import SETTINGS

SETTING = re.compile(r"^ {7,20}(\w+)(?: : ([\w\-.:]+))?(?: +.*)?$")

pytestmark = pytest.mark.oracle


def manual_page() -> str:
    environment = dict(os.environ, MANWIDTH="220", LC_ALL="C.UTF-8")
    command = ["man", "5", "ovs-vswitchd.conf.db"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True)
    if shown.returncode:
        pytest.skip("the manual page ovs-vswitchd.conf.db(5) is not installed")
    return re.sub(r".\x08", "", shown.stdout).expandtabs()


def settings_of(page: str) -> Iterator[tuple[str, str]]:
    table, in_summary = "", False
    for line in page.splitlines():
        if heading := re.match(r"^(\w+) TABLE$", line):
            table = heading[1]
        elif line.startswith("   Summary:"):
            in_summary = True
        elif line.startswith("   Details:"):
            in_summary = False
        elif in_summary and not line.rstrip().endswith(":") and (found := SETTING.match(line)):
            yield table, f"{found[1]}:{found[2]}" if found[2] else found[1]


@pytest.mark.skipif(shutil.which("man") is None, reason="man-db is not installed")
def test_every_setting_of_the_manual_page_is_in_the_table() -> None:
    want = set(settings_of(manual_page()))
    have = [(row.table, name) for row in SETTINGS for name in row.names.split()]
    assert len(want) > 450
    assert len(have) == len(set(have)), "named twice"
    assert set(have) == want
