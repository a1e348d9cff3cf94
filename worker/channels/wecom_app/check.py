"""Finds what is wrong with a job, all at once, before anything is stored, and what may surprise its sender.

Refuses what the vendor would cut, drop or ignore in silence, and what it is known to refuse. Advised lengths only warn.
Source: page 90236 (发送应用消息, 2025/09/24, read again 2026-02-12), for app group chats (应用发送消息到群聊会话) page
90248.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import PurePath
from typing import Any

from worker.channels.checking import rules
from worker.channels.checking.job import (
    Checks,
    body_problems,
    content_of,
    contents,
    file_places,
    misplaced,
    no_object,
    type_problems,
    upload_problems,
)
from worker.channels.checking.row import FieldRule, Row, banned, changed
from worker.channels.checking.targets import no_targets
from worker.channels.typed import rows_of, rule_of
from worker.channels.wecom import upload
from worker.channels.wecom.mentions import mention_cautions, mention_problems
from worker.channels.wecom.names import display_name
from worker.channels.wecom_app import changes, targets
from worker.channels.wecom_app.account import callback_problems, plugin_problems
from worker.channels.wecom_app.cards import CARD_TYPES, card_of, card_rows
from worker.channels.wecom_app.messages import CLASSES, ENVELOPE_FIELDS, ID_PATTERN, INTERVAL, OURS, SENDS
from worker.channels.wecom_app.targets import call_count
from worker.domain.account import Account
from worker.domain.errors import Problem
from worker.domain.job import Draft, JobKind

NO_YES = (0, 1)
_ROWS: Mapping[str, tuple[Row, ...]] = {msgtype: rows_of(message) for msgtype, message in CLASSES.items()}
BODIES: Mapping[str, tuple[Row, ...]] = {
    **_ROWS,
    "text": banned(_ROWS["text"], {"mentioned_list": "only app group chats know it"}),
}
"""Rows of the simple types, by msgtype. A type that is not listed is sent as it is (`Raw`)."""
TEXTCARD_BY_CHARACTERS = changed(
    BODIES["textcard"],
    {
        row.path: {"max_bytes": None, "max_chars": row.max_bytes}
        for row in BODIES["textcard"]
        if isinstance(row, FieldRule) and row.path in ("title", "description")
    },
)

_NO_MINI_PROGRAM = "news in app group chats leads to a url only"
_CHAT_NEWS = banned(
    changed(_ROWS["news"], {"articles[].url": {"required": True}}),
    {"articles[].appid": _NO_MINI_PROGRAM, "articles[].pagepath": _NO_MINI_PROGRAM},
)
CHAT_BODIES: Mapping[str, tuple[Row, ...]] = {
    **{msgtype: rows for msgtype, rows in _ROWS.items() if msgtype != "miniprogram_notice"},
    "news": tuple(row for row in _CHAT_NEWS if isinstance(row, FieldRule)),
}
"""The types that appchat/send accepts (page 90248 应用推送消息), always with the lengths in bytes."""

ENVELOPE: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    **{
        msgtype: {name: rule_of(message, name).allowed or () for name in message.ENVELOPE}
        for msgtype, message in CLASSES.items()
    },
    "template_card": {"enable_id_trans": NO_YES},
}
"""The common options that each type lists. All these types list the duplicate check too, others do not."""
CHAT_ENVELOPE: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    name: {"safe": NO_YES} if "safe" in ENVELOPE[name] else {} for name in CHAT_BODIES
}
"""appchat/send has no id translation, no duplicate check, and `safe` of 0 and 1 only (page 90248)."""

SAFE_FILES = frozenset("txt pdf doc docx ppt pptx xls xlsx xml jpg jpeg png bmp gif".split())  # noqa: SIM905
"""Endings of files that `safe` = 1 protects (page 90236, 文件消息)."""

NOT_SENT = ("upload", "card_update", "chat_create", "chat_change")


def body_rows(kind: str, msgtype: str, account: Account) -> tuple[Row, ...]:
    """Returns the rows of a simple type, or none for a type we do not model."""
    if kind == JobKind.SEND_CHAT:
        return CHAT_BODIES.get(msgtype, ())
    if msgtype == "textcard" and account.settings.get("textcard_unit") == "characters":
        return TEXTCARD_BY_CHARACTERS
    return BODIES.get(msgtype, ())


def _type_problems(draft: Draft) -> Iterator[Problem]:
    msgtype = str(draft.message.get("type"))
    yield from type_problems(draft, "msgtype", NOT_SENT, "use the job kind made for it", 40008)
    if draft.kind == JobKind.SEND_CHAT and msgtype in ENVELOPE.keys() - CHAT_BODIES.keys():
        allowed = ", ".join(CHAT_BODIES)
        yield Problem("msgtype", f"app group chats do not take {msgtype} (vendor code 40008)", f"use one of {allowed}")


def _body_problems(draft: Draft) -> Iterator[Problem]:
    msgtype, body = str(draft.message.get("type")), draft.message.get("body")
    yield from body_problems(draft, OURS)
    if not isinstance(body, Mapping):
        return
    if isinstance(body.get(msgtype), Mapping):
        for content in contents(draft.message):
            if msgtype == "template_card":
                yield from _card_type_problems(content)
            yield from rules.problems(msgtype, content, _rows(draft, content), draft.message.get("files") or {})
    else:
        yield no_object(draft)
    yield from _envelope_problems(draft, msgtype, body)


def _rows(draft: Draft, content: Mapping[str, Any]) -> tuple[Row, ...]:
    """Returns the rows of a send's own object, or none for a type we do not model."""
    msgtype = str(draft.message.get("type"))
    if msgtype == "template_card":
        return card_rows(draft.kind, content)
    return body_rows(draft.kind, msgtype, draft.account)


