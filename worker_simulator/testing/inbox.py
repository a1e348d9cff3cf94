"""What a person or a chat has received from the fake vendors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker_simulator.vendor_state import VendorState


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message as it is displayed."""

    type: str
    """The vendor's type: `text`, `template_card`, ... Youdu's pop-up windows have `pop_window`."""
    content: Mapping[str, Any] = field(repr=False)
    """As the vendor accepted it, after its cuts."""
    text: str
    """The readable text: its content, or title and description."""
    recalled: bool = False
    """True if it was recalled."""
    update: Mapping[str, Any] | None = None
    """The update of a card: the new card, or `replace_name`. None if it was not updated."""
    altered: tuple[Mapping[str, Any], ...] = ()
    """What the vendor cut or omitted without an error, see docs/simulator.md."""


def messages_of(state: VendorState, owner: str) -> list[ShownMessage]:
    """Returns the messages of a person or of a chat, oldest first."""
    posts = state.webhook.to_json()["chats"].get(owner, ())
    of_apps = (*state.inbox.messages_of(owner), *state.inbox.messages_in(owner))
    messages = [(message["seq"], _shown(message)) for message in (*of_apps, *posts)]
    windows = state.youdu.windows.get(owner.lower(), ())
    messages += [(window["seq"], ShownMessage("pop_window", window, _text(window))) for window in windows]
    return [message for _, message in sorted(messages, key=lambda pair: pair[0])]


def _shown(message: Mapping[str, Any]) -> ShownMessage:
    content = message["content"] if isinstance(message["content"], Mapping) else {"items": message["content"]}
    return ShownMessage(
        message["msgtype"],
        content,
        _text(content),
        recalled=message.get("state") == "recalled",
        update=message.get("update"),
        altered=tuple(message.get("altered") or ()),
    )


_READ = ("content", "title", "main_title", "desc", "description", "sub_title_text", "text", "tip")
"""Keys under which vendors store readable text."""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text, value)))
    if isinstance(value, Mapping):
        texts = [value[name] for name in _READ if name in value]
        texts += [entry for name, entry in value.items() if isinstance(entry, list) and name not in _READ]
        return "\n".join(filter(None, map(_text, texts)))
    return ""
