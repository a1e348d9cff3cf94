"""What happens around a webhook, as control asks for it: members click, speak and open chats, groups take it in or out.

Does not know how an event travels. Each is written as XML or as JSON, by what the webhook's address asks for.
"""

import json
import secrets
from typing import TYPE_CHECKING, Any, Literal
from xml.sax.saxutils import escape

from pydantic import BaseModel, ConfigDict

from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings import WebhookKey
from worker_simulator.wecom_webhook.memory import Post
from worker_simulator.wecom_webhook.places import Place, kind_of

if TYPE_CHECKING:
    from worker_simulator.world import Controlled, World

HOST = "http://in.qyapi.weixin.qq.com/cgi-bin/webhook"
EVENTS = {"enter_chat": "enter_chat", "add": "add_to_chat", "delete": "delete_from_chat"}


class Act(BaseModel):
    """What a member or an owner does, and in which chat."""

    model_config = ConfigDict(extra="forbid")

    act: Literal["click", "enter_chat", "message", "add", "delete", "verify"]
    key: str
    chat: str = ""
    """As in chatid; `verify` has none."""
    person: str = "zhangsan"
    name: str = ""
    """The name of the button that is clicked; only for `click`."""
    text: str = "hello"
    """The text of a message; only for `message`."""


def carry_out(world: "World", given: Act) -> Json:
    """Send the event that follows; ValueError says why this is not possible."""
    webhook = world.webhook.key_of(given.key)
    if given.act == "verify":
        return world.callbacks.verify(webhook).shown()
    place = Place(given.chat, kind_of(given.chat))
    about: Json = {"act": given.act, "chat": given.chat, "person": given.person}
    about |= {"message": {"text": given.text}, "click": {"key": given.name}}.get(given.act, {})
    said = {**_told(webhook, given, place), **_kind(world, given)}
    if place.kind == "single":
        world.webhook.hear(webhook, place.person)
    message = json.dumps(_in_json(said), ensure_ascii=False) if webhook.speaks_json else f"<xml>{_in_xml(said)}</xml>"
    return world.callbacks.send(webhook, message.encode(), about).shown()


def _told(webhook: WebhookKey, given: Act, place: Place) -> Json:
    """The fields of every callback; its WebhookUrl holds the key."""
    return {
        "WebhookUrl": f"{HOST}/send?key={webhook.key}",
        "MsgId": secrets.token_hex(16),
        "ChatId": given.chat,
        "ChatType": place.kind,
        "From": {"UserId": given.person, "Name": f"name of {given.person}", "Alias": given.person},
        "GetChatInfoUrl": f"{HOST}/get_chat_info?code={secrets.token_hex(8)}",
    }


def _kind(world: "World", given: Act) -> Json:
    if given.act == "message":
        return {"MsgType": "text", "Text": {"Content": given.text}}
    if given.act == "click":
        return {"MsgType": "attachment", "Attachment": _clicked(world, given)}
    return {"MsgType": "event", "Event": {"EventType": EVENTS[given.act]}}


def _clicked(world: "World", given: Act) -> Json:
    """A click on the newest button of that name in the chat."""
    posts = [post for post in world.webhook.posts if (post.key, post.chat) == (given.key, given.chat)]
    for post in reversed(posts):
        for attachment, action in _buttons(post):
            if action["name"] == given.name:
                post.clicked.setdefault(given.person.lower(), []).append(given.name)
                pressed = {name.capitalize(): action[name] for name in ("name", "value", "type")}
                return {"CallbackId": attachment["callback_id"], "Actions": [pressed]}
    raise ValueError(f"no message in {given.chat} has a button {given.name!r}")


def _buttons(post: Post) -> list[tuple[Json, Json]]:
    attachments: list[Json] = post.content.get("attachments") or []
    return [(attachment, action) for attachment in attachments for action in attachment["actions"]]


JSON_NAMES = {
    "WebhookUrl": "webhook_url",
    "GetChatInfoUrl": "get_chat_info_url",
    "EventType": "event_type",
}
"""JSON names that are not simply the XML name in lower case."""


def _in_json(said: Any) -> Any:
    if isinstance(said, dict):
        return {JSON_NAMES.get(name, name.lower()): _in_json(value) for name, value in said.items()}
    return [_in_json(entry) for entry in said] if isinstance(said, list) else said


def _in_xml(said: Json) -> str:
    """Texts in CDATA, with a space before it as in the vendor's samples; a list is its entries one after another."""
    entries = ((name, one) for name, value in said.items() for one in (value if isinstance(value, list) else [value]))
    return "".join(f"<{name}>{_value(value)}</{name}>" for name, value in entries)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return _in_xml(value)
    return escape(value) if "]]>" in value else f" <![CDATA[{value}]]>"


def _shown(simulator: "Controlled", request: HttpRequest) -> Any:
    return simulator.world.webhook.shown()


def _act(simulator: "Controlled", request: HttpRequest) -> Any:
    """Carry an act out; its event is sent in the background, and `callbacks` shows what became of it."""
    return carry_out(simulator.world, Act.model_validate(request.json() if request.body else {}))


ACTS = {("GET", "webhook"): _shown, ("POST", "webhook"): _act}
