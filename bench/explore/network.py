"""The vendor and the way to it: what becomes of each call, and the record of what each person really received."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.explore.fibers import FOREVER, Home, Scheduler
from worker.domain.call import CallResult, NoAnswer, NotSent, Reply, Request, Unsent
from worker.transport.http import Connection
from worker.transport.pending_call import PendingCall

SEND, GETTOKEN = "/cgi-bin/message/send", "/cgi-bin/gettoken"
DUPLICATES_S = 14_400.0
TOKEN_S = 7_200


class Fate(StrEnum):
    """What becomes of one call."""

    ANSWERED = "answered"
    SLOW = "answered after seconds"
    UNREACHABLE = "no connection"
    UNSENT = "not sent"
    LOST = "sent, and lost on its way"
    UNANSWERED = "arrived, and unanswered"
    CUT = "arrived, and its answer cut"
    BUSY = "answered -1"
    FREQUENT = "answered 45009"
    CONCURRENT = "answered 45033"
    STALE = "answered 42001"
    HTML = "answered 502 without JSON"
    REFUSED = "answered 40058"
    PARKED = "answered 60020"


WEIGHTS = {
    Fate.ANSWERED: 8,
    Fate.SLOW: 3,
    Fate.UNREACHABLE: 1,
    Fate.UNSENT: 2,
    Fate.LOST: 2,
    Fate.UNANSWERED: 4,
    Fate.CUT: 2,
    Fate.BUSY: 2,
    Fate.FREQUENT: 1,
    Fate.CONCURRENT: 1,
    Fate.STALE: 2,
    Fate.HTML: 1,
    Fate.REFUSED: 1,
    Fate.PARKED: 1,
}
"""While the vendor is ill."""
ERRCODES = {
    Fate.BUSY: -1,
    Fate.FREQUENT: 45009,
    Fate.CONCURRENT: 45033,
    Fate.STALE: 42001,
    Fate.REFUSED: 40058,
    Fate.PARKED: 60020,
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that one person received."""

    at: float
    account: int
    """The agentid that it came from."""
    person: str
    content: str


@dataclass(frozen=True, slots=True)
class VendorCall:
    """One call of a message that arrived at the vendor."""

    at: float
    account: int
    content: str
    people: tuple[str, ...]
    taken: bool
    """True: it was accepted, or known already and answered like that."""


@dataclass
class Vendor:
    """Accepts messages, knows its tokens and its duplicates, and forgets nothing."""

    scheduler: Scheduler
    chance: random.Random
    told: Callable[[str], None]
    ill: float = 0.0
    """The part of the calls that have a fate other than an answer."""
    frequent_left: int = 1
    """How many calls may be answered 45009 in a row: a third would block a lane until midnight."""
    deliveries: list[Delivery] = field(default_factory=list)
    calls: list[VendorCall] = field(default_factory=list)
    fates: Counter[Fate] = field(default_factory=Counter)
    _tokens: int = 0
    _seen: dict[str, float] = field(default_factory=dict)
    _valid: dict[str, set[str]] = field(default_factory=dict)

    def fate(self, request: Request) -> Fate:
        """What is to become of a call that begins now."""
        fate = Fate.ANSWERED
        if self.chance.random() < self.ill:
            [fate] = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if fate is Fate.FREQUENT:
            if not self.frequent_left:
                fate = Fate.ANSWERED
            self.frequent_left = max(0, self.frequent_left - 1)
        if request.path == GETTOKEN and fate in (Fate.FREQUENT, Fate.CONCURRENT, Fate.STALE, Fate.REFUSED, Fate.PARKED):
            fate = Fate.BUSY
        self.fates[fate] += 1
        return fate

    def take(self, request: Request, fate: Fate) -> Reply:
        """What the vendor does with a call that arrives, and what it answers."""
        if fate is Fate.HTML:
            return _answer(b"<html>bad gateway</html>", 502)
        if fate in ERRCODES:
            self._refuse(request, fate)
            return _json(ERRCODES[fate], "no")
        if request.path == GETTOKEN:
            self._tokens += 1
            token = f"token{self._tokens}"
            self._valid.setdefault(str(request.query.get("corpid")), set()).add(token)
            return _json(0, "ok", access_token=token, expires_in=TOKEN_S)
        if not any(request.query.get("access_token") in tokens for tokens in self._valid.values()):
            return _json(40014, "invalid access_token")
        if request.path == SEND:
            return self._send(_body(request))
        return _json(0, "ok")

    def _refuse(self, request: Request, fate: Fate) -> None:
        if fate is Fate.STALE:
            for tokens in self._valid.values():
                tokens.discard(str(request.query.get("access_token")))
        if request.path == SEND:
            self._note(_body(request), taken=False)

    def _send(self, body: dict[str, Any]) -> Reply:
        flags = ("enable_duplicate_check", "duplicate_check_interval")
        same = json.dumps({key: value for key, value in body.items() if key not in flags}, sort_keys=True)
        self._note(body, taken=True)
        now = self.scheduler.now
        if body.get("enable_duplicate_check") and self._seen.get(same, -DUPLICATES_S) > now - DUPLICATES_S:
            return _json(0, "ok", msgid=f"m{len(self.calls)}")
        self._seen[same] = now
        for person in body["touser"].split("|"):
            self.deliveries.append(Delivery(now, body["agentid"], person, body["text"]["content"]))
        return _json(0, "ok", msgid=f"m{len(self.calls)}")

    def _note(self, body: dict[str, Any], *, taken: bool) -> None:
        people = tuple(body["touser"].split("|"))
        content = body["text"]["content"]
        self.calls.append(VendorCall(self.scheduler.now, body["agentid"], content, people, taken))
        self.told(f"vendor {'takes' if taken else 'refuses'} {content} for {','.join(people)}")


