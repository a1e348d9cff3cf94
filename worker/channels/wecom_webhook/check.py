"""Finds what is wrong with a job, all at once, before anything is stored, and what may surprise its sender.

Refuses what the vendor would cut, drop, ignore or post elsewhere in silence, and what it is known to refuse. Advised
lengths only warn. Sources: as of the messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from worker.channels.checking import rules
from worker.channels.checking.job import (
    SPLIT_FIELD,
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
from worker.channels.checking.row import Row, banned
from worker.channels.checking.targets import malformed, no_targets, other_recipients
from worker.channels.checking.truncate import CODE
from worker.channels.reading import CARD
from worker.channels.typed import rows_of
from worker.channels.wecom import upload
from worker.channels.wecom.mentions import mention_cautions, mention_problems
from worker.channels.wecom.names import USERID
from worker.channels.wecom.upload import MB, UPLOADS as SHARED
from worker.channels.wecom_webhook.account import PUSH, ROBOT, edition
from worker.channels.wecom_webhook.messages import (
    AUDIENCES,
    AUDIENCES_OF,
    CARD_CLASSES,
    CLASSES,
    ENVELOPE_FIELDS,
    OURS,
    UNADDRESSED,
)
from worker.domain.account import Account
from worker.domain.content.message import INLINE
from worker.domain.content.recipient import Recipients
from worker.domain.errors import Problem
from worker.domain.job import Draft, JobKind

ONLY_PUSH = 'only message push has it (edition = "push")'
BODIES: Mapping[str, Mapping[str, tuple[Row, ...]]] = {
    ROBOT: {
        msgtype: banned(rows_of(message), dict.fromkeys(message.ONLY_PUSH, ONLY_PUSH))
        for msgtype, message in CLASSES.items()
        if message.ONLY_PUSH is not None
    },
    PUSH: {msgtype: rows_of(message) for msgtype, message in CLASSES.items()},
}
"""Edition to msgtype to rows. A type that is not listed is sent as it is (`Raw`)."""
CARD_ROWS: Mapping[str, tuple[Row, ...]] = {card_type: rows_of(card) for card_type, card in CARD_CLASSES.items()}

POST_UNLISTED = ("image",)
"""Types that answer under posts by the vendor's change log, while their own table has no `post_id`."""
POST_TYPES = tuple(
    msgtype for msgtype, message in CLASSES.items() if "post_id" in message.ENVELOPE and msgtype not in POST_UNLISTED
)
"""Types that can answer under a post (`post_id`)."""
GROUPS_ALONE = tuple(name for name, audiences in AUDIENCES_OF.items() if "all" in audiences and name not in POST_TYPES)
"""Types with which `@all` reaches groups only. Types that have blackboards answer under posts there."""
VISIBLE_TYPES = tuple(msgtype for msgtype, message in CLASSES.items() if "visible_to_user" in message.ENVELOPE)
"""Types that can be shown to some members only (`visible_to_user`), also in posts on blackboards."""

UPLOADS: Mapping[str, int] = {"file": SHARED["file"], "voice": SHARED["voice"], INLINE: 2 * MB}
"""`inline` is never uploaded: a picture's bytes are in the message itself, as base64 (40009, 93018)."""

CHATID = re.compile(r"[0-9A-Za-z._@-]{1,128}")
"""The form of chat ids is not published. Userids are 1 to 64 of these characters (page 90313)."""
WHERE = 'Chats("wr..."), a userid in its place, or Everyone("groups") for a broadcast to all groups'
_MEMBERS = f"a webhook posts to chats: use {WHERE}"
_GROUPS = f"a wecom_external account reaches customers; a webhook posts to chats: use {WHERE}"
ELSEWHERE: Mapping[str, str] = {
    "To(users=...)": _MEMBERS,
    "To(parties=...)": _MEMBERS,
    "To(tags=...)": _MEMBERS,
    "AppChat(...)": 'use Chats("wr..."): a chat that an app made is reached through the app\'s own account',
    "Customers(...)": _GROUPS,
    "CustomerGroups(...)": _GROUPS,
    "Emails(...)": _MEMBERS,
}
"""The recipients that a webhook does not have, with what to use."""

PICTURE = "image.base64"
_RAW_MARKS = (
    ("<@", re.compile(r"<@"), "mentions nobody"),
    ("<font", re.compile(r"<font\b", re.IGNORECASE), "has no colours"),
)


