"""Callbacks of a message push webhook (消息推送回调说明（内测）, 2024/10/11): from a request to what it reports.

They are XML or JSON, as the registered address asks for, with the same members in different spellings. Each contains
the webhook's address with its key. That, and other addresses that work once, are removed before anything is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.channels.wecom.answer import json_of, storable
from worker.channels.wecom.callback import (
    DEEPEST,
    Query,
    Tree,
    WecomVerifier,
    behind_signature,
    envelope_of,
    id_at,
    listed,
    member,
    opened,
    require_envelope,
    text_at,
    tree_in,
)
from worker.channels.wecom.redact import MASK
from worker.channels.wecom_webhook.account import chat_lane
from worker.domain.account import Account
from worker.domain.callbacks.inbound import (
    CallbackRefused,
    CardPress,
    ChatChange,
    ChatNews,
    Inbound,
    content_of,
    unix_seconds,
)

SINGLE_CHAT_MESSAGES = 3
"""Messages that a single chat accepts after each callback of its member (消息发送频率限制)."""
ATTACHMENT = "attachment"
CHANGES: Mapping[str, ChatChange] = {"add_to_chat": ChatChange.ADDED, "delete_from_chat": ChatChange.GONE}

_OURS = re.compile(r"(w[0-9a-f]{32}-[0-9]{1,7})\.([0-9]{1,3})")
"""A callback_id that we made (see `channel.py`): the part, and the index of its attachment."""
_SECRET_FIELDS = frozenset({"webhookurl", "getchatinfourl", "responseurl"})
_KEY = re.compile(r"(?i)\bkey=[0-9a-z-]+")


@dataclass(frozen=True)
class PushVerifier(WecomVerifier):
    """Verifies and decrypts the requests to one webhook's callback address."""

    def read(self, query: Query, body: bytes, now: float) -> Inbound:
        """Reads what a POST reports."""
        require_envelope(body)
        encrypted = text_at(_spelled_alike(_tree(body)), "encrypt").strip()
        if not encrypted:
            raise CallbackRefused(400, "no Encrypt in the body")
        message = opened(self.envelope, query, encrypted, now, self.max_age_s)
        with behind_signature():
            # No time inside is documented. The one in the query is that of this very delivery.
            inbound = _inbound_of(message, int(query["timestamp"]))
            self.require_recent(inbound.happened_at, now)
        return inbound


def verifier(account: Account, secrets: Mapping[str, str], max_age_s: float) -> PushVerifier:
    """Returns the verifier of one account. Its ReceiveId is empty."""
    return PushVerifier(envelope_of(account.name, secrets["token"], secrets["aes_key"], ""), max_age_s)


def _inbound_of(message: bytes, delivered_at: int) -> Inbound:
    """Reads a decrypted message."""
    tree = _tree(message)
    said = _spelled_alike(tree)
    msgtype, created_at = text_at(said, "msgtype"), unix_seconds(text_at(said, "createtime"))
    event = text_at(member(said, "event"), "eventtype")
    name = event if msgtype == "event" and event else f"message:{msgtype}"
    person = id_at(said.get("from"), "userid")
    return Inbound(
        event=name[:80],
        person=person,
        happened_at=delivered_at if created_at is None else created_at,
        identity=content_of(message),
        payload=_without_secrets(tree),
        card=_press(said) if msgtype == ATTACHMENT else None,
        chat=_chat(said, event, person),
    )


def _press(said: Tree) -> CardPress:
    """Returns a click on a button below a markdown message: name and value as they were sent."""
    attachment = said.get("attachment")
    actions = listed(attachment, "actions")
    own = _OURS.fullmatch(id_at(attachment, "callbackid"))
    selected: dict[str, list[str]] = {}
    for action in actions:
        selected.setdefault(text_at(action, "name"), []).append(text_at(action, "value"))
    return CardPress(
        task_id=own[1] if own else id_at(attachment, "callbackid"),
        button=text_at(actions[0], "name") if actions else "",
        card_type=ATTACHMENT,
        response_code=None,
        selected=selected,
        own_id_at=("body", "markdown", "attachments", int(own[2]), "callback_id") if own else (),
    )


def _chat(said: Tree, event: str, person: str) -> ChatNews | None:
    """Returns the chat it came from. A member who speaks in a single chat may be answered three times."""
    chat_id, chat_type = id_at(said, "chatid"), text_at(said, "chattype")
    if not chat_id:
        return None
    kind = "blackboard" if chat_type == "blackboard_reply" else chat_type[:20]
    change = CHANGES.get(event, ChatChange.SEEN)
    if kind != "single":
        return ChatNews(chat_id, kind, change, lanes=(chat_lane(chat_id),))
    lanes = tuple(chat_lane(one) for one in dict.fromkeys((chat_id, person)) if one)
    return ChatNews(chat_id, kind, change, person or None, SINGLE_CHAT_MESSAGES, lanes)


def _tree(raw: bytes) -> Tree:
    """Parses XML or JSON, by its first byte."""
    if not raw.lstrip().startswith(b"{"):
        return tree_in(raw)
    try:
        tree = json_of(raw)
    except ValueError:
        raise CallbackRefused(400, "not JSON") from None
    texts: Tree = _as_texts(tree)
    return texts


def _as_texts(value: Any, depth: int = 0) -> Any:
    """Turns JSON into what XML would give: objects, lists and texts that can be stored."""
    if isinstance(value, Mapping) and depth < DEEPEST:
        return {storable(name): _as_texts(entry, depth + 1) for name, entry in value.items()}
    if isinstance(value, list) and depth <= DEEPEST:
        return [_as_texts(entry, depth + 1) for entry in value]
    if isinstance(value, Mapping | list):
        raise CallbackRefused(400, "JSON nested too deeply")
    return "" if value is None else storable(value if isinstance(value, str) else json.dumps(value))


def _spelled_alike(tree: Any) -> Any:
    """Turns both `WebhookUrl` and `webhook_url` into `webhookurl`."""
    if isinstance(tree, Mapping):
        return {_alike(name): _spelled_alike(value) for name, value in tree.items()}
    return [_spelled_alike(entry) for entry in tree] if isinstance(tree, list) else tree


def _alike(name: str) -> str:
    return name.replace("_", "").lower()


def _without_secrets(tree: Any) -> Any:
    """Returns a copy without the webhook's address, others that work once, and any key that a text may quote."""
    if isinstance(tree, Mapping):
        return {
            name: MASK if _alike(name) in _SECRET_FIELDS else _without_secrets(value) for name, value in tree.items()
        }
    if isinstance(tree, list):
        return [_without_secrets(entry) for entry in tree]
    return _KEY.sub(f"key={MASK}", tree)
