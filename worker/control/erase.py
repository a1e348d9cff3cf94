"""Erases a person from the stored data: recipients, texts and callbacks. Counts, and data of others, stay."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection

from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.command import Command, TargetKind
from worker.control.opening import open_outbox
from worker.control.selection import JobSelection
from worker.domain.content.erasure import ERASED, Erasure, names_only, of_person
from worker.domain.content.recipient import same_person
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.language import plural
from worker.outbox.control.candidates import candidates
from worker.outbox.control.matching import jobs_of
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.upkeep.emptying import (
    delete_single_chats,
    empty_inbound,
    erase_from_audit,
    erase_from_job,
    followers_of,
    inbound_page,
    jobs_naming,
    lock_erasable,
)

BATCH_SIZE = 20
"""Jobs in one transaction."""


def find_person(recipient: str, *, settings: Settings | None = None, database: Database | None = None) -> JobSelection:
    """Finds the jobs that name a person, whatever the case and width of the characters.

    The person may be a recipient, a sending member or mentioned, or be in the results: refused, confirmed, or who
    pressed a button. `breakdown` counts the `followers`: other recalls, updates and tracks that are about these jobs.
    Raises CheckFailed while too many jobs wait to be indexed.
    """
    filter = JobFilter(recipient=recipient)
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        batches = candidates(connection, filter, read_now(connection, outbox.now), is_open_too=True)
        ids = {job.id for batch in batches for job in jobs_of(connection, filter, batch)} | jobs_naming(
            connection, recipient
        )
        followers = {*followers_of(connection, ids)} - ids
    return JobSelection(filter, tuple(sorted(ids)), {}, {"followers": len(followers)})


def erase(
    selection: JobSelection,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> CommandResult:
    """Removes a person from all tables, for good.

    A job that names no other person loses its text and its files, and cannot be replayed. In other jobs a placeholder
    replaces the id, so that every count stays the same. Callbacks that the person caused, or that contain the id, lose
    everything but their kind and time, unless a hook has yet to run for them. Open jobs, and jobs that an open job is
    about, are not changed: cancel them or wait. Applications, logs and backups are not touched. `person` is who erases
    and `why` the reason, without the id.

    The result counts the `jobs` from which the person was removed, and how many of these were `emptied`; the
    `unchanged` jobs, which are open, in doubt or first in an order (skip these), or have an open follow-up; the
    `callbacks` that were emptied, and the `unhandled` ones, for which a hook has yet to run; and the deleted single
    `chats`. If some are unchanged or unhandled, erase again later. The command commits by itself, 20 jobs at a time,
    and may be called again.
    """
    recipient = str(selection.filter.recipient)
    erasure = of_person(recipient, f"{ERASED}{secrets.token_hex(4)}")
    if erasure.in_texts(why) != why:
        raise CheckFailed([Problem("why", "names the person who is to be erased", "say it without the id")])
    arguments = {"jobs": len(selection.ids)}
    with audited("erase", person=person, why=why, arguments=arguments, database=database, settings=settings) as command:
        outbox = command.database
        selected = {*selection.ids}
        with outbox.reading() as connection:
            followers = sorted({*followers_of(connection, selection.ids)} - selected)
        for batch in command.batches((*selection.ids, *followers), BATCH_SIZE, progress):
            command.counts += outbox.run(
                partial(_erase, ids=batch, selected=selected, recipient=recipient, erasure=erasure)
            )
        command.counts += _erase_callbacks(outbox, recipient, erasure)
        command.counts += Counter(chats=outbox.run(partial(delete_single_chats, person=same_person(recipient))))
        erase_from_audit(outbox, erasure)
    return CommandResult(command.id, command.counts + Counter(unchanged=len(selection.ids) - command.counts["jobs"]))


def _lines(result: CommandResult, options: Mapping[str, object]) -> Iterator[str]:
    count = result.counts
    yield (
        f"erased from {plural(count['jobs'], 'job')} (audit {result.audit}); {count['emptied']} of these had no other"
        " recipient, so the text was deleted too"
    )
    yield f"{plural(count['callbacks'], 'callback')} emptied, {plural(count['chats'], 'chat')} removed"
    if unhandled := count["unhandled"]:
        yield f"{plural(unhandled, 'callback')} kept until hooks have handled them: run the command again later"
    if unchanged := count["unchanged"]:
        yield (
            f"{plural(unchanged, 'job')} unchanged: still open, in doubt or first in an order, or a follow-up of it is"
            " open or in doubt; cancel, resolve or skip, or wait, then run the command again"
        )


COMMAND = Command(
    name="erase",
    help="Takes a person out of all tables for good: texts to it alone, its id elsewhere, its callbacks; counts stay.",
    target=TargetKind.RECIPIENT,
    find=find_person,
    run=erase,
    question="erase this person permanently?",
    asks_from=0,
    lines=_lines,
    done=("jobs", "callbacks", "chats"),
    why="The reason, without the id; kept in the audit.",
)


def _erase(
    connection: Connection, ids: Sequence[str], selected: set[str], recipient: str, erasure: Erasure
) -> Counter[str]:
    counts = Counter[str]()
    for job in lock_erasable(connection, ids):
        is_selected = job["id"] in selected
        with_text = is_selected and names_only(recipient, job["recipients"], job["message"])
        erase_from_job(connection, job, erasure, with_text=with_text)
        counts += Counter(jobs=int(is_selected), emptied=int(with_text))
    return counts


def _erase_callbacks(database: Database, recipient: str, erasure: Erasure) -> Counter[str]:
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
            if same_person(row["person"]) == same_person(recipient)
            or erasure.document(row["payload"]) != row["payload"]
        ]
        if matching:
            emptied = database.run(partial(empty_inbound, ids=matching))
            counts += Counter(callbacks=emptied, unhandled=len(matching) - emptied)