def _mention_problems(draft: Draft) -> Iterator[Problem]:
    """Checks whom a text in an app group chat mentions."""
    if draft.message.get("type") == "text":
        yield from mention_problems(content_of(draft.message) or {})


def _card_type_problems(card: Mapping[str, Any]) -> Iterator[Problem]:
    if card.get("card_type") not in CARD_TYPES:
        names = ", ".join(CARD_TYPES)
        yield Problem("template_card.card_type", "is no card type (vendor code 42031)", f"use one of {names}")


def _envelope_problems(draft: Draft, msgtype: str, body: Mapping[str, Any]) -> Iterator[Problem]:
    """Checks `safe` and `enable_id_trans` for the types whose list of options is published."""
    listed = (CHAT_ENVELOPE if draft.kind == JobKind.SEND_CHAT else ENVELOPE).get(msgtype)
    if listed is None:
        return
    for name in ENVELOPE_FIELDS:
        value = body.get(name)
        if value is None:
            continue
        if name not in listed:
            yield Problem(name, f"{msgtype} does not list it (news: vendor code 40074)", "leave it out")
        elif type(value) is not int or value not in listed[name]:
            yield Problem(name, "has no such value", f"use one of {', '.join(map(str, listed[name]))}")


def _option_problems(draft: Draft) -> Iterator[Problem]:
    options = draft.message.get("options") or {}
    if not isinstance(options.get("duplicate_check", True), bool):
        yield Problem("options.duplicate_check", "is not a boolean", "use true or false")
    least, most = INTERVAL
    interval = options.get("duplicate_check_interval", most)
    if type(interval) is not int or not least <= interval <= most:
        yield Problem(
            "duplicate_check_interval",
            "is not a valid interval of the duplicate check",
            f"use {least} to {most} seconds",
        )


def _agentid_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the agentid of a body that came as a whole."""
    given = (draft.message.get("options") or draft.message).get("agentid")
    own = draft.account.settings.get("agentid")
    if given is not None and own is not None and str(given).strip() != str(own):
        text = "is of another app than the account's (vendor code 301002)"
        yield Problem("agentid", text, "enqueue it for that app's account, or leave it out")


def _attached_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the files of a send: each fills an empty path of the body and suits its upload type."""
    files = draft.message.get("files")
    if not files:
        return
    content = content_of(draft.message)
    wanted = {} if content is None else file_places(str(draft.message.get("type")), content, _rows(draft, content))
    for path, file in files.items():
        yield from upload.file_problems(path, file)
        yield from misplaced(draft.message, path, file, wanted, upload.UPLOADS, 40007)


def _protection_problems(draft: Draft) -> Iterator[Problem]:
    """`safe` = 1 protects only some kinds of files. What it does to others is not published."""
    file = (draft.message.get("files") or {}).get("file.media_id")
    body = draft.message.get("body")
    if file is None or not isinstance(body, Mapping) or body.get("safe") != 1:
        return
    ending = PurePath(display_name(str(file.get("name")))).suffix.removeprefix(".").lower()
    if ending not in SAFE_FILES:
        yield Problem("safe", "does not protect files of this ending", f"use {', '.join(sorted(SAFE_FILES))}")


