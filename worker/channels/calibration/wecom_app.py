"""What calibration asks of an app: what the vendor's pages leave open, each tenant's answers show.

Every message is for the named person alone. Knows no clock and makes no call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from worker.channels.calibration.app_bodies import (
    SEND,
    TAKEN_TASK,
    UNTOLD,
    a_card,
    a_text,
    flagged,
    recall,
    send,
    text_of,
    to_them,
    told,
)
from worker.channels.calibration.app_duplicates import (
    ANSWER,
    FLAGS,
    KEYS,
    ORDER,
    REFUSED,
    REPEAT,
    SUPPRESSED,
    UNFLAGGED,
    again,
    refused_again,
    suppressed,
    task_ids,
    unflagged,
)
from worker.channels.calibration.app_follow_ups import TOO_OLD, recalls, updates
from worker.channels.calibration.questions import (
    Calibration,
    FoundFact,
    Question,
    Said,
    Steps,
    Subject,
    TimeWindow,
    TrialCall,
)
from worker.channels.wecom.answer import by_code, read
from worker.channels.wecom.limits import api_charges
from worker.channels.wecom_app.limits import limits
from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request
from worker.domain.job import Kind, Part
from worker.domain.pacing.limit import Charge

CHAT = "/cgi-bin/appchat/get"


# -- codes -------------------------------------------------------------------------------------------------------------


def _nobody(subject: Subject) -> TrialCall:
    return send({**a_text(subject, 21), "touser": ""})


def _long_url(subject: Subject) -> TrialCall:
    card = {"title": text_of(subject, 22), "description": "-", "url": f"https://work.weixin.qq.com/{'u' * 2048}"}
    return send(to_them(subject, {"msgtype": "textcard", "textcard": card}))


def _escaped(subject: Subject) -> TrialCall:
    body = a_text(subject, 23)
    body["text"]["content"] += " 好"
    return TrialCall(SEND, json.dumps(body).encode(), sends=True)


def _long_title(subject: Subject) -> TrialCall:
    body = a_card(subject, 24, task=24)
    body["template_card"]["main_title"]["title"] += "." * 60
    return send(body)


CODES = {
    "no recipient at all": _nobody,
    "a url beyond 2048 bytes": _long_url,
    "a body with \\u escapes": _escaped,
    "a card's title beyond the advised length": _long_title,
}


def _codes(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """Bodies whose answer no page gives; one that is taken after all is taken back."""
    found = []
    for fact, made in CODES.items():
        said: Said = yield made(subject)
        found.append(FoundFact(fact, told(said.code)))
        yield from recall(said.text("msgid"))
    return found


def _chats(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """A chat that there is not: the code says whether the app may have chats at all."""
    said: Said = yield TrialCall(CHAT, query={"chatid": f"cal{subject.run}"[:32]})
    if said.code in (48002, 60011):
        return [FoundFact("group chats", f"refused with {said.code}", subject.changed("root_scope", False, None))]
    if said.code not in (0, 40050, 86001, 86003, 86008):
        return [FoundFact("group chats", UNTOLD), FoundFact("an unknown chat", told(said.code))]
    settings = {"root_scope": True} if subject.account.settings.get("root_scope") is False else {}
    return [FoundFact("group chats", "allowed", settings), FoundFact("an unknown chat", told(said.code))]


# -- windows -----------------------------------------------------------------------------------------------------------


def _leave_body(subject: Subject, n: int) -> Steps[Mapping[str, str] | None]:
    if subject.known.get(REPEAT) != SUPPRESSED:
        return None
    said: Said = yield send(flagged(a_text(subject, 30 + n)))
    msgid = said.text("msgid")
    return None if msgid is None else {"msgid": msgid}


def _ask_body(subject: Subject, n: int, left: Mapping[str, str]) -> Steps[bool | None]:
    said: Said = yield send(flagged(a_text(subject, 30 + n)))
    return (yield from suppressed(subject.known[ANSWER], left["msgid"], said, text_of(subject, 30 + n)))


def _leave_card(subject: Subject, n: int) -> Steps[Mapping[str, str] | None]:
    said: Said = yield send(a_card(subject, 40 + n, 40 + n))
    return None if said.code else {}


def _ask_card(subject: Subject, n: int, left: Mapping[str, str]) -> Steps[bool | None]:
    said: Said = yield send(a_card(subject, 40 + n, 40 + n))
    yield from recall(said.text("msgid"))
    return {TAKEN_TASK: True, 0: False}.get(said.code)


def _leave_message(subject: Subject, n: int) -> Steps[Mapping[str, str] | None]:
    said: Said = yield send(a_text(subject, 50 + n))
    msgid = said.text("msgid")
    return None if msgid is None else {"msgid": msgid}


def _ask_message(subject: Subject, n: int, left: Mapping[str, str]) -> Steps[bool | None]:
    code = yield from recall(left["msgid"])
    return {0: True, TOO_OLD: False}.get(code or 0)


# -- the channel's calibration -----------------------------------------------------------------------------------------


def _request(call: TrialCall, subject: Subject, access: Access) -> Request:
    account, query = subject.account, {"access_token": access.token or "", **call.query}
    method = "GET" if call.body is None else "POST"
    return Request(method, account.base_url, call.path, query, call.body, deadline_s=account.deadline_s)


def _charges(call: TrialCall, subject: Subject) -> list[Charge]:
    if call.path == SEND:
        part = Part(subject.run, subject.run, 0, Kind.SEND, {}, {"users": [subject.to]})
        return limits(part, subject.account)
    return api_charges(subject.account, call.path, {})


def _read(reply: Reply, subject: Subject, access: Access) -> Said | None:
    answer = read(reply, "msgid")
    return None if answer is None else Said(answer.errcode, answer.data)


def _questions(account: Account) -> tuple[Question, ...]:
    return QUESTIONS


QUESTIONS = (
    Question((REPEAT, ANSWER, FLAGS, KEYS), 6, 6, again),
    Question((UNFLAGGED,), 2, 2, unflagged),
    Question((ORDER,), 2, 2, task_ids),
    Question((REFUSED,), 3, 2, refused_again),
    Question(("recall of an unknown msgid", "a second recall"), 4, 1, recalls),
    Question(
        (
            "callback URL",
            "an update without targets",
            "response_code of a failed update",
            "atall together with lists",
            "update of a recalled card",
        ),
        8,
        3,
        updates,
    ),
    Question(tuple(CODES), 2 * len(CODES), len(CODES), _codes),
    Question(("group chats", "an unknown chat"), 1, 0, _chats),
)
WINDOWS = (
    TimeWindow("duplicate window", "duplicate_window_s", 14_400, (1_500, 13_800), 1, _leave_body, _ask_body),
    TimeWindow("time that a task_id is taken", "task_id_window_s", 14_400, (1_500, 13_800), 2, _leave_card, _ask_card),
    TimeWindow("recall window", "recall_window_s", 86_400, (43_200, 85_800), 1, _leave_message, _ask_message),
)
NOT_ASKED = {
    "limits by agreement (app_day, chat_hour and others)": "no call tells them; only a call beyond them is refused",
    "silent drop or 45009 at the caps of a member": "it takes 31 messages to one person in a minute",
    "number of calls in the air before 45033": "it takes hundreds of calls at once",
    "boundary of the day of daily limits": "it takes a day's limit used up",
    "characters or bytes in a textcard, cuts inside a character": "the vendor cuts in silence, whatever it answers",
    "how Chinese characters are counted in a mini program notice": "it takes an appid that is linked to the app",
    "order of the checks of a body": "no call of the worker has two faults",
    "whether gettoken repeats its token": "another gettoken could end the token that the workers use",
    "member of two chats: one cap or two": "it takes 200 messages in a minute",
}
USERID = r"[0-9A-Za-z][0-9A-Za-z_.@-]{0,63}"
CALIBRATION = Calibration(_questions, WINDOWS, NOT_ASKED, _request, _charges, _read, by_code, "a userid", USERID)
