"""Reads messages out of a vendor's own JSON: one way for all channels. The classes say what is theirs in a body."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType, MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from worker.channels.checking.rules import vendor_code
from worker.channels.typed import Raw, VendorMessage, VendorObject, problems_of, rule_of
from worker.domain.errors import CheckFailed, Problem

T = TypeVar("T", bound=BaseModel)

CARD = "template_card"
"""The type of all cards. Their `card_type` says which one it is."""
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Reads the bodies in which a message's own object has the name of its type."""

    type_field: str
    """The vendor's name of the field that names the type."""
    classes: Mapping[str, type[VendorMessage]]
    """The message classes by type, without cards."""
    ours: frozenset[str]
    """The fields beside the object that belong to the job or the account. They are not read."""
    cards: Mapping[str, type[VendorMessage]] = field(default_factory=dict)
    """The cards by `card_type`."""
    raw: type[Raw] = Raw
    """What a type without a class becomes."""
    code: int | None = None
    """The vendor's code for an unknown type."""
    takes_new_cards: bool = False
    """True if a card without a class may be sent as it is. An application's check refuses it even as a `Raw`, so the
    remedy must not name one."""

    def read(self, body: Mapping[str, Any], options: Mapping[str, Any], *, raw: bool) -> VendorMessage:
        """Returns the typed message of a body, with those of the options that it has.

        With `raw`, a type without a class becomes `Raw`. A type without its object does in any case, and the check
        refuses it. Raises CheckFailed for what does not fit.
        """
        msgtype = body.get(self.type_field)
        if not isinstance(msgtype, str):
            text = f"is missing{vendor_code(self.code)}"
            raise CheckFailed([Problem(self.type_field, text, "name the type of the message")])
        beside = {name: value for name, value in body.items() if name not in self.ours}
        content = beside.pop(msgtype, None)
        message = self.read_object(msgtype, content, beside, options, raw=raw)
        if message is None:
            own = {} if content is None else {msgtype: content}
            return self.raw(msgtype=msgtype, body={**beside, **own}, **_of_class(self.raw, options))
        return message

    def read_object(
        self,
        msgtype: str,
        content: Any,
        beside: Mapping[str, Any] = NOTHING,
        options: Mapping[str, Any] = NOTHING,
        *,
        raw: bool = False,
    ) -> VendorMessage | None:
        """Returns the message of a type's own object and the fields beside it, or None if it has to become `Raw`."""
        if msgtype == CARD and self.cards:
            message_class = self._card_class(content, raw=raw)
        else:
            message_class = self.classes.get(msgtype)
            if message_class is None and not raw:
                known = (*self.classes, *([CARD] if self.cards else ()))
                raise unknown_type(self.type_field, msgtype, known, self.code)
        if message_class is None or not isinstance(content, Mapping | list):
            return None
        refuse_misplaced_fields(message_class, msgtype, NOTHING if isinstance(content, list) else content, beside)
        fields = message_class.fields_of(content)
        if fields is None:
            return None
        values = {**beside, **fields, **_of_class(message_class, options)}
        return validated(message_class, values, msgtype, beside)

    def _card_class(self, content: Any, *, raw: bool) -> type[VendorMessage] | None:
        if not isinstance(content, Mapping):
            return None
        card_class = self.cards.get(str(content.get("card_type")))
        if card_class is None and not self.takes_new_cards:
            names = ", ".join(self.cards)
            text = "is no card type (vendor code 42031)"
            raise CheckFailed([Problem(f"{CARD}.card_type", text, f"use one of {names}")])
        if card_class is None and not raw:
            raise unknown_type(f"{CARD}.card_type", content.get("card_type"), self.cards, 42031)
        return card_class


def _of_class(message_class: type[BaseModel], options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in message_class.model_fields}


