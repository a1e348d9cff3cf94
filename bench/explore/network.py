"""The vendor and the way to it: what becomes of each call, and the record of what each person really received."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.explore.fibers import FOREVER, Home, Scheduler
from bench.explore.stand_ins import EPOCH_S
from worker.domain.call import CallResult, FileBody, NoAnswer, NotSent, Reply, Request, Unsent
from worker.transport.connection import FileFault
from worker.transport.http import Connection
from worker.transport.multipart import multipart
from worker.transport.pending_call import PendingCall

SEND, RECALL, GETTOKEN = "/cgi-bin/message/send", "/cgi-bin/message/recall", "/cgi-bin/gettoken"
UPDATE, UPLOAD = "/cgi-bin/message/update_template_card", "/cgi-bin/media/upload"
WRONG_SECRET = "wrong"
DUPLICATES_S = 14_400.0


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
    FORBIDDEN = "answered 43012"


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
    Fate.FORBIDDEN: 1,
}
"""While the vendor is ill, as long as a seed does not choose others."""
BLOCKING = (Fate.FREQUENT, Fate.PARKED, Fate.FORBIDDEN)
CALLS = ("connect", "gettoken", "send", "recall", "update", "upload")
NAMES = {GETTOKEN: "gettoken", SEND: "send", RECALL: "recall", UPDATE: "update", UPLOAD: "upload"}
GETTOKEN_FATES = (
    Fate.SLOW,
    Fate.UNREACHABLE,
    Fate.UNSENT,
    Fate.LOST,
    Fate.UNANSWERED,
    Fate.CUT,
    Fate.BUSY,
    Fate.HTML,
)
CALL_PAIRS = (
    ("connect", Fate.UNREACHABLE),
    *(("gettoken", fate) for fate in GETTOKEN_FATES),
    *((call, fate) for call in CALLS[2:] for fate in WEIGHTS if fate is not Fate.ANSWERED),
)
"""What may become of which call."""
ERRCODES = {
    Fate.BUSY: -1,
    Fate.FREQUENT: 45009,
    Fate.CONCURRENT: 45033,
    Fate.STALE: 42001,
    Fate.REFUSED: 40058,
    Fate.PARKED: 60020,
    Fate.FORBIDDEN: 43012,
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that one person received."""

    at: float
    account: int
    """The agentid that it came from."""
    person: str
    content: str
    msgid: str


