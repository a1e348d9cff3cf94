"""Helpers of commands that read: a connection, instants, lists and tables, and the progress of long commands."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from rich.cells import cell_len

from worker.accounts.sources import accounts_of
from worker.cli.options import echo, echo_error, to_json, write
from worker.cli.times import clock
from worker.config.settings import load_settings
from worker.control.opening import open_database
from worker.control.selection import unmatched
from worker.domain.callbacks.hook import EventState
from worker.domain.errors import ConfigurationError
from worker.domain.job_filter import JobFilter
from worker.domain.pause import Pause
from worker.domain.state import JobState
from worker.language import term
from worker.language.visible import one_line, one_line_values
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database

T = TypeVar("T")
S = TypeVar("S", JobState, EventState)


def staging_line(switch: str) -> str:
    """Returns a sentence about a staging switch that is on."""
    return f"staging is on here ({switch}), so not every recipient gets the message; see docs/operations.md"


def print_rows(rows: Sequence[T], format_row: Callable[[T], str], nothing: str, *, as_json: bool) -> None:
    """Prints rows as one JSON list, or each as `format_row` writes it; `nothing` is the sentence for an empty list."""
    if as_json:
        echo(json.dumps(to_json(rows), ensure_ascii=False))
        return
    for row in map(one_line_values, rows):
        echo(format_row(row))
    if not rows:
        echo(nothing)


class TextTable:
    """Prints rows below a header. Each column is as wide as its widest cell so far."""

    def __init__(self, *columns: str):
        self._header = [term("column", name).upper() for name in columns]
        self._widths = [0] * len(columns)
        self._is_begun = False

    def print(self, rows: Sequence[Sequence[str]]) -> None:
        """Prints these rows, with the header before the first ones."""
        if not rows:
            return
        lines = [[one_line(cell) for cell in row] for row in rows]
        lines = lines if self._is_begun else [self._header, *lines]
        self._is_begun = True
        for cells in lines:
            self._widths = [max(width, cell_len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        for cells in lines:
            padded_cells = [padded(cell, width) for cell, width in zip(cells, self._widths, strict=True)]
            write("  ".join(padded_cells).rstrip())


def print_table(
    rows: Sequence[T],
    columns: Sequence[str],
    format_cells: Callable[[T], Sequence[str]],
    nothing: str,
    *,
    as_json: bool,
) -> None:
    """Prints rows as one JSON list, or as a table; `format_cells` makes a row's cells in the language of the person."""
    if as_json or not rows:
        print_rows(rows, str, nothing, as_json=as_json)
        return
    TextTable(*columns).print([format_cells(row) for row in rows])


def pause_line(pause: Pause) -> str:
    """Returns a line about a pause: its scope, since when, by whom and why."""
    why = f": {pause.why}" if pause.why else ""
    return one_line(f"paused: {pause.scope_text()}, since {clock(pause.began_at)}, by {pause.person}{why}")


def unmatched_names(database: Database, job_filter: JobFilter | None, *, is_empty: bool) -> list[str]:
    """Returns a sentence for each name in a filter that belongs to nothing. `is_empty`: the filter found no job."""
    if job_filter is None:
        return []
    accounts = accounts_of(load_settings(), database).names()
    with database.reading() as connection:
        return unmatched(connection, job_filter, accounts, is_empty=is_empty)


def require_account(name: str | None) -> None:
    """Raises UnknownAccount if the account of a list without rows does not exist."""
    accounts = accounts_of(load_settings())
    if name is not None and name not in accounts.names():
        accounts.get(name)


def print_problems(sentences: Sequence[str]) -> bool:
    """Prints sentences to stderr. Returns False if there are any, so that the command does not end as a success."""
    for sentence in sentences:
        echo_error(sentence)
    return not sentences


def padded(text: str, width: int) -> str:
    """Pads a text with blanks to a width on the terminal, where a Chinese character takes two columns."""
    return text + " " * (width - cell_len(text))


def iso(at: int | None) -> str | None:
    """Returns an instant in microseconds as ISO 8601 with milliseconds, or None for None and 0."""
    return instant(at).isoformat(timespec="milliseconds") if at else None


def state_by_name(states: type[S], name: str | None) -> S | None:
    """Returns the state with the name in `--state`, or None if the option is not set."""
    if name is None:
        return None
    try:
        return states[name.upper()]
    except KeyError:
        names = ", ".join(state.label for state in states)
        raise ConfigurationError(f"--state {name}: is not a state; use one of {names}") from None


class ProgressLine:
    """Prints the progress of a command on several jobs, at most once a second, with the rate so far."""

    def __init__(self, total: int, monotonic: Callable[[], float] = time.monotonic):
        self._total, self._monotonic = total, monotonic
        self._began_at = self._printed_at = monotonic()

    def __call__(self, done: int) -> None:
        """Prints that so many jobs are done, unless a line was printed within the last second."""
        now = self._monotonic()
        if now - self._printed_at >= 1:
            self._printed_at = now
            rate = done / (now - self._began_at)
            # A terminal that is gone must not end the command in its middle.
            with suppress(OSError):
                echo_error(f"{done} of {self._total} done, {rate:.0f}/s")


@contextmanager
def outbox() -> Iterator[Any]:
    """Opens a connection for reading to the database of the settings."""
    with open_database() as database, database.reading() as connection:
        yield connection
