"""Carries the questions of a calibration out: each call with the account's token, and admitted within its limits.

What keeps the account's jobs from being called (staging, pauses, blocks) keeps these calls, too. No transaction is open
during a call. What an answer shows is the channel's to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from uuid_utils import uuid7

from worker.channels.base import Channel
from worker.channels.calibration.questions import Calibration, LookAtInbox, Said, Steps, Subject, TrialCall
from worker.config.accounts import AccountSource
from worker.delivery.sender.admission import Governor
from worker.domain.account import Account, Token, TokenParked
from worker.domain.call import Access, Answered, CallResult, NeverLeft, Request
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.job import Kind
from worker.domain.outcome import Parked, Retry, Scope, StaleToken, Wait
from worker.domain.pacing.limit import Charge, Denied, Permit
from worker.outbox.engine.clock import boot_clock
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.jobs.suppressions import suppressed_among
from worker.outbox.lanes.lanes import list_lanes
from worker.outbox.lanes.pauses import standing_pauses
from worker.transport.http import Connection, Transport
from worker.transport.pending_call import PendingCall
from worker.transport.tokens import Tokens

T = TypeVar("T")
MOST_CALLS = 59
"""All calls of a calibration, of every run and for tokens too, are fewer than 60."""
TRIES = 5
"""Calls in all where a call is made again while it is put off."""
LONGEST_WAIT_S = 120.0
"""Longest wait for room in a limit, or for a token."""


class NotTold(WorkerError):
    """A call had no readable answer, or was put off: the question stays open, and others go on."""


class CallsUsedUp(WorkerError):
    """No further call may be made."""


class _Counted:
    """A transport that counts the calls that are begun, those for tokens too, and makes no more than are left."""

    def __init__(self, transport: Transport, made: int):
        self._transport = transport
        self.made = made

    def connect(self, request: Request) -> Connection | NeverLeft:
        """Counts the call that follows."""
        if self.made >= MOST_CALLS:
            raise CallsUsedUp(f"{MOST_CALLS} calls are made, and no more are")
        self.made += 1
        return self._transport.connect(request)

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NeverLeft]:
        """As `connect`, one after the other."""
        return [self.connect(request) for request in requests]

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """See `Transport.await_any`."""
        return self._transport.await_any(calls, timeout_s)


@dataclass(frozen=True, slots=True)
class Tools:
    """The person who calibrates, and everything that tests replace."""

    transport: Transport
    person: str
    why: str = ""
    look: Callable[[str], int | None] = lambda text: None
    """How many messages with this text the person sees; None: not known."""
    pause: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = boot_clock


class Asker:
    """One run's way to the vendor."""

    def __init__(
        self,
        database: Database,
        accounts: AccountSource,
        channel: Channel,
        calibration: Calibration,
        tools: Tools,
        *,
        made: int = 0,
    ):
        with database.reading() as connection:
            key = lane_key(connection)
        self._channel, self._calibration, self._tools = channel, calibration, tools
        self._transport = _Counted(tools.transport, made)
        self.messages = 0
        """Messages that the vendor took for the person."""
        self._governor = Governor(database.state, site_key=key, monotonic=tools.monotonic)
        process = uuid7().hex
        self._tokens = Tokens(
            database.state,
            self._transport,
            incarnation=lambda: process,
            monotonic=tools.monotonic,
            pause=tools.pause,
            accounts=accounts,
        )

    @property
    def made(self) -> int:
        """All calls so far."""
        return self._transport.made

    def run(self, steps: Steps[T], subject: Subject) -> T:
        """What the steps find out; NotTold when a call was not answered."""
        try:
            step = next(steps)
            while True:
                step = steps.send(self._answer(step, subject))
        except StopIteration as end:
            found: T = end.value
            return found

    def _answer(self, step: TrialCall | LookAtInbox, subject: Subject) -> Said | int | None:
        return self._tools.look(step.text) if isinstance(step, LookAtInbox) else self._patiently(step, subject)

    def _patiently(self, call: TrialCall, subject: Subject) -> Said:
        """The answer; of a call that is to be made again while it is put off, the last."""
        for _ in range(TRIES - 1 if call.again_s else 0):
            try:
                return self._ask(call, subject)
            except NotTold:
                self._tools.pause(call.again_s)
        return self._ask(call, subject)

    def _ask(self, call: TrialCall, subject: Subject) -> Said:
        for _ in range(2):
            token, access = self._access(subject)
            said = self._call(call, subject, access)
            outcome = self._calibration.meaning(said.code) if said.code else None
            match outcome:
                case StaleToken() if token is not None:
                    self._tokens.refused(subject.account, token)
                case Retry() | Wait(penalty=None):
                    raise NotTold(f"the vendor puts the call off ({said.code}); say it again later")
                case Wait() | Parked(scope=Scope.ACCOUNT):
                    raise WorkerError(f"the vendor refuses the account's calls ({said.code}); see worker explain")
                case _:
                    if token is not None:
                        self._tokens.worked(subject.account, token)
                    self.messages += call.sends and said.code == 0
                    return said
        raise WorkerError("the vendor refuses the token it has just given out; see `worker doctor`")

    def _access(self, subject: Subject) -> tuple[Token | None, Access]:
        account, state = subject.account, None
        if self._channel.uses_token:
            state, account = self._token(subject)
        secret = account.secret.read() if self._channel.calls_with_secret and account.secret is not None else None
        return state, Access(None if state is None else state.value, secret)

    def _token(self, subject: Subject) -> tuple[Token, Account]:
        waited = 0.0
        while True:
            state, account = self._tokens.of_either(subject.account, self._channel)
            match state:
                case Token():
                    return state, account
                case TokenParked():
                    raise ConfigurationError(f"no token: {state.reason}; {state.remedy}")
            waited = self._waited(waited, state.delay, state.reason)

    def _call(self, call: TrialCall, subject: Subject, access: Access) -> Said:
        """Admits and makes one call; the connection is there before the permit is used."""
        request = self._calibration.request(call, subject, access)
        request = replace(request, egress=subject.account.egress)
        charges = self._calibration.charges(call, subject)
        permit = self._admitted(charges)
        connection = self._transport.connect(request)
        if isinstance(connection, NeverLeft):
            self._governor.give_back([permit])
            raise WorkerError(f"no connection: {connection.reason}; {connection.remedy or 'try again'}")
        try:
            renewed = self._governor.renew(permit, charges)
            if isinstance(renewed, Denied):
                raise NotTold(f"the database is too slow for limit {renewed.limit}; say it again later")
            return self._read(connection.call(request), subject, access)
        finally:
            connection.release()

    def _admitted(self, charges: Sequence[Charge]) -> Permit:
        waited = 0.0
        while True:
            [answer] = self._governor.reserve([charges])
            if isinstance(answer, Permit):
                return answer
            waited = self._waited(waited, answer.call_delay, f"limit {answer.limit} is used up")

    def _read(self, result: CallResult, subject: Subject, access: Access) -> Said:
        said = self._calibration.read(result.reply, subject, access) if isinstance(result, Answered) else None
        if said is None:
            reason = "an answer that is not the vendor's" if isinstance(result, Answered) else result.reason
            raise NotTold(f"no readable answer: {reason}; say it again later")
        return said

    def _waited(self, waited: float, delay_s: float, reason: str) -> float:
        """Waits, and returns the seconds waited in all; WorkerError when it would be too long."""
        if waited + delay_s > LONGEST_WAIT_S:
            raise WorkerError(f"{reason} for {delay_s:.0f} s more; say it again then")
        self._tools.pause(delay_s)
        return waited + delay_s


