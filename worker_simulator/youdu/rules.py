"""What a message may hold (c01_00003), as a table of the simulator's own: the worker's is not used.

Cuts in silence what the documentation says is cut, and notes what was cut. Does not know recipients.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from worker_simulator.request import Json
from worker_simulator.settings.youdu import YouduSettings
from worker_simulator.youdu.envelope import YouduRefused

MOST_ITEMS = 5
CUT, TOLD = "cut", "told"


@dataclass(frozen=True, slots=True)
class TextField:
    """A field of text: whether it must be there, its most characters, and what happens to more."""

    name: str
    required: bool = False
    most: int | None = None
    beyond: str = CUT


@dataclass(frozen=True, slots=True)
class NumberField:
    """A field that is an integer, and the values it may have."""

    name: str
    required: bool = False
    values: tuple[int, ...] | None = None


@dataclass(slots=True)
class YouduFindings:
    """What was altered in silence, and the media_ids a message shows."""

    settings: YouduSettings
    altered: list[Json] = field(default_factory=list)
    media: list[tuple[str, str]] = field(default_factory=list)
    """Kind of upload and id."""


Field = TextField | NumberField
CONTENT = TextField("content", required=True, most=600)
LINK = (
    TextField("title", required=True, most=64, beyond=TOLD),
    TextField("url", required=True),
    NumberField("action", values=(0, 1)),
)
PLAIN: dict[str, tuple[Field, ...]] = {
    "text": (CONTENT,),
    "image": (TextField("media_id", required=True),),
    "file": (TextField("media_id", required=True),),
    "link": LINK,
    "sms": (TextField("from", required=True), CONTENT),
    "mail": (
        TextField("action"),
        TextField("subject"),
        TextField("fromUser"),
        TextField("fromEmail"),
        NumberField("time"),
        TextField("link"),
        NumberField("unreadCount"),
    ),
}
ITEMS: dict[str, tuple[Field, ...]] = {
    "mpnews": (
        TextField("title", required=True, most=64),
        TextField("media_id", required=True),
        CONTENT,
        TextField("digest", most=120),
        NumberField("showFront", values=(0, 1)),
        TextField("url"),
    ),
    "exlink": (
        TextField("title", required=True, most=64, beyond=TOLD),
        TextField("url", required=True),
        TextField("media_id"),
        TextField("digest", most=120),
        NumberField("link_type"),
        NumberField("date_hide"),
        NumberField("tail_hide"),
        TextField("subtitle"),
        TextField("link_desc"),
    ),
}
MSGTYPES = (*PLAIN, *ITEMS, "sysMsg")
POP_WINDOW: tuple[Field, ...] = (
    *(TextField(name) for name in ("url", "tip", "title", "notice_id")),
    *(NumberField(name) for name in ("width", "height", "duration", "pop_mode")),
    NumberField("position", values=(0, 1, 2, 3, 4)),
)


def shown(msgtype: str, body: Json, found: YouduFindings) -> Any:
    """What people see of a message: the object or array under its type's name, after cuts."""
    content = body.get(msgtype)
    if msgtype in ITEMS:
        if not isinstance(content, list) or not 1 <= len(content) <= MOST_ITEMS:
            raise YouduRefused(found.settings.body_code)
        return [_item(msgtype, n, item, found) for n, item in enumerate(content)]
    if not isinstance(content, dict):
        raise YouduRefused(found.settings.body_code)
    if msgtype == "sysMsg":
        return _system(content, found)
    _note_media(msgtype, content, found)
    return fields(msgtype, content, PLAIN[msgtype], found)


def fields(place: str, content: Any, rules: tuple[Field, ...], found: YouduFindings) -> Json:
    """An object checked by its rules; fields without a rule are not shown."""
    if not isinstance(content, dict):
        raise YouduRefused(found.settings.body_code)
    return dict(_fields(place, content, rules, found))


def _fields(place: str, content: Json, rules: tuple[Field, ...], found: YouduFindings) -> Iterator[tuple[str, Any]]:
    for rule in rules:
        value = content.get(rule.name)
        if value is None or value == "":
            if rule.required:
                raise YouduRefused(found.settings.body_code)
            if value is not None:
                yield rule.name, value
            continue
        yield rule.name, _value(f"{place}.{rule.name}", rule, value, found)


def _value(place: str, rule: Field, value: Any, found: YouduFindings) -> Any:
    if isinstance(rule, NumberField):
        wrong = isinstance(value, bool) or not isinstance(value, int)
        if wrong or (rule.values is not None and value not in rule.values):
            raise YouduRefused(100003)
        return value
    if not isinstance(value, str):
        raise YouduRefused(100003)
    return _within(place, rule, value, found)


def _within(place: str, rule: TextField, value: str, found: YouduFindings) -> str:
    """A text within its length: cut in silence, or shown as it is with a note, or refused by a setting."""
    size = _size(value, found.settings)
    if rule.most is None or size <= rule.most:
        return value
    told = rule.beyond == TOLD
    if told and found.settings.long_title_code:
        raise YouduRefused(found.settings.long_title_code)
    why = "too long, shown" if told else "cut"
    found.altered.append({"field": place, "why": why, "limit": rule.most, "unit": "chars", "size": size})
    return value if told else _cut(value, rule.most, found.settings)


def _size(text: str, settings: YouduSettings) -> int:
    return len(text) if settings.character == "code_point" else len(text.encode("utf-16-le")) // 2


def _cut(text: str, most: int, settings: YouduSettings) -> str:
    if settings.character == "code_point":
        return text[:most]
    return text.encode("utf-16-le")[: 2 * most].decode("utf-16-le", "replace")


def _item(msgtype: str, n: int, item: Any, found: YouduFindings) -> Json:
    seen = fields(f"{msgtype}[{n}]", item, ITEMS[msgtype], found)
    if seen.get("media_id"):
        found.media.append(("image", seen["media_id"]))
    elif msgtype == "exlink":
        code = found.settings.exlink_cover_code if "media_id" in seen else found.settings.body_code
        if code:
            raise YouduRefused(code)
    return seen


def _note_media(msgtype: str, content: Json, found: YouduFindings) -> None:
    if msgtype in ("image", "file") and isinstance(content.get("media_id"), str):
        found.media.append((msgtype, content["media_id"]))


def _system(content: Json, found: YouduFindings) -> Json:
    """A system message: a title, how long it stays, and texts and links in order."""
    msg = content.get("msg")
    if not isinstance(msg, list) or not msg:
        raise YouduRefused(found.settings.body_code)
    title = TextField("title", required=True, most=64, beyond=TOLD)
    seen = fields("sysMsg", content, (title, NumberField("popDuration")), found)
    return {**seen, "msg": [_entry(n, entry, found) for n, entry in enumerate(msg)]}


def _entry(n: int, entry: Any, found: YouduFindings) -> Json:
    if not isinstance(entry, dict) or len(entry) != 1 or not entry.keys() <= {"text", "link"}:
        raise YouduRefused(found.settings.body_code)
    (name, inner), place = next(iter(entry.items())), f"sysMsg.msg[{n}]"
    return {name: fields(f"{place}.{name}", inner, (CONTENT,) if name == "text" else LINK, found)}
