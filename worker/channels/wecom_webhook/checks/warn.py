"""Warnings about what is allowed in a job but may surprise its sender. Nothing here refuses anything."""

from __future__ import annotations

import re
from collections.abc import Iterator

from worker.channels.checking import rules
from worker.channels.wecom_webhook.account import edition
from worker.channels.wecom_webhook.messages.blocks import blocks, without_code
from worker.channels.wecom_webhook.messages.content import body_rows, content_of, contents, texts
from worker.domain.job import Draft, Kind

_IN_CODE = re.compile(r"<@|<font\b", re.IGNORECASE)
_PICTURE = re.compile(r"!\[[^\]\n]*\]\([^)\n]*\)")
_LIST = re.compile(r"^ *(?:[-+*]|[0-9]+\.) ", re.MULTILINE)


def warnings(draft: Draft) -> list[str]:
    """A sentence for each thing worth a warning."""
    if draft.kind != Kind.SEND:
        return []
    return [*_content_cautions(draft), *_markdown_cautions(draft), *_action_cautions(draft), *_place_cautions(draft)]


def _content_cautions(draft: Draft) -> Iterator[str]:
    msgtype = draft.message["type"]
    for content in contents(draft.message):
        rows = body_rows(edition(draft.account), msgtype, content)
        yield from rules.cautions(msgtype, content, rows) if rows else ()
        if msgtype == "template_card" and not rows:
            yield "template_card.card_type: not published for message push; whether it is taken, the vendor will say"
        if content.get("emphasis_content") and content.get("quote_area"):
            yield "template_card.emphasis_content: the vendor advises against it beside quote_area"


def _markdown_cautions(draft: Draft) -> Iterator[str]:
    """Markup that only the other markdown type has, and this one shows as it is typed."""
    msgtype = draft.message["type"]
    for text in texts(draft.message):
        if msgtype == "markdown_v2" and without_code(text) != text and _IN_CODE.search(text):
            yield "markdown_v2.content: holds <@ or <font in code, shown as typed"
        if msgtype != "markdown":
            continue
        prose = without_code(text)
        if any(block.whole for block in blocks(text)) or _PICTURE.search(prose) or _LIST.search(prose):
            yield "markdown.content: holds a table, code block, list or picture, shown as typed; markdown_v2 has them"


def _action_cautions(draft: Draft) -> Iterator[str]:
    """Buttons of the same name, whose clicks cannot be distinguished."""
    content = content_of(draft.message) or {}
    attachments = content.get("attachments") if draft.message["type"] == "markdown" else None
    for place, attachment in enumerate(attachments or ()):
        names = [action.get("name") for action in attachment.get("actions") or ()]
        if len(set(names)) < len(names):
            yield f"markdown.attachments[{place}].actions: two have the same name: their clicks look alike"


def _place_cautions(draft: Draft) -> Iterator[str]:
    asked, msgtype = draft.recipients, draft.message["type"]
    if msgtype == "text" and asked.everyone and asked.audience == "groups":
        yield "chatid: by the wording of the vendor's page a text to all groups may reach blackboards too"
    content = content_of(draft.message) or {}
    mentions = content.get("mentioned_list") or content.get("mentioned_mobile_list")
    boards = asked.audience in ("blackboards", "all") or "blackboard" in draft.chat_types.values()
    if mentions and boards:
        yield "text: mentions nobody on blackboards"
    if len(asked.chats) > 1:
        yield "goes to several chats: a member of several gets it several times"
