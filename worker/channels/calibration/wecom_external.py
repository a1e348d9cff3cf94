"""What calibration asks of customer contact: group sends to customers that there are not, for which no task is made.

No member is named as the sender, so none is asked to send; a task that is made after all is cancelled at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.channels.calibration.questions import Calibration, FoundFact, Question, Said, Steps, Subject, TrialCall
from worker.channels.calls import json_bytes
from worker.channels.wecom.answer import by_code, read
from worker.channels.wecom.limits import api_charges
from worker.channels.wecom_external.render import PATHS
from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request
from worker.domain.pacing.limit import Charge

FACTS = ("every id of no customer", "a sender who does not exist")


def _create(subject: Subject, **more: Any) -> Steps[FoundFact]:
    """Makes a group send that ought to be refused."""
    text = {"content": f"calibration {subject.run[-8:]}"}
    # Without a sender: were the ids left out, a task of the named person's would be for all customers of that member.
    body = {"chat_type": "single", "text": text, **more}
    said: Said = yield TrialCall(PATHS["send"], json_bytes(body), sends=True)
    if (msgid := said.text("msgid")) is not None:
        # While the vendor hands the task out it answers 41063.
        yield TrialCall(PATHS["recall"], json_bytes({"msgid": msgid}), again_s=5.0)
    return FoundFact("", f"refused with {said.code}" if said.code else "taken, and cancelled")


def _refusals(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """Group sends that each have one fault."""
    stranger = f"wmcalibration{subject.run}"[:32]
    nobody = yield from _create(subject, external_userid=[stranger])
    sender = yield from _create(subject, external_userid=[stranger], sender=f"cal{subject.run}")
    return [FoundFact(fact, one.value) for fact, one in zip(FACTS, (nobody, sender), strict=True)]


def _questions(account: Account) -> tuple[Question, ...]:
    return (Question(FACTS, 12, 1, _refusals),)


def _request(call: TrialCall, subject: Subject, access: Access) -> Request:
    account, query = subject.account, {"access_token": access.token or ""}
    return Request("POST", account.base_url, call.path, query, call.body, deadline_s=account.deadline_s)


def _charges(call: TrialCall, subject: Subject) -> list[Charge]:
    return api_charges(subject.account, call.path, {})


def _read(reply: Reply, subject: Subject, access: Access) -> Said | None:
    answer = read(reply)
    return None if answer is None else Said(answer.errcode, answer.data)


NOT_ASKED = {
    "every id malformed": "were such ids left out, the send would be for all customers of the member",
    "fail_list or status 3 over a customer's cap": "it takes a customer's cap used up",
    "customers who were not sent to yet, in results": "it takes a task with a customer in it",
    "queries about a cancelled task, reminders": "they take a task that a member was asked to send",
    "an image without media_id and pic_url": "what is taken is put before a member and his customers",
    "limits by agreement": "no call tells them; only a call beyond them is refused",
}
USERID = r"[0-9A-Za-z][0-9A-Za-z_.@-]{0,63}"
CALIBRATION = Calibration(
    _questions, (), NOT_ASKED, _request, _charges, _read, by_code, "the userid of a member", USERID
)
