"""The thread that tells people which problems began and which ended.

Only the process with the lease sends notices. Another one takes over when the lease ends, or when no target accepts a
notice from this process. It has a lease of its own, because a relay that stands still is one of the problems. A
database outage is reported by each process.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from uuid_utils import uuid7

from worker.channels.registry import split_usable
from worker.config.notify import NotifySettings
from worker.delivery.sender.runtime import Runtime
from worker.domain.job import JobKind
from worker.outbox.engine.clock import SECOND, instant, micros
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.agenda import Agenda, Work
from worker.outbox.upkeep.alerts import AlertRow, alert_rows, failed_notices, save_alerts
from worker.reporting.problem_kinds import KINDS
from worker.reporting.problems import OutboxReading, find_problems, read_outbox
from worker.service.notify.notices import AlertNotice, notices, update_alerts
from worker.service.notify.sending import TAG, NoticeSender

LEASE = "notify"
LEASE_S = 60.0
"""Longer than one turn with a POST to each of a few URLs."""
EVERY_S = 30.0
UNDELIVERED = "none of the targets accepted its notice"
MAX_BLOCKED_S = 60
"""Seconds for which an account that carries notices may be blocked. If it is longer, the next target is used."""
RETRY_S = 60.0
"""Seconds between two tries to report an outage."""
OUTAGE_EVERY_S = 3_600.0
"""Seconds between two outages that a process reports, at least."""


class Notifier:
    """Finds the problems of the installation and sends notices about them."""

    def __init__(
        self,
        settings: NotifySettings,
        runtime: Runtime,
        *,
        agenda: Agenda | None = None,
        zone: tzinfo = UTC,
        wall_clock: Callable[[], float] = time.time,
    ):
        self._runtime, self._wall_clock = runtime, wall_clock
        self._agenda = agenda or Agenda(runtime.database, runtime.monotonic)
        self._database, self._accounts = runtime.database, runtime.accounts
        self._targets = [target.account for target in settings.to]
        self._sender = NoticeSender(self._database, self._accounts, runtime.web, settings.to, runtime.monotonic, zone)
        self._outage = Outage(self._database, self._sender, monotonic=runtime.monotonic, wall_clock=wall_clock)
        self.leadership = runtime.leadership(LEASE, LEASE_S)

    def turn(self) -> float:
        """Checks once, sends what is due, and returns the seconds until the next turn. Raises the database's errors."""
        try:
            if self.leadership.lead():
                with self.leadership.trying():
                    self._send_due()
        except SQLAlchemyError:
            self._outage.record_failure()
            raise
        self._outage.record_success()
        return EVERY_S

    def _send_due(self) -> None:
        database, holds = self._database, self.leadership.holds
        with database.reading() as connection:
            reading = read_outbox(connection, database.now, has_open=not self._agenda.lacks(Work.OPEN))
            rows = alert_rows(connection)
        found = find_problems(reading, self._accounts, wall_s=self._wall_clock())
        problems = {(problem.name, problem.subject) for problem in found}
        due = database.run(partial(self._due, problems=problems)) if problems or rows else []
        if not due:
            self.leadership.record_idle()
            return
        stopped = {problem.subject for problem in found if problem.kind.stops == "account"}
        unusable = stopped | self._unusable_accounts(reading)
        for notice in due:
            # Checked before each notice: a POST may take long, so another process may have taken over, or this one is
            # to end.
            if self._runtime.draining.is_set() or not database.run(holds):
                return
            is_urgent = notice.kind.severity == "page"
            if ("QueueWithoutWorkers", "urgent" if is_urgent else "normal") in problems:
                is_urgent = not is_urgent
            if notice.kind.tells_more:
                of_kind = [problem for problem in found if problem.kind is notice.kind]
                texts = {problem.subject: problem.text for problem in of_kind if problem.text}
                notice = replace(notice, texts=texts)
            is_sent = self._sender.send(notice, unusable, holds, is_urgent=is_urgent)
            if is_sent:
                self.leadership.succeeded()
            elif is_sent is not None:
                self.leadership.failed(UNDELIVERED)

    def _due(self, connection: Connection, problems: Collection[tuple[str, str]]) -> list[AlertNotice]:
        """Stores which problems began and ended, and returns the notices that are due."""
        if not self.leadership.holds(connection):
            return []
        stored, now = alert_rows(connection), read_now(connection, self._database.now)
        rows, forgotten = update_alerts(map(replace, stored), problems, now, lambda: uuid7().hex)
        save_alerts(connection, [row for row in rows if row not in stored], forgotten)
        return notices(rows, self._failed(connection, rows), self._targets, now)

    def _failed(self, connection: Connection, rows: list[AlertRow]) -> dict[str, int]:
        """Returns each alert's id with the index of the target whose job about it failed."""
        jobs = {row.id: row.job_id for row in rows if row.job_id}
        accounts = failed_notices(connection, self._database.now, jobs.values()) if jobs else {}
        indexes = {account: n for n, account in enumerate(self._targets) if account}
        return {row: indexes[accounts[job]] for row, job in jobs.items() if accounts.get(job) in indexes}

    def _unusable_accounts(self, reading: OutboxReading) -> set[str]:
        """Returns the accounts that cannot carry notices because of a block, a pause or their settings."""
        soon = instant(reading.now + MAX_BLOCKED_S * SECOND)
        unusable = {lane.account for lane in reading.lanes if lane.until and lane.until > soon}
        usable, unusable_settings = split_usable(self._accounts, {account for account in self._targets if account})
        for name, account in usable.items():
            job = {
                "id": "",
                "account": name,
                "channel": account.channel,
                "kind": JobKind.SEND,
                "tags": json.dumps([TAG]),
            }
            if any(pause.covers(job) for pause in reading.pauses):
                unusable.add(name)
        return unusable | unusable_settings.keys()


