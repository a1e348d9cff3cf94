"""The content of every message type (c01_00003). The worker's own table is deliberately not used.

What the documentation says is cut is cut without an error, and recorded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from worker_simulator.request import Json
from worker_simulator.settings.youdu import YouduSettings
from worker_simulator.youdu.answer import YouduRefused

MAX_ITEMS = 5
CUT, REPORTED = "cut", "told"


@dataclass(frozen=True, slots=True)
class TextField:
    """A text: whether it is required, its maximum length in characters, and what happens to a longer one."""

    name: str
    required: bool = False
    limit: int | None = None
    over: str = CUT


@dataclass(frozen=True, slots=True)
class NumberField:
    """An integer, and the values it may have."""

    name: str
    required: bool = False
    values: tuple[int, ...] | None = None


@dataclass(slots=True)
class YouduFindings:
    """What the checks of a body find: changed fields, and media_ids to look up."""

    settings: YouduSettings
    altered: list[Json] = field(default_factory=list)
    media: list[tuple[str, str]] = field(default_factory=list)
    """Upload type and media_id."""


Field = TextField | NumberField
CONTENT = TextField("content", required=True, limit=600)
LINK = (
    TextField("title", required=True, limit=64, over=REPORTED),
    TextField("url", required=True),
    NumberField("action", values=(0, 1)),
)
OBJECTS: dict[str, tuple[Field, ...]] = {
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
        TextField("title", required=True, limit=64),
        TextField("media_id", required=True),
        CONTENT,
        TextField("digest", limit=120),
        NumberField("showFront", values=(0, 1)),
        TextField("url"),
    ),
    "exlink": (
        TextField("title", required=True, limit=64, over=REPORTED),
        TextField("url", required=True),
        TextField("media_id"),
        TextField("digest", limit=120),
        NumberField("link_type"),
        NumberField("date_hide"),
        NumberField("tail_hide"),
        TextField("subtitle"),
        TextField("link_desc"),
    ),
}
MSGTYPES = (*OBJECTS, *ITEMS, "sysMsg")
POP_WINDOW: tuple[Field, ...] = (
    *(TextField(name) for name in ("url", "tip", "title", "notice_id")),
    *(NumberField(name) for name in ("width", "height", "duration", "pop_mode")),
    NumberField("position", values=(0, 1, 2, 3, 4)),
)


def check_content(msgtype: str, body: Json, findings: YouduFindings) -> Any:
    """Returns the content as people see it: the object or array of the message type, after cuts."""
    content = body.get(msgtype)
    if msgtype in ITEMS:
        if not isinstance(content, list) or not 1 <= len(content) <= MAX_ITEMS:
            raise YouduRefused(findings.settings.body_code)
        return [_item(msgtype, n, item, findings) for n, item in enumerate(content)]
    if not isinstance(content, dict):
        raise YouduRefused(findings.settings.body_code)
    if msgtype == "sysMsg":
        return _system(content, findings)
    _collect_media(msgtype, content, findings)
    return fields(msgtype, content, OBJECTS[msgtype], findings)


def fields(place: str, content: Any, rules: tuple[Field, ...], findings: YouduFindings) -> Json:
    """Returns an object checked by its rules. Fields without a rule are not displayed."""
    if not isinstance(content, dict):
        raise YouduRefused(findings.settings.body_code)
    return dict(_fields(place, content, rules, findings))


def _fields(place: str, content: Json, rules: tuple[Field, ...], findings: YouduFindings) -> Iterator[tuple[str, Any]]:
    for rule in rules:
        value = content.get(rule.name)
        if value is None or value == "":
            if rule.required:
                raise YouduRefused(findings.settings.body_code)
            if value is not None:
                yield rule.name, value
            continue
        yield rule.name, _value(f"{place}.{rule.name}", rule, value, findings)


def _value(place: str, rule: Field, value: Any, findings: YouduFindings) -> Any:
    if isinstance(rule, NumberField):
        is_wrong_type = isinstance(value, bool) or not isinstance(value, int)
        if is_wrong_type or (rule.values is not None and value not in rule.values):
            raise YouduRefused(100003)
        return value
    if not isinstance(value, str):
        raise YouduRefused(100003)
    return _limited(place, rule, value, findings)


def _limited(place: str, rule: TextField, value: str, findings: YouduFindings) -> str:
    """Returns a text of limited length. A longer one is cut, or displayed and recorded, or refused by a setting."""
    size = _size(value, findings.settings)
    if rule.limit is None or size <= rule.limit:
        return value
    is_reported = rule.over == REPORTED
    if is_reported and findings.settings.long_title_code:
        raise YouduRefused(findings.settings.long_title_code)
    why = "too long, shown" if is_reported else "cut"
    findings.altered.append({"field": place, "why": why, "limit": rule.limit, "unit": "chars", "size": size})
    return value if is_reported else _cut(value, rule.limit, findings.settings)


def _size(text: str, settings: YouduSettings) -> int:
    return len(text) if settings.character == "code_point" else len(text.encode("utf-16-le")) // 2


def _cut(text: str, limit: int, settings: YouduSettings) -> str:
    if settings.character == "code_point":
        return text[:limit]
    return text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "replace")


def _item(msgtype: str, n: int, item: Any, findings: YouduFindings) -> Json:
    fields_shown = fields(f"{msgtype}[{n}]", item, ITEMS[msgtype], findings)
    if fields_shown.get("media_id"):
        findings.media.append(("image", fields_shown["media_id"]))
    elif msgtype == "exlink":
        code = findings.settings.exlink_cover_code if "media_id" in fields_shown else findings.settings.body_code
        if code:
            raise YouduRefused(code)
    return fields_shown


def _collect_media(msgtype: str, content: Json, findings: YouduFindings) -> None:
    if msgtype in ("image", "file") and isinstance(content.get("media_id"), str):
        findings.media.append((msgtype, content["media_id"]))


def _system(content: Json, findings: YouduFindings) -> Json:
    """Returns a system message: a title, how long it is displayed, and texts and links in order."""
    msg = content.get("msg")
    if not isinstance(msg, list) or not msg:
        raise YouduRefused(findings.settings.body_code)
    title = TextField("title", required=True, limit=64, over=REPORTED)
    fields_shown = fields("sysMsg", content, (title, NumberField("popDuration")), findings)
    return {**fields_shown, "msg": [_entry(n, entry, findings) for n, entry in enumerate(msg)]}


def _entry(n: int, entry: Any, findings: YouduFindings) -> Json:
    if not isinstance(entry, dict) or len(entry) != 1 or not entry.keys() <= {"text", "link"}:
        raise YouduRefused(findings.settings.body_code)
    (name, inner), place = next(iter(entry.items())), f"sysMsg.msg[{n}]"
    return {name: fields(f"{place}.{name}", inner, (CONTENT,) if name == "text" else LINK, findings)}
