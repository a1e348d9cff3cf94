"""`worker pause`, `resume`, `hold`, `release`, `fence`, `drain`: what stops calls, and waits for those in the air."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from worker.accounts.sources import accounts_of
from worker.cli import acting
from worker.cli.acting import Ask, system_user
from worker.cli.reading import ProgressLine, Say, outbox, pause_line, plain
from worker.config.settings import load_settings
from worker.control import fence as fencing, pause as pausing
from worker.control.mistyped import require_known
from worker.control.pause import HeldJobs
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter


def pause(
    say: Say, ask: Ask, wanted: JobFilter | None, *, why: str, person: str | None, yes: bool, as_json: bool
) -> None:
    """Pauses what a filter names; None: everything, which is asked about."""
    if wanted is not None and wanted.account is not None:
        require_known(wanted, accounts_of(load_settings()).names())
    if wanted is None and not yes and not ask("pause everything, but recalls?"):
        raise WorkerError("nothing was changed")
    done = pausing.pause(wanted, person=person or system_user(), why=why)
    if as_json:
        say(json.dumps(plain(done), ensure_ascii=False))
        return
    already = "" if done.audit else " already"
    say(f"{pause_line(done.pause)}{already}\nit ends with: {done.pause.ending()}")


def resume(
    say: Say, name: str | None, wanted: JobFilter | None, *, why: str, person: str | None, as_json: bool
) -> None:
    """Ends a pause; or with a name lifts what blocks a lane or an account."""
    if name is not None:
        with outbox() as connection:
            pauses = [
                f"{pause_line(one)}; `{one.ending()}`" for one in pausing.list_pauses(connection) if one.account == name
            ]
        try:
            told = acting.resume(name, why=why, person=person)
        except WorkerError as error:
            # A block and a pause are two things, and a person may have meant the other one.
            raise WorkerError("; ".join([str(error), *pauses])) from None
        told += [f"still {one}" for one in pauses]
        say(json.dumps({"told": told}, ensure_ascii=False) if as_json else "\n".join(told))
        return
    done = pausing.resume_paused(wanted, person=person or system_user(), why=why)
    sentence = f"{done.pauses[0].told()} goes on (audit {done.audit})"
    say(json.dumps(plain(done), ensure_ascii=False) if as_json else sentence)


def hold(say: Say, ids: Iterable[str], *, why: str, person: str | None, as_json: bool) -> bool:
    """Holds jobs; False when nothing of any is to be sent any more, or all were held."""
    done = pausing.hold(ids, person=person or system_user(), why=why)
    return _held(say, done, "held", "of which nothing is to be sent any more, or that were held", as_json=as_json)


def release(say: Say, ids: Iterable[str], *, why: str, person: str | None, as_json: bool) -> bool:
    """Lets jobs go on; False when none of them was held."""
    done = pausing.release(ids, person=person or system_user(), why=why)
    return _held(say, done, "released", "that were not held", as_json=as_json)


def _held(say: Say, done: HeldJobs, what: str, left: str, *, as_json: bool) -> bool:
    lines = [f"{len(done.jobs)} jobs {what} (audit {done.audit})"]
    lines += [f"{len(done.left)} left {left}"] if done.left else []
    say(json.dumps(plain(done)) if as_json else "\n".join(lines))
    return bool(done.jobs)


def drain(say: Say, note: Say, wanted: JobFilter | None, *, timeout_s: float, as_json: bool) -> bool:
    """Waits until nothing is in the air; False when the time was over before."""
    told: list[int] = []

    def progress(in_the_air: int) -> None:
        if told[-1:] != [in_the_air]:
            told.append(in_the_air)
            note(f"{in_the_air} in the air")

    left = pausing.drain(wanted, timeout_s=timeout_s, progress=progress)
    sentence = f"{left} are still in the air" if left else "nothing is in the air"
    say(json.dumps({"in_the_air": left}) if as_json else sentence)
    return not left


def fence(
    say: Say, note: Say, ask: Ask, since: datetime, *, why: str, person: str | None, yes: bool, as_json: bool
) -> bool:
    """Holds what may have gone out since a backup; shows what it is and asks first. False when there is nothing."""
    person = person or system_user()
    found = fencing.find_restored(since)
    for (account, kind), count in sorted(found.counts.items()):
        note(f"{count:>8}  {kind} on account {account}")
    if found.ids and not yes and not ask(f"hold these {len(found.ids)} jobs in doubt?"):
        raise WorkerError("nothing was changed")
    done = fencing.fence(found, person=person, why=why, progress=ProgressLine(note, len(found.ids)))
    told = f"{done.parts} parts are held in doubt (audit {done.audit})"
    if done.parts:
        told += "; `worker jobs --state unknown` lists them, `worker resolve` ends them"
    say(json.dumps(plain(done), ensure_ascii=False) if as_json else told)
    return done.parts > 0
