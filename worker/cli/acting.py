"""`worker resend-failed`, `skip`, `resume`, `suppress` and `events retry`, each of which leaves an audit's row."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from worker.cli import callbacks, lanes
from worker.cli.reading import outbox
from worker.config.accounts import accounts_of
from worker.config.settings import load_settings
from worker.control import suppress as suppressing
from worker.control.audit import Running, audited
from worker.control.opening import opened_current
from worker.domain.errors import ConfigurationError
from worker.domain.job import id_of
from worker.outbox.control.replays import lock_chains
from worker.producer import resend

Ask = Callable[[str], bool]
"""Asks a person; False: no."""


def system_user() -> str:
    """The name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        sentence = "the system has no name for the user who runs this; say who you are: --as NAME"
        raise ConfigurationError(sentence) from None


@contextmanager
def _acting(action: str, asked: Mapping[str, Any], person: str | None, why: str) -> Iterator[Running]:
    """The audit's row of a command, in the database of the settings; without a name the person is the system's user."""
    with (
        opened_current(load_settings()) as database,
        audited(database, action, person=person or system_user(), why=why, asked=asked) as running,
    ):
        yield running


def resend_failed(job_id: str, *, undetermined: bool, why: str, person: str | None) -> str:
    """Enqueues a send once more for those who were refused; returns the new job's id."""
    accounts = accounts_of(load_settings())
    with _acting("resend_failed", {"ids": [job_id], "undetermined": undetermined}, person, why) as running:

        def work(connection: Connection) -> str:
            # Beside another command each would see the chain without the other's replay.
            lock_chains(connection, [id_of(job_id)])
            return resend.resend_failed(connection, job_id, undetermined=undetermined, accounts=accounts).id

        made = running.database.run(work)
        running.counts["replays"] = 1
    return made


def skip(job_id: str, *, why: str, person: str | None) -> list[str]:
    """Lets the parts behind a job in its order go on; returns the parts they waited for."""
    with _acting("skip", {"ids": [job_id]}, person, why) as running:
        passed = resend.skip(running.database, job_id)
        running.counts["parts"] = len(passed)
    return passed


def resume(name: str, *, why: str, person: str | None) -> list[str]:
    """Lifts all blocks of an account and its lanes, or of one lane; a line for each."""
    with _acting("resume", {"name": name}, person, why) as running:
        told = lanes.resume(running.database, name)
        running.counts["lifted"] = len(told)
    return told


def suppress(recipients: Sequence[str], *, lift: bool, why: str, person: str | None) -> int:
    """Puts recipients on the list of those to whom nothing is sent, or takes them off; how many that changed."""
    change = suppressing.lift_suppression if lift else suppressing.suppress
    return change(recipients, person=person or system_user(), why=why).changed


def suppressed(recipients: Sequence[str]) -> list[str]:
    """The recipients among these that are on that list."""
    with outbox() as connection:
        return sorted(suppressing.find_suppressed(connection, recipients))


def retry(event_id: str, *, why: str, person: str | None) -> None:
    """Gives a parked or ignored event to the hooks again."""
    with _acting("retry", {"event": event_id}, person, why) as running:
        callbacks.retry(running.database, event_id)
        running.counts["events"] = 1
