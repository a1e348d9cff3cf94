"""What members do in an app: press a button, write, open the app; and the event that the vendor sends (90240)."""

import secrets
from typing import Any, Literal
from xml.sax.saxutils import escape

from pydantic import Field

from worker_simulator.request import ControlBody, HttpRequest, Json
from worker_simulator.vendor_state import StateHolder, VendorState
from worker_simulator.wecom_app.state.inbox import InboxMessage


class Press(ControlBody):
    """A member who presses a button. The card is found by its task_id, or by the msgid of its send."""

    person: str
    key: str
    task_id: str | None = None
    msgid: str | None = None
    selected: dict[str, list[str]] = Field(default_factory=dict)
    """Question key -> option ids."""


def press(state: VendorState, action: Press) -> tuple[InboxMessage, bytes, str]:
    """Presses a button. Returns the card, the event before encryption, and its response_code.

    Raises ValueError if that is not possible.
    """
    message = _card_of(state, action)
    card = _current_card(message, action.person.lower())
    menu = action.key in _menu_keys(card)
    if not menu and action.key not in _button_keys(card):
        raise ValueError(f"the card {action.person} sees has no key {action.key!r}")
    _refuse_unknown_choices(card, action.selected)
    code = state.sent.issue_code(message, state.clock.now())
    return message, _event(state, message, card, action, code, menu=menu), code


def _card_of(state: VendorState, action: Press) -> InboxMessage:
    cards = [
        message
        for message in state.inbox.shown_to(action.person)
        if message.msgtype == "template_card" and action.msgid in (None, message.msgid)
        if action.task_id in (None, message.task_id)
    ]
    if not cards:
        raise ValueError(f"{action.person} sees no such card")
    if cards[-1].recalled_at is not None:
        raise ValueError("the card was recalled")
    return cards[-1]


def _current_card(message: InboxMessage, person: str) -> Json:
    """Returns the card after its updates. Refuses one whose buttons are disabled."""
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
    questions = [card.get("checkbox") or {}, card.get("button_selection") or {}, *(card.get("select_list") or [])]
    return {str(question["question_key"]): question for question in questions if question.get("question_key")}


def _refuse_unknown_choices(card: Json, selected: dict[str, list[str]]) -> None:
    """Refuses unknown options, several options if only one is allowed, and options of a disabled question."""
    questions = _questions(card)
    for key, options in selected.items():
        entry = questions.get(key)
        if entry is None:
            raise ValueError(f"the card has no question {key!r}")
        if not set(options) <= {str(option["id"]) for option in entry["option_list"]}:
            raise ValueError(f"the question {key!r} has other options")
        if len(options) > 1 and entry.get("mode") != 1:
            raise ValueError(f"the question {key!r} takes one option")
        if entry.get("disable"):
            raise ValueError(f"the question {key!r} is frozen")


def _event(state: VendorState, message: InboxMessage, card: Json, action: Press, code: str, *, menu: bool) -> bytes:
    """Returns the event as the XML that the vendor sends."""
    fields: dict[str, Any] = {
        "ToUserName": message.app.corpid,
        "FromUserName": action.person,
        "CreateTime": int(state.clock.now()),
        "MsgType": "event",
        "Event": "template_card_menu_event" if menu else "template_card_event",
        "EventKey": action.key,
        "TaskId": message.task_id or "",
        "CardType": card["card_type"],
        "ResponseCode": code,
        "AgentID": message.agentid,
    }
    selected = "" if menu else _selected(action.selected)
    return f"<xml>{as_xml(fields)}{selected}</xml>".encode()


def as_xml(fields: Json) -> str:
    """Returns fields as XML: texts in CDATA, numbers without."""
    return "".join(f"<{name}>{_value(value)}</{name}>" for name, value in fields.items())


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


class MemberAction(ControlBody):
    """What a member does in an app of the settings."""

    act: Literal["message", "enter_agent"]
    corpid: str
    agentid: int
    person: str
    text: str = "hello"
    """The text of a message; only for `message`."""


def _run_action(simulator: StateHolder, request: HttpRequest) -> Any:
    """Carries out an action. The event is sent in the background; `callbacks` shows its result."""
    action, state = MemberAction.read(request), simulator.state
    app = state.apps.configured(action.corpid, action.agentid)
    about: Json = {"act": action.act, "person": action.person, "agentid": action.agentid}
    if action.act == "message":
        about["text"] = action.text
    return state.callbacks.send(app, _member_event(action, state.clock.now()), about).to_json()


def _member_event(action: MemberAction, now: float) -> bytes:
    fields: dict[str, Any] = {
        "ToUserName": action.corpid,
        "FromUserName": action.person,
        "CreateTime": int(now),
    }
    if action.act == "message":
        fields |= {"MsgType": "text", "Content": action.text, "MsgId": secrets.randbelow(1 << 63)}
    else:
        fields |= {"MsgType": "event", "Event": "enter_agent", "EventKey": ""}
    return f"<xml>{as_xml({**fields, 'AgentID': action.agentid})}</xml>".encode()


CONTROL_ROUTES = {("POST", "app"): _run_action}
