"""Erases one person from what is stored: recipients, texts, callbacks; counts, ids and receipts of others stay."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from worker.config.settings import Settings
from worker.control.audit import Done, audited
from worker.control.found import FoundJobs
from worker.control.opening import at_hand
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

TOGETHER = 20
"""Jobs in one transaction."""


def find_person(recipient: str, *, settings: Settings | None = None, database: Database | None = None) -> FoundJobs:
    """The jobs that name a person, in any case and width of the id.

    As a recipient, a sending member, in a mention; or in their results: refused, confirmed, pressed. `among`: how many
    `followers` there are beside these, the recalls, updates and tracks about them. CheckFailed while too many jobs wait
    to be indexed.
    """
    wanted = JobFilter(recipient=recipient)
    with at_hand(database, settings) as (outbox, _), outbox.reading() as connection:
        lots = candidates(connection, wanted, read_now(connection, outbox.now), is_open_too=True)
        ids = {job.id for lot in lots for job in jobs_of(connection, wanted, lot)} | jobs_naming(connection, recipient)
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
    """Takes a person out of all tables: for good.

    A job that names no other loses its text and its files, and cannot be replayed; in the others a mark takes the
    place of the id, so that every count stays as it was. Callbacks that the person caused, or that hold the id, lose
    all but their kind and time, unless a hook has yet to hear them. Open jobs, and those that an open one is about, are
    left: cancel them or wait.
    What applications, logs and backups hold is theirs to erase. `person` says who erases, `why` for which reason,
    without the id. It commits by itself, 20 jobs at a time, and may be given again.

    It counts the `jobs` from which the person was taken out, and those of them that are `emptied`; the jobs that are
    `left` because they are open or in doubt; the `callbacks` that were emptied, and the `unheard` ones that are left
    until a hook has heard them; and the single `chats` that were forgotten. Where some are left, erase once more later.
    """
    who = str(found.wanted.recipient)
    erasure = of_person(who, f"{ERASED}{secrets.token_hex(4)}")
    if erasure.in_texts(why) != why:
        raise CheckFailed([Problem("why", "names the person who is to be erased", "say it without the id")])
    asked = {"jobs": len(found.ids)}
    with audited("erase", person=person, why=why, asked=asked, database=database, settings=settings) as running:
        outbox = running.database
        with outbox.reading() as connection:
            followers = sorted({*followers_of(connection, found.ids)} - {*found.ids})
        for few in running.lots((*found.ids, *followers), TOGETHER, progress):
            running.counts += outbox.run(partial(_erase, ids=few, named={*found.ids}, who=who, erasure=erasure))
        running.counts += _erase_callbacks(outbox, who, erasure)
        running.counts += Counter(chats=outbox.run(partial(forget_chats, person=same_person(who))))
        take_out_of_audit(outbox, erasure)
    return Done(running.id, running.counts + Counter(left=len(found.ids) - running.counts["jobs"]))


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
        theirs = [
            row["id"]
            for row in page
            if same_person(row["person"]) == same_person(who) or erasure.document(row["payload"]) != row["payload"]
        ]
        if theirs:
            done = database.run(partial(empty_inbound, ids=theirs))
            counts += Counter(callbacks=done, unheard=len(theirs) - done)
