"""The doubts that end with a person: how many, and whether the table of the design page names the cause of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bench.explore.database import Store
from bench.explore.fates import ERRCODES, UNSEEN
from worker.domain.state import PartState

PAGE = Path(__file__).resolve().parents[2] / "docs" / "design.md"
HEADING = "### Doubts that end with a person"
REFUSED_SINCE = "the vendor has refused a call since"
_SEEN = ", ".join(str(code) for fate, code in ERRCODES.items() if fate not in UNSEEN)
_DOUBTED = (
    "select p.id, p.state, p.not_before, p.reason, j.message,"
    f" (select count(*) from worker_attempts a where a.part_id = p.id and a.errcode in ({_SEEN})) as refused"
    " from worker_parts p join worker_jobs j on j.id = p.job_id"
    " where exists (select 1 from worker_attempts a where a.part_id = p.id and a.outcome = 'unknown')"
)


@cache
def causes() -> tuple[str, ...]:
    """Returns the words that the table names, each part of a reason; the first that fits counts."""
    table = PAGE.read_text(encoding="utf-8").partition(HEADING)[2].partition("\n#")[0]
    return tuple(line.split("`")[1] for line in table.splitlines() if line.startswith("| `"))


def cause_of(reason: str | None) -> str | None:
    """Returns the words of the table that fit a reason, or None if there are none."""
    return next((words for words in causes() if words in (reason or "")), None)


@dataclass
class Doubts:
    """Parts that were in doubt, and those of them that wait for a person although all is calm."""

    parts: int = 0
    held: Counter[str] = field(default_factory=Counter)
    """Cause, in the words of the table -> how many."""

    def add(self, other: Doubts) -> None:
        """Adds those of another universe."""
        self.parts += other.parts
        self.held += other.held

    def lines(self) -> Iterator[str]:
        """Says how many of a thousand doubts end with a person, by cause."""
        yield f"{self.parts} parts were in doubt; of 1,000 {self._share(self.held.total())} wait for a person:"
        yield from (f"  {self._share(count):>6}  {cause}" for cause, count in self.held.most_common())

    def _share(self, count: int) -> str:
        return f"{1000 * count / max(1, self.parts):.1f}"


def count_doubts(store: Store, found: Doubts) -> Iterator[str]:
    """Counts what is in doubt once all is calm. Yields a sentence for each part that should not wait for a person."""
    for row in store.rows(_DOUBTED):
        found.parts += 1
        if row["state"] != PartState.UNKNOWN or row["not_before"] is not None:
            continue
        if (cause := cause_of(row["reason"])) is None:
            yield f"{row['id']} waits for a person, and the design page does not say why: {row['reason']}"
        elif cause == REFUSED_SINCE and (not row["refused"] or '"template_card"' in row["message"]):
            yield f"{row['id']} waits for a person, and no call of it was refused that the vendor had looked at"
        found.held[cause or "no cause"] += 1
