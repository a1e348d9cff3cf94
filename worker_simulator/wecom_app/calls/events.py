"""A member presses a card: which buttons it has for this person now, and the event the vendor makes of it (90240).

Does not know how the event travels.
"""

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from xml.sax.saxutils import escape

from pydantic import BaseModel, ConfigDict, Field

from worker_simulator.request import HttpRequest, Json
from worker_simulator.wecom_app.state.inbox import InboxMessage

if TYPE_CHECKING:
    from worker_simulator.world import Controlled, World


class Press(BaseModel):
    """Which member presses which key; the card is named by its task_id or by the msgid of its send."""

    model_config = ConfigDict(extra="forbid")

    person: str
    key: str
    task_id: str | None = None
    msgid: str | None = None
    selected: dict[str, list[str]] = Field(default_factory=dict)
    """Question key -> option ids."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """The event before it is encrypted, and the response_code it brings."""

    message: InboxMessage
    xml: bytes
    response_code: str


def press(world: "World", given: Press) -> Pressed:
    """Carry a press out; ValueError says why it is not possible."""
    message = _card_of(world, given)
    card = _as_seen(message, given.person.lower())
    menu = given.key in _menu_keys(card)
    if not menu and given.key not in _button_keys(card):
        raise ValueError(f"the card {given.person} sees has no key {given.key!r}")
    _refuse_unknown_choices(card, given.selected)
    code = world.sent.issue_code(message, world.clock.now())
    return Pressed(message, _event(world, message, card, given, code, menu=menu), code)


def _card_of(world: "World", given: Press) -> InboxMessage:
    cards = [
        message
        for message in world.inbox.shown_to(given.person)
        if message.msgtype == "template_card" and given.msgid in (None, message.msgid)
        if given.task_id in (None, message.task_id)
    ]
    if not cards:
        raise ValueError(f"{given.person} sees no such card")
    if cards[-1].recalled_at is not None:
        raise ValueError("the card was recalled")
    return cards[-1]


def _as_seen(message: InboxMessage, person: str) -> Json:
    """The card as updates left it; one with its buttons greyed cannot be pressed."""
    change = message.cards.get(person, message.card_for_all) or {}
    card: Json = change.get("template_card") or message.content
    if "replace_name" in change or card.get("replace_text"):
        raise ValueError("the card's buttons are grey")
    return card


def _button_keys(card: Json) -> set[str]:
    buttons = [*(card.get("button_list") or []), card.get("submit_button") or {}]
    return {str(button["key"]) for button in buttons if button.get("key")}


def _menu_keys(card: Json) -> set[str]:
    entries = (card.get("action_menu") or {}).get("action_list") or []
    return {str(entry["key"]) for entry in entries if entry.get("key")}


def _questions(card: Json) -> dict[str, Json]:
    holders = [card.get("checkbox") or {}, card.get("button_selection") or {}, *(card.get("select_list") or [])]
    return {str(holder["question_key"]): holder for holder in holders if holder.get("question_key")}


def _refuse_unknown_choices(card: Json, selected: dict[str, list[str]]) -> None:
    """Refuse options that are not there, several where the card takes one, and any where it was frozen."""
    questions = _questions(card)
    for question, options in selected.items():
        holder = questions.get(question)
        if holder is None:
            raise ValueError(f"the card has no question {question!r}")
        if not set(options) <= {str(option["id"]) for option in holder["option_list"]}:
            raise ValueError(f"the question {question!r} has other options")
        if len(options) > 1 and holder.get("mode") != 1:
            raise ValueError(f"the question {question!r} takes one option")
        if holder.get("disable"):
            raise ValueError(f"the question {question!r} is frozen")


def _event(world: "World", message: InboxMessage, card: Json, given: Press, code: str, *, menu: bool) -> bytes:
    """The XML, as the vendor writes it."""
    members: dict[str, Any] = {
        "ToUserName": message.app.corpid,
        "FromUserName": given.person,
        "CreateTime": int(world.clock.now()),
        "MsgType": "event",
        "Event": "template_card_menu_event" if menu else "template_card_event",
        "EventKey": given.key,
        "TaskId": message.task_id or "",
        "CardType": card["card_type"],
        "ResponseCode": code,
        "AgentID": message.agentid,
    }
    selected = "" if menu else _selected(given.selected)
    return f"<xml>{as_xml(members)}{selected}</xml>".encode()


def as_xml(members: Json) -> str:
    """Members of an event, texts in CDATA and numbers bare."""
    return "".join(f"<{name}>{_value(value)}</{name}>" for name, value in members.items())


def _selected(selected: dict[str, list[str]]) -> str:
    if not selected:
        return ""
    items = "".join(
        f"<SelectedItem><QuestionKey>{_value(question)}</QuestionKey><OptionIds>"
        + "".join(f"<OptionId>{_value(option)}</OptionId>" for option in options)
        + "</OptionIds></SelectedItem>"
        for question, options in selected.items()
    )
    return f"<SelectedItems>{items}</SelectedItems>"


def _value(value: Any) -> str:
    if not isinstance(value, str):
        return str(value)
    return escape(value) if "]]>" in value else f"<![CDATA[{value}]]>"


class MemberAct(BaseModel):
    """What a member does in which app of the settings."""

    model_config = ConfigDict(extra="forbid")

    act: Literal["message", "enter_agent"]
    corpid: str
    agentid: int
    person: str
    text: str = "hello"
    """The text of a message; only for `message`."""


def carry_out(world: "World", given: MemberAct) -> Json:
    """Send the event that follows; ValueError says why this is not possible."""
    app = world.apps.configured(given.corpid, given.agentid)
    about: Json = {"act": given.act, "person": given.person, "agentid": given.agentid}
    if given.act == "message":
        about["text"] = given.text
    return world.callbacks.send(app, _member_event(given, world.clock.now()), about).shown()


def _member_event(given: MemberAct, now: float) -> bytes:
    members: dict[str, Any] = {
        "ToUserName": given.corpid,
        "FromUserName": given.person,
        "CreateTime": int(now),
    }
    if given.act == "message":
        members |= {"MsgType": "text", "Content": given.text, "MsgId": secrets.randbelow(1 << 63)}
    else:
        members |= {"MsgType": "event", "Event": "enter_agent", "EventKey": ""}
    return f"<xml>{as_xml({**members, 'AgentID': given.agentid})}</xml>".encode()


def _act(simulator: "Controlled", request: HttpRequest) -> Any:
    """Carry an act out; its event is sent in the background, and `callbacks` shows what became of it."""
    return carry_out(simulator.world, MemberAct.model_validate(request.json() if request.body else {}))


ACTS = {("POST", "app"): _act}