class Outage:
    """Reports a database that is away or takes no writes, without any table.

    It uses URLs only, after a minute, once for the beginning and once for the end, and at most once an hour. Several
    processes report the same outage, each under its own name. A process that starts or ends meanwhile reports nothing.
    """

    def __init__(
        self,
        database: Database,
        sender: NoticeSender,
        *,
        monotonic: Callable[[], float],
        wall_clock: Callable[[], float],
    ):
        self._database, self._sender = database, sender
        self._monotonic, self._wall_clock = monotonic, wall_clock
        self._began_at: float | None = None
        self._seen_at = 0
        self._tried_at = self._raised_at = float("-inf")
        self._row: AlertRow | None = None
        """The alert whose end is still to be sent."""

    def record_failure(self) -> None:
        """Records that the database has failed, and sends a notice once that has lasted."""
        now = self._monotonic()
        if self._began_at is None:
            self._began_at, self._seen_at = now, micros(self._wall_clock())
        lasts = KINDS["DatabaseAway"].delay
        waits = now < max(self._began_at + lasts, self._tried_at + RETRY_S, self._raised_at + OUTAGE_EVERY_S)
        if waits or self._row is not None:
            return
        self._tried_at = now
        name = "DatabaseTakesNoWrites" if self._reads() else "DatabaseAway"
        row = AlertRow(uuid7().hex, name, f"{socket.gethostname()[:100]} {os.getpid()}", self._seen_at)
        if self._send(row, is_end=False):
            self._row, self._raised_at = row, now

    def record_success(self) -> None:
        """Records that the database works, and sends the end of an outage that was reported."""
        self._began_at = None
        if self._row is None or self._monotonic() < self._tried_at + RETRY_S:
            return
        self._tried_at = self._monotonic()
        self._row.gone_at = self._row.gone_at or micros(self._wall_clock())
        if self._send(self._row, is_end=True):
            self._row, self._tried_at = None, float("-inf")

    def _reads(self) -> bool:
        with suppress(SQLAlchemyError):
            return self._database.read_now() > 0
        return False

    def _send(self, row: AlertRow, *, is_end: bool) -> bool:
        return self._sender.is_posted_anywhere(AlertNotice(KINDS[row.alert], [row], is_end, micros(self._wall_clock())))
