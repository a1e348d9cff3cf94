"""The rows that apply to a webhook's message by its edition, where each type may go, and what is refused.

The rows and the audiences stand with the messages. Source: page 99110 消息推送配置说明 (read 2026-02-12) for the group
robot, and 消息推送接口说明（内测） (2025/09/30) for message push. Bytes are of the UTF-8 text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking.job import SPLIT_FIELD, contents
from worker.channels.checking.row import Row, banned
from worker.channels.typed import rows_of
from worker.channels.wecom.upload import MB, UPLOADS as SHARED
from worker.channels.wecom_webhook.messages import CARD_CLASSES, SIMPLE
from worker.domain.content.message import INLINE

ROBOT, PUSH = "robot", "push"
EDITIONS = (ROBOT, PUSH)
"""The public group robot (群机器人), and message push (消息推送, 内测)."""


ONLY_PUSH = 'only message push has it (edition = "push")'
BODIES: Mapping[str, Mapping[str, tuple[Row, ...]]] = {
    ROBOT: {
        made.msgtype: banned(rows_of(made), dict.fromkeys(made.ONLY_PUSH, ONLY_PUSH))
        for made in SIMPLE
        if made.ONLY_PUSH is not None
    },
    PUSH: {made.msgtype: rows_of(made) for made in SIMPLE},
}
"""Edition to msgtype to rows. A type that is not listed is sent as it is (`Raw`)."""
CARDS: Mapping[str, tuple[Row, ...]] = {name: rows_of(made) for name, made in CARD_CLASSES.items()}
"""Rows of the two template cards, by card_type."""
CARD_TYPES = tuple(CARDS)

ENVELOPE_FIELDS = ("post_id", "visible_to_user")
"""What may stand next to the type's own object."""
OURS = frozenset({"chatid", "msgtype"})
"""Envelope fields that only the worker sets."""

AUDIENCES: Mapping[str, str] = {"groups": "@all_group", "blackboards": "@all_blackboard", "all": "@all"}
"""Audience of `Everyone(...)` to the vendor's name."""

AUDIENCES_OF: Mapping[str, tuple[str, ...]] = {
    **{made.msgtype: made.AUDIENCES for made in SIMPLE},
    "template_card": ("groups",),
}
"""The audiences that a type may be broadcast to."""
UNADDRESSED = tuple(name for name, audiences in AUDIENCES_OF.items() if audiences == ("groups",))
"""Types whose section shows no chatid. If it were ignored, the message would go to every group."""
POST_UNLISTED = ("image",)
"""Types that answer under posts by the vendor's change log, while their own table has no `post_id`."""
POST_TYPES = tuple(made.msgtype for made in SIMPLE if "post_id" in made.ENVELOPE and made.msgtype not in POST_UNLISTED)
"""Types that can answer under a post (`post_id`)."""
GROUPS_ALONE = tuple(name for name, audiences in AUDIENCES_OF.items() if "all" in audiences and name not in POST_TYPES)
"""Types with which `@all` reaches groups only. Types that have blackboards answer under posts there."""
VISIBLE_TYPES = tuple(made.msgtype for made in SIMPLE if "visible_to_user" in made.ENVELOPE)
"""Types that can be shown to some members only (`visible_to_user`), also in posts on blackboards."""

UPLOADS: Mapping[str, int] = {"file": SHARED["file"], "voice": SHARED["voice"], INLINE: 2 * MB}
"""`inline` is never uploaded: a picture's bytes are in the message itself, as base64 (40009, 93018)."""

SPLIT_TYPES = ("text", "markdown", "markdown_v2")


def body_rows(edition: str, msgtype: str, content: Mapping[str, Any]) -> tuple[Row, ...]:
    """Returns the rows of a type, or of a card by its card_type. None for what we do not model."""
    if msgtype == "template_card":
        return CARDS.get(str(content.get("card_type")), ())
    return BODIES.get(edition, {}).get(msgtype, ())


def texts(document: Mapping[str, Any]) -> Iterator[str]:
    """Yields what people read as text or markdown."""
    for content in contents(document):
        if isinstance(text := content.get(SPLIT_FIELD), str):
            yield text
