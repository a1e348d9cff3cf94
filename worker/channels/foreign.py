"""Finds what of a new message belongs to another channel: its class, or a field.

A message of another channel is taken if this channel has a class of the same type, with every field that is set. A
field that only another channel has is refused, because the vendor would leave it out in silence: a `safe` = 1 that
it does not read protects nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from worker.channels.base import Channel
from worker.channels.registry import channel
from worker.channels.typed import PlainMessage, VendorMessage, VendorObject
from worker.config.channels import REGISTRY, ChannelEntry, entry_of, outside_entries
from worker.domain.content.message import Message
from worker.domain.errors import Problem
from worker.domain.job import Draft


@cache
def home_of(message_class: type[object]) -> str | None:
    """Returns the channel whose class, or whose class's subclass, this is. None: it is of all channels or of none."""
    modules = [base.__module__ for base in message_class.__mro__]
    for module in modules:
        for name, entry in REGISTRY.items():
            if module.startswith(f"{entry.package}."):
                return name
    roots = [module.partition(".")[0] for module in modules]
    if not set(roots) - OUR_ROOTS:
        return None
    outside = [(name, entry.package.partition(".")[0]) for name, entry in outside_entries().items()]
    return next((name for root in roots for name, package in outside if package == root), None)


OUR_ROOTS = frozenset({"worker", "pydantic", "builtins"})
"""The packages of the classes that a message of ours inherits."""


@cache
def messages(name: str) -> Mapping[str, type[VendorObject]]:
    """Returns the public message classes of a channel by their type: a card's `card_type`, `msgtype`, or the name."""
    package = importlib.import_module(_entry(name).package)
    classes = [one for one in vars(package).values() if isinstance(one, type) and issubclass(one, VendorMessage)]
    return {_type_of(one): one for one in classes if one not in (PlainMessage, VendorMessage)}


def _type_of(message_class: type[object]) -> str:
    named = (getattr(message_class, name, None) for name in ("card_type", "msgtype"))
    return str(next((one for one in named if one), message_class.__name__))


def _entry(name: str) -> ChannelEntry:
    entry = entry_of(name)
    assert entry is not None
    return entry


def public_name(name: str, message_class: type[object]) -> str:
    """Returns how an application writes a class of this channel: `webhook.Text`."""
    module = _entry(name).public_module
    return message_class.__name__ if module in (None, "wecom_app") else f"{module}.{message_class.__name__}"


def class_problems(vendor: Channel, message: Message, kind: str) -> Iterator[Problem]:
    """Finds a class that the channel has not, and each field and option that is set and that it does not know."""
    made, home = type(message), home_of(type(message))
    unused = vendor.unused_options.get(kind, frozenset())
    if isinstance(message, BaseModel):
        for name in sorted(message.model_fields_set & unused):
            if getattr(message, name):
                yield Problem(name, f"a {kind} has no such option", "leave it out")
    if home is None or home == vendor.name or vendor.bodies is None:
        return
    own, theirs = messages(vendor.name).get(_type_of(made)), public_name(home, made)
    if own is None or _required(own) != _required(made):
        text = f"{theirs} is a message of {home}, and {vendor.name} has none of its type"
        yield Problem("message", text, instead_of(vendor, made))
        return
    ours, remedy = public_name(vendor.name, own), f"leave it out, or send the message through an account of {home}"
    for path in _fields_without_place(message, own, ""):
        yield Problem(path, f"{ours} of {vendor.name} has no such field", remedy)
    if getattr(message, "UPLOADED", None) != own.UPLOADED and getattr(message, "file", None):
        text = f"{theirs} of {home} has its file at another place"
        yield Problem("message", text, instead_of(vendor, made))


def instead_of(vendor: Channel, message_class: type[object]) -> str:
    """Returns the remedy that names the classes of a channel which come nearest to one of another channel."""
    own = {one.__name__: public_name(vendor.name, one) for one in messages(vendor.name).values()}
    name = message_class.__name__
    class_names = vendor.instead.get(name) or ([name] if name in own else vendor.instead.get("", ()))
    nearest = [own[class_name] for class_name in class_names if class_name in own] or sorted(own.values())
    names = ", ".join(nearest)
    return f"use one of {names}" if len(nearest) > 1 else f"use {names}"


def _required(message_class: type[BaseModel]) -> set[str]:
    return {name for name, field in message_class.model_fields.items() if field.is_required()}


def _fields_without_place(value: Any, own: type[VendorObject], at: str) -> Iterator[str]:
    """Yields the path of each field that is set in a message or an object and that `own` has not."""
    if (agentid := vars(value).get("_agentid")) is not None and agentid != "" and not hasattr(own, "_agentid"):
        yield "agentid"
    for name in sorted(value.model_fields_set):
        entry = getattr(value, name)
        if entry is None:
            continue
        path = f"{at}.{name}" if at else name
        if name not in own.model_fields:
            yield path
            continue
        entries = [(f"{path}[{n}]", one) for n, one in enumerate(entry)] if isinstance(entry, list) else [(path, entry)]
        for place, one in entries:
            if isinstance(one, VendorObject) and (inner := _object_in(own.model_fields[name].annotation)) is not None:
                yield from _fields_without_place(one, inner, place)


def _object_in(annotation: Any) -> type[VendorObject] | None:
    """Returns the object that a field, or a list in it, holds."""
    if isinstance(annotation, type) and issubclass(annotation, VendorObject):
        return annotation
    inner = (_object_in(one) for one in getattr(annotation, "__args__", ()))
    return next((one for one in inner if one is not None), None)


def beside_problems(vendor: Channel, draft: Draft) -> Iterator[Problem]:
    """Finds fields beside the message's own object that only other channels have, also in a `Raw`."""
    body = draft.message.get("body") if draft.kind in vendor.sends else None
    if not isinstance(body, Mapping) or len(body) < 2:
        return
    for name in sorted(str(name) for name in body.keys() - vendor.beside):
        if homes := [other for other, names in _beside().items() if name in names]:
            text = f"{vendor.name} has no such field beside a message"
            yield Problem(name, text, f"leave it out, or send the message through an account of {homes[0]}")


@cache
def _beside() -> Mapping[str, frozenset[str]]:
    return {name: channel(name).beside for name in REGISTRY}
