"""`worker drift`: answers that do not look as the vendor's pages say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.cli.reading import Say, iso, outbox, padded, tell
from worker.outbox.jobs.drift import list_drift

NOTHING = "every answer looks as the vendor's pages say"


def show(say: Say, *, channel: str | None, as_json: bool) -> None:
    """Prints the facts that answers contradicted, the last one first."""
    with outbox() as connection:
        rows = list_drift(connection, channel)
    found = [{**row, "first_at": iso(row["first_at"]), "last_at": iso(row["last_at"])} for row in rows]
    tell(say, found, _lines, NOTHING, as_json=as_json)


def _lines(row: Mapping[str, Any]) -> str:
    often = f"{row['answers']} answers, {row['first_at']} to {row['last_at']}"
    last = f"the last to account {row['account']}, part {row['part_id']}"
    return f"{padded(row['channel'], 16)} {row['fact']}\n  {often}; {last}\n  {row['sample']}"
