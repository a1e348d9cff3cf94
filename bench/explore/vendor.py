"""The vendor: what becomes of each call, and the record of what each person really received."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from bench.explore import youdu
from bench.explore.campaigns import AGENT, CANCEL, CREATE, LIST, MEMBERS, RESULTS, Tasks, name_of
from bench.explore.database import now_us
from bench.explore.fates import (
    BETWEEN,
    BLOCKING,
    ERRCODES,
    GETTOKEN,
    GETTOKEN_FATES,
    MESSAGES,
    MOST_FREQUENT,
    NAMES,
    POST,
    SELDOM,
    SEND,
    UNSEEN,
    UPDATE,
    UPLOAD,
    WEBHOOK,
    WEIGHTS,
    YOUDU_ERRCODES,
    YOUDU_FATES,
    YOUDU_GETTOKEN,
    YOUDU_SEND,
    Fate,
)
from bench.explore.fibers import Scheduler
from bench.explore.stored import piece_of
from worker.channels.youdu.account import InvalidUsers
from worker.domain.call import Reply, Request

WRONG_SECRET = "wrong"
DUPLICATES_S = 14_400.0
REPEATS_REFUSED = 0.4
"""How often a repeat, of which there are few, is refused before its message is looked at."""
PASSED_ON = 0.6
"""How often a proxy that answers in the vendor's place has passed the call on."""
_PIECE = re.compile(r"\((?P<number>\d)/\d\)\n\s*(?P<name>[^.]*)\.")
"""How a piece of a long text begins."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that one person received."""

    at: float
    account: int
    """The agentid that it came from; 9: a group send; 10: a webhook; 11: Youdu."""
    person: str
    """Or a chat, or one's piece of a long text."""
    content: str
    msgid: str

    @property
    def people(self) -> tuple[str, ...]:
        """The person."""
        return (self.person,)


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
    seen: bool = True
    """False: it was refused before anybody looked at the message."""


_T = TypeVar("_T", Delivery, VendorCall)


