"""The turns of the thread that tells people which problems came, and which went.

Of all processes the one with the lease looks and tells; the rest take over when that is over, or when no target takes a
notice from it. It is no task of the relay's leader, because a relay that stands still is one of the problems. A
database that is away is told by each process.
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

from worker.channels.registry import sorted_out
from worker.config.notify import NotifySettings
from worker.delivery.sender.runtime import Runtime
from worker.domain.job import Kind
from worker.outbox.engine.clock import SECOND, instant, micros
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.agenda import Agenda, Work
from worker.outbox.upkeep.alerts import AlertRow, alert_rows, notices_not_taken, save_alerts
from worker.reporting.problems import KINDS, OutboxReading, find_problems, read_outbox
from worker.service.notify.notices import UNABLE, AlertNotice, follow, notices
from worker.service.notify.telling import TAG, Teller

LEASE = "notify"
LEASE_S = 60.0
"""Longer than a look and a POST to each of a few URLs."""
EVERY_S = 30.0
UNTOLD = "no target takes a notice from it"
BLOCKED_S = 60
"""Seconds for which an account that carries notices may be blocked; then the next target is taken."""
AGAIN_S = 60.0
"""Seconds between two tries to tell of an outage."""
NEXT_S = 3_600.0
"""Seconds after which a process tells of another outage at the earliest."""


class Notifier:
    """One process's part in telling people."""

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
        self._teller = Teller(self._database, self._accounts, runtime.transport, settings.to, runtime.monotonic, zone)
        self._outage = Outage(self._database, self._teller, monotonic=runtime.monotonic, wall_clock=wall_clock)
        self.leadership = runtime.leadership(LEASE, LEASE_S)

    def turn(self) -> float:
        """Looks once and tells what is due; returns the seconds until the next turn. Raises the database's errors."""
        try:
            if self.leadership.lead():
                with self.leadership.trying():
                    self._tell()
        except SQLAlchemyError:
            self._outage.goes_on()
            raise
        self._outage.is_over()
        return EVERY_S

    def _tell(self) -> None:
        database, holds = self._database, self.leadership.holds
        with database.reading() as connection:
            reading = read_outbox(connection, database.now, has_open=not self._agenda.lacks(Work.OPEN))
            told = alert_rows(connection)
        found = find_problems(reading, wall_s=self._wall_clock())
        problems = {(problem.name, problem.subject) for problem in found}
        due = database.run(partial(self._due, problems=problems)) if problems or told else []
        if not due:
            self.leadership.record_idle()
            return
        unfit = {account for name, account in problems if name in UNABLE} | self._unfit(reading)
        for notice in due:
            # Before each: a POST may take its time, so another process could have taken over, or this one is to end.
            if self._runtime.draining.is_set() or not database.run(holds):
                return
            is_urgent = notice.kind.severity == "page"
            if ("QueueWithoutWorkers", "urgent" if is_urgent else "normal") in problems:
                is_urgent = not is_urgent
            is_told = self._teller.tell(notice, unfit, holds, is_urgent=is_urgent)
            if is_told:
                self.leadership.succeeded()
            elif is_told is not None:
                self.leadership.failed(UNTOLD)

    def _due(self, connection: Connection, problems: Collection[tuple[str, str]]) -> list[AlertNotice]:
        """Writes which problems came and went; returns the notices that are due."""
        if not self.leadership.holds(connection):
            return []
        stored, now = alert_rows(connection), read_now(connection, self._database.now)
        rows, forgotten = follow(map(replace, stored), problems, now, lambda: uuid7().hex)
        save_alerts(connection, [row for row in rows if row not in stored], forgotten)
        return notices(rows, self._failed(connection, rows), self._targets, now)

    def _failed(self, connection: Connection, rows: list[AlertRow]) -> dict[str, int]:
        """Row -> the place of the target whose job about it was not taken."""
        jobs = {row.id: row.job_id for row in rows if row.job_id}
        accounts = notices_not_taken(connection, self._database.now, jobs.values()) if jobs else {}
        places = {account: n for n, account in enumerate(self._targets) if account}
        return {row: places[accounts[job]] for row, job in jobs.items() if accounts.get(job) in places}

    def _unfit(self, reading: OutboxReading) -> set[str]:
        """The accounts that no notice goes by because of a block, a pause or their settings."""
        soon = instant(reading.now + BLOCKED_S * SECOND)
        unfit = {lane.account for lane in reading.lanes if lane.until and lane.until > soon}
        good, wrong = sorted_out(self._accounts, {account for account in self._targets if account})
        for name, account in good.items():
            job = {"id": "", "account": name, "channel": account.channel, "kind": Kind.SEND, "tags": json.dumps([TAG])}
            if any(pause.covers(job) for pause in reading.pauses):
                unfit.add(name)
        return unfit | wrong.keys()


class Outage:
    """What one process tells of a database that is away, or takes no writes: by itself, for there is no table for it.

    By URLs alone, after a minute, once for an outage with its end, and at most once an hour. Several processes tell of
    one outage, each under its own name; one that starts or ends meanwhile tells nothing.
    """

    def __init__(
        self,
        database: Database,
        teller: Teller,
        *,
        monotonic: Callable[[], float],
        wall_clock: Callable[[], float],
    ):
        self._database, self._teller = database, teller
        self._monotonic, self._wall_clock = monotonic, wall_clock
        self._began_at: float | None = None
        self._seen_at = 0
        self._tried_at = self._raised_at = float("-inf")
        self._row: AlertRow | None = None
        """The alert whose end is still to be told."""

    def goes_on(self) -> None:
        """Notes that the database has failed, and tells of it when that has lasted."""
        now = self._monotonic()
        if self._began_at is None:
            self._began_at, self._seen_at = now, micros(self._wall_clock())
        lasts = KINDS["DatabaseAway"].delay
        waits = now < max(self._began_at + lasts, self._tried_at + AGAIN_S, self._raised_at + NEXT_S)
        if waits or self._row is not None:
            return
        self._tried_at = now
        name = "DatabaseTakesNoWrites" if self._reads() else "DatabaseAway"
        row = AlertRow(uuid7().hex, name, f"{socket.gethostname()[:100]} {os.getpid()}", self._seen_at)
        if self._tell(row, is_end=False):
            self._row, self._raised_at = row, now

    def is_over(self) -> None:
        """Notes that the database works, and tells so where its outage was told."""
        self._began_at = None
        if self._row is None or self._monotonic() < self._tried_at + AGAIN_S:
            return
        self._tried_at = self._monotonic()
        self._row.gone_at = self._row.gone_at or micros(self._wall_clock())
        if self._tell(self._row, is_end=True):
            self._row, self._tried_at = None, float("-inf")

    def _reads(self) -> bool:
        with suppress(SQLAlchemyError):
            return self._database.read_now() > 0
        return False

    def _tell(self, row: AlertRow, *, is_end: bool) -> bool:
        return self._teller.is_posted_anywhere(AlertNotice(KINDS[row.alert], [row], is_end, micros(self._wall_clock())))
