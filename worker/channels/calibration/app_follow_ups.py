"""What is asked about recalls (page 94867) and updates of cards (page 94888)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.channels.calibration.app_bodies import UNTOLD, UPDATE, a_card, a_text, post, recall, send, told
from worker.channels.calibration.questions import FoundFact, Said, Steps, Subject

ALREADY_RECALLED, TOO_OLD = 40058, 42052
NO_CALLBACK = 43012


def recalls(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """A msgid that there is not, and one that was recalled before."""
    sent: Said = yield send(a_text(subject, 8))
    msgid = sent.text("msgid")
    if msgid is None:
        return []
    made_up = yield from recall(msgid[::-1])
    found = [FoundFact("recall of an unknown msgid", told(made_up or 0))]
    first = yield from recall(msgid)
    if first:
        # Nothing was taken back, so a second refusal says nothing about "already recalled".
        return [*found, FoundFact("a second recall", f"not told: the first was refused with {first}")]
    twice = yield from recall(msgid)
    # 42052 also says that a message is too old, and then it was not recalled before.
    code = ALREADY_RECALLED if twice in (None, 0, TOO_OLD) else twice
    return [*found, FoundFact("a second recall", told(twice or 0), subject.changed("recalled_code", code, 40058))]


def _buttons(subject: Subject, n: int) -> Steps[Said]:
    buttons = {"card_type": "button_interaction", "button_list": [{"text": "ok", "key": "ok"}]}
    said: Said = yield send(a_card(subject, n, n, buttons))
    return said


def _update(subject: Subject, code: str, **targets: Any) -> Steps[int]:
    agentid = int(subject.account.settings["agentid"])
    body = {"agentid": agentid, "response_code": code, "button": {"replace_name": "done"}, **targets}
    said: Said = yield post(UPDATE, body)
    return said.code


def updates(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """Cards that call back: an update that fails and its code, targets with atall, an update after the recall."""
    them = [subject.to]
    first = yield from _buttons(subject, 11)
    code = first.text("response_code")
    found = [_callback(subject, first.code)]
    if code is None:
        return found
    without = yield from _update(subject, code)
    found.append(FoundFact("an update without targets", told(without)))
    if without:
        after = yield from _update(subject, code, userids=them)
        found.append(FoundFact("response_code of a failed update", "good still" if after == 0 else "spent"))
    second = yield from _buttons(subject, 12)
    both = yield from _update(subject, second.text("response_code") or code, atall=1, userids=them)
    found.append(FoundFact("atall together with lists", told(both)))
    third = yield from _buttons(subject, 13)
    yield from recall(third.text("msgid"))
    late = yield from _update(subject, third.text("response_code") or code, userids=them)
    return [*found, FoundFact("update of a recalled card", told(late))]


def _callback(subject: Subject, code: int) -> FoundFact:
    """Whether the app has a callback URL; a table, and an app of which only the vendor knew, stay as they are."""
    now = subject.account.settings.get("callback")
    if code == NO_CALLBACK:
        return FoundFact("callback URL", "none", {"callback": False} if now in (None, True) else {})
    if code:
        return FoundFact("callback URL", UNTOLD)
    return FoundFact("callback URL", "there is one", {"callback": True} if now is False else {})