def object_of(data: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the object in a JSON text, or the mapping itself. Raises CheckFailed if it is neither."""
    body = data
    if isinstance(data, str | bytes):
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            raise CheckFailed([Problem("body", "is not JSON", "give an object in JSON")]) from None
    if not isinstance(body, Mapping):
        raise CheckFailed([Problem("body", "is not an object", "give the vendor's fields as an object")])
    return body


def unknown_type(path: str, msgtype: object, known: Collection[str], code: int | None = None) -> CheckFailed:
    """Returns the error for a type without a class, which is only sent if the caller says that it is meant."""
    import difflib  # slow to import, and only needed here

    near, types = difflib.get_close_matches(str(msgtype), known, n=1), ", ".join(known)
    remedy = f"use one of {types}; for a newer type raw=True or Raw(...), in a shell --raw"
    if near:
        remedy = f"did you mean {near[0]}? For a newer type use raw=True or Raw(...), in a shell --raw"
    return CheckFailed([Problem(path, f"is not a type that this release knows{vendor_code(code)}", remedy)])


def text_in(body: Mapping[str, Any], name: str) -> str:
    """Returns the text under a name, or an empty one. CheckFailed names anything else."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CheckFailed([Problem(name, "is not a text", 'write it in quotes, several as "a|b"')])
    return value


WITHOUT_EFFECT: tuple[Any, ...] = (None, "", 0, "0", False, [])
"""What SDKs write into fields without an effect."""


def is_without_effect(value: Any, depth: int = 4) -> bool:
    """Returns True for a value that has no effect in any field, such as the empty struct of another type."""
    if isinstance(value, Mapping):
        return depth > 0 and all(is_without_effect(inner, depth - 1) for inner in value.values())
    return any(type(value) is type(one) and value == one for one in WITHOUT_EFFECT)


def validated(message_class: type[T], fields: Mapping[str, Any], root: str, siblings: Container[object] = ()) -> T:
    """Returns a typed message or object. CheckFailed names every wrong field, below `root`, and shows no value.

    Values without an effect, as other SDKs write them, are dropped: those of fields that the type does not have with a
    `UserWarning`, those of its own fields whose row says so in silence. Unknown fields in `siblings` stand next to the
    type's own object.
    """
    try:
        made = message_class.model_validate(dict(fields))
    except ValidationError as error:
        entries = error.errors(include_url=False, include_context=False)
        dropped = [
            one["loc"] for one in entries if one["type"] == "extra_forbidden" and is_without_effect(one["input"])
        ]
        if not dropped:
            raise CheckFailed(problems_of(error, message_class, root)) from None
        for loc in dropped:
            left_out("".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc), root, siblings)
    else:
        dropped = list(_neutral(made))
        if not dropped:
            return made
    for loc in dropped:
        fields = _without(fields, loc)
    return validated(message_class, fields, root, siblings)


def _neutral(holder: BaseModel) -> Iterator[tuple[int | str, ...]]:
    """Yields the place of each value that says nothing by the row of its field, also in nested objects."""
    for name, value in holder.__dict__.items():
        if isinstance(value, VendorObject):
            yield from ((name, *loc) for loc in _neutral(value))
        elif value is not None and not value and rule_of(type(holder), name).neutral:
            yield (name,)
        for n, entry in enumerate(value if isinstance(value, list) else ()):
            if isinstance(entry, VendorObject):
                yield from ((name, n, *loc) for loc in _neutral(entry))


def left_out(path: str, root: str = "", siblings: Container[object] = ()) -> None:
    """Warns the caller of `message_from_json` that a field has no effect."""
    if (name := path.removeprefix(".")) not in siblings:
        name = f"{root}{path}".removeprefix(".")
    frame: FrameType | None = sys._getframe()
    depth = 1
    while frame is not None and frame.f_globals["__name__"].startswith("worker."):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(f"{name}: has no effect here, and is left out", stacklevel=depth)


def _without(tree: Any, loc: Sequence[int | str]) -> Any:
    """Returns a copy without the value at the end of the path."""
    step, rest = loc[0], loc[1:]
    if isinstance(tree, list):
        return [_without(entry, rest) if n == step else entry for n, entry in enumerate(tree)]
    if not rest:
        return {name: value for name, value in tree.items() if name != step}
    return {**tree, step: _without(tree[step], rest)}


def refuse_misplaced_fields(
    message_class: type[VendorObject], msgtype: str, content: Mapping[str, Any], beside: Mapping[str, Any]
) -> None:
    """Raises CheckFailed for fields beside an object that belong into it or are unknown, and the reverse."""
    envelope = message_class.ENVELOPE
    misplaced = [name for name, value in beside.items() if name not in envelope and not is_without_effect(value)]
    misplaced += [name for name in content if name in envelope]
    if misplaced:
        text = f"{msgtype} has no such field here"
        raise CheckFailed([Problem(name, text, "leave it out") for name in misplaced])
