"""What calibration asks of a Youdu server, by messages to the named person alone. Knows no clock and makes no call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.channels.calibration.questions import (
    Calibration,
    FoundFact,
    LookAtInbox,
    Question,
    Said,
    Steps,
    Subject,
    TrialCall,
)
from worker.channels.wecom.answer import by_row, read
from worker.channels.youdu import errcodes
from worker.channels.youdu.account import Role, role_in
from worker.channels.youdu.envelope import encode, envelope_of, standard
from worker.channels.youdu.fields import SEND
from worker.channels.youdu.limits import limits
from worker.channels.youdu.render import path_of
from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request
from worker.domain.job import Part
from worker.domain.outcome import Outcome
from worker.domain.pacing.limit import Charge

UNKNOWN, OTHERS = "an unknown account among others", "the others, where the call is refused"
LONG_TITLE = "a link's title beyond 64 characters"


def _send(to: str, body: dict[str, Any]) -> TrialCall:
    return TrialCall(SEND, encode({"toUser": to, "toDept": "", **body}).encode(), sends=True)


def _unknown(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """The person beside an account that there is not."""
    stranger, text = f"cal{subject.run}", f"calibration {subject.run[-8:]} 1"
    said: Said = yield _send(f"{subject.to}|{stranger}", {"msgType": "text", "text": {"content": text}})
    if said.code == 0:
        named = stranger in str(said.data.get("errmsg"))
        return [FoundFact(UNKNOWN, "taken, and errmsg names it" if named else "taken, and errmsg says nothing")]
    seen: int | None = yield LookAtInbox(text)
    shown = "not told by the answers; look at the messages" if seen is None else "get it" if seen else "get nothing"
    return [FoundFact(UNKNOWN, f"refused with {said.code}"), FoundFact(OTHERS, shown)]


def _long_title(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """A link whose title has 65 characters."""
    title = f"calibration {subject.run[-8:]} ".ljust(65, ".")
    link = {"title": title, "url": "https://youdu.im", "action": 0}
    said: Said = yield _send(subject.to, {"msgType": "link", "link": link})
    return [FoundFact(LONG_TITLE, f"refused with {said.code}" if said.code else "taken")]


def _questions(account: Account) -> tuple[Question, ...]:
    return QUESTIONS if role_in(account.settings) is Role.MESSAGE else ()


def _request(call: TrialCall, subject: Subject, access: Access) -> Request:
    account, plain = subject.account, call.body or b""
    envelope = envelope_of(account, access.secret)
    body = standard(account, envelope.seal(plain, envelope.leading(subject.run.encode(), plain)))
    query, path = {"accessToken": access.token or ""}, path_of(account, call.path)
    return Request("POST", account.base_url, path, query, body, deadline_s=account.deadline_s)


def _charges(call: TrialCall, subject: Subject) -> list[Charge]:
    return limits(Part(subject.run, subject.run, 0, call.path, {}, {"users": [subject.to]}), subject.account)


def _read(reply: Reply, subject: Subject, access: Access) -> Said | None:
    answer = read(reply)
    return None if answer is None else Said(answer.errcode, answer.data)


def _meaning(code: int) -> Outcome:
    return by_row(errcodes.find(code), code)


QUESTIONS = (Question((UNKNOWN, OTHERS), 1, 1, _unknown), Question((LONG_TITLE,), 1, 1, _long_title))
NOT_ASKED = {
    "whether an older token stays good": "another gettoken could end the token that the workers use",
    "timestamp of gettoken": "a call that is taken gives another token",
    "no recipient at all": "whom an empty list reaches is what nobody knows",
    "departments that do not exist": "any number may be one",
    "onlyOnline or onliyOnline": "toAll is for everyone",
    "sms by an ordinary app": "it goes out through a gateway",
    "what a character is, where texts are cut": "the server cuts in silence, whatever it answers",
    "a token for pop-ups and badges": "the worker says it when one is refused: set legacy_token",
    "lifetime and sharing of media": "it takes days, or another app",
    "limits": "none is documented, and only a call beyond one is refused",
}
ACCOUNT = r"[0-9A-Za-z_.][0-9A-Za-z_.@-]{0,63}"
CALIBRATION = Calibration(_questions, (), NOT_ASKED, _request, _charges, _read, _meaning, "an account", ACCOUNT)
