"""`worker resolve` and `worker audit`: a person's word about parts in doubt, and what people did."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Mapping
from typing import Any

from worker.cli.reading import Say, outbox, plain, require_there, tell
from worker.config.settings import load_settings
from worker.control import audit as audits
from worker.control.resolve import Decided, Unknowns, find_unknown, resolve as decide
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.job_filter import JobFilter

Ask = Callable[[str], bool]
"""Asks a person; False: no."""


def resolve(
    say: Say,
    note: Say,
    ask: Ask,
    wanted: JobFilter,
    *,
    sent: bool,
    why: str,
    msgid: str | None,
    person: str | None,
    yes: bool,
    as_json: bool,
) -> bool:
    """Ends the parts in doubt of a filter; shows what they are and asks first, where there are several.

    False when none was ended. WorkerError when there is none, or the person does not confirm.
    """
    settings = load_settings()
    require_there(settings)
    person = person or system_user()
    audits.require_fits(person, why)
    found = find_unknown(wanted, settings=settings)
    if not found.parts:
        raise WorkerError("nothing of this is in doubt; `worker jobs --state unknown` lists what is")
    several = len(found.parts) > 1
    for line in _preview(found, sent=sent) if several or found.ordered else ():
        note(line)
    said = "sent" if sent else "not sent"
    question = f"say of these {len(found.parts)} parts that they were {said}?"
    # With a msgid several parts are refused anyway.
    if several and not yes and msgid is None and not ask(question):
        raise WorkerError("nothing was changed")
    done = decide(
        found,
        sent=sent,
        why=why,
        msgid=msgid,
        person=person,
        settings=settings,
        progress=lambda count: note(f"{count} of {len(found.parts)}") if several else None,
    )
    say(json.dumps(plain(done), ensure_ascii=False) if as_json else _told(done, said))
    return done.decided > 0


def system_user() -> str:
    """The name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        sentence = "the system has no name for the user who runs this; say who you are: --as NAME"
        raise ConfigurationError(sentence) from None


def _preview(found: Unknowns, *, sent: bool) -> list[str]:
    lines = [f"{count:>8}  {kind} on account {account}" for (account, kind), count in sorted(found.counts.items())]
    if found.ordered and not sent:
        lines.append(
            f"{found.ordered:>8}  of them have an order_key: those behind them go on when they end as not sent,"
        )
        lines.append("          so `worker replay` first what is to go in its place")
    return lines


def _told(done: Decided, said: str) -> str:
    lines = [f"{done.decided} ended as {said} (audit {done.audit})"]
    return "\n".join(lines + [f"{count} left: {reason.text}" for reason, count in done.left.items()])


def audit(say: Say, *, limit: int, as_json: bool) -> None:
    """Prints the newest commands that changed something."""
    with outbox() as connection:
        found = audits.list_audit(connection, limit=limit)
    tell(say, found, _entry, "no command has changed anything", as_json=as_json)


def _entry(entry: audits.AuditEntry) -> str:
    end = "" if entry.ended_at else "  (goes on, or was cut short)"
    lines = [f"{entry.id}  {entry.began_at.isoformat(timespec='seconds')}  {entry.action} by {entry.person}{end}"]
    lines += [f"  why: {entry.why}", f"  asked: {_pairs(entry.asked)}", f"  did: {_pairs(entry.counts) or 'nothing'}"]
    return "\n".join(lines)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