def body_rows(account: Account, msgtype: str, content: Mapping[str, Any]) -> tuple[Row, ...]:
    """Returns the rows of a type, or of a card by its card_type. None for what we do not model."""
    if msgtype == CARD:
        return CARD_ROWS.get(str(content.get("card_type")), ())
    return BODIES.get(edition(account), {}).get(msgtype, ())


def texts(document: Mapping[str, Any]) -> Iterator[str]:
    """Yields what people read as text or markdown."""
    for content in contents(document):
        if isinstance(text := content.get(SPLIT_FIELD), str):
            yield text


def _type_problems(draft: Draft) -> Iterator[Problem]:
    not_sent = ("upload", "card_update")
    yield from type_problems(draft, "msgtype", not_sent, "use the job kind made for it", 40008)
    if edition(draft.account) == ROBOT and draft.message.get("type") == "miniprogram":
        yield Problem("msgtype", "a group robot sends no mini programs (vendor code 40008)", 'needs edition = "push"')


def _body_problems(draft: Draft) -> Iterator[Problem]:
    msgtype, body = str(draft.message.get("type")), draft.message.get("body")
    yield from body_problems(draft, OURS)
    if not isinstance(body, Mapping):
        return
    if content_of(draft.message) is None:
        yield no_object(draft)
    files = draft.message.get("files") or {}
    for content in contents(draft.message):
        yield from rules.problems(msgtype, content, body_rows(draft.account, msgtype, content), files)


