"""The messages that make or change something: app group chats, and cards that were sent.

Only self-built apps whose visible range is the root department may make and change app group chats
(应用发送消息到群聊会话, pages 90245 and 98913; 48002, 60011), and only the app that made a chat can use it (86008). To
send into one, enqueue any message but cards and mini program notices to `AppChat(chatid)`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import InstanceOf

from worker.channels.checking.row import Effect, Prose, R
from worker.channels.typed import VendorMessage
from worker.channels.wecom_app.messages.basic import OfApp
from worker.channels.wecom_app.messages.cards import AppCard


CHATID = r"[0-9A-Za-z]{1,32}"
"""The vendor compares it exactly; 86001 when it is another."""
ChatName = Annotated[str | None, R(max_chars=50, effect=Effect.CUT, prose=Prose.PLAIN, code=86004)]
Owner = Annotated[str | None, R(code=86005)]


class CreateChat(VendorMessage):
    """The message of a create_chat job (page 90245 创建群聊会话). A corp may make 1000 a day."""

    name: ChatName = None
    """At most 50 characters. Longer: cut."""
    owner: Owner = None
    """Userid; none: the vendor picks a member (86005)."""
    userlist: Annotated[list[str], R(entries=(2, 2000), code=86006)]
    """Required: 2 to 2000 userids (86006, 86007)."""
    chatid: Annotated[str | None, R(charset=CHATID, code=86001)] = None
    """1 to 32 of `0-9A-Za-z`, unique (86001, 86215). Left out, it is the job's id. Either way a repeat is safe: 86215
    then means "made before"."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": "chat_create", "body": self.model_dump(mode="json", exclude_none=True)}


class ChangeChat(VendorMessage):
    """The message of a change_chat job (page 98913 修改群聊会话). A corp may make 1000 changes an hour."""

    chatid: Annotated[str, R(charset=CHATID, code=86001)]
    """Required: the chat (40050, 86001, 86003)."""
    name: ChatName = None
    """At most 50 characters. Longer: cut."""
    owner: Owner = None
    """Userid of the new owner; required when the owner is taken out (86005)."""
    add_user_list: Annotated[list[str] | None, R(entries=(0, 2000), code=86006)] = None
    """Userids to add (86216)."""
    del_user_list: Annotated[list[str] | None, R(entries=(0, 2000), code=86006)] = None
    """Userids to take out (86216)."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": "chat_change", "body": self.model_dump(mode="json", exclude_none=True)}


class CardUpdate(OfApp):
    """The message of an update_card job (page 94888 更新模版卡片消息); one of the two forms.

    Targets are the job's recipients, at most 1000 users, 100 parties and 100 tags; none: everyone of the original. Only
    a card that calls back can be updated, once per response_code and within 72 h.
    """

    replace_name: str | None = None
    """Form A: the buttons become grey and show this text. Only button, vote and multiple cards."""
    template_card: InstanceOf[AppCard] | dict[str, Any] | None = None
    """Form B: the new card, of any type, typed or in the vendor's fields; `replace_text` freezes its buttons. The
    original's task_id stays, so one given here is left out."""
    enable_id_trans: int | None = None
    """Form B: 1 translates `$userName=USERID$` and its like."""
    response_code: str | None = None
    """The code of one card, for `update_card_by_code` alone: the update of a job takes the job's own."""

    def document(self) -> dict[str, Any]:
        """`{"type": "card_update", "button": {"replace_name": ..}}` or `{"type": .., "template_card": {..}}`."""
        out: dict[str, Any] = {"type": "card_update", **self.agentid()}
        if self.response_code is not None:
            out["response_code"] = self.response_code
        if self.replace_name is not None:
            out["button"] = {"replace_name": self.replace_name}
        if self.template_card is not None:
            card = self.template_card
            given = card.card() if isinstance(card, AppCard) else card
            out["template_card"] = {name: value for name, value in given.items() if name != "task_id"}
        translated = self.enable_id_trans
        if translated is None and isinstance(self.template_card, AppCard):
            translated = self.template_card.enable_id_trans
        if translated is not None:
            out["enable_id_trans"] = translated
        return out
