"""Which type may go where on message push: groups, blackboards or all of them (消息推送接口说明（内测）, 2025/09/30).

The page is not consistent from type to type; the table keeps what each type's own section says.
"""

from __future__ import annotations

from collections.abc import Mapping

AUDIENCES: Mapping[str, str] = {"groups": "@all_group", "blackboards": "@all_blackboard", "all": "@all"}
"""`Everyone(...)` -> the vendor's word."""

AUDIENCES_OF: Mapping[str, tuple[str, ...]] = {
    "text": ("groups", "all"),
    "markdown": ("groups", "blackboards", "all"),
    "markdown_v2": ("groups",),
    "image": ("groups",),
    "news": ("groups",),
    "miniprogram": ("groups",),
    "file": ("groups",),
    "voice": ("groups",),
    "template_card": ("groups",),
}
"""The audiences that a type may be broadcast to. With markdown_v2, image and news `@all` is said to reach groups only,
so asking for all would leave the blackboards out in silence."""

BLACKBOARD_TYPES = ("text", "markdown", "image")
"""Types that a blackboard takes by its id."""
POST_TYPES = ("text", "markdown")
"""Types that can answer under a post (`post_id`)."""
VISIBLE_TYPES = ("text", "markdown", "markdown_v2", "image", "news")
"""Types that can be shown to some members only (`visible_to_user`); the first two on blackboards too."""
UNADDRESSED = ("miniprogram", "file", "voice", "template_card")
"""Types whose section shows no chatid. Were it ignored, the message would go to every group."""
ALL_TYPES = tuple(AUDIENCES_OF)
