"""The table of limits in docs/wecom-external.md, from our rows; run as a script it prints it."""

from __future__ import annotations

from wecom_app_table import HEAD, beyond, limit_of

from worker.channels.checking.row import FieldRule
from worker.channels.wecom_external import fields


def lines() -> list[str]:
    """Every field with a limit."""
    rows = [row for row in fields.BODY if isinstance(row, FieldRule)]
    return [*HEAD, *(f"| `{row.path}` | {limit} | {beyond(row)} |" for row in rows if (limit := limit_of(row)))]


if __name__ == "__main__":
    print("\n".join(lines()))