@dataclass
class Vendor:
    """Accepts messages, knows its tokens and its duplicates, and forgets nothing."""

    scheduler: Scheduler
    chance: random.Random
    told: Callable[[str], None]
    ill: float = 0.0
    """The part of the calls that have a fate other than an answer."""
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
    used_again: list[tuple[int, str, str]] = field(default_factory=list)
    """When (by the database's clock), and the content of, an update whose code an earlier one had used, and whose."""
    calls: list[VendorCall] = field(default_factory=list)
    weights: dict[Fate, int] = field(default_factory=lambda: dict(WEIGHTS))
    fates: Counter[tuple[str, Fate]] = field(default_factory=Counter)
    """(Call, what became of it) -> how often."""
    unanswered: dict[str, float] = field(default_factory=dict)
    """Content of each message whose call gets no answer -> when its caller gives up."""
    counts_refused: bool = False
    """True: its duplicate check knows the calls that it has refused, too, if it had looked at their message."""
    counts_unflagged: bool = True
    """True: its duplicate check knows the calls that did not ask for it."""
    tasks: Tasks = field(init=False)
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    """(What a message says, for whom) -> the name of the job that sends it, where that is a replay."""
    strangers: Collection[str] = ()
    """Persons whom it does not know: it names them where others have the message, else it refuses the message."""
    invalid_users: InvalidUsers = InvalidUsers.STRICT
    """What the server of Youdu does with a message for others, too, than whom it knows."""
    token_s: int = 7_200
    """The time for which it says that a token is good. It takes the token for longer."""
    _tokens: int = 0
    _recall_calls: set[str] = field(default_factory=set)
    _seen: dict[str, tuple[float, str]] = field(default_factory=dict)
    _ran_out: set[str] = field(default_factory=set)
    """What the messages say whose repeat has met a token that had run out."""
    _valid: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tasks = Tasks(self.chance)

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
        call, fate, ill, weights = NAMES[request.path], Fate.ANSWERED, self.ill, self.weights
        if call == "gettoken":  # without a token nothing is sent for seconds, and nothing else could go wrong
            ill /= 5
        elif call in SELDOM and ill:
            ill, weights = max(ill, 0.5), {fate: max(weight, 2) for fate, weight in weights.items()}
        if self.chance.random() < ill and any(weights.values()):
            [fate] = self.chance.choices(list(weights), list(weights.values()))
        is_repeat = call == "send" and self.text(body_of(request)) in self.unanswered
        if is_repeat and self.chance.random() < REPEATS_REFUSED:
            fate = self._refused_repeat(self.text(body_of(request)), fate)
        if fate is Fate.FREQUENT and self.fates[call, fate] == MOST_FREQUENT:
            fate = Fate.ANSWERED
        if fate is Fate.REFUSED and call == "send" and self._has_taken(self.text(body_of(request))):
            fate = Fate.ANSWERED  # what is wrong with a message is wrong each time
        if call == "recall":
            msgid = body_of(request)["msgid"]
            if fate is Fate.REFUSED and msgid in self._recall_calls - self.recalled:
                fate = Fate.ANSWERED  # with this code only a recall that was carried out before is refused
            self._recall_calls.add(msgid)
        if call == "gettoken" and fate not in (Fate.ANSWERED, *GETTOKEN_FATES):
            fate = Fate.BUSY
        if call == "youdu" and fate not in YOUDU_FATES:
            fate = Fate.ANSWERED
        self.fates[call, fate] += 1
        return fate

    def _refused_repeat(self, text: str, fate: Fate) -> Fate:
        """Returns how a repeat is refused unseen. In calm it meets a token that has run out, once for each text."""
        if self.ill:
            return self.chance.choice([Fate.CONCURRENT, Fate.STALE])
        is_first = text not in self._ran_out
        self._ran_out.add(text)
        return Fate.STALE if is_first else fate

    def take(self, request: Request, fate: Fate, file: str) -> Reply:
        """What the vendor does with a call that arrives, perhaps with a file, and what it answers."""
        if fate in BETWEEN:
            if self.chance.random() < PASSED_ON:
                self.take(request, Fate.ANSWERED, file)
            return _answer_between(*BETWEEN[fate])
        errcodes = YOUDU_ERRCODES if request.path == YOUDU_SEND else ERRCODES
        if fate in errcodes:
            self._refuse(request, fate)
            return _json(errcodes[fate], "no")
        if request.path == GETTOKEN:
            if request.query.get("corpsecret") == WRONG_SECRET:
                return _json(40001, "invalid credential")
            token = self._new_token(str(request.query.get("corpid")))
            return _json(0, "ok", access_token=token, expires_in=self.token_s)
        if request.path == YOUDU_GETTOKEN:
            token = self._new_token(youdu.DESK)
            return _json(0, "ok", encrypt=youdu.sealed({"accessToken": token, "expireIn": self.token_s}))
        if request.path == POST:
            return self._post(body_of(request))
        if not any(_token_of(request) in tokens for tokens in self._valid.values()):
            self._refuse(request, Fate.STALE)
            return _json(100001 if request.path == YOUDU_SEND else 40014, "invalid access_token")
        if request.path == YOUDU_SEND:
            return self._send_to_desks(body_of(request))
        if request.path == SEND:
            return self._send(body_of(request))
        if request.path == UPLOAD:
            return self._upload(file)
        if request.path == UPDATE:
            return self._update(body_of(request))
        if request.path == CREATE:
            return self._create(body_of(request))
        if request.path in (LIST, MEMBERS, RESULTS):
            return _json(0, "ok", **self.tasks.page(request.path, body_of(request), self.scheduler.now))
        if request.path == CANCEL and body_of(request)["msgid"] in self.recalled:
            return _json(41093, "cancelled before")
        if request.path == CANCEL:
            self.tasks.cancelled[body_of(request)["msgid"]] = self.scheduler.now
        self.recalled.add(body_of(request)["msgid"])
        return _json(0, "ok")

    def _new_token(self, of: str) -> str:
        """Returns a new token. The ones before it are good for longer, but perhaps not those of Youdu."""
        self._tokens += 1
        token, valid = f"token{self._tokens}", self._valid.setdefault(of, set())
        if of == youdu.DESK and self.counts_refused:
            valid.clear()
        valid.add(token)
        return token

    def _has_taken(self, content: str) -> bool:
        return any(call.taken for call in self.calls if call.content == content)

    def _refuse(self, request: Request, fate: Fate) -> None:
        if fate is Fate.STALE:
            for tokens in self._valid.values():
                tokens.discard(_token_of(request))
        if request.path in MESSAGES:
            self._refuse_message(body_of(request), seen=fate not in UNSEEN)

    def _refuse_message(self, body: dict[str, Any], *, seen: bool = True) -> None:
        self._note(body, taken=False, seen=seen)
        if self.counts_refused and seen:
            self._seen.setdefault(_content(body), (self.scheduler.now, f"m{len(self.calls)}"))

    def press(self, task_id: str) -> str:
        """Somebody presses a card: a new response_code of it."""
        code = f"code{len(self.codes)}"
        self.codes[code] = task_id
        return code

    def _upload(self, file: str) -> Reply:
        media_id = f"media{len(self.media)}"
        self.media[media_id] = file
        created_at = now_us() // 1_000_000
        return _json(0, "ok", type="file", media_id=media_id, created_at=created_at)

    def _update(self, body: dict[str, Any]) -> Reply:
        code, content = body["response_code"], body["button"]["replace_name"]
        used = [update.content for update in self.updates if update.code == code]
        self.told(f"vendor updates with {code}: {content}{' again' if used else ''}")
        if used or code not in self.codes:
            self.used_again += [(now_us(), content, before) for before in used]
            return _json(60140, "invalid response_code")
        self.updates.append(CardUpdated(self.codes[code], content, code))
        return _json(0, "ok")

    def _send(self, body: dict[str, Any]) -> Reply:
        task_id = _task_id(body)
        if body["msgtype"] == "file" and body["file"]["media_id"] not in self.media:
            return _json(40007, "invalid media_id")
        people = people_of(body)
        known = [person for person in people if person not in self.strangers]
        now, is_flagged, same = self.scheduler.now, body.get("enable_duplicate_check"), _content(body)
        seen_at, msgid = self._seen.get(same, (-DUPLICATES_S, ""))
        is_repeat = is_flagged and seen_at > now - DUPLICATES_S
        if not known and task_id not in self.cards and not is_repeat:
            self._refuse_message(body)
            return _json(81013, "all invalid")
        self._note(body, taken=True)
        if task_id in self.cards:
            return _json(42014, "the task_id exists")
        invalid = "|".join(sorted({*people} - {*known})) if known else ""
        if is_repeat:
            return _json(0, "ok", msgid=msgid, invaliduser=invalid)
        msgid = f"m{len(self.calls)}"
        if is_flagged or self.counts_unflagged:
            self._seen[same] = now, msgid
        self.deliveries += [Delivery(now, body["agentid"], person, self.text(body), msgid) for person in known]
        if not task_id:
            return _json(0, "ok", msgid=msgid, invaliduser=invalid)
        self.cards[task_id] = self.deliveries[-1]
        return _json(0, "ok", msgid=msgid, invaliduser=invalid, response_code=self.press(task_id))

    def _post(self, body: dict[str, Any]) -> Reply:
        self._note(body, taken=True)
        [chat] = people_of(body)
        self.deliveries.append(Delivery(self.scheduler.now, WEBHOOK, chat, self.text(body), f"m{len(self.calls)}"))
        return _json(0, "ok")

    def _send_to_desks(self, body: dict[str, Any]) -> Reply:
        people = people_of(body)
        reached, errcode, errmsg = youdu.reached(
            self.invalid_users, people, [one for one in people if one in self.strangers]
        )
        self._note(body, taken=bool(reached))
        msgid, text = f"m{len(self.calls)}", self.text(body)
        self.deliveries += [Delivery(self.scheduler.now, youdu.AGENT, one, text, msgid) for one in reached]
        return _json(errcode, errmsg)

    def _create(self, body: dict[str, Any]) -> Reply:
        customers = [one for one in body["external_userid"] if one not in self.strangers]
        if not customers:
            self._refuse_message(body)
            return _json(41048, "no customer is there")
        self._note(body, taken=True)
        now, msgid = self.scheduler.now, f"t{len(self.calls)}"
        self.tasks.add(msgid, body, tuple(customers), now)
        self.deliveries += [Delivery(now, AGENT, customer, self.text(body), msgid) for customer in customers]
        return _json(0, "ok", msgid=msgid, fail_list=[one for one in body["external_userid"] if one not in customers])

    def text(self, body: dict[str, Any]) -> str:
        """Returns the name of the job that sends a message: what that or its file says, or the name of a replay."""
        if "msgtype" not in body:
            text = name_of(body["text"]["content"], body["external_userid"])
        elif "media_id" in (message := body[body["msgtype"]]):
            text = self.media.get(message["media_id"], "an unknown file")
        elif "main_title" in message:
            text = message["main_title"]["title"]
        else:
            piece = _PIECE.match(message["content"])
            text = piece["name"] if piece else message["content"]
        return self.names.get((text, people_of(body)[0]), text)

    def name(self, text: str, person: str, name: str, since: float) -> None:
        """Gives messages that tell a person this another name, also those that arrived since an instant."""
        before, self.names[text, person] = self.names.get((text, person), text), name
        self._rename(lambda one: one.content == before and one.at >= since and one.people[0] == person, name)

    def merge(self, names: Collection[str], text: str) -> None:
        """Takes the names away from messages that can be told apart no longer: all have the one of their text."""
        self.names = {key: name for key, name in self.names.items() if name not in names}
        self._rename(lambda one: one.content in names, text)

    def _rename(self, is_meant: Callable[[VendorCall | Delivery], bool], name: str) -> None:
        def renamed(one: _T) -> _T:
            return replace(one, content=name) if is_meant(one) else one

        self.calls, self.deliveries = list(map(renamed, self.calls)), list(map(renamed, self.deliveries))
        self.cards = {task_id: renamed(card) for task_id, card in self.cards.items()}

    def _note(self, body: dict[str, Any], *, taken: bool, seen: bool = True) -> None:
        people, content = people_of(body), self.text(body)
        account = body.get("agentid", WEBHOOK if "chatid" in body else AGENT)
        self.calls.append(VendorCall(self.scheduler.now, account, content, people, taken, seen))
        self.told(f"vendor {'takes' if taken else 'refuses'} {content} for {','.join(people)}")


def body_of(request: Request) -> dict[str, Any]:
    """Returns the JSON of a call; empty where it has none."""
    body: dict[str, Any] = json.loads(request.body) if isinstance(request.body, bytes) else {}
    return youdu.opened(body) if request.path == YOUDU_SEND else body


def _token_of(request: Request) -> str:
    return str(request.query.get("accessToken" if request.path == YOUDU_SEND else "access_token"))


def people_of(body: dict[str, Any]) -> tuple[str, ...]:
    """Returns the people, the customers or the chats of a call."""
    if "external_userid" in body:
        return tuple(body["external_userid"])
    if "touser" in body:
        return tuple(body["touser"].split("|"))
    piece = _PIECE.match(body[body["msgtype"]]["content"])
    return (body["chatid"] + (piece_of(int(piece["number"])) if piece else ""),)


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


def _answer_between(status: int, retry_after: str) -> Reply:
    headers = {"content-type": "text/html", **({"retry-after": retry_after} if retry_after else {})}
    return Reply(status, headers, b"<html>not the vendor</html>", 0.02)


def _answer(body: bytes, status: int = 200) -> Reply:
    return Reply(status, {"content-type": "application/json"}, body, 0.02)
