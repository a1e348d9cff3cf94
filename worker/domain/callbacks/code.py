"""The state of one response_code, which is good for one card update within a time that the vendor sets."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.job import job_of

INSTEAD = "take the code of a later press of the card, or send a new card"
"""What to do when a response_code cannot be used."""


SOON_US = 3600 * 1_000_000
"""A card update is urgent when its code ends within this many microseconds."""


@dataclass(frozen=True, slots=True)
class CodeState:
    """One code's row in the ledger, without the code."""

    id: str
    state: str
    """`fresh`, `leased`, `spent` or `burned`."""
    holder: str | None
    """The update part that holds or used it; None while fresh."""
    ends_at: int

    @property
    def used(self) -> bool:
        """No call is made with it any more, unless a late answer says that it was not taken."""
        return self.state in ("spent", "burned")

    @property
    def fate(self) -> str:
        """What became of a used one, as the end of a sentence about it."""
        by = f" by job {job_of(self.holder)}" if self.holder else ""
        if self.state == "burned":
            return f"may have been used{by}, whose call was not answered"
        return f"has been used{by}: each is good for one update"
