"""One run of a calibration: it asks what can be asked now, leaves behind what only time can show, and notes both.

What a run found is written at its end, in a row of the audit, from which a later run goes on. One that was cut short
leaves its row without an end, and is simply said again. Knows no vendor.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from uuid_utils import uuid7

from worker.accounts.sources import accounts_of
from worker.channels.calibration import calibration_of
from worker.channels.calibration.questions import Calibration, FoundFact, Question, Subject, TimeWindow
from worker.channels.registry import channel, usable
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import Running, audited, newest_audit, write_entry
from worker.control.calibration.asker import Asker, CallsUsedUp, NotTold, Tools, require_allowed
from worker.control.calibration.notes import LeftBehind, Notes, concluded, notes_of
from worker.control.opening import opened_current
from worker.domain.account import Account
from worker.domain.errors import WorkerError
from worker.outbox.engine.clock import SECOND, instant
from worker.outbox.engine.database import Database

NOT_TOLD = "not told by the answers"
ACTION, RESULT = "calibrate", "calibrated"
"""What the audit calls a run, and the row with what is known after it."""


@dataclass(frozen=True, slots=True)
class Later:
    """A window of which something is still to be asked."""

    fact: str
    age_s: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What is known of an account after a run."""

    account: str
    calls: int
    """All calls of this calibration so far, for tokens too."""
    messages: int
    """Messages that the vendor took for the person so far; of suppressed ones they saw nothing."""
    found: Mapping[str, str]
    settings: Mapping[str, Any]
    """The account's settings that follow: those that differ from what it has."""
    later: Sequence[Later]
    not_asked: Mapping[str, str]
    audit: str


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """What a run would do."""

    account: Account = field(repr=False)
    calibration: Calibration = field(repr=False)
    questions: tuple[Question, ...]

    @property
    def calls(self) -> int:
        """The most calls of the first run, without those for tokens."""
        return sum(one.calls for one in self.questions) + sum(len(one.ages) for one in self.calibration.windows)

    @property
    def messages(self) -> int:
        """The most messages to the person."""
        return sum(one.messages for one in self.questions) + sum(len(one.ages) for one in self.calibration.windows)


def plan(accounts: AccountSource, name: str) -> CalibrationPlan:
    """What calibrating an account would do; WorkerError where it cannot be calibrated."""
    account = usable(accounts, name)
    calibration = calibration_of(account.channel)
    return CalibrationPlan(account, calibration, calibration.questions(account))


def calibrate(settings: Settings, name: str, to: str, tools: Tools) -> Calibrated:
    """Asks a tenant everything that can be asked now; `to` is the one person who gets messages.

    Raises WorkerError where `to` names more than one person, or the account may not call now.
    """
    with opened_current(settings) as database:
        return calibrate_in(database, accounts_of(settings), name, to, tools)


def go_on(settings: Settings, name: str, tools: Tools) -> Calibrated:
    """Asks what was left behind and is old enough by now; WorkerError where there is no earlier run."""
    with opened_current(settings) as database:
        return go_on_in(database, accounts_of(settings), name, tools)


def calibrate_in(database: Database, accounts: AccountSource, name: str, to: str, tools: Tools) -> Calibrated:
    """The same in a database that is open."""
    found = plan(accounts, name)
    if not re.fullmatch(found.calibration.pattern, to):
        what = f"--to names one person by {found.calibration.person}"
        raise WorkerError(f"{what}; @all, a list, a department, a tag or a chat is refused")
    notes = Notes(name, to, uuid7().hex)
    with _running(database, notes, tools, go_on=False) as running:
        return _Run(database, accounts, found, notes, tools, running).first()


def go_on_in(database: Database, accounts: AccountSource, name: str, tools: Tools) -> Calibrated:
    """The same in a database that is open."""
    found = plan(accounts, name)
    with database.reading() as connection:
        entry = newest_audit(connection, RESULT, name)
    if entry is None:
        raise WorkerError(f"account {name} was not calibrated yet; say worker calibrate {name} --to, and whom")
    notes = notes_of(entry.asked)
    with _running(database, notes, tools, go_on=True) as running:
        return _Run(database, accounts, found, notes, tools, running).later()


def _running(database: Database, notes: Notes, tools: Tools, *, go_on: bool) -> AbstractContextManager[Running]:
    asked = {"account": notes.account, "recipient": notes.recipient, "continue": go_on}
    return audited(database, ACTION, person=tools.person, why=tools.why, asked=asked)


