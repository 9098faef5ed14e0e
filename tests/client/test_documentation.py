"""What ``docs/client.md`` promises."""

from __future__ import annotations

import re
import subprocess
import sys

from memdbd.client import exits
from memdbd.client.options import MANUAL

from .conftest import ENVIRONMENT, ROOT

TEXT = (ROOT / "docs/client.md").read_text(encoding="utf-8")


def test_the_example_prints_what_it_says(daemon: str) -> None:
    example, printed = re.findall(r"```python\n(.*?)```.*?```\n(.*?)```", TEXT, re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-c", example.replace("tcp:127.0.0.1:65432", daemon)],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (printed, "")


def test_every_exit_status_is_in_it_and_in_the_help() -> None:
    statuses = {value for name, value in vars(exits).items() if name.isupper()}
    assert {int(text) for text in re.findall(r"^\| (\d+) ", TEXT, re.MULTILINE)} == statuses
    assert {int(text) for text in re.findall(r"^ +(\d+)\+? ", MANUAL, re.MULTILINE)} == statuses
