"""Finds what is wrong with a job, all at once, before anything is stored, and what may surprise its sender.

Refuses what the vendor would cut, drop, ignore or post elsewhere in silence, and what it is known to refuse. Advised
lengths only warn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

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
from worker.channels.checking.targets import no_targets
from worker.channels.checking.truncate import CODE
from worker.channels.wecom import upload
from worker.channels.wecom.mentions import mention_cautions, mention_problems
from worker.channels.wecom_webhook import fields, targets
from worker.channels.wecom_webhook.account import edition
from worker.channels.wecom_webhook.fields import body_rows, texts
from worker.domain.content.message import INLINE
from worker.domain.errors import Problem
from worker.domain.job import Draft, Kind

PICTURE = "image.base64"
_RAW_MARKS = (
    ("<@", re.compile(r"<@"), "mentions nobody"),
    ("<font", re.compile(r"<font\b", re.IGNORECASE), "has no colours"),
)


def _type_problems(draft: Draft) -> Iterator[Problem]:
    not_sent = ("upload", "card_update")
    yield from type_problems(draft, "msgtype", not_sent, "use the job kind made for it", 40008)
    if edition(draft.account) == fields.ROBOT and draft.message.get("type") == "miniprogram":
        yield Problem("msgtype", "a group robot sends no mini programs (vendor code 40008)", 'needs edition = "push"')


def _body_problems(draft: Draft) -> Iterator[Problem]:
    msgtype, body = str(draft.message.get("type")), draft.message.get("body")
    yield from body_problems(draft, fields.OURS)
    if not isinstance(body, Mapping):
        return
    if content_of(draft.message) is None:
        yield no_object(draft)
    files = draft.message.get("files") or {}
    for content in contents(draft.message):
        yield from rules.problems(msgtype, content, body_rows(edition(draft.account), msgtype, content), files)


def _card_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the card of a robot. Which cards message push accepts is not published, so the vendor decides."""
    if draft.message.get("type") != "template_card" or edition(draft.account) != fields.ROBOT:
        return
    if (content_of(draft.message) or {}).get("card_type") not in fields.CARD_TYPES:
        names = ", ".join(fields.CARD_TYPES)
        yield Problem(
            "template_card.card_type", "is not a card of a webhook (vendor code 42031)", f"use one of {names}"
        )


def _markdown_problems(draft: Draft) -> Iterator[Problem]:
    """markdown_v2 has no mentions and no colours: both would be shown as they are typed."""
    if draft.message.get("type") != "markdown_v2":
        return
    prose = [CODE.sub("", text) for text in texts(draft.message)]
    for mark, pattern, why in _RAW_MARKS:
        if any(pattern.search(text) for text in prose):
            text = f"holds {mark}, which is shown as typed: markdown_v2 {why}"
            yield Problem("markdown_v2.content", text, "use markdown, or put it into code")


def _mention_problems(draft: Draft) -> Iterator[Problem]:
    if draft.message.get("type") == "text":
        yield from mention_problems(content_of(draft.message) or {})


def _picture_problems(draft: Draft) -> Iterator[Problem]:
    """A picture must come as a file: its bytes are never stored in a job's row."""
    content = content_of(draft.message) or {}
    if draft.message.get("type") == "image" and content.get("base64") is not None:
        yield Problem(PICTURE, "is given as text", "give the picture as a file: Image(file=File.at(...))")


def _attached_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the files of a send: each fills an empty path of the body and suits its upload type."""
    files, msgtype, content = draft.message.get("files"), str(draft.message.get("type")), content_of(draft.message)
    if not files:
        return
    wanted: dict[str, str] = {}
    if content is not None:
        wanted = file_places(msgtype, content, body_rows(edition(draft.account), msgtype, content))
        wanted |= {PICTURE: INLINE} if msgtype == "image" else {}
    for path, file in files.items():
        yield from upload.file_problems(path, file, fields.UPLOADS)
        found = list(misplaced(draft.message, path, file, wanted, fields.UPLOADS, 40007))
        yield from found
        if not found and file.get("upload_type") == INLINE and path != PICTURE:
            yield Problem(path, "takes no file as Base64", "use upload type file or voice")


def _upload_problems(draft: Draft) -> Iterator[Problem]:
    # A file behind a URL is checked as an upload, also if it becomes a picture inside a message.
    inline = draft.message.get("type") == INLINE
    taken = {name: most for name, most in fields.UPLOADS.items() if inline or name != INLINE}
    return upload_problems(draft, partial(upload.file_problems, uploads=taken))


CHECKS: Checks = {
    Kind.SEND: (
        _type_problems,
        _body_problems,
        _card_problems,
        _markdown_problems,
        _picture_problems,
        _attached_problems,
        targets.problems,
        _mention_problems,
    ),
    Kind.UPLOAD: (_upload_problems, no_targets),
}
"""The checks of each kind of job."""

_ALL = re.compile(r"<@all>", re.IGNORECASE)


def warnings(draft: Draft) -> list[str]:
    """Returns a sentence for each thing worth a warning."""
    if draft.kind != Kind.SEND:
        return []
    return [*_content_cautions(draft), *_markdown_cautions(draft), *_action_cautions(draft), *_place_cautions(draft)]


def _content_cautions(draft: Draft) -> Iterator[str]:
    msgtype = draft.message["type"]
    for content in contents(draft.message):
        rows = body_rows(edition(draft.account), msgtype, content)
        yield from rules.cautions(msgtype, content, rows, draft.message.get("files") or {})
        for path, article, name in rules.places(msgtype, content, "articles[].url"):
            if msgtype == "news" and "://" not in str(article.get(name)):
                yield f"{path}: has no scheme; begin it with https:// to be sure that it opens"
        if msgtype == "template_card" and not rows:
            yield "template_card.card_type: not published for message push; whether it is taken, the vendor will say"
        if content.get("emphasis_content") and content.get("quote_area"):
            yield "template_card.emphasis_content: the vendor advises against it beside quote_area"


def _markdown_cautions(draft: Draft) -> Iterator[str]:
    """Finds a mention that has no effect."""
    msgtype = draft.message["type"]
    if msgtype in ("text", "markdown") and any(_ALL.search(CODE.sub("", text)) for text in texts(draft.message)):
        yield f'{msgtype}.content: <@all> is no member, and mentions nobody; mentioned_list=["@all"] of a text does'
    if msgtype == "text":
        yield from mention_cautions(content_of(draft.message) or {})


def _action_cautions(draft: Draft) -> Iterator[str]:
    """Finds buttons with the same name, whose clicks cannot be distinguished."""
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
    if msgtype in fields.GROUPS_ALONE and asked.audience == "all":
        yield f"chatid: with {msgtype} @all reaches groups alone, and no blackboard"
    content = content_of(draft.message) or {}
    mentions = content.get("mentioned_list") or content.get("mentioned_mobile_list")
    if mentions and asked.audience in ("blackboards", "all"):
        yield "text: mentions nobody on blackboards"
    if (draft.message.get("body") or {}).get("post_id") is not None and msgtype in fields.POST_UNLISTED:
        yield f"post_id: the vendor's table of {msgtype} does not have it, its change log does; the vendor will say"
    if any(chat.lower() == "all" for chat in asked.chats):
        yield 'chatid: all is the userid of a member; a broadcast is Everyone("groups")'
    if len(asked.chats) > 1:
        yield "goes to several chats: a member of several gets it several times"
