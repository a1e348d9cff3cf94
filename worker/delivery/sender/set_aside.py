"""Reports what an error of ours kept from being judged or done, and answers that do not look as the vendor's page says.

The first goes to the log and to the events of lanes, where the metrics, `worker lanes --events` and `worker doctor`
find it; the second to the log. Blocks nothing and decides nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from worker.config.log import Logger
from worker.delivery.sender.writer import WriterClosed
from worker.domain.outcome import Contradiction
from worker.domain.pacing.lane import LaneEvent, LaneEventKind
from worker.outbox.engine.database import Database, is_lost
from worker.outbox.lanes.lanes import keep_events, log_steps

log = Logger()

AGAIN_S = 86_400.0
"""Seconds in which the same thing is reported once, however often it happens."""
IN_A_ROW = 3
"""A step is reported when it fails so often in a row; one failure may be a lock that another statement held."""
ODD_AGAIN_S = 3_600.0
MOST_FACTS = 100
"""Facts of a channel that a process logs at most; a vendor may answer nonsense without end."""
REMEDY = "tell the maintainers the error and its place; what it stopped goes on, or is repaired, by hand"


class SetAside:
    """Reports each thing once a day. Thread-safe."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic):
        self._database, self._monotonic = database, monotonic
        self._guard = threading.Lock()
        self._reported_at: dict[tuple[str, str, str], float] = {}
        self._failures: Counter[str] = Counter()

    def carry_out(self, label: str, step: Callable[[], None]) -> bool:
        """Carries out one of several steps that must not stop each other; False when it failed.

        Raises only when the database is away, or the process ends.
        """
        try:
            step()
        except Exception as error:
            if is_lost(error) or isinstance(error, WriterClosed):
                raise
            self._failed(label, error)
            return False
        with self._guard:
            del self._failures[label]
        return True

    def _failed(self, label: str, error: Exception) -> None:
        with self._guard:
            self._failures[label] += 1
            failures = self._failures[label]
        if failures == 1:
            log.warning("step_failed", label=label, error=type(error).__name__)
        if failures >= IN_A_ROW:
            self.tell(label, our_error(error))

    def tell(self, label: str, reason: str, *, lane: str = "", account: str = "", remedy: str = REMEDY) -> None:
        """Writes one event, unless one with the same account, label and reason was written within the last day.

        A reason holds classes of errors and no ids. When the database refuses the event, only the event is missing.
        """
        now, same = self._monotonic(), (account, label, reason)
        with self._guard:
            self._reported_at = {report: at for report, at in self._reported_at.items() if now - at < AGAIN_S}
            if same in self._reported_at:
                return
            self._reported_at[same] = now
        event = LaneEvent(lane, account, label, LaneEventKind.SET_ASIDE, reason[:300], remedy, None, None)
        log_steps([event])
        try:
            self._database.run(lambda connection: keep_events(connection, self._database.now, [event]))
        except SQLAlchemyError as error:
            # Not written, so the next failure of the same kind tries again.
            with self._guard:
                self._reported_at.pop(same, None)
            log.warning("not_told", label=label, error=type(error).__name__)


class OddAnswers:
    """Logs each fact that an answer contradicts once an hour, with its shape: names, types and lengths, no values.

    A new field comes with every answer. Thread-safe.
    """

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._logged_at: dict[tuple[str, str], float] = {}
        self._facts: Counter[str] = Counter()

    def report(self, channel: str, account: str, part_id: str, contradictions: Sequence[Contradiction]) -> None:
        """Logs the facts that were not logged within the last hour."""
        for odd in contradictions:
            if self._is_due(channel, odd.fact):
                log.warning("drift", channel=channel, account=account, part=part_id, what=odd.fact, shape=odd.sample)

    def _is_due(self, channel: str, fact: str) -> bool:
        now = self._monotonic()
        with self._guard:
            logged_at = self._logged_at.get((channel, fact))
            if logged_at is None:
                if self._facts[channel] >= MOST_FACTS:
                    return False
                self._facts[channel] += 1
            elif now - logged_at < ODD_AGAIN_S:
                return False
            self._logged_at[channel, fact] = now
            return True


def our_error(error: BaseException) -> str:
    """An error of ours in words that may be stored: its class, never its text, which may hold a secret or a name."""
    return f"our own error: {type(error).__name__}"