def _card_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the card of a robot. Which cards message push accepts is not published, so the vendor decides."""
    if draft.message.get("type") != CARD or edition(draft.account) != ROBOT:
        return
    if (content_of(draft.message) or {}).get("card_type") not in CARD_CLASSES:
        names = ", ".join(CARD_CLASSES)
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
        wanted = file_places(msgtype, content, body_rows(draft.account, msgtype, content))
        wanted |= {PICTURE: INLINE} if msgtype == "image" else {}
    for path, file in files.items():
        yield from upload.file_problems(path, file, UPLOADS)
        found = list(misplaced(draft.message, path, file, wanted, UPLOADS, 40007))
        yield from found
        if not found and file.get("upload_type") == INLINE and path != PICTURE:
            yield Problem(path, "takes no file as Base64", "use upload type file or voice")


def _upload_problems(draft: Draft) -> Iterator[Problem]:
    # A file behind a URL is checked as an upload, also if it becomes a picture inside a message.
    inline = draft.message.get("type") == INLINE
    taken = {name: most for name, most in UPLOADS.items() if inline or name != INLINE}
    return upload_problems(draft, partial(upload.file_problems, uploads=taken))


def _place_problems(draft: Draft) -> Iterator[Problem]:
    """Checks whom the edition can reach, where the type may be sent, and the fields of the envelope."""
    asked = draft.recipients
    if edition(draft.account) == ROBOT:
        yield from _robot_problems(draft)
    elif wrong := list(other_recipients(asked, ELSEWHERE)):
        yield from wrong
    else:
        yield from _unfit(asked)
        yield from _push_problems(draft)
        yield from _beside_problems(draft)


def _robot_problems(draft: Draft) -> Iterator[Problem]:
    """The vendor would ignore the address, and post to the one chat the robot is in (page 99110)."""
    if draft.recipients:
        text = "a group robot posts to the one chat it is in"
        yield Problem("chatid", text, 'leave the recipients out, or set edition = "push" for a message push webhook')
    for name in ENVELOPE_FIELDS:
        if (draft.message.get("body") or {}).get(name) is not None:
            yield Problem(name, 'only message push has it (edition = "push")', "leave it out")


def _push_problems(draft: Draft) -> Iterator[Problem]:
    asked, msgtype = draft.recipients, str(draft.message.get("type"))
    if asked.everyone and asked.chats:
        yield Problem("chatid", "a broadcast and single chats at once", "make two jobs")
    elif asked.everyone:
        yield from _broadcast_problems(draft, msgtype)
    elif not asked.chats:
        yield Problem("chatid", "is missing: the vendor would post to every group", f"use {WHERE}")
    elif msgtype in UNADDRESSED and msgtype not in (draft.account.settings.get("chatid_for") or ()):
        text = f"{msgtype} is not described with a chatid: were it ignored, every group would get it"
        remedy = f'use Everyone("groups"), or set chatid_for = ["{msgtype}"] for the account once it was tried'
        yield Problem("chatid", text, remedy)


def _broadcast_problems(draft: Draft, msgtype: str) -> Iterator[Problem]:
    if not draft.account.allow_everyone:
        yield Problem("chatid", "this account does not allow broadcasts", "set allow_everyone = true for the account")
    audience = draft.recipients.audience
    allowed = AUDIENCES_OF.get(msgtype, ("groups",))
    shown = ", ".join(f'Everyone("{one}")' for one in allowed)
    if audience not in tuple(AUDIENCES):
        yield Problem("chatid", "does not say which broadcast is meant", f"use {shown}")
    elif audience not in allowed:
        reached = "both groups and blackboards" if audience == "all" else audience
        yield Problem("chatid", f"{msgtype} does not reach {reached}", f"use {shown}")


def _unfit(asked: Recipients) -> Iterator[Problem]:
    """Finds malformed ids, or else broadcasts among them, or two that are hard to distinguish."""
    remedy = "ids of chats as callbacks bring them, or userids; a broadcast is Everyone(...)"
    wrong = list(malformed("chatid", asked.chats, CHATID.fullmatch, remedy, 93006))
    if wrong:
        yield from wrong
    elif any(one.lower().startswith("@all") for one in asked.chats):
        yield Problem(
            "chatid", "names a broadcast", 'use Everyone("groups"), Everyone("blackboards") or Everyone("all")'
        )
    elif len({one.lower() for one in asked.chats}) < len(asked.chats):
        yield Problem("chatid", "two chats differ in case only", "make a job for each")


def _beside_problems(draft: Draft) -> Iterator[Problem]:
    """Checks post_id and visible_to_user, which the vendor ignores unless exactly one chat is named."""
    body = draft.message.get("body") or {}
    msgtype, one = str(draft.message.get("type")), len(draft.recipients.chats) == 1
    for name, types, kind in (
        ("post_id", (*POST_TYPES, *POST_UNLISTED), "one blackboard"),
        ("visible_to_user", VISIBLE_TYPES, "one group or blackboard"),
    ):
        value = body.get(name)
        if value is None:
            continue
        if msgtype in AUDIENCES_OF and msgtype not in types:
            yield Problem(name, f"{msgtype} does not list it", f"use {', '.join(types)}")
        elif not one:
            yield Problem(name, "is ignored by the vendor unless exactly one chat is named", f"name {kind}")
        if not isinstance(value, str) or not value.strip():
            yield Problem(name, "is not a text with something in it", "give an id, or leave it out")
        elif name == "visible_to_user" and not all(USERID.fullmatch(one.strip()) for one in value.split("|")):
            yield Problem(name, "holds an entry that is no userid", 'userids joined by "|"')


CHECKS: Checks = {
    JobKind.SEND: (
        _type_problems,
        _body_problems,
        _card_problems,
        _markdown_problems,
        _picture_problems,
        _attached_problems,
        _place_problems,
        _mention_problems,
    ),
    JobKind.UPLOAD: (_upload_problems, no_targets),
}
"""The checks of each kind of job."""

_ALL = re.compile(r"<@all>", re.IGNORECASE)


def warnings(draft: Draft) -> list[str]:
    """Returns a sentence for each thing worth a warning."""
    if draft.kind != JobKind.SEND:
        return []
    return [*_content_cautions(draft), *_markdown_cautions(draft), *_action_cautions(draft), *_place_cautions(draft)]


def _content_cautions(draft: Draft) -> Iterator[str]:
    msgtype = draft.message["type"]
    for content in contents(draft.message):
        rows = body_rows(draft.account, msgtype, content)
        yield from rules.cautions(msgtype, content, rows, draft.message.get("files") or {})
        for path, article, name in rules.places(msgtype, content, "articles[].url"):
            if msgtype == "news" and "://" not in str(article.get(name)):
                yield f"{path}: has no scheme; begin it with https:// to be sure that it opens"
        if msgtype == CARD and not rows:
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
    if msgtype in GROUPS_ALONE and asked.audience == "all":
        yield f"chatid: with {msgtype} @all reaches groups alone, and no blackboard"
    content = content_of(draft.message) or {}
    mentions = content.get("mentioned_list") or content.get("mentioned_mobile_list")
    if mentions and asked.audience in ("blackboards", "all"):
        yield "text: mentions nobody on blackboards"
    if (draft.message.get("body") or {}).get("post_id") is not None and msgtype in POST_UNLISTED:
        yield f"post_id: the vendor's table of {msgtype} does not have it, its change log does; the vendor will say"
    if any(chat.lower() == "all" for chat in asked.chats):
        yield 'chatid: all is the userid of a member; a broadcast is Everyone("groups")'
    if len(asked.chats) > 1:
        yield "goes to several chats: a member of several gets it several times"
