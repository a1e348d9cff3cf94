"""Messages that make or change something (app group chats, cards that were sent), and what is wrong with them.

Only self-built apps whose visible range is the root department may make and change app group chats
(应用发送消息到群聊会话, pages 90245 and 98913; 48002, 60011), and only the app that made a chat can use it (86008). To
send into one, enqueue any message but cards and mini program notices to `AppChat(chatid)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import InstanceOf

from worker.channels.checking import plain, rules
from worker.channels.checking.row import Effect, Prose, R, Row
from worker.channels.checking.targets import malformed
from worker.channels.typed import VendorMessage, attached, rows_of
from worker.channels.wecom.names import USERID, USERID_WANTED
from worker.channels.wecom_app.cards import INTERACTIVE, AppCard, calls_back, card_of
from worker.channels.wecom_app.messages import OfApp
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import Draft, JobKind

CHATID = r"[0-9A-Za-z]{1,32}"
"""The vendor compares it exactly; 86001 when it is another."""
ChatName = Annotated[str | None, R(max_chars=50, effect=Effect.CUT, prose=Prose.PLAIN, neutral=True, code=86004)]
Owner = Annotated[str | None, R(neutral=True, code=86005)]


class CreateChat(VendorMessage):
    """The message of a create_chat job (page 90245 创建群聊会话). A corp may make 1000 a day."""

    name: ChatName = None
    """At most 50 characters. Longer: cut."""
    owner: Owner = None
    """Userid; none: the vendor picks a member (86005)."""
    userlist: Annotated[list[str], R(entries=(2, 2000), code=86006)]
    """Required: 2 to 2000 userids (86006, 86007)."""
    chatid: Annotated[str | None, R(charset=CHATID, neutral=True, code=86001)] = None
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


CHAT_ROWS: Mapping[str, tuple[Row, ...]] = {
    JobKind.CREATE_CHAT: rows_of(CreateChat),
    JobKind.CHANGE_CHAT: rows_of(ChangeChat),
}
"""By the kind of job."""
MEMBER_LISTS = ("userlist", "add_user_list", "del_user_list")
"""Fields that hold lists of userids; a malformed userid is answered with 86007."""


class CardUpdate(OfApp):
    """The message of an update_card job (page 94888 更新模版卡片消息); one of the two forms.

    Targets are the job's recipients, at most 1000 users, 100 parties and 100 tags; none: everyone of the original. Only
    a card that calls back can be updated, once per response_code and within 72 h.
    """

    replace_name: str | None = None
    """Form A: the buttons become grey and show this text. Only button, vote and multiple cards."""
    template_card: InstanceOf[AppCard] | dict[str, Any] | None = None
    """Form B: the new card, of any type, typed or in the vendor's fields, without a `file`; `replace_text` freezes its
    buttons. The original's task_id stays, so one here is left out."""
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
            fields = _without_files(card) if isinstance(card, AppCard) else card
            out["template_card"] = {name: value for name, value in fields.items() if name != "task_id"}
        translated = self.enable_id_trans
        if translated is None and isinstance(self.template_card, AppCard):
            translated = self.template_card.enable_id_trans
        if translated is not None:
            out["enable_id_trans"] = translated
        return out


def _without_files(card: AppCard) -> dict[str, Any]:
    """Returns the vendor's fields of a card. Raises CheckFailed if one of them is to be a file's media_id."""
    remedy = "upload the file first, and give its media_id"
    lines = [path.rpartition(".")[0] for path, _ in attached(card, "template_card")]
    if problems := [Problem(f"{line}.file", "an update takes no file", remedy) for line in lines]:
        raise CheckFailed(problems)
    return card.card()


def chat_problems(draft: Draft) -> Iterator[Problem]:
    """Name, owner, members and chatid of a new chat, or of a change, which has to change something."""
    body: Mapping[str, Any] = draft.message.get("body") or {}
    yield from plain.unfit("chat", body)
    yield from rules.problems("chat", body, CHAT_ROWS[draft.kind])
    for name in (*MEMBER_LISTS, "owner"):
        yield from _unfit_ids(name, body.get(name))
    if draft.kind == JobKind.CHANGE_CHAT and not body.keys() - {"chatid"}:
        yield Problem("chat", "nothing is to be changed", "give name, owner, add_user_list or del_user_list")


def _unfit_ids(name: str, value: Any) -> Iterator[Problem]:
    """Malformed userids, or else members who are named twice."""
    entries = value if isinstance(value, list) else [] if value is None else [value]
    wrong = list(malformed(f"chat.{name}", entries, USERID.fullmatch, USERID_WANTED, 86007))
    yield from wrong
    if not wrong and len({entry.lower() for entry in entries}) < len(entries):
        yield Problem(f"chat.{name}", "names a member twice", "name each member once")


REPLACE_NAME = (R("replace_name", required=True),)
CODE_BYTES = 1024
"""Above every response_code that was seen (about 40); their length is not published (page 94888)."""


def form_problems(draft: Draft) -> Iterator[Problem]:
    """Exactly one of the two forms, and its own fields."""
    button, card = draft.message.get("button"), draft.message.get("template_card")
    if (button is None) == (card is None):
        yield Problem("template_card", "exactly one of button and template_card", "give replace_name or template_card")
    yield from plain.unfit("", {"button": button, "template_card": card})
    if isinstance(button, Mapping):
        yield from rules.problems("button", button, REPLACE_NAME)
    if draft.message.get("enable_id_trans", 0) not in (0, 1):
        yield Problem("enable_id_trans", "has no such value", "use one of 0, 1")


def code_problems(draft: Draft) -> Iterator[Problem]:
    """Checks a response_code that the application gave; one that we stored came from the vendor."""
    if "response_code" not in draft.message:
        return
    code = draft.message["response_code"]
    remedy = "give the response_code of the send's answer or of a callback (vendor code 60140)"
    if not isinstance(code, str) or not code.strip():
        yield Problem("response_code", "is not a text with something in it", remedy)
        return
    yield from plain.unfit_text("response_code", code)
    if (size := plain.byte_size(code)) > CODE_BYTES:
        yield Problem("response_code", "is too long", remedy, CODE_BYTES, "bytes", size)


def original_problems(draft: Draft) -> Iterator[Problem]:
    """A card without a response_code can never be updated, and only cards with buttons can be frozen."""
    if not draft.about:
        return
    card = card_of(draft.about)
    if card is None:
        text = "the job sent no template card, and only those can be updated"
        yield Problem("job_id", text, "recall it and send a new message")
    elif not calls_back(card):
        text = f"a {card.get('card_type')} without action_menu brings no response_code and cannot be updated"
        yield Problem("job_id", text, "recall it and send a new card; give it an action_menu if it has to change later")
    elif draft.message.get("button") is not None and card.get("card_type") not in INTERACTIVE:
        text = f"a {card.get('card_type')} has no buttons to freeze"
        yield Problem("button", text, "replace the whole card: CardUpdate(template_card=...)")
