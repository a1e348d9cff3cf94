"""An application's resolver in worker processes of tests: two departments, and one that nobody can look up."""

from __future__ import annotations

from collections.abc import Sequence

PEOPLE = {"12": ["p12u1", "p12u2", "p12u3"], "13": ["p13u1", "p13u2", "p13u3"]}


def told(account: str, parties: Sequence[str], tags: Sequence[str]) -> list[str]:
    """The members of all of these."""
    return [member for party in parties for member in PEOPLE[party]]
