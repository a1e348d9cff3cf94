"""One call as the page explains it: what came, what was answered, and every rule that acted on it.

Does not know how a call is carried out; it reads what the rules themselves noted.
"""

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
from worker_simulator.inbox.look import ConversationKey
from worker_simulator.inbox.shown import PageReader
from worker_simulator.request import Json
from worker_simulator.wire.call_log import LoggedCall, Ruling

MOST_NAMED = 20
MOST_SHOWN = 64 * 1024
"""Characters of a body that are shown."""


@dataclass(frozen=True, slots=True)
class Acted:
    """One rule in words, and the call it leads to."""

    tone: Tone
    text: str
    call: int = 0


@dataclass(frozen=True, slots=True)
class Explained:
    """A call for the template."""

    seq: int
    line: str
    time: str
    ip: str
    acted: Sequence[Acted]
    altered: Sequence[str]
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: str
    inside: str
    """What an encrypted body holds; empty for any other."""
    answer: str | None
    shown_in: Sequence[ConversationKey]


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call in a list."""

    seq: int
    path: str
    time: str
    chips: Sequence[Chip]


def explained(reader: PageReader, conversations: Conversations, call: LoggedCall) -> Explained:
    """A call with everything that is known of it."""
    request, shown, found = call.request, call.shown(), conversations.of_call(call.seq)
    return Explained(
        seq=call.seq,
        line=f"{request.method} {request.path}",
        time=reader.time(call.time),
        ip=f"{request.ip}:{request.port}",
        acted=list(_acted(reader, call)),
        altered=[_altered(reader, one) for what in found[:1] for one in getattr(what, "altered", ())],
        headers=shown["headers"],
        query=request.query,
        body=_upload(reader, call.upload) if call.upload else pretty(shown["body"]),
        inside=_inside(reader, request.path, request.body),
        answer=pretty(shown["answer"]["body"]) if shown["answer"] else None,
        shown_in=[key for what in found for key in keys_of(what)][:MOST_NAMED],
    )


def row(reader: PageReader, call: LoggedCall) -> CallRow:
    """A call for a list of them."""
    chips = [_verdict(reader, call)]
    if call.fault is not None:
        chips.append(Chip("bad", call.fault))
    rules = len(reader.world.rulings.of(call.seq))
    if rules:
        chips.append(Chip("mixed", reader.say("rule_count" if rules == 1 else "rules_count", count=rules)))
    return CallRow(call.seq, call.request.path, reader.time(call.time), chips)


def pretty(text: str) -> str:
    """JSON with lines; anything else as it is, both within an amount."""
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} …"


def _verdict(reader: PageReader, call: LoggedCall) -> Chip:
    if call.answer is None:
        return Chip("gone", "—")
    if call.answer.errcode is None:
        return Chip("good" if call.answer.status < 400 else "bad", f"HTTP {call.answer.status}")
    return Chip("bad" if call.answer.errcode else "good", str(call.answer.errcode))


def _acted(reader: PageReader, call: LoggedCall) -> Iterator[Acted]:
    say = reader.say
    if call.received != "whole":
        yield Acted("bad", say("received_part", received=call.received))
    if call.action is not None:
        rule = json.dumps(call.action.model_dump(exclude_unset=True), ensure_ascii=False)
        effect = say("fault_applied" if call.action.applies else "fault_not_applied")
        yield Acted("bad", f"{say('rule_fault', kind=rule)} · {effect}")
    for ruling in reader.world.rulings.of(call.seq):
        yield _ruled(reader, ruling)
    yield from _answered(reader, call)


def _answered(reader: PageReader, call: LoggedCall) -> Iterator[Acted]:
    say, answer = reader.say, call.answer
    if answer is None:
        yield Acted("gone", say("no_answer"))
        return
    if answer.errcode is None:
        yield Acted("calm", say("rule_status", status=answer.status))
    elif answer.errcode:
        yield Acted("bad", say("rule_refused", code=answer.errcode, text=_errmsg(answer.body)))
    else:
        yield Acted("good", say("rule_accepted"))
    if call.answered != "whole":
        yield Acted("bad", say("answer_kept" if call.answered == "none" else "answer_part"))


def _errmsg(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    return str(said.get("errmsg", "")).partition(", hint:")[0] if isinstance(said, dict) else ""


def _ruled(reader: PageReader, ruling: Ruling) -> Acted:
    """A ruling in words."""
    about, say = ruling.about, reader.say
    match ruling.rule:
        case "limit" | "drop":
            return Acted("bad", _limit(reader, ruling))
        case "blocked":
            return Acted("bad", say("rule_blocked", key=about["key"], until=reader.time(about["until"])))
        case "duplicate":
            text = say("rule_duplicate", first_at=reader.time(about["first_at"]))
            return Acted("mixed", text, about["first_seq"] or 0)
        case "unknown":
            ids = "; ".join(f"{name} {_names(reader, str(ids).split('|'))}" for name, ids in about.items())
            return Acted("mixed", say("rule_unknown", name="", ids=ids))
        case "recall" | "recalled":
            return Acted("gone", say(f"rule_{ruling.rule}", seq=about["seq"]), about["seq"])
        case "update" | "updated":
            return Acted("busy", say(f"rule_{ruling.rule}", seq=about["seq"]), about["seq"])


def _limit(reader: PageReader, ruling: Ruling) -> str:
    about = ruling.about
    values = {"key": about["key"], "limit": about["limit"], "window": reader.window(about["window_s"])}
    if ruling.rule == "drop":
        return reader.say("rule_drop", people=_names(reader, about["people"]), **values)
    if "people" in about:
        return reader.say("rule_limit_people", people=_names(reader, about["people"]), **values)
    return reader.say("rule_limit", count=about["count"], **values)


def _names(reader: PageReader, ids: Sequence[str]) -> str:
    more = len(ids) - MOST_NAMED
    named = ", ".join(ids[:MOST_NAMED])
    return f"{named} {reader.say('and_more', count=more)}" if more > 0 else named


def _altered(reader: PageReader, one: Mapping[str, Any]) -> str:
    measured = f" ({one['size']} > {one['limit']} {one['unit']})" if "limit" in one else ""
    return reader.say("rule_altered", field=one["field"], why=f"{one['why']}{measured}")


def _upload(reader: PageReader, upload: Json) -> str:
    about = {"filename": "", "size": 0, **upload}
    return reader.say("upload", filename=about["filename"], size=about["size"])


def _inside(reader: PageReader, path: str, body: bytes) -> str:
    """The JSON inside a call to the Youdu server."""
    if not path.startswith("/cgi/"):
        return ""
    try:
        outer = json.loads(body)
        appid = outer.get("appId") or outer.get("app_id")
        app = next(one for one in reader.world.settings.youdu.apps if one.appid == appid)
        sealed = str(outer.get("encrypt") or outer.get("msg_encrypt"))
        return pretty(YouduEnvelope(app.aes_key, app.appid).open(sealed).decode("utf-8", "replace"))
    except (ValueError, AttributeError, StopIteration, EnvelopeError):
        return ""
