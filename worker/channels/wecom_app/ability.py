"""What the account's app can do, as its settings say; unset means that nobody said, and the vendor will."""

from __future__ import annotations

from collections.abc import Iterator

from worker.channels.wecom_app.content import calls_back, card_of
from worker.domain.errors import Problem
from worker.domain.job import Draft, Kind

CHAT_KINDS = (Kind.SEND_CHAT, Kind.CREATE_CHAT, Kind.CHANGE_CHAT)


def ability_problems(draft: Draft) -> Iterator[Problem]:
    """A message the app cannot send."""
    settings = draft.account.settings
    yield from callback_problems(draft)
    if draft.message.get("type") == "miniprogram_notice" and settings.get("mini_program") is False:
        remedy = "use the account of a mini-program app, with mini_program = true"
        yield Problem("msgtype", "the app is no mini-program app (vendor code 48002)", remedy)
    if draft.kind in CHAT_KINDS and settings.get("root_scope") is False:
        remedy = "make the root department the app's visible range and set root_scope = true"
        text = "the app's visible range is not the root department (vendor code 48002 or 60011)"
        yield Problem("chatid", text, remedy)


def callback_problems(draft: Draft) -> Iterator[Problem]:
    """A card that calls back, from an app that cannot be called."""
    card = card_of(draft.message)
    if card is not None and calls_back(card) and draft.account.settings.get("callback") is False:
        remedy = "configure a callback URL for the app and set callback = true"
        yield Problem("template_card", "the app has no callback URL (vendor code 43012)", remedy)
