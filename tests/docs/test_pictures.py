"""The documents' pictures are small, and each is shown by a page."""

from __future__ import annotations

from pathlib import Path

from tests.docs.page import pages

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
MOST_BYTES = 100 * 1024


def test_every_picture_is_shown_and_no_other() -> None:
    """`make screenshots` makes those that README.md and docs/ show."""
    shown = {Path(link).name for page in pages() for link in page.links() if link.endswith(".png")}

    assert {path.name for path in PICTURES.iterdir()} == shown


def test_a_picture_is_small() -> None:
    """A checkout carries all of them for ever."""
    assert [path.name for path in PICTURES.iterdir() if path.stat().st_size > MOST_BYTES] == []