class _Run:
    """One run, with the database open."""

    def __init__(
        self,
        database: Database,
        accounts: AccountSource,
        found: CalibrationPlan,
        notes: Notes,
        tools: Tools,
        running: Running,
    ):
        self._database, self._plan, self._notes, self._running = database, found, notes, running
        self._tools = tools
        account = found.account
        require_allowed(database, account, notes.recipient)
        vendor = channel(account.channel)
        self._asker = Asker(database, accounts, vendor, found.calibration, tools, made=notes.calls)
        self._messages_before = notes.messages

    def first(self) -> Calibrated:
        """Asks the questions, and leaves behind what is asked about later."""
        try:
            for question in self._plan.questions:
                self._answer(question)
            for window in self._plan.calibration.windows:
                self._leave(window)
        except CallsUsedUp:
            # Each fact that was not reached says so.
            self._tell_unanswered()
        finally:
            self._count()
        self._write()
        return self._known()

    def later(self) -> Calibrated:
        """Asks about what is old enough."""
        due = self._due()
        self._notes.left = [left for left in self._notes.left if left not in due]
        # Written before the first call: what was asked about once must not be asked about again, because the vendor may
        # remember that call instead, and would seem to remember for longer than it does.
        if due:
            self._write()
        try:
            for left in due:
                self._ask(left)
        except CallsUsedUp:
            self._notes.left.clear()
        finally:
            self._count()
            self._conclude()
            self._write()
        return self._known()

    def _due(self) -> list[LeftBehind]:
        now, ages = self._database.read_now(), self._ages()
        return [one for one in self._notes.left if now - one.left_at >= ages[one.fact][one.n] * SECOND]

    def _subject(self) -> Subject:
        notes = self._notes
        return Subject(self._plan.account, notes.recipient, notes.run, notes.known())

    def _answer(self, question: Question) -> None:
        subject = self._subject()
        try:
            for finding in self._asker.run(question.ask(subject), subject):
                self._notes.note(finding)
        except NotTold as error:
            for fact in question.facts:
                self._notes.note(FoundFact(fact, str(error)))

    def _tell_unanswered(self) -> None:
        for fact in (fact for question in self._plan.questions for fact in question.facts):
            if fact not in self._notes.found:
                self._notes.note(FoundFact(fact, "not asked: the calls are used up"))

    def _leave(self, window: TimeWindow) -> None:
        subject = self._subject()
        for n in range(len(window.ages)):
            try:
                data = self._asker.run(window.leave(subject, n), subject)
            except NotTold:
                continue
            if data is not None:
                self._notes.left.append(LeftBehind(window.fact, n, self._database.read_now(), data))

    def _ask(self, left: LeftBehind) -> None:
        [window] = [one for one in self._plan.calibration.windows if one.fact == left.fact]
        subject, before_us = self._subject(), self._database.read_now()
        try:
            held = self._asker.run(window.ask(subject, left.n, left.data), subject)
        except NotTold:
            return
        if held is not None:
            age_us = (before_us if held else self._database.read_now()) - left.left_at
            age_s = age_us // SECOND if held else math.ceil(age_us / SECOND)
            self._notes.seen.setdefault(window.fact, []).append((age_s, held))

    def _count(self) -> None:
        notes, asker = self._notes, self._asker
        self._running.counts = Counter(calls=asker.made - notes.calls, messages=asker.messages)
        notes.calls, notes.messages = asker.made, self._messages_before + asker.messages
        self._running.note()

    def _conclude(self) -> None:
        """Says what the ages of each window mean so far."""
        notes, account = self._notes, self._plan.account
        for window in self._plan.calibration.windows:
            is_open = any(left.fact == window.fact for left in notes.left)
            finding = concluded(window, notes.seen.get(window.fact, ()), account, is_open=is_open)
            if finding is not None:
                notes.note(finding)

    def _known(self) -> Calibrated:
        notes, account = self._notes, self._plan.account
        settings = {key: value for one in notes.found.values() for key, value in one["settings"].items()}
        differing = {key: value for key, value in settings.items() if account.settings.get(key) != value}
        return Calibrated(
            notes.account,
            notes.calls,
            notes.messages,
            notes.known(),
            differing,
            self._later(),
            {**self._plan.calibration.not_asked, **self._silent()},
            self._running.id,
        )

    def _write(self) -> None:
        asked, database = asdict(self._notes), self._database
        counts = {"facts": len(self._notes.found), "left": len(self._notes.left)}
        person, why = self._tools.person, self._tools.why
        database.run(
            lambda connection: write_entry(
                connection, database.now, RESULT, person=person, why=why, asked=asked, counts=counts
            )
        )

    def _later(self) -> list[Later]:
        ages = self._ages()
        found = [
            Later(one.fact, ages[one.fact][one.n], instant(one.left_at + ages[one.fact][one.n] * SECOND))
            for one in self._notes.left
        ]
        return sorted(found, key=lambda one: one.due_at)

    def _ages(self) -> dict[str, tuple[int, ...]]:
        return {window.fact: window.ages for window in self._plan.calibration.windows}

    def _silent(self) -> dict[str, str]:
        """Facts of questions that another answer made needless."""
        asked = [fact for question in self._plan.questions for fact in question.facts]
        return {fact: NOT_TOLD for fact in asked if fact not in self._notes.found}
