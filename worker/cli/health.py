"""`worker health`: whether the worker processes of a host are healthy, by their own rows; probes read its exit status.

A database that cannot be asked says nothing against a process: that is status 0, because a restart would not help.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from worker.config.settings import load_settings
from worker.control.opening import opened
from worker.domain.errors import RetryTransaction
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import Process, living, try_to_write

PATIENCE_S = 4.0
"""Seconds for which a late heartbeat is read again; a heartbeat comes every 3 s, and at once after an outage."""
LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of the processes of a host."""

    healthy: bool
    text: str
    late: bool = False
    """A heartbeat is missing, which may come in a moment."""


def show(
    say: Callable[[str], None],
    *,
    host: str | None,
    pid: int | None,
    as_json: bool,
    pause: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Prints one line, and returns the exit status: 1 when a process is not healthy, or there is none."""
    settings = load_settings()
    try:
        with opened(settings) as database:
            told = _patiently(database, own_host() if host is None else host, pid, pause, monotonic)
    except (SQLAlchemyError, RetryTransaction) as error:
        away = f"the database cannot be asked ({type(error).__name__})"
        told = Told(True, f"not known: {away}, and no restart would bring it back")
    say(json.dumps({"healthy": told.healthy, "text": told.text}) if as_json else told.text)
    return 0 if told.healthy else 1


def own_host() -> str:
    """The name under which the processes of this host write their rows."""
    return socket.gethostname()[:100]


def judge(processes: Sequence[Process], host: str, pid: int | None, is_there: Callable[[int], bool]) -> Told:
    """Judges the processes of a host, or the one of them with this number, by the rows of all that have not ended.

    `is_there` tells whether the host has a process with a number.
    """
    # The newest row of each number: a process that was cut off goes on under a new one, and the old one lapses.
    newest = {one.pid: one for one in processes if one.host == host and pid in (None, one.pid)}
    # Without a heartbeat and without a process: it was killed, and its row ends in a moment.
    mine = [one for one in newest.values() if one.fresh or is_there(one.pid)]
    if not mine:
        number = "" if pid is None else f" with the number {pid}"
        return Told(False, f"unhealthy: no worker process of {host}{number} has a heartbeat", late=True)
    wrong = [f"worker {host} {one.pid}: {sentence}" for one in mine if one.fresh for sentence in one.health.wrong]
    late = [f"worker {host} {one.pid}: its heartbeat does not turn" for one in mine if not one.fresh]
    if wrong or late:
        return Told(False, f"unhealthy: {'; '.join([*wrong, *late])}", late=not wrong)
    return Told(True, f"healthy: {', '.join(f'worker {host} {one.pid}' for one in mine)}")


def _patiently(
    database: Database, host: str, pid: int | None, pause: Callable[[float], None], monotonic: Callable[[], float]
) -> Told:
    """Judges by the rows, and again for a while when a heartbeat is late; raises what the database raises."""
    until = monotonic() + PATIENCE_S
    while (told := _look(database, host, pid)).late and monotonic() < until:
        pause(LOOK_S)
    if told.late:
        # Else a database that can be read but takes no writes would have every process restarted.
        database.run(try_to_write, tries=1)
    return told


def _look(database: Database, host: str, pid: int | None) -> Told:
    with database.reading() as connection:
        processes = living(connection, database.now)
    # The processes of another host cannot be looked for.
    return judge(processes, host, pid, _is_there if host == own_host() else lambda number: True)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        # Another user's process is there, too.
        return not isinstance(error, ProcessLookupError)
    return True
