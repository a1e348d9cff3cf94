"""What commands that read have in common: a connection, times, tables, and how far a long one has come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from rich.cells import cell_len

from worker.cli.options import echo, echo_error, plain
from worker.cli.times import clock
from worker.control.opening import open_database
from worker.domain.callbacks.hook import EventState
from worker.domain.errors import ConfigurationError
from worker.domain.pause import Pause
from worker.domain.state import JobState
from worker.language import term
from worker.outbox.engine.clock import instant

T = TypeVar("T")
S = TypeVar("S", JobState, EventState)


def staging_line(switch: str) -> str:
    """What a switch of staging means, for people."""
    return f"staging is on here ({switch}), so not every recipient gets the message; see docs/operations.md"


def print_rows(found: Sequence[T], line: Callable[[T], str], nothing: str, *, as_json: bool) -> None:
    """Prints rows as one JSON list, or each as `line` makes it; `nothing` is the sentence for an empty list."""
    if as_json:
        echo(json.dumps(plain(found), ensure_ascii=False))
        return
    for one in found:
        echo(line(one))
    if not found:
        echo(nothing)


class TextTable:
    """Prints rows below a header, each column as wide as its widest cell so far; the last one ends the line."""

    def __init__(self, *columns: str):
        self._header = [term("column", name).upper() for name in columns]
        self._widths = [0] * len(columns)
        self._is_begun = False

    def print(self, rows: Sequence[Sequence[str]]) -> None:
        """Prints these rows, and before the first of all the header; nothing for no rows."""
        if not rows:
            return
        lines = [*rows] if self._is_begun else [self._header, *rows]
        self._is_begun = True
        for cells in lines:
            self._widths = [max(width, cell_len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        for cells in lines:
            padded_cells = [padded(cell, width) for cell, width in zip(cells, self._widths, strict=True)]
            typer.echo("  ".join(padded_cells).rstrip())


def print_table(
    found: Sequence[T], columns: Sequence[str], row: Callable[[T], Sequence[str]], nothing: str, *, as_json: bool
) -> None:
    """Prints rows as one JSON list, or as a table whose cells `row` makes in the language of the person."""
    if as_json or not found:
        print_rows(found, str, nothing, as_json=as_json)
        return
    TextTable(*columns).print([row(one) for one in found])


def pause_line(pause: Pause) -> str:
    """What is paused, since when, by whom and why."""
    what = "held" if pause.job_id else "paused"
    why = f": {pause.why}" if pause.why else ""
    return f"{what}: {pause.told()}, since {clock(pause.began_at)}, by {pause.person}{why}"


def padded(text: str, width: int) -> str:
    """The text with blanks behind it up to a width on the terminal, where a Chinese character takes two places."""
    return text + " " * (width - cell_len(text))


def iso(at: int | None) -> str | None:
    """An instant in microseconds as ISO 8601 with milliseconds; None where there is none."""
    return instant(at).isoformat(timespec="milliseconds") if at else None


def state_named(states: type[S], name: str | None) -> S | None:
    """The state that `--state` names; None when the option is not given."""
    if name is None:
        return None
    try:
        return states[name.upper()]
    except KeyError:
        known = ", ".join(state.label for state in states)
        raise ConfigurationError(f"--state {name}: is not a state; use one of {known}") from None


class ProgressLine:
    """Tells how far a command of several jobs has come, at most once a second, with the rate so far."""

    def __init__(self, total: int, monotonic: Callable[[], float] = time.monotonic):
        self._total, self._monotonic = total, monotonic
        self._began = self._told = monotonic()

    def __call__(self, done: int) -> None:
        """So many are done."""
        now = self._monotonic()
        if now - self._told >= 1:
            self._told = now
            echo_error(f"{done} of {self._total} done, {done / (now - self._began):.0f}/s")


@contextmanager
def outbox() -> Iterator[Any]:
    """A connection to the settings' database, for reading."""
    with open_database() as database, database.reading() as connection:
        yield connection
