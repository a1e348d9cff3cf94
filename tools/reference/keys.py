"""Every key of the settings as a value, out of the models that judge them."""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tools.reference.attribute import attribute_docs
from worker.config.account_settings import AccountSettings, StagingSettings
from worker.config.places import SecretFrom, UrlFrom

PLACES: tuple[type[BaseModel], ...] = (UrlFrom, SecretFrom)
"""Forms of a value, told once; all other models are tables."""
CHANNEL_KEYS = Path(__file__).parent / "channel_keys.toml"
NAMES = {"accounts": "NAME", "users": "NAME", "levels": "NAME", "limits": "LIMIT"}
"""What stands for the name in a table of tables."""
UNITS = {"_s": "seconds", "_days": "days"}
BOUNDS = {"gt": "above {}", "ge": "at least {}", "lt": "below {}", "le": "at most {}", "min_length": "at least {} long"}


@dataclass(frozen=True, slots=True)
class Phrase:
    """A piece of what is said about a value, and what is put into it; a tuple is listed."""

    text: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """One key, or the form of a value."""

    name: str
    """With the tables around it, such as `accounts.NAME.weight`."""
    shape: tuple[Phrase, ...]
    """Type, unit and bounds."""
    default: Any
    """`...`: there is none, it is required."""
    meaning: str


def keys(model: type[BaseModel], within: str = "") -> Iterator[Key]:
    """The keys of a table, with those of the tables inside it."""
    docs = attribute_docs(model)
    for name, field in model.model_fields.items():
        if name == "given":  # what no file can say
            continue
        path = f"{within}{name}"
        if (table := _table(field.annotation)) is not None:
            yield from _inside(path, name, table, field, docs.get(name, ""))
        else:
            default = ... if field.is_required() else field.get_default(call_default_factory=True)
            yield Key(path, tuple(_shape(name, field)), default, docs.get(name, ""))


def account_keys() -> list[Key]:
    """The keys that accounts of every channel have."""
    return [*keys(AccountSettings, "accounts.NAME."), *channel_keys("every")]


def channel_keys(channel: str) -> list[Key]:
    """The keys that only accounts of one channel have; of `every` channel those that no model judges."""
    told = tomllib.loads(CHANNEL_KEYS.read_text(encoding="utf-8"))[channel]
    return [
        Key(
            f"accounts.NAME.{name}",
            (Phrase(one["type"]),),
            ... if one.get("required") else one.get("default"),
            one["meaning"],
        )
        for name, one in told.items()
    ]


def places() -> list[Key]:
    """The forms of a URL and of a secret."""
    return [key for place, of in ((UrlFrom, "URL."), (SecretFrom, "SECRET.")) for key in keys(place, of)]


def _inside(path: str, name: str, table: type[BaseModel], field: FieldInfo, meaning: str) -> Iterator[Key]:
    """A table's own row, where it may be left out or repeated, and the rows of what is in it."""
    if typing.get_origin(field.annotation) in (tuple, list):
        yield Key(path, (Phrase("list of tables"),), field.get_default(call_default_factory=True), meaning)
        yield from keys(table, f"{path}[].")
        return
    if typing.get_origin(field.annotation) is dict:
        yield Key(path, (Phrase("tables by name"),), {}, meaning)
        yield from keys(table, f"{path}.{NAMES[name]}.")
        return
    if type(None) in typing.get_args(field.annotation):
        yield Key(path, (Phrase("table"),), None, meaning)
        if table is StagingSettings:  # of an account, whose keys are those of [staging]
            return
    yield from keys(table, f"{path}.")


def _table(annotation: Any) -> type[BaseModel] | None:
    """The model of a table, of a list of tables or of tables by name; None: it is a value."""
    for one in (annotation, *typing.get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel) and one not in PLACES:
            return one
    return None


def _shape(name: str, field: FieldInfo) -> Iterator[Phrase]:
    unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), None)
    if unit is not None:
        yield Phrase(unit)
    else:
        yield _type(field.annotation)
    yield from _bounds(field.metadata)


def _bounds(metadata: list[Any]) -> Iterator[Phrase]:
    for one in metadata:
        for bound, text in BOUNDS.items():
            if (value := getattr(one, bound, None)) is not None:
                yield Phrase(text, (value,))


def _type(annotation: Any) -> Phrase:
    """A type in words."""
    inner, origin = typing.get_args(annotation), typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _type(inner[0])
    if origin in (typing.Union, types.UnionType):
        first, *more = [one for one in inner if one is not type(None)]
        if not more:
            return _type(first)
        named = typing.get_origin(more[0]) is dict
        return Phrase("number, or numbers by name") if named else Phrase("whole number, or {}", (_listed(more[0]),))
    if origin is Literal:
        return Phrase("one of {}", (_listed(annotation),))
    if origin is dict:
        values = inner[1]
        if typing.get_origin(values) is Literal:
            return Phrase("by name, one of {}", (_listed(values),))
        return Phrase(_BY_NAME.get(values, "whole numbers by name"))
    if origin in (tuple, list):
        return Phrase("list of texts")
    return Phrase(_WORDS[annotation])


def _listed(literal: Any) -> tuple[str, ...]:
    return tuple(f"`{one}`" for one in typing.get_args(literal))


_BY_NAME: dict[Any, str] = {
    Any: "table",
    str: "texts by name",
    float: "numbers by name",
    list[str]: "lists of texts by name",
}
_WORDS: dict[Any, str] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    UrlFrom: "URL, or its place",
    SecretFrom: "place of a secret",
}