# -- whether it may ask at all -----------------------------------------------------------------------------------------


def require_allowed(database: Database, account: Account, to: str) -> None:
    """WorkerError where staging, the list of the suppressed, a pause or a block of the account is against it."""
    for reason in _reasons(database, account, to):
        raise WorkerError(reason)


def _reasons(database: Database, account: Account, to: str) -> Iterator[str]:
    staging = account.staging
    if staging.dry_run or staging.redirect_to:
        yield f"staging: {staging.told()} is on for account {account.name}; calibrate where it is off"
    if staging.only is not None and (staging.left_out({"users": [to]}) or staging.refuses({"users": [to]})):
        yield "staging: the person of --to is not among those who are let through"
    job = {"id": "", "account": account.name, "channel": account.channel, "kind": Kind.SEND, "tags": None}
    with database.reading() as connection:
        if suppressed_among(connection, [to]):
            yield "nothing is sent to the person of --to (`worker suppress`); name another one"
        for pause in standing_pauses(connection):
            if pause.covers(job):
                yield f"account {account.name} is paused; it ends with: {pause.ending()}"
    with database.state.reading() as connection:
        for row in list_lanes(connection, database.state.now, account.name):
            if row["lane"] == account.name and (row["parked"] or row["blocked_until"] > row["now"]):
                yield f"account {account.name} is blocked or parked; see `worker lanes`, and calibrate when it is not"
