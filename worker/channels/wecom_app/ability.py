"""What the account's app can do, by its settings; where one is unset, the vendor's answer to the call decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from worker.channels.checking.measure import byte_size
from worker.channels.wecom_app.messages.content import calls_back, card_of, contents
from worker.domain.errors import Problem
from worker.domain.job import Draft, Kind

PLUGIN_BYTES = 20
UNSHOWN = ("markdown", "template_card", "miniprogram_notice")
"""Types that members in the WeChat plugin neither see nor get a notice of (page 90236)."""
CHAT_KINDS = (Kind.SEND_CHAT, Kind.CREATE_CHAT, Kind.CHANGE_CHAT)


def ability_problems(draft: Draft) -> Iterator[Problem]:
    """Why the app cannot send this message."""
    settings = draft.account.settings
    yield from callback_problems(draft)
    if draft.message.get("type") == "miniprogram_notice" and settings.get("mini_program") is False:
        remedy = "use the account of a mini-program app, with mini_program = true"
        yield Problem("msgtype", "the app is no mini-program app (vendor code 48002)", remedy)
    if draft.kind in CHAT_KINDS and settings.get("root_scope") is False:
        remedy = "make the root department the app's visible range and set root_scope = true"
        text = "the app's visible range is not the root department (vendor code 48002 or 60011)"
        yield Problem("chatid", text, remedy)


def plugin_problems(draft: Draft) -> Iterator[Problem]:
    """What an app that always opens its home page in the WeChat plugin loses there in silence (page 90236)."""
    if draft.account.settings.get("wechat_plugin_home") is not True:
        return
    msgtype = draft.message.get("type")
    if msgtype in UNSHOWN:
        remedy = "send a text, news or a text card, or leave wechat_plugin_home out"
        yield Problem("msgtype", f"{msgtype} is not shown to members in the WeChat plugin", remedy)
    body = draft.message.get("body")
    if msgtype != "text" or not isinstance(body, Mapping) or not isinstance(body.get("text"), Mapping):
        return
    for content in contents(draft.message):
        if isinstance(text := content.get("content"), str) and (size := byte_size(text)) > PLUGIN_BYTES:
            remedy = "shorten it, send a text card (shown there as a pointer), or leave wechat_plugin_home out"
            cut = "is cut in silence for members in the WeChat plugin"
            yield Problem("text.content", cut, remedy, PLUGIN_BYTES, "bytes", size)


def callback_problems(draft: Draft) -> Iterator[Problem]:
    """A card that calls back, from an app that cannot be called."""
    card = card_of(draft.message)
    if card is not None and calls_back(card) and draft.account.settings.get("callback") is False:
        remedy = "configure a callback URL for the app and set callback = true"
        yield Problem("template_card", "the app has no callback URL (vendor code 43012)", remedy)
