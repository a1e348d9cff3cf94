"""`worker pause`, `resume`, `fence`: what stops calls, and waits for those in flight."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from worker.accounts.sources import accounts_of
from worker.cli.control import carry_out
from worker.cli.options import Person, note, plain, say
from worker.cli.reading import outbox, pause_line
from worker.config.settings import load_settings
from worker.control import fence as fencing, lift, pause as pausing
from worker.control.audit import Done
from worker.control.cancel import JOB_ID
from worker.control.found import require_known
from worker.control.pause import Paused
from worker.domain.errors import WorkerError
from worker.domain.job import id_of
from worker.domain.job_filter import JobFilter


def pause(person: Person, wanted: JobFilter | None, timeout_s: float | None) -> bool:
    """Pauses what a filter names; None: everything, which is asked about. With `timeout_s` waits for calls in flight.

    False when no single job was left to be paused, or when calls were still in flight as the time was over.
    """
    if wanted is None:
        person.confirm("pause everything, but recalls?")
    if wanted is not None and wanted.account is not None:
        require_known(wanted, accounts_of(load_settings()).names())
    done: Paused | Done
    if wanted is not None and wanted.ids is not None:
        done = pausing.hold(wanted.part_or_job_ids(), person=person.name, why=person.why)
        told = _held(done, "held", "of which nothing is to be sent any more, or that were held")
        is_paused = bool(done.jobs)
    else:
        done, is_paused = pausing.pause(wanted, person=person.name, why=person.why), True
        already = "" if done.audit else " already"
        told = f"{pause_line(done.pause)}{already}\nit ends with: {done.pause.ending()}"
    if not person.as_json:
        say(told)
    left = 0 if timeout_s is None else _drain(wanted, timeout_s)
    if person.as_json:
        say(json.dumps(plain(done) | ({} if timeout_s is None else {"in_flight": left}), ensure_ascii=False))
    elif timeout_s is not None:
        say(f"{left} are still in flight" if left else "nothing is in flight")
    return is_paused and not left


def _drain(wanted: JobFilter | None, timeout_s: float) -> int:
    """Waits until nothing is in flight, telling how many calls are; returns how many were left at the end."""
    told: list[int] = []

    def progress(in_flight: int) -> None:
        if told[-1:] != [in_flight]:
            told.append(in_flight)
            note(f"{in_flight} in flight")

    return pausing.drain(wanted, timeout_s=timeout_s, progress=progress)


def resume(person: Person, names: Sequence[str], wanted: JobFilter | None) -> bool:
    """Ends a pause; or with names lifts what blocks accounts or lanes, or lets single jobs go on.

    False when none of these jobs was held.
    """
    if names and all(JOB_ID.fullmatch(id_of(name)) for name in names):
        released = pausing.release(names, person=person.name, why=person.why)
        person.tell(released, _held(released, "released", "that were not held"))
        return bool(released.jobs)
    if names:
        lines = [line for name in names for line in _lifted(person, name)]
        person.tell({"told": lines}, "\n".join(lines))
        return True
    done = pausing.resume_paused(wanted, person=person.name, why=person.why)
    scope = "everything" if wanted is None else ", ".join(f"{name} {value}" for name, value in wanted.asked().items())
    person.tell(done, f"{scope} goes on (audit {done.audit})")
    return True


def _lifted(person: Person, name: str) -> list[str]:
    """Lifts what blocks a lane or an account; a line for each, and one for each pause that still stands."""
    with outbox() as connection:
        pauses = [
            f"{pause_line(one)}; `{one.ending()}`" for one in pausing.list_pauses(connection) if one.account == name
        ]
    try:
        told = lift.lift(name, person=person.name, why=person.why).notes.values()
    except WorkerError as error:
        # A block and a pause are two things, and a person may have meant the other one.
        raise WorkerError("; ".join([str(error), *pauses])) from None
    return [*told, *(f"still {one}" for one in pauses)]


def _held(done: Done, what: str, left: str) -> str:
    lines = [f"{len(done.jobs)} jobs {what} (audit {done.audit})"]
    return "\n".join(lines + ([f"{count} left {left}"] if (count := done.counts["left"]) else []))


def fence(person: Person, since: datetime) -> bool:
    """Holds what may have gone out since a backup; shows what it is and asks first. False when there is nothing."""
    found = fencing.find_restored(since)
    question = f"hold these {len(found.ids)} jobs in doubt?"
    done = carry_out(person, found, fencing.fence, question, asks=bool(found.ids))
    parts = done.counts["parts"]
    told = f"{parts} parts are held in doubt (audit {done.audit})"
    if parts:
        told += "; `worker jobs --state unknown` lists them, `worker resolve` ends them"
    person.tell(done, told)
    return parts > 0
