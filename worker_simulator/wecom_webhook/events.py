"""What members do at a webhook: click, write, open the chat; groups add and remove it. And the event that follows.

Events are XML or JSON, as the callback URL asks for.
"""

import json
import secrets
from typing import Any, Literal
from xml.sax.saxutils import escape

from worker_simulator.request import ControlBody, HttpRequest, Json
from worker_simulator.settings import WebhookKey
from worker_simulator.vendor_state import StateHolder, VendorState
from worker_simulator.wecom_webhook.memory import Post
from worker_simulator.wecom_webhook.places import Place, kind_of

HOST = "http://in.qyapi.weixin.qq.com/cgi-bin/webhook"
EVENTS = {"enter_chat": "enter_chat", "add": "add_to_chat", "delete": "delete_from_chat"}


class WebhookAction(ControlBody):
    """What a member or an owner does, and in which chat."""

    act: Literal["click", "enter_chat", "message", "add", "delete", "verify"]
    key: str
    chat: str = ""
    """As in chatid. `verify` has none."""
    person: str = "zhangsan"
    name: str = ""
    """For `click`: the name of the button."""
    text: str = "hello"
    """For `message`: the text."""


def _run_action(simulator: StateHolder, request: HttpRequest) -> Any:
    """Carries out an action. The event is sent in the background; `callbacks` shows its result."""
    action, state = WebhookAction.read(request), simulator.state
    webhook = state.webhook.key_of(action.key)
    if action.act == "verify":
        return state.callbacks.verify(webhook).to_json()
    place = Place(action.chat, kind_of(action.chat))
    about: Json = {"act": action.act, "chat": action.chat, "person": action.person}
    about |= {"message": {"text": action.text}, "click": {"key": action.name}}.get(action.act, {})
    fields = {**_common_fields(webhook, action, place), **_kind_fields(state, action)}
    if place.kind == "single":
        state.webhook.allow_messages(webhook, place.person)
    message = (
        json.dumps(_in_json(fields), ensure_ascii=False) if webhook.speaks_json else f"<xml>{_in_xml(fields)}</xml>"
    )
    return state.callbacks.send(webhook, message.encode(), about).to_json()


def _common_fields(webhook: WebhookKey, action: WebhookAction, place: Place) -> Json:
    """Returns the fields of every callback. Its WebhookUrl contains the key."""
    return {
        "WebhookUrl": f"{HOST}/send?key={webhook.key}",
        "MsgId": secrets.token_hex(16),
        "ChatId": action.chat,
        "ChatType": place.kind,
        "From": {"UserId": action.person, "Name": f"name of {action.person}", "Alias": action.person},
        "GetChatInfoUrl": f"{HOST}/get_chat_info?code={secrets.token_hex(8)}",
    }


def _kind_fields(state: VendorState, action: WebhookAction) -> Json:
    if action.act == "message":
        return {"MsgType": "text", "Text": {"Content": action.text}}
    if action.act == "click":
        return {"MsgType": "attachment", "Attachment": _clicked(state, action)}
    return {"MsgType": "event", "Event": {"EventType": EVENTS[action.act]}}


def _clicked(state: VendorState, action: WebhookAction) -> Json:
    """Clicks the newest button of this name in the chat."""
    posts = [post for post in state.webhook.posts if (post.key, post.chat) == (action.key, action.chat)]
    for post in reversed(posts):
        for attachment, button in buttons(post):
            if button["name"] == action.name:
                post.clicked.setdefault(action.person.lower(), []).append(action.name)
                clicked = {name.capitalize(): button[name] for name in ("name", "value", "type")}
                return {"CallbackId": attachment["callback_id"], "Actions": [clicked]}
    raise ValueError(f"no message in {action.chat} has a button {action.name!r}")


def buttons(post: Post) -> list[tuple[Json, Json]]:
    """Returns each button of a message, after the attachment that it belongs to."""
    attachments: list[Json] = post.content.get("attachments") or []
    return [(attachment, button) for attachment in attachments for button in attachment["actions"]]


JSON_NAMES = {
    "WebhookUrl": "webhook_url",
    "GetChatInfoUrl": "get_chat_info_url",
    "EventType": "event_type",
}
"""XML name -> JSON name, if that is not just lower case."""


def _in_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {JSON_NAMES.get(name, name.lower()): _in_json(inner) for name, inner in value.items()}
    return [_in_json(entry) for entry in value] if isinstance(value, list) else value


def _in_xml(fields: Json) -> str:
    """Returns fields as XML: texts in CDATA after a space, as in the vendor's samples. A list repeats its element."""
    entries = (
        (name, entry) for name, value in fields.items() for entry in (value if isinstance(value, list) else [value])
    )
    return "".join(f"<{name}>{_value(value)}</{name}>" for name, value in entries)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return _in_xml(value)
    return escape(value) if "]]>" in value else f" <![CDATA[{value}]]>"


def _get_state(simulator: StateHolder, request: HttpRequest) -> Any:
    return simulator.state.webhook.to_json()


CONTROL_ROUTES = {("GET", "webhook"): _get_state, ("POST", "webhook"): _run_action}
