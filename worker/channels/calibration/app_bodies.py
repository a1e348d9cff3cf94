"""The bodies and calls of what is asked of an app: each message is for the named person alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.calibration.questions import Said, Steps, Subject, TrialCall
from worker.channels.calls import json_bytes
from worker.channels.wecom_app.render import CHECK, DUPLICATE_WINDOW_S, INTERVAL, PATHS
from worker.domain.job import Kind

SEND, RECALL, UPDATE = PATHS[Kind.SEND], PATHS[Kind.RECALL], PATHS[Kind.UPDATE_CARD]
UNTOLD = "not told by the answers; look at the messages"
TAKEN_TASK = 42014


def text_of(subject: Subject, n: int) -> str:
    """The text that tells one message of a run from all others."""
    return f"calibration {subject.run[-8:]} {n:02}"


def a_text(subject: Subject, n: int, **more: Any) -> dict[str, Any]:
    """A text message to the person."""
    return to_them(subject, {"msgtype": "text", "text": {"content": text_of(subject, n)}, **more})


def to_them(subject: Subject, body: Mapping[str, Any]) -> dict[str, Any]:
    """A body with the app and the person."""
    return {"agentid": int(subject.account.settings["agentid"]), "touser": subject.to, **body}


def flagged(body: Mapping[str, Any], interval_s: int = DUPLICATE_WINDOW_S) -> dict[str, Any]:
    """The same with the duplicate check."""
    return {**body, CHECK: 1, INTERVAL: interval_s}


def a_card(subject: Subject, n: int, task: int, card: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A card to the person; a notice unless `card` says otherwise."""
    notice = {"card_type": "text_notice", "card_action": {"type": 1, "url": "https://work.weixin.qq.com"}}
    made = {"main_title": {"title": text_of(subject, n)}, "task_id": f"cal{subject.run}-{task}", **(card or notice)}
    return to_them(subject, {"msgtype": "template_card", "template_card": made})


def post(path: str, body: Mapping[str, Any]) -> TrialCall:
    """A call with a body."""
    return TrialCall(path, json_bytes(body), sends=path == SEND)


def send(body: Mapping[str, Any]) -> TrialCall:
    """A send."""
    return post(SEND, body)


def recall(msgid: str | None) -> Steps[int | None]:
    """Takes a message back, where there is one; returns the code."""
    if msgid is None:
        return None
    said: Said = yield post(RECALL, {"msgid": msgid})
    return said.code


def told(code: int) -> str:
    """What became of a call, in words."""
    return "taken" if code == 0 else f"refused with {code}"