@dataclass(frozen=True, slots=True)
class CardUpdated:
    """One update of a card."""

    task_id: str
    content: str
    code: str


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
    frequent_left: int = 2
    """How many calls may yet be answered 45009: a third would block a lane until midnight."""
    deliveries: list[Delivery] = field(default_factory=list)
    recalled: set[str] = field(default_factory=set)
    """The msgids of what was taken back."""
    media: dict[str, str] = field(default_factory=dict)
    """Media_id -> what its file says."""
    cards: dict[str, Delivery] = field(default_factory=dict)
    """Task_id of each card that was sent -> its last delivery."""
    codes: dict[str, str] = field(default_factory=dict)
    """Response_code -> the task_id of its card."""
    updates: list[CardUpdated] = field(default_factory=list)
    used_again: list[tuple[str, str]] = field(default_factory=list)
    """Updates, by their contents, with a code that an earlier one has used, by its content."""
    calls: list[VendorCall] = field(default_factory=list)
    weights: dict[Fate, int] = field(default_factory=lambda: dict(WEIGHTS))
    fates: Counter[tuple[str, Fate]] = field(default_factory=Counter)
    """(Call, what became of it) -> how often."""
    unanswered: dict[str, float] = field(default_factory=dict)
    """Content of each message whose call gets no answer -> when its caller gives up."""
    counts_refused: bool = False
    """True: its duplicate check knows the calls that it has refused, too."""
    counts_unflagged: bool = True
    """True: its duplicate check knows the calls that did not ask for it."""
    token_s: int = 7_200
    """The time for which it says that a token is good. It takes the token for longer."""
    _tokens: int = 0
    _recall_calls: set[str] = field(default_factory=set)
    _seen: dict[str, tuple[float, str]] = field(default_factory=dict)
    _valid: dict[str, set[str]] = field(default_factory=dict)

    def fall_ill(self) -> None:
        """Chooses how many calls go wrong from now on, and how they do: each fate rarely, often or never.

        Those that block a lane or an account are rare: they keep the other calls from being made.
        """
        chance = self.chance
        self.ill = chance.choice([0.1, 0.3, 0.6])
        self.weights = {fate: chance.choice([0, 1, 1, 5]) for fate in Fate if fate is not Fate.ANSWERED}
        self.weights |= {fate: chance.choice([0, 0, 1]) for fate in BLOCKING}
        self.told(f"the vendor is ill: {self.ill}")

    def is_reached(self) -> bool:
        """False where a connection that is to be made now fails."""
        is_reached = not self.ill or self.chance.random() >= self.ill / 10
        self.fates["connect", Fate.ANSWERED if is_reached else Fate.UNREACHABLE] += 1
        return is_reached

    def fate(self, request: Request) -> Fate:
        """What is to become of a call that begins now."""
        call, fate = NAMES[request.path], Fate.ANSWERED
        # Without a token nothing is sent for seconds, and nothing else could go wrong.
        ill = self.ill / 5 if call == "gettoken" else self.ill
        if self.chance.random() < ill and any(self.weights.values()):
            [fate] = self.chance.choices(list(self.weights), list(self.weights.values()))
        if fate is Fate.FREQUENT and not self.frequent_left:
            fate = Fate.ANSWERED
        if fate is Fate.REFUSED and call == "send" and self._has_taken(self.text(_body(request))):
            fate = Fate.ANSWERED  # what is wrong with a message is wrong each time
        if call == "recall":
            msgid = _body(request)["msgid"]
            if fate is Fate.REFUSED and msgid in self._recall_calls - self.recalled:
                fate = Fate.ANSWERED  # with this code only a recall that was carried out before is refused
            self._recall_calls.add(msgid)
        if call == "gettoken" and fate not in (Fate.ANSWERED, *GETTOKEN_FATES):
            fate = Fate.BUSY
        self.frequent_left -= fate is Fate.FREQUENT
        self.fates[call, fate] += 1
        return fate

    def take(self, request: Request, fate: Fate, file: str) -> Reply:
        """What the vendor does with a call that arrives, perhaps with a file, and what it answers."""
        if fate is Fate.HTML:
            return _answer(b"<html>bad gateway</html>", 502)
        if fate in ERRCODES:
            self._refuse(request, fate)
            return _json(ERRCODES[fate], "no")
        if request.path == GETTOKEN:
            if request.query.get("corpsecret") == WRONG_SECRET:
                return _json(40001, "invalid credential")
            self._tokens += 1
            token = f"token{self._tokens}"
            self._valid.setdefault(str(request.query.get("corpid")), set()).add(token)
            return _json(0, "ok", access_token=token, expires_in=self.token_s)
        if not any(request.query.get("access_token") in tokens for tokens in self._valid.values()):
            return _json(40014, "invalid access_token")
        if request.path == SEND:
            return self._send(_body(request))
        if request.path == UPLOAD:
            return self._upload(file)
        if request.path == UPDATE:
            return self._update(_body(request))
        self.recalled.add(_body(request)["msgid"])
        return _json(0, "ok")

    def _has_taken(self, content: str) -> bool:
        return any(call.taken for call in self.calls if call.content == content)

    def _refuse(self, request: Request, fate: Fate) -> None:
        if fate is Fate.STALE:
            for tokens in self._valid.values():
                tokens.discard(str(request.query.get("access_token")))
        if request.path == SEND:
            body = _body(request)
            self._note(body, taken=False)
            if self.counts_refused:
                self._seen.setdefault(_content(body), (self.scheduler.now, f"m{len(self.calls)}"))

    def press(self, task_id: str) -> str:
        """Somebody presses a card: a new response_code of it."""
        code = f"code{len(self.codes)}"
        self.codes[code] = task_id
        return code

    def _upload(self, file: str) -> Reply:
        media_id = f"media{len(self.media)}"
        self.media[media_id] = file
        created_at = int(EPOCH_S + self.scheduler.now)
        return _json(0, "ok", type="file", media_id=media_id, created_at=created_at)

    def _update(self, body: dict[str, Any]) -> Reply:
        code, content = body["response_code"], body["button"]["replace_name"]
        used = [update.content for update in self.updates if update.code == code]
        self.told(f"vendor updates with {code}: {content}{' again' if used else ''}")
        if used or code not in self.codes:
            self.used_again += [(content, before) for before in used]
            return _json(60140, "invalid response_code")
        self.updates.append(CardUpdated(self.codes[code], content, code))
        return _json(0, "ok")

    def _send(self, body: dict[str, Any]) -> Reply:
        task_id = _task_id(body)
        if body["msgtype"] == "file" and body["file"]["media_id"] not in self.media:
            return _json(40007, "invalid media_id")
        self._note(body, taken=True)
        if task_id in self.cards:
            return _json(42014, "the task_id exists")
        now, is_flagged, same = self.scheduler.now, body.get("enable_duplicate_check"), _content(body)
        seen_at, msgid = self._seen.get(same, (-DUPLICATES_S, f"m{len(self.calls)}"))
        if is_flagged and seen_at > now - DUPLICATES_S:
            return _json(0, "ok", msgid=msgid)
        msgid = f"m{len(self.calls)}"
        if is_flagged or self.counts_unflagged:
            self._seen[same] = now, msgid
        for person in body["touser"].split("|"):
            self.deliveries.append(Delivery(now, body["agentid"], person, self.text(body), msgid))
        if not task_id:
            return _json(0, "ok", msgid=msgid)
        self.cards[task_id] = self.deliveries[-1]
        return _json(0, "ok", msgid=msgid, response_code=self.press(task_id))

    def text(self, body: dict[str, Any]) -> str:
        """Returns what a message says, or its file."""
        message = body[body["msgtype"]]
        if "media_id" in message:
            return self.media.get(message["media_id"], "an unknown file")
        text: str = message["main_title"]["title"] if "main_title" in message else message["content"]
        return text

    def _note(self, body: dict[str, Any], *, taken: bool) -> None:
        people = tuple(body["touser"].split("|"))
        content = self.text(body)
        self.calls.append(VendorCall(self.scheduler.now, body["agentid"], content, people, taken))
        self.told(f"vendor {'takes' if taken else 'refuses'} {content} for {','.join(people)}")


