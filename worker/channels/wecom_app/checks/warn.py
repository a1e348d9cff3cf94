"""Warnings about what is allowed in a job but may surprise its sender. Nothing here refuses anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from worker.channels.checking import rules
from worker.channels.checking.row import FieldRule, Row
from worker.channels.wecom_app import fields
from worker.channels.wecom_app.card_fields import card_of, card_rows
from worker.channels.wecom_app.fields import SENDS, body_rows, contents
from worker.channels.wecom_app.messages.basic import has_ids
from worker.channels.wecom_app.split import call_count
from worker.domain.job import Draft, Kind


def warnings(draft: Draft) -> list[str]:
    """A sentence for each thing worth a warning."""
    if draft.kind == Kind.UPDATE_CARD:
        return list(_card_cautions(draft))
    if draft.kind not in SENDS:
        return []
    return [*_content_cautions(draft), *_plugin(draft), *_ids(draft), *_unprotected(draft), *_twice(draft)]


def _card_cautions(draft: Draft) -> list[str]:
    card = card_of(draft.message)
    return [] if card is None else rules.cautions("template_card", card, card_rows(draft.kind, card))


def _content_cautions(draft: Draft) -> Iterator[str]:
    msgtype = draft.message["type"]
    if msgtype == "template_card":
        yield from _card_cautions(draft)
        return
    rows = body_rows(draft.kind, msgtype, draft.account)
    for content in contents(draft.message):
        yield from rules.cautions(msgtype, content, rows) if rows else ()
    for i, article in enumerate(_articles(draft)):
        if article.get("appid") and article.get("url"):
            yield f"{msgtype}.articles[{i}].url: the vendor ignores it beside appid"


def _articles(draft: Draft) -> list[Mapping[str, Any]]:
    return draft.message["body"]["news"]["articles"] if draft.message["type"] == "news" else []


def _plugin(draft: Draft) -> Iterator[str]:
    """Where the app always opens its home page in the WeChat plugin, members there see only a pointer."""
    if draft.account.settings.get("wechat_plugin_home") is True and draft.kind == Kind.SEND:
        msgtype = draft.message["type"]
        if msgtype != "text":  # what is not shown at all is refused
            yield f"{msgtype}: members in the WeChat plugin see a pointer to it only"


def _ids(draft: Draft) -> Iterator[str]:
    """Texts that look like an id to translate, in a message that does not ask for translation."""
    msgtype = draft.message["type"]
    listed = fields.ENVELOPE.get(msgtype, {})
    if draft.kind != Kind.SEND or "enable_id_trans" not in listed or draft.message["body"].get("enable_id_trans"):
        return
    rows = _translated(_rows(draft))
    for content in contents(draft.message):
        for row in rows:
            for path, parent, name in rules.places(msgtype, content, row.path):
                if isinstance(parent.get(name), str) and has_ids(parent[name]):
                    yield f"{path}: holds an id such as $userName=..$, shown as typed because enable_id_trans is not 1"


def _rows(draft: Draft) -> tuple[Row, ...]:
    card = card_of(draft.message)
    return card_rows(draft.kind, card) if card else body_rows(draft.kind, draft.message["type"], draft.account)


@cache
def _translated(rows: tuple[Row, ...]) -> tuple[FieldRule, ...]:
    return tuple(row for row in rows if isinstance(row, FieldRule) and row.translated)


def _unprotected(draft: Draft) -> Iterator[str]:
    body = draft.message["body"]
    if draft.message["type"] == "file" and body.get("safe") == 1 and body["file"].get("media_id"):
        yield f"safe: protects only files that end in {', '.join(sorted(fields.SAFE_FILES))}"


def _twice(draft: Draft) -> Iterator[str]:
    asked, calls = draft.recipients, call_count(draft.recipients)
    if calls > 1 and (asked.parties or asked.tags):
        yield f"goes in {calls} calls and holds parties or tags: a member of several can be reached twice"
    elif len(asked.chats) > 1:
        yield "goes to several chats: a member of several gets it several times"