def _new_card_problems(draft: Draft) -> Iterator[Problem]:
    card = draft.message.get("template_card")
    if isinstance(card, Mapping):
        yield from _card_type_problems(card)
        yield from rules.problems("template_card", card, card_rows(draft.kind, card))


_SEND = (
    _type_problems,
    _agentid_problems,
    _body_problems,
    _option_problems,
    callback_problems,
    _attached_problems,
    _protection_problems,
)
CHECKS: Checks = {
    JobKind.SEND: (*_SEND, plugin_problems, targets.send_problems),
    JobKind.SEND_CHAT: (*_SEND, _mention_problems, targets.chat_problems),
    JobKind.RECALL: (no_targets,),
    JobKind.UPLOAD: (partial(upload_problems, of_file=upload.file_problems), no_targets),
    JobKind.UPDATE_CARD: (
        _agentid_problems,
        changes.form_problems,
        _new_card_problems,
        callback_problems,
        changes.code_problems,
        changes.original_problems,
        targets.update_problems,
    ),
    JobKind.CREATE_CHAT: (changes.chat_problems, no_targets),
    JobKind.CHANGE_CHAT: (changes.chat_problems, no_targets),
}
"""The checks of each kind of job."""


def warnings(draft: Draft) -> list[str]:
    """Returns a sentence for each thing worth a warning."""
    if draft.kind == JobKind.UPDATE_CARD:
        card = card_of(draft.message)
        return [] if card is None else rules.cautions("template_card", card, card_rows(draft.kind, card))
    if draft.kind not in SENDS:
        return []
    return [
        *_content_cautions(draft),
        *_plugin(draft),
        *_ids(draft),
        *_unprotected(draft),
        *_everyone(draft),
        *_twice(draft),
    ]


def _content_cautions(draft: Draft) -> Iterator[str]:
    msgtype = draft.message["type"]
    for content in contents(draft.message):
        yield from rules.cautions(msgtype, content, _rows(draft, content), draft.message.get("files") or {})
    for i, article in enumerate(draft.message["body"]["news"]["articles"] if msgtype == "news" else ()):
        if article.get("appid") and article.get("url"):
            yield f"{msgtype}.articles[{i}].url: the vendor ignores it beside appid"


def _plugin(draft: Draft) -> Iterator[str]:
    """If the app always opens its home page in the WeChat plugin, members there see only a pointer."""
    opens_home = draft.account.settings.get("wechat_plugin_home") is True
    msgtype = draft.message["type"]
    if opens_home and draft.kind == JobKind.SEND and msgtype != "text":  # what is not shown at all is refused
        yield f"{msgtype}: members in the WeChat plugin see a pointer to it only"


def _ids(draft: Draft) -> Iterator[str]:
    """Finds texts that look like an id to translate, in a message that does not ask for translation."""
    msgtype = draft.message["type"]
    listed = ENVELOPE.get(msgtype, {})
    if draft.kind != JobKind.SEND or "enable_id_trans" not in listed or draft.message["body"].get("enable_id_trans"):
        return
    for content in contents(draft.message):
        for row in _translated(_rows(draft, content)):
            for path, parent, name in rules.places(msgtype, content, row.path):
                if isinstance(parent.get(name), str) and ID_PATTERN.search(parent[name]):
                    yield f"{path}: holds an id such as $userName=..$, shown as typed because enable_id_trans is not 1"


@cache
def _translated(rows: tuple[Row, ...]) -> tuple[FieldRule, ...]:
    return tuple(row for row in rows if isinstance(row, FieldRule) and row.translated)


def _unprotected(draft: Draft) -> Iterator[str]:
    body = draft.message["body"]
    if draft.message["type"] == "file" and body.get("safe") == 1 and body["file"].get("media_id"):
        yield f"safe: protects only files that end in {', '.join(sorted(SAFE_FILES))}"


def _everyone(draft: Draft) -> Iterator[str]:
    """Finds an `all` that is meant for everyone, and is a userid."""
    if any(user.lower() == "all" for user in draft.recipients.users):
        yield "touser: all is the userid of a member; a broadcast is Everyone()"
    if draft.message["type"] == "text":
        yield from mention_cautions(content_of(draft.message) or {})


def _twice(draft: Draft) -> Iterator[str]:
    asked, calls = draft.recipients, call_count(draft.recipients)
    if calls > 1 and (asked.parties or asked.tags):
        yield f"goes in {calls} calls and holds parties or tags: a member of several can be reached twice"
    elif len(asked.chats) > 1:
        yield "goes to several chats: a member of several gets it several times"
