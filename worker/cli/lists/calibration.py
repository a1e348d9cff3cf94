"""`worker calibrate`: shows what would be asked, asks it, and shows and writes what was found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime

from rich.cells import cell_len

from worker.accounts.sources import accounts_of
from worker.cli.acting import Ask, system_user
from worker.cli.reading import Say, clock, padded, plain
from worker.config.settings import Settings, load_settings
from worker.control.calibration import writing
from worker.control.calibration.asker import MOST_CALLS, Tools
from worker.control.calibration.run import Calibrated, CalibrationPlan, calibrate, go_on, plan
from worker.domain.errors import WorkerError
from worker.language import language, said, word
from worker.transport.http import SocketTransport

Count = Callable[[str], str]
"""Asks a person for a text."""


def show(
    say: Say,
    note: Say,
    ask: Ask,
    count: Count,
    name: str,
    to: str | None,
    *,
    write: bool,
    why: str,
    person: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Calibrates an account, or, without `to`, goes on with an earlier run; asks before it begins, unless `yes`."""
    settings = load_settings()
    for line in _preview(plan(accounts_of(settings), name), name, to):
        note(line)
    if not yes and not ask("begin?"):
        raise WorkerError("nothing was asked")
    with closing(SocketTransport()) as transport:
        tools = Tools(transport, person or system_user(), why, look=lambda text: None if yes else _seen(count, text))
        found = go_on(settings, name, tools) if to is None else calibrate(settings, name, to, tools)
    if as_json:
        say(json.dumps(plain(found), ensure_ascii=False))
    else:
        for line in _lines(found, settings):
            say(line)
    if write and found.settings:
        place = writing.write(name, found.settings, settings, person=tools.person, why=why)
        note(f"written into {place}; every process obeys within ten seconds")


def _preview(wanted: CalibrationPlan, name: str, to: str | None) -> Iterator[str]:
    if to is None:
        yield f"account {name}: asks what an earlier run left behind, as far as it is old enough"
        return
    yield f"account {name}: at most {wanted.calls} calls now, fewer than {MOST_CALLS + 1} with all later runs"
    yield f"at most {wanted.messages} messages, all to {to}; nobody else gets one"
    for question in wanted.questions:
        yield f"  {said(f'{question.calls} calls')}  {_listed(map(_told, question.facts))}"
    for window in wanted.calibration.windows:
        ages = _listed(map(_span, window.ages))
        later = said(f"{_told(window.fact)}: asked about after {ages}, by --continue")
        yield f"  {said(f'{len(window.ages)} calls')}  {later}"


def _seen(count: Count, text: str) -> int | None:
    """How many messages the person sees; None where the one at the keyboard does not know."""
    answer = count(f'how many messages with "{text}" does the person see? (a number, or nothing: not known)').strip()
    return int(answer) if re.fullmatch(r"[0-9]{1,3}", answer) else None


def _lines(found: Calibrated, settings: Settings) -> Iterator[str]:
    yield f"account {found.account}: {found.calls} calls, {found.messages} messages taken (audit {found.audit})"
    width = max((cell_len(_told(fact)) for fact in (*found.found, *found.not_asked)), default=0)
    yield "found"
    yield from (f"  {padded(_told(fact), width)}  {_told(value)}" for fact, value in found.found.items())
    if found.later:
        yield f"later, by worker calibrate {found.account} --continue"
        for one in found.later:
            yield f"  {padded(_told(one.fact), width)}  {said(f'after {_span(one.age_s)}: {_when(one.due_at)}')}"
    if found.not_asked:
        yield "not asked"
        yield from (f"  {padded(_told(fact), width)}  {_told(reason)}" for fact, reason in found.not_asked.items())
    yield "settings that follow" if found.settings else "settings: what the account has is right"
    if found.settings:
        yield writing.lines_of(found.account, found.settings)


def _when(due_at: datetime) -> str:
    return "now" if due_at <= datetime.now(UTC) else f"from {clock(due_at)} on"


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return " ".join(f"{n} {word('unit', unit)}" for n, unit in ((hours, "h"), (rest // 60, "min")) if n)


def _listed(words: Iterable[str]) -> str:
    return (", " if language() == "en" else "、").join(words)


def _told(text: str) -> str:
    """A fact, or what was found out about it, in the language of the person: some are single words."""
    return word("calibrated", said(text))
