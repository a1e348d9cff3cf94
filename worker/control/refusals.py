"""What replays and corrections of many jobs share: the rate, and the reasons for refused jobs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from worker.delivery.sender.fault_reports import program_error
from worker.domain.errors import CheckFailed, Problem, RetryTransaction, WorkerError

MAX_REASONS = 1_000
"""Most refused jobs of which a result has the reason."""
MIN_RATE = 0.001
"""Jobs a second, at least: the last of a million is then due in 31 years. At less, a time may overflow."""


def require_rate(rate: float) -> None:
    """Raises CheckFailed if a rate, in jobs per second, is below `MIN_RATE` or no number."""
    if not (rate >= MIN_RATE and math.isfinite(rate)):
        raise CheckFailed([Problem("rate", "is not from 0.001 on", "give how many jobs a second, or leave it out")])


@contextmanager
def collect_refusal(refused: dict[str, str], job_id: str) -> Iterator[None]:
    """Catches the error of a job that is refused before anything was inserted, and puts its reason into `refused`.

    The transaction goes on with its other jobs. An error of the database ends the transaction and is not caught.
    """
    try:
        yield
    except RetryTransaction:
        raise
    except (WorkerError, LookupError, ValueError, TypeError, AttributeError) as error:
        refused[job_id] = str(error) if isinstance(error, WorkerError) else program_error(error)


def add_reasons(reasons: dict[str, str], batch_reasons: dict[str, str]) -> None:
    """Adds the reasons of a batch to `reasons`, up to `MAX_REASONS` in all."""
    reasons |= dict(list(batch_reasons.items())[: MAX_REASONS - len(reasons)])
