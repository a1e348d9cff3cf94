"""Makes the smallest right message of each class, and one more for each further field, also of the objects in it."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from worker.channels.typed import VendorObject, rule_of
from worker.channels.wecom_external import Attachment, Link, Raw
from worker.domain.content.message import File

LINK = "https://example.com/a"
VALUES: dict[str, Any] = {
    "action": "new",
    "add_user_list": ["a"],
    "appid": "wx0123456789abcdef",
    "aspect_ratio": 1.5,
    "body": {"brand_new": {"field": 1}},
    "border_color": "#112233",
    "chatid": "chat1",
    "description": "four",
    "duplicate_check_interval": 600,
    "fromEmail": "a@example.com",
    "mentioned_mobile_list": ["13800000000"],
    "msgtype": "brand_new",
    "owner": "a",
    "page": "pages/index",
    "pic_url": LINK,
    "picurl": LINK,
    "text_color": "#112233",
    "time": 1_700_000_000,
    "title": "Four words to read"[:8],
    "type": 1,
    "url": LINK,
    "userlist": ["a", "b"],
}
"""Values of fields that take no text or number of any kind."""
NEEDED: dict[str, tuple[str, ...]] = {
    "Button": ("key",),
    "Campaign": ("text",),
    "CardAction": ("type", "url"),
    "CardUpdate": ("replace_name",),
    "ChangeChat": ("name",),
    "ImageTextArea": ("type", "url"),
    "Jump": ("type", "url"),
    "Mail": ("action",),
    "MainTitle": ("title",),
    "NewsArticle": ("url",),
    "NewsNoticeCard": ("card_image",),
    "PopWindow": ("tip",),
    "QuoteArea": ("type", "url"),
    "SysItem": ("text",),
    "TextNoticeCard": ("main_title",),
}
"""Fields that a class needs although each of them may be left out."""


def fields_of(made: type[BaseModel]) -> dict[str, Any]:
    """Returns the fields of the smallest right message or object."""
    filled = getattr(made, "UPLOADED", None)
    needs_file = filled is not None and (filled[0] not in made.model_fields or rule_of(made, filled[0]).required)
    uploads = ("file",) if needs_file else ()
    names = [name for name, field in made.model_fields.items() if field.is_required() or rule_of(made, name).required]
    chosen = dict.fromkeys([*names, *NEEDED.get(made.__name__, ()), *uploads])
    if filled is not None and uploads:
        chosen.pop(filled[0], None)
    return {name: value_of(made, name) for name in chosen}


def value_of(made: type[BaseModel], name: str) -> Any:
    """Returns a right value of a field."""
    allowed, default = rule_of(made, name).allowed, made.model_fields[name].default
    if isinstance(default, str | int):
        return default
    if allowed and isinstance(VALUES.get(name), type(allowed[0])):
        return VALUES[name]
    if allowed:
        return allowed[min(1, len(allowed) - 1)]
    if made is Raw and name == "body":
        return {"text": {"content": "text"}}
    return _value(made.model_fields[name].annotation, name)


def _value(annotation: Any, name: str) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    if get_origin(annotation) is list and name not in VALUES:
        return [_value(get_args(annotation)[0], name)]
    if get_origin(annotation) is dict and name not in VALUES:
        return {}
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, Attachment):
            return Link(**fields_of(Link))
        if isinstance(one, type) and issubclass(one, File):
            return File(b"0123456789", "a.jpg")
        if isinstance(one, type) and issubclass(one, VendorObject):
            return one(**fields_of(one))
    if name in VALUES:
        return VALUES[name]
    return {int: 1, bool: True, float: 1.0}.get(annotation, "text")


def variants(made: type[BaseModel]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the path of each further field, and the fields of a message that has it besides the smallest ones."""
    base = fields_of(made)
    for name in made.model_fields:
        fields = base if name in base else {**base, name: value_of(made, name)}
        if name not in base:
            yield name, fields
        held = fields[name][0] if isinstance(fields[name], list) and fields[name] else fields[name]
        if isinstance(held, VendorObject):
            for path, inner in variants(type(held)):
                is_list = isinstance(fields[name], list)
                value = type(held)(**inner)
                yield f"{name}{'[]' if is_list else ''}.{path}", {**fields, name: [value] if is_list else value}
