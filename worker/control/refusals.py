"""What a replay and a correction of many jobs share: their rate, and the jobs that were refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from worker.delivery.sender.set_aside import our_error
from worker.domain.errors import CheckFailed, Problem, RetryTransaction, WorkerError

MOST_TOLD = 1_000
"""Refused jobs that are told with their reasons."""


def require_rate(rate: float) -> None:
    """CheckFailed for a number of jobs a second that is none."""
    if not (rate > 0 and math.isfinite(rate)):
        raise CheckFailed([Problem("rate", "is not above 0", "give how many jobs a second, or leave it out")])


@contextmanager
def refusal_noted(refused: dict[str, str], job_id: str) -> Iterator[None]:
    """Puts the reason into `refused` where the job is refused, or not understood, before anything was inserted.

    So the others of the transaction go on. An error of the database ends the transaction, and is not caught.
    """
    try:
        yield
    except RetryTransaction:
        raise
    except (WorkerError, LookupError, ValueError, TypeError, AttributeError) as error:
        refused[job_id] = str(error) if isinstance(error, WorkerError) else our_error(error)


def add_reasons(reasons: dict[str, str], refused: dict[str, str]) -> None:
    """Adds the reasons of a lot to those that are told, `MOST_TOLD` in all."""
    reasons |= dict(list(refused.items())[: MOST_TOLD - len(reasons)])
