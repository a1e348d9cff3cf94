"""The details of one call: its request, its answer, and every rule that applied to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from worker.crypto.envelope import EnvelopeError
from worker.crypto.youdu import YouduEnvelope
from worker_simulator.inbox.conversations import Conversations, keys_of
from worker_simulator.inbox.entries import Chip, Tone
from worker_simulator.inbox.message_views import PageContext
from worker_simulator.inbox.query import ConversationKey
from worker_simulator.request import Json
from worker_simulator.wire.call_log import LoggedCall, Ruling

MAX_NAMES = 20
MAX_BODY_CHARS = 64 * 1024
"""How much of a body is displayed."""


@dataclass(frozen=True, slots=True)
class AppliedRule:
    """A rule in words, and the number of the call it refers to."""

    tone: Tone
    text: str
    call: int = 0


@dataclass(frozen=True, slots=True)
class CallDetails:
    """A call, ready for the template."""

    seq: int
    line: str
    time: str
    ip: str
    rules: Sequence[AppliedRule]
    altered: Sequence[str]
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: str
    inside: str
    """The content of an encrypted body. Empty for any other."""
    answer: str | None
    shown_in: Sequence[ConversationKey]


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call in a list."""

    seq: int
    path: str
    time: str
    chips: Sequence[Chip]


def call_details(context: PageContext, conversations: Conversations, call: LoggedCall) -> CallDetails:
    """Returns a call with all details."""
    request, logged, items = call.request, call.to_json(), conversations.of_call(call.seq)
    return CallDetails(
        seq=call.seq,
        line=f"{request.method} {request.path}",
        time=context.time(call.time),
        ip=f"{request.ip}:{request.port}",
        rules=list(_applied_rules(context, call)),
        altered=[_altered(context, alteration) for item in items[:1] for alteration in getattr(item, "altered", ())],
        headers=logged["headers"],
        query=request.query,
        body=_upload(context, call.upload) if call.upload else pretty(logged["body"]),
        inside=_inside(context, request.path, request.body),
        answer=pretty(logged["answer"]["body"]) if logged["answer"] else None,
        shown_in=[key for item in items for key in keys_of(item)][:MAX_NAMES],
    )


def row(context: PageContext, call: LoggedCall) -> CallRow:
    """Returns a call for a list."""
    chips = [_verdict(context, call)]
    if call.fault is not None:
        chips.append(Chip("bad", call.fault))
    rules = len(context.state.rulings.of(call.seq))
    if rules:
        chips.append(Chip("mixed", context.say("rule_count" if rules == 1 else "rules_count", count=rules)))
    return CallRow(call.seq, call.request.path, context.time(call.time), chips)


def pretty(text: str) -> str:
    """Returns JSON with indentation, other text unchanged; both cut at `MAX_BODY_CHARS`."""
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    return text if len(text) <= MAX_BODY_CHARS else f"{text[:MAX_BODY_CHARS]} …"


def _verdict(context: PageContext, call: LoggedCall) -> Chip:
    if call.answer is None:
        return Chip("gone", "—")
    if call.answer.errcode is None:
        return Chip("good" if call.answer.status < 400 else "bad", f"HTTP {call.answer.status}")
    return Chip("bad" if call.answer.errcode else "good", str(call.answer.errcode))


def _applied_rules(context: PageContext, call: LoggedCall) -> Iterator[AppliedRule]:
    say = context.say
    if call.received != "whole":
        yield AppliedRule("bad", say("received_part", received=call.received))
    if call.action is not None:
        rule = json.dumps(call.action.model_dump(exclude_unset=True), ensure_ascii=False)
        effect = say("fault_applied" if call.action.applies else "fault_not_applied")
        yield AppliedRule("bad", f"{say('rule_fault', kind=rule)} · {effect}")
    for ruling in context.state.rulings.of(call.seq):
        yield _applied_ruling(context, ruling)
    yield from _answer_rules(context, call)


def _answer_rules(context: PageContext, call: LoggedCall) -> Iterator[AppliedRule]:
    say, answer = context.say, call.answer
    if answer is None:
        yield AppliedRule("gone", say("no_answer"))
        return
    if answer.errcode is None:
        yield AppliedRule("calm", say("rule_status", status=answer.status))
    elif answer.errcode:
        yield AppliedRule("bad", say("rule_refused", code=answer.errcode, text=_errmsg(answer.body)))
    else:
        yield AppliedRule("good", say("rule_accepted"))
    if call.answered != "whole":
        yield AppliedRule("bad", say("answer_kept" if call.answered == "none" else "answer_part"))


def _errmsg(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    return str(answer.get("errmsg", "")).partition(", hint:")[0] if isinstance(answer, dict) else ""


def _applied_ruling(context: PageContext, ruling: Ruling) -> AppliedRule:
    """Returns a ruling in words."""
    about, say = ruling.about, context.say
    match ruling.rule:
        case "limit" | "drop":
            return AppliedRule("bad", _limit(context, ruling))
        case "blocked":
            return AppliedRule("bad", say("rule_blocked", key=about["key"], until=context.time(about["until"])))
        case "duplicate":
            text = say("rule_duplicate", first_at=context.time(about["first_at"]))
            return AppliedRule("mixed", text, about["first_seq"] or 0)
        case "unknown":
            ids = "; ".join(f"{name} {_listed(context, str(ids).split('|'))}" for name, ids in about.items())
            return AppliedRule("mixed", say("rule_unknown", name="", ids=ids))
        case "recall" | "recalled":
            return AppliedRule("gone", say(f"rule_{ruling.rule}", seq=about["seq"]), about["seq"])
        case "update" | "updated":
            return AppliedRule("busy", say(f"rule_{ruling.rule}", seq=about["seq"]), about["seq"])


def _limit(context: PageContext, ruling: Ruling) -> str:
    about = ruling.about
    values = {"key": about["key"], "limit": about["limit"], "window": context.window(about["window_s"])}
    if ruling.rule == "drop":
        return context.say("rule_drop", people=_listed(context, about["people"]), **values)
    if "people" in about:
        return context.say("rule_limit_people", people=_listed(context, about["people"]), **values)
    return context.say("rule_limit", count=about["count"], **values)


def _listed(context: PageContext, ids: Sequence[str]) -> str:
    remaining = len(ids) - MAX_NAMES
    listed = ", ".join(ids[:MAX_NAMES])
    return f"{listed} {context.say('and_more', count=remaining)}" if remaining > 0 else listed


def _altered(context: PageContext, alteration: Mapping[str, Any]) -> str:
    measured = f" ({alteration['size']} > {alteration['limit']} {alteration['unit']})" if "limit" in alteration else ""
    return context.say("rule_altered", field=alteration["field"], why=f"{alteration['why']}{measured}")


def _upload(context: PageContext, upload: Json) -> str:
    about = {"filename": "", "size": 0, **upload}
    return context.say("upload", filename=about["filename"], size=about["size"])


def _inside(context: PageContext, path: str, body: bytes) -> str:
    """Returns the decrypted JSON of a call to the Youdu server."""
    if not path.startswith("/cgi/"):
        return ""
    try:
        outer = json.loads(body)
        appid = outer.get("appId") or outer.get("app_id")
        app = next(candidate for candidate in context.state.settings.youdu.apps if candidate.appid == appid)
        encrypted = str(outer.get("encrypt") or outer.get("msg_encrypt"))
        return pretty(YouduEnvelope(app.aes_key, app.appid).open(encrypted).decode("utf-8", "replace"))
    except (ValueError, RecursionError, AttributeError, StopIteration, EnvelopeError):
        return ""
