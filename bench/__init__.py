"""Measured promises: one program each, `python -m bench NAME`, listed by `make bench`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What a bench found; the last line says it in one form for people and for scripts."""

    name: str
    figure: str
    goal: str
    ok: bool

    def line(self) -> str:
        """`NAME: FIGURE (goal GOAL) ok`, or `... short`."""
        return f"{self.name}: {self.figure} (goal {self.goal}) {'ok' if self.ok else 'short'}"
