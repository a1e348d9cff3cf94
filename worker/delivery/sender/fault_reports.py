"""Reports errors of this program, and answers that contradict the vendor's documentation.

Our errors go to the log and to the events of lanes, where the metrics, `worker lanes --history` and `worker doctor`
find them. Contradicting answers go to the log. Nothing is blocked or decided here.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from worker.config.log import Logger
from worker.delivery.sender.writer import WriterClosed
from worker.domain.job import job_of
from worker.domain.outcome import Contradiction
from worker.domain.pacing.lane import LaneEvent, LaneEventKind
from worker.outbox.engine.database import Database, is_unavailable
from worker.outbox.lanes.lanes import log_lane_events, write_lane_events

log = Logger()

REPORT_EVERY_S = 86_400.0
"""Seconds in which the same fault is reported once, however often it happens."""
IN_A_ROW = 3
"""A step is reported after so many failures in a row. A single failure may be a lock of another statement."""
LOG_EVERY_S = 3_600.0
MAX_FACTS = 100
"""The largest number of facts of a channel that a process logs; a vendor may answer nonsense without end."""
REMEDY = "report the error and its place to the maintainers; what it stopped must be resumed or repaired by hand"


class FaultReports:
    """Reports each fault once a day. Thread-safe."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic):
        self._database, self._monotonic = database, monotonic
        self._lock = threading.Lock()
        self._reported_at: dict[tuple[str, str, str], float] = {}
        self._failures: Counter[str] = Counter()

    def run_step(self, label: str, step: Callable[[], None]) -> bool:
        """Runs one of several steps that must not stop each other. Returns False if it failed.

        Raises only if the database is away or the process is ending.
        """
        try:
            step()
        except Exception as error:
            if is_unavailable(error) or isinstance(error, WriterClosed):
                raise
            self._failed(label, error)
            return False
        with self._lock:
            del self._failures[label]
        return True

    def _failed(self, label: str, error: Exception) -> None:
        with self._lock:
            self._failures[label] += 1
            failures = self._failures[label]
        if failures == 1:
            log.warning("step_failed", label=label, error=type(error).__name__)
        if failures >= IN_A_ROW:
            self.report(label, program_error(error))

    def report(
        self,
        label: str,
        reason: str,
        *,
        lane: str = "",
        account: str = "",
        part: str = "",
        remedy: str = REMEDY,
        what: LaneEventKind = LaneEventKind.FAULT,
    ) -> None:
        """Writes one event, unless one with the same account, label and reason was written within the last day.

        A reason holds classes of errors and no ids; `part` is the first part that met it, which the event names. If the
        database refuses the event, only the event is missing.
        """
        now, report = self._monotonic(), (account, label, reason)
        with self._lock:
            self._reported_at = {key: at for key, at in self._reported_at.items() if now - at < REPORT_EVERY_S}
            if report in self._reported_at:
                return
            self._reported_at[report] = now
        if part:
            job = job_of(part)
            reason = "; ".join([reason[:200], f"seen at part {part} of job {job} first"])
        event = LaneEvent(lane, account, label, what, reason[:300], remedy, None, None)
        log_lane_events([event])
        try:
            self._database.run(lambda connection: write_lane_events(connection, self._database.now, [event]))
        except SQLAlchemyError as error:
            # Not written, so the next failure of the same kind tries again.
            with self._lock:
                self._reported_at.pop(report, None)
            log.warning("not_told", label=label, error=type(error).__name__)


class UnexpectedAnswers:
    """Logs each fact that an answer contradicts once an hour, with the answer's names, types and lengths, no values.

    Once an hour, because a new field of the vendor comes with every answer. Thread-safe.
    """

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._logged_at: dict[tuple[str, str], float] = {}
        self._facts: Counter[str] = Counter()

    def report(self, channel: str, account: str, part_id: str, contradictions: Sequence[Contradiction]) -> None:
        """Logs the facts that were not logged within the last hour."""
        for contradiction in contradictions:
            if self._is_due(channel, contradiction.fact):
                log.warning(
                    "drift",
                    channel=channel,
                    account=account,
                    part=part_id,
                    what=contradiction.fact,
                    shape=contradiction.sample,
                )

    def _is_due(self, channel: str, fact: str) -> bool:
        now = self._monotonic()
        with self._lock:
            logged_at = self._logged_at.get((channel, fact))
            if logged_at is None:
                if self._facts[channel] >= MAX_FACTS:
                    return False
                self._facts[channel] += 1
            elif now - logged_at < LOG_EVERY_S:
                return False
            self._logged_at[channel, fact] = now
            return True


def program_error(error: BaseException) -> str:
    """Returns an error of this program as a text that may be stored: only its class, as its text may hold a secret."""
    return f"error in this program: {type(error).__name__}"
