"""`worker explain`: a vendor's errcode out of the channels' tables, each table once."""

from __future__ import annotations

from worker import channels


def explained(code: int, lang: str, only: str | None) -> list[str]:
    """The lines about a code, with channels' names above if the channels differ; empty: no channel knows the code."""
    told: dict[tuple[str, ...], list[str]] = {}
    for name in (only,) if only else channels.names():
        lines = channels.channel(name).explain(code, lang)
        if lines:
            told.setdefault(tuple(lines), []).append(name)
    if len(told) == 1:
        return list(next(iter(told)))
    return [line for lines, names in told.items() for line in (f"{', '.join(names)}:", *(f"  {one}" for one in lines))]
