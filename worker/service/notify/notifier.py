"""The turns of the thread that tells people what is wrong.

Of all processes the one with the lease looks and tells; the rest take over when that is over, or when no target takes a
notice from it. It is no task of the relay's leader, because a relay that stands still is one of the alerts. A database
that is away is told by each process.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from uuid_utils import uuid7

from worker.channels.registry import sorted_out
from worker.config.accounts import AccountSource
from worker.config.notify import NotifySettings, NotifyTarget
from worker.delivery.sender.lease import Leadership
from worker.delivery.sender.runtime import Runtime
from worker.domain.account import Account
from worker.domain.job import Kind
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.pauses import standing_pauses
from worker.outbox.upkeep.alerts import AlertRow, alert_rows, notices_not_taken, save_alerts
from worker.service.notify.judge import AlertNotice, Situation, judge, notices, unfit_accounts
from worker.service.notify.look import Lookout
from worker.service.notify.outage import Outage
from worker.service.notify.telling import TAG, Teller

LEASE = "notify"
LEASE_S = 60.0
"""Longer than a look and a POST to each of a few URLs."""
EVERY_S = 20.0
UNTOLD = "no target takes a notice from it"


class Notifier:
    """One process's part in telling people."""

    def __init__(
        self,
        database: Database,
        accounts: AccountSource,
        to: Sequence[NotifyTarget],
        *,
        teller: Teller,
        lookout: Lookout,
        leadership: Leadership,
        stops: Callable[[], bool],
        outage: Outage,
    ):
        self._database, self._accounts, self._to = database, accounts, to
        self._teller, self._lookout, self._stops, self._outage = teller, lookout, stops, outage
        self.leadership = leadership

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
        seen, holds = self._lookout.look(), self.leadership.holds
        due = self._database.run(partial(self._judged, seen=seen))
        if not due:
            self.leadership.passed()
        unfit = unfit_accounts(seen) | self._unable()
        for notice in due:
            # Before each: a POST may take its time, so another process could have taken over, or this one is to end.
            if self._stops() or not self._database.run(holds):
                return
            told = self._teller.tell(replace(notice, stuck=seen.stuck), unfit, holds)
            if told:
                self.leadership.succeeded()
            elif told is not None:
                self.leadership.failed(UNTOLD)

    def _judged(self, connection: Connection, seen: Situation) -> list[AlertNotice]:
        if not self.leadership.holds(connection):
            return []
        rows, now = alert_rows(connection), read_now(connection, self._database.now)
        judged = judge(rows, seen, now, lambda: uuid7().hex)
        save_alerts(connection, judged.changed, judged.forgotten)
        rows = [row for row in rows if row.id not in judged.forgotten]
        return notices(rows, judged, self._failed(connection, rows), [one.account for one in self._to], now)

    def _failed(self, connection: Connection, rows: list[AlertRow]) -> dict[str, int]:
        """Row -> the place of the target whose job about it was not taken."""
        jobs = {row.id: row.job_id for row in rows if row.job_id}
        places = {one.account: n for n, one in enumerate(self._to) if one.account}
        accounts = notices_not_taken(connection, self._database.now, jobs.values()) if jobs else {}
        return {row: places[accounts[job]] for row, job in jobs.items() if accounts.get(job) in places}

    def _unable(self) -> set[str]:
        """The accounts of targets that no notice goes by because of settings or a pause."""
        names = {one.account for one in self._to if one.account}
        good, wrong = sorted_out(self._accounts, names)
        with self._database.reading() as connection:
            pauses = standing_pauses(connection, ())
        return {*wrong, *(name for name, one in good.items() if any(pause.covers(_job(one)) for pause in pauses))}


def _job(account: Account) -> dict[str, str]:
    """What a pause asks of a notice's job."""
    tags = json.dumps([TAG])
    return {"id": "", "account": account.name, "channel": account.channel, "kind": Kind.SEND, "tags": tags}


def notifier_of(settings: NotifySettings, runtime: Runtime, *, wall_clock: Callable[[], float] = time.time) -> Notifier:
    """The notifier of one worker process."""
    database, to = runtime.database, settings.to
    teller = Teller(database, runtime.accounts, runtime.transport, to, runtime.monotonic)
    lookout = Lookout(
        database, failures=runtime.settings.breaker_failures, unknowns=settings.unknowns, wall_clock=wall_clock
    )

    def reads() -> bool:
        with suppress(SQLAlchemyError):
            return database.read_now() > 0
        return False

    outage = Outage(
        teller.post,
        [n for n, one in enumerate(to) if one.url is not None],
        reads=reads,
        process=f"{socket.gethostname()[:100]} {os.getpid()}",
        monotonic=runtime.monotonic,
        wall_clock=wall_clock,
    )
    return Notifier(
        database,
        runtime.accounts,
        to,
        teller=teller,
        lookout=lookout,
        leadership=Leadership(
            database,
            LEASE,
            holder=lambda: runtime.lease.incarnation,
            lease_s=LEASE_S,
            monotonic=runtime.monotonic,
        ),
        stops=lambda: runtime.draining.is_set(),
        outage=outage,
    )