class Network:
    """One process's way to the vendor."""

    def __init__(self, vendor: Vendor, home: Home, step: Callable[[str], None]):
        self._vendor, self._home, self._step = vendor, home, step

    def connect(self, request: Request) -> Connection | NotSent:
        """See `Transport`."""
        return self.connect_all([request])[0]

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """See `Transport`."""
        self._step("connect")
        if not self._vendor.is_reached():
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
        self._fault, file = _read_file(request)
        if self._fault is not None:
            self.ends_at = scheduler.now
            return
        self._fate = vendor.fate(request)
        if self._fate is not Fate.ANSWERED:
            what = vendor.text(_body(request)) if request.path == SEND else NAMES[request.path]
            vendor.told(f"the call for {what} is {self._fate}")
        self._answer: Reply | None = None
        deadline_s = request.deadline_s
        delay_s = chance.uniform(0.001, 0.02)
        # The vendor's windows count from the arrival, and the guard of a window is 50 ms at most.
        if self._fate in (Fate.UNREACHABLE, Fate.UNSENT):
            self.ends_at = scheduler.now + delay_s
            return
        if self._fate in (Fate.LOST, Fate.UNANSWERED):
            self.ends_at = scheduler.now + deadline_s
            if request.path == SEND:
                vendor.unanswered[vendor.text(_body(request))] = self.ends_at
        elif self._fate is Fate.SLOW:
            self.ends_at = scheduler.now + chance.uniform(0.3, 0.95) * deadline_s
        else:
            self.ends_at = scheduler.now + delay_s + chance.uniform(0.001, chance.choice([0.1, 0.1, 1.0]))
        if self._fate is not Fate.LOST:
            self._answer = vendor.take(request, self._fate, file)

    @property
    def has_ended(self) -> bool:
        return self._scheduler.now >= self.ends_at

    def result(self) -> CallResult:
        while not self.has_ended:
            self._scheduler.wait(self.ends_at)
        if self._fault is not None:
            return self._fault
        if self._fate in (Fate.UNREACHABLE, Fate.UNSENT):
            return NotSent("reset", 0.01, Unsent.DROPPED if self._fate is Fate.UNSENT else None)
        if self._answer is None or self._fate in (Fate.LOST, Fate.UNANSWERED, Fate.CUT):
            return NoAnswer("cut" if self._fate is Fate.CUT else "read_timeout", 0.1)
        return self._answer


def _read_file(request: Request) -> tuple[NotSent | None, str]:
    """Returns what the file of an upload says, or why it was not sent: then not all of it could be read."""
    if not isinstance(request.body, FileBody):
        return None, ""
    try:
        _, chunks = multipart(request.body, "boundary")
        content = re.search(rb"job \d+", b"".join(chunks))
    except FileFault:
        return NotSent("file", 0.0), ""
    return None, content[0].decode() if content else ""


def _body(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.body) if isinstance(request.body, bytes) else {}
    return body


def _task_id(body: dict[str, Any]) -> str:
    """The id of a card; empty where the message is none."""
    task_id: str = body[body["msgtype"]].get("task_id", "")
    return task_id


def _content(body: dict[str, Any]) -> str:
    """What the duplicate check compares."""
    flags = ("enable_duplicate_check", "duplicate_check_interval")
    return json.dumps({key: value for key, value in body.items() if key not in flags}, sort_keys=True)


def _json(errcode: int, errmsg: str, **more: Any) -> Reply:
    return _answer(json.dumps({"errcode": errcode, "errmsg": errmsg, **more}).encode())


def _answer(body: bytes, status: int = 200) -> Reply:
    return Reply(status, {"content-type": "application/json"}, body, 0.02)
