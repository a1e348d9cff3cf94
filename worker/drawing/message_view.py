"""The input of `draw` for one message: the vendor's JSON, what was changed in it, and what may be pressed.

Does not know who sent it, when, or on which page it is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Channel = Literal["wecom_app", "wecom_webhook", "wecom_external", "youdu"]
"""The channel that a message was sent through. It decides how a type of message looks."""
Lang = Literal["zh", "en"]
"""The language of labels and badges. Texts of the message stay as they are."""


def no_media(media_id: str) -> str | None:
    """Knows no file."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """Where presses of this message go. Its buttons, choices and menus are in one form that posts there.

    The form sends `key` (the key of the card's button, menu entry or submit button), `choice:QUESTION_KEY` (the id of
    each chosen option), `click` (the name of a button below a webhook's markdown), `confirm` (`all`) or `ignore`
    (`all`) of a campaign. A press sends one of `key`, `click`, `confirm` and `ignore`.
    """

    url: str
    """The form's action, of the same origin."""
    hidden: Mapping[str, str] = field(default_factory=dict)
    """Further fields of the form, such as the person, the message and a CSRF token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """A message as one person sees it."""

    channel: Channel
    msgtype: str
    """The vendor's type. For Youdu also `pop_window` and `badge`, and any value for a campaign of `wecom_external`."""
    content: Any
    """The vendor's object of that type, with cuts already made: `{"content": "..."}` of a text, the card itself of a
    template_card, the array of Youdu's mpnews and exlink, `{"text": {...}, "attachments": [...]}` of a campaign.
    Anything else draws too."""
    altered: Sequence[Mapping[str, Any]] = ()
    """What people do not see as it was sent: `field`, `why`, and for a cut `limit`, `unit` and `size`."""
    state: Literal["shown", "recalled"] = "shown"
    update: Mapping[str, Any] | None = None
    """The latest update of a card: `{"replace_name": "..."}`, or `{"template_card": {...}, "altered": [...]}`."""
    mentioned: bool = False
    """True if the message mentions the person who views it."""
    safe: int = 0
    """1 forbids sharing and adds a watermark, 2 allows sharing inside the corp."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The name to show for a userid. Ids without an entry are shown as they are."""
    media: Callable[[str], str | None] = no_media
    """The address, on the same origin, of a media_id's file; None when there is none. The last part of its path is
    shown as the file's name. A webhook's picture is asked for by its md5, a remote picture by its URL."""
    actions: Actions | None = None
    """None draws every control inert."""
