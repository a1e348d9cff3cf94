"""What calibration asks of a webhook of message push: the one code that a single chat can show without other people.

A group robot posts to its whole chat, so nothing of it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.channels.calibration.questions import Calibration, FoundFact, Question, Said, Steps, Subject, TrialCall
from worker.channels.calls import json_bytes
from worker.channels.wecom.answer import by_row, read
from worker.channels.wecom_webhook import errcodes, fields
from worker.channels.wecom_webhook.account import edition
from worker.channels.wecom_webhook.limits import limits
from worker.channels.wecom_webhook.render import SEND
from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request
from worker.domain.job import Kind, Part
from worker.domain.outcome import Outcome
from worker.domain.pacing.limit import Charge, Unit

LONG_TEXT = "a text beyond 2048 bytes"


def _long_text(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """A text of 2049 bytes to the person's single chat; the vendor refuses it, by a code that no page names."""
    content = f"calibration {subject.run[-8:]} ".ljust(2049, ".")
    said: Said = yield TrialCall(
        SEND, json_bytes({"chatid": subject.to, "msgtype": "text", "text": {"content": content}}), sends=True
    )
    return [FoundFact(LONG_TEXT, f"refused with {said.code}" if said.code else "taken")]


def _questions(account: Account) -> tuple[Question, ...]:
    return () if edition(account) == fields.ROBOT else (Question((LONG_TEXT,), 1, 1, _long_text),)


def _request(call: TrialCall, subject: Subject, access: Access) -> Request:
    account, query = subject.account, {"key": access.secret or ""}
    return Request("POST", account.base_url, call.path, query, call.body, deadline_s=account.deadline_s)


def _charges(call: TrialCall, subject: Subject) -> list[Charge]:
    message = {"type": "text", "body": {"text": {"content": subject.run}}}
    part = Part(subject.run, subject.run, 0, Kind.SEND, message, {"chats": [subject.to]})
    return [charge for charge in limits(part, subject.account) if charge.limit.unit is Unit.CALLS]


def _read(reply: Reply, subject: Subject, access: Access) -> Said | None:
    answer = read(reply)
    return None if answer is None else Said(answer.errcode, answer.data)


def _meaning(code: int) -> Outcome:
    return by_row(errcodes.find(code), code)


NOT_ASKED = {
    "chatid on a group robot": "a group robot posts to the whole chat it is in",
    "types that ignore chatid": "what ignores it goes to every group",
    "a type that a chat does not take": "a blackboard is read by everybody in it",
    "an equal body in the air": "it takes two messages at once, and one of them may be posted twice",
    "allowance of a member outside the scope": "it takes a message of that member, and one more than is allowed",
    "limits by agreement": "no call tells them; only a call beyond them is refused",
}
USERID = r"(?!wr|bb|wo)[0-9A-Za-z][0-9A-Za-z_.@-]{0,63}"
"""Not one that could be the id of a group, a blackboard or a single chat."""
CALIBRATION = Calibration(_questions, (), NOT_ASKED, _request, _charges, _read, _meaning, "a userid", USERID)
