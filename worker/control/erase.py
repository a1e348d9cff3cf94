"""Erases one person from the stored data: recipients, texts and callbacks. Counts, ids and receipts of others stay."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from worker.config.settings import Settings
from worker.control.audit import Done, audited
from worker.control.opening import open_outbox
from worker.control.selection import FoundJobs
from worker.domain.content.erasure import ERASED, Erasure, names_only, of_person
from worker.domain.content.recipient import same_person
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.outbox.control.candidates import candidates
from worker.outbox.control.matching import jobs_of
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.upkeep.emptying import (
    empty_inbound,
    followers_of,
    forget_chats,
    inbound_page,
    jobs_naming,
    lock_ended,
    take_out,
    take_out_of_audit,
)

BATCH_SIZE = 20
"""Jobs in one transaction."""


def find_person(recipient: str, *, settings: Settings | None = None, database: Database | None = None) -> FoundJobs:
    """Finds the jobs that name a person, in any case and width of the id.

    The person may be a recipient, a sending member or mentioned, or stand in the results: refused, confirmed, pressed.
    `among` counts the `followers`: further recalls, updates and tracks about these jobs. Raises CheckFailed while too
    many jobs wait to be indexed.
    """
    wanted = JobFilter(recipient=recipient)
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        batches = candidates(connection, wanted, read_now(connection, outbox.now), is_open_too=True)
        ids = {job.id for batch in batches for job in jobs_of(connection, wanted, batch)} | jobs_naming(
            connection, recipient
        )
        followers = {*followers_of(connection, ids)} - ids
    return FoundJobs(wanted, tuple(sorted(ids)), {}, {"followers": len(followers)})


def erase(
    found: FoundJobs,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Done:
    """Removes a person from all tables, for good.

    A job that names no other person loses its text and its files, and cannot be replayed; in other jobs a placeholder
    replaces the id, so that every count stays as it was. Callbacks that the person caused, or that contain the id, lose
    all but their kind and time, unless a hook has yet to run for them. Open jobs, and jobs that an open one is about,
    stay as they are: cancel them or wait. Applications, logs and backups are not touched. `person` is who erases and
    `why` the reason, without the id. It commits by itself, 20 jobs at a time, and may be called again.

    The result counts the `jobs` from which the person was removed, and how many of them are `emptied`; the jobs that
    are `left` because they are open or in doubt; the `callbacks` that were emptied, and the `unheard` ones, which stay
    until a hook has run for them; and the single `chats` that were deleted. Where some are left, erase once more later.
    """
    recipient = str(found.wanted.recipient)
    erasure = of_person(recipient, f"{ERASED}{secrets.token_hex(4)}")
    if erasure.in_texts(why) != why:
        raise CheckFailed([Problem("why", "names the person who is to be erased", "say it without the id")])
    asked = {"jobs": len(found.ids)}
    with audited("erase", person=person, why=why, asked=asked, database=database, settings=settings) as command:
        outbox = command.database
        with outbox.reading() as connection:
            followers = sorted({*followers_of(connection, found.ids)} - {*found.ids})
        for batch in command.batches((*found.ids, *followers), BATCH_SIZE, progress):
            command.counts += outbox.run(partial(_erase, ids=batch, named={*found.ids}, who=recipient, erasure=erasure))
        command.counts += _erase_callbacks(outbox, recipient, erasure)
        command.counts += Counter(chats=outbox.run(partial(forget_chats, person=same_person(recipient))))
        take_out_of_audit(outbox, erasure)
    return Done(command.id, command.counts + Counter(left=len(found.ids) - command.counts["jobs"]))


def _erase(connection: Connection, ids: Sequence[str], named: set[str], who: str, erasure: Erasure) -> Counter[str]:
    counts = Counter[str]()
    for job in lock_ended(connection, ids):
        is_named = job["id"] in named
        empties = is_named and names_only(who, job["recipients"], job["message"])
        take_out(connection, job, erasure, empties=empties)
        counts += Counter(jobs=int(is_named), emptied=int(empties))
    return counts


def _erase_callbacks(database: Database, who: str, erasure: Erasure) -> Counter[str]:
    counts, after = Counter[str](), ""
    while True:
        with database.reading() as connection:
            page = inbound_page(connection, after)
        if not page:
            return counts
        after = page[-1]["id"]
        matching = [
            row["id"]
            for row in page
            if same_person(row["person"]) == same_person(who) or erasure.document(row["payload"]) != row["payload"]
        ]
        if matching:
            emptied = database.run(partial(empty_inbound, ids=matching))
            counts += Counter(callbacks=emptied, unheard=len(matching) - emptied)
