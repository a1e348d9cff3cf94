"""What a person or a chat has got from the fake vendors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker_simulator.world import World


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """One message as it is shown."""

    type: str
    """The vendor's: `text`, `template_card`, ...; of Youdu's pop-up windows `pop_window`."""
    content: Mapping[str, Any] = field(repr=False)
    """As the vendor took it, after its cuts."""
    text: str
    """What there is to read: its content, or title and description."""
    recalled: bool = False
    """True when it was recalled."""
    update: Mapping[str, Any] | None = None
    """Of a card that was updated: what stands in its place, or `replace_name`; None: it is as it was sent."""
    altered: tuple[Mapping[str, Any], ...] = ()
    """What the vendor cut or left out in silence, see docs/simulator.md."""


def seen_by(world: World, whose: str) -> list[ShownMessage]:
    """The messages of a person or of a chat, oldest first."""
    found = [(one["seq"], _seen(one)) for one in world.inbox.of(whose)]
    found += [(one["seq"], _seen(one)) for one in world.webhook.shown()["chats"].get(whose, ())]
    windows = world.youdu.windows.get(whose.lower(), ())
    found += [(one["seq"], ShownMessage("pop_window", one, _words(one))) for one in windows]
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def _seen(shown: Mapping[str, Any]) -> ShownMessage:
    content = shown["content"] if isinstance(shown["content"], Mapping) else {"items": shown["content"]}
    return ShownMessage(
        shown["msgtype"],
        content,
        _words(content),
        recalled=shown.get("state") == "recalled",
        update=shown.get("update"),
        altered=tuple(shown.get("altered") or ()),
    )


_READ = ("content", "title", "main_title", "desc", "description", "sub_title_text", "text", "tip")
"""Names under which vendors keep what people read."""


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_words, value)))
    if isinstance(value, Mapping):
        inner = [value[name] for name in _READ if name in value]
        inner += [one for name, one in value.items() if isinstance(one, list) and name not in _READ]
        return "\n".join(filter(None, map(_words, inner)))
    return ""
