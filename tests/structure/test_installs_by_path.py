"""Nothing installs this project by its name, which belongs to nobody at an index while no release is out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = r"im[-_]delivery[-_]worker"
BY_NAME = re.compile(
    rf"\b(?:pip3?|uv|uvx|pipx|poetry|pdm|conda)\b[^\n`]*[\s'\"]{NAME}(?=[\s'\"`\[=<>~!,;:)]|$)|{NAME}\[",
    re.IGNORECASE | re.MULTILINE,
)
ITSELF = {"pyproject.toml", "docker/requirements.txt", "tests/structure/test_installs_by_path.py", "Makefile"}
"""What names its own extras, this test, and the line that takes them out of the pinned requirements."""


def by_name(text: str) -> list[str]:
    """What a text installs by the project's name."""
    return [match[0].strip() for match in BY_NAME.finditer(text)]


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("pip install im-delivery-worker", True),
        ("$ uv pip install 'im-delivery-worker[worker]' flask", True),
        ("RUN pip install --no-cache im_delivery_worker==0.1", True),
        ("uvx --from 'im-delivery-worker' worker demo", True),
        ('needs = ["im-delivery-worker[redis]"]', True),
        ('pip install "${WHEEL}[worker]"', False),
        ("pip install --find-links x ./im_delivery_worker-0.1-py3-none-any.whl", False),
        ("docker build -t im-delivery-worker:local .", False),
    ],
)
def test_the_grep_finds_what_it_should(line: str, is_found: bool) -> None:
    """By the tools of Python, in any spelling of the name; a path is none, and an image is not Python's."""
    assert is_found is bool(by_name(line))


def test_every_line_installs_the_checkout_or_a_wheel_by_its_path() -> None:
    """In code, what it says in both languages, documents, images, charts and tests."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = {}
    for name in set(filter(None, listed.split("\0"))) - ITSELF:
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in content and (lines := by_name(content.decode("utf-8", "replace"))):
            found[name] = lines

    assert found == {}
