"""The pages that are made out of the program: nothing of them is written twice."""

from __future__ import annotations

from rig.site.navigation import Language


def made(language: Language) -> dict[str, str]:
    """The text of each page of `reference/`, by its name."""
    return {}