class Network:
    """One process's way to the vendor."""

    def __init__(self, vendor: Vendor, home: Home, step: Callable[[str], None]):
        self._vendor, self._home, self._step = vendor, home, step

    def connect(self, request: Request) -> Connection | NotSent:
        """See `Transport`."""
        self._step("connect")
        return _Connection(self._vendor, self._home)

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """See `Transport`."""
        self._step("connect")
        ill = self._vendor.ill and self._vendor.chance.random() < self._vendor.ill / 20
        if ill:
            self._vendor.fates[Fate.UNREACHABLE] += len(requests)
            return [NotSent("refused", 0.0) for _ in requests]
        return [_Connection(self._vendor, self._home) for _ in requests]

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """See `Transport`."""
        scheduler = self._vendor.scheduler
        until = FOREVER if timeout_s is None else scheduler.now + timeout_s
        while True:
            ended: list[PendingCall] = [call for call in calls if isinstance(call, _Pending) and call.has_ended]
            if ended or scheduler.now >= until:
                return ended
            soonest = min(call.ends_at for call in calls if isinstance(call, _Pending))
            scheduler.wait(min(until, soonest))


class _Connection:
    def __init__(self, vendor: Vendor, home: Home):
        self._vendor, self._home = vendor, home

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        return _Pending(self._vendor, self._home, request)

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        return self.begin(request).result()

    def release(self) -> None:
        """There is nothing to give back."""


class _Pending:
    """A call that was begun; the vendor has it a moment later, whatever becomes of the process."""

    def __init__(self, vendor: Vendor, home: Home, request: Request):
        scheduler, chance = vendor.scheduler, vendor.chance
        self._vendor, self._request, self._scheduler = vendor, request, scheduler
        self._fate = vendor.fate(request)
        self._answer: Reply | None = None
        deadline_s = request.deadline_s
        delay_s = chance.uniform(0.001, 0.02)
        # The vendor's windows count from the arrival, and the guard of a window is 50 ms at most.
        if self._fate in (Fate.UNREACHABLE, Fate.UNSENT):
            self.ends_at = scheduler.now + delay_s
            return
        if self._fate in (Fate.LOST, Fate.UNANSWERED):
            self.ends_at = scheduler.now + deadline_s
        elif self._fate is Fate.SLOW:
            self.ends_at = scheduler.now + chance.uniform(0.3, 0.95) * deadline_s
        else:
            self.ends_at = scheduler.now + delay_s + chance.uniform(0.001, 0.1)
        if self._fate is not Fate.LOST:
            self._answer = vendor.take(request, self._fate)

    @property
    def has_ended(self) -> bool:
        return self._scheduler.now >= self.ends_at

    def result(self) -> CallResult:
        while not self.has_ended:
            self._scheduler.wait(self.ends_at)
        if self._fate in (Fate.UNREACHABLE, Fate.UNSENT):
            return NotSent("reset", 0.01, Unsent.DROPPED if self._fate is Fate.UNSENT else None)
        if self._answer is None or self._fate in (Fate.LOST, Fate.UNANSWERED, Fate.CUT):
            return NoAnswer("cut" if self._fate is Fate.CUT else "read_timeout", 0.1)
        return self._answer


def _body(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.body) if isinstance(request.body, bytes) else {}
    return body


def _json(errcode: int, errmsg: str, **more: Any) -> Reply:
    return _answer(json.dumps({"errcode": errcode, "errmsg": errmsg, **more}).encode())


def _answer(body: bytes, status: int = 200) -> Reply:
    return Reply(status, {"content-type": "application/json"}, body, 0.02)
