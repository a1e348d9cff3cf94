"""The base of every channel's typed messages: models, their rows, files in place of a media_id, JSON.

They only hold and lay out values, and a channel's `check` finds what is wrong, all at once. A `repr` or a validation
error of these types never shows a value, because the values are message text.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError
from pydantic_core import ErrorDetails

from worker.channels.checking.row import FieldRule, Row, changed
from worker.channels.checking.rules import below, wrong_type
from worker.domain.content.message import File, Message
from worker.domain.errors import CheckFailed, Problem

# A producer imports all messages of a channel and uses a few, so each model is built on first use.
QUIET = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True, defer_build=True)

Attached = InstanceOf[File]
"""A file in place of a media_id. The worker uploads it first."""

NO_FILE: Any = Field(default=None, exclude=True)

if TYPE_CHECKING:  # a type checker reads the fields, as of every model
    from pydantic._internal._model_construction import ModelMetaclass as Checked
else:

    class Checked(type(BaseModel)):
        """Metaclass of the typed messages and objects. Wrong arguments raise one CheckFailed that names all of them."""

        # Not __init__: pydantic would call it for each nested object, and its error would hide the others.
        def __call__(cls, *values: Any, **fields: Any) -> Any:
            """Creates an instance. CheckFailed names every wrong argument."""
            if values:
                fields = {**_by_name(cls, values, fields), **fields}
            try:
                return super().__call__(**fields)
            except ValidationError as error:
                problems = problems_of(error, cls, getattr(cls, "msgtype", ""), getattr(cls, "ENVELOPE", ()))
            # Raised outside the handler: a chained error would still hold the message.
            raise CheckFailed(problems)


def _by_name(cls: type[BaseModel], values: tuple[Any, ...], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the field of a positional value. Only a message with a single required field accepts one."""
    required = [name for name, field in cls.model_fields.items() if field.is_required()]
    if len(values) == 1 == len(required) and issubclass(cls, Message) and required[0] not in fields:
        return {required[0]: values[0]}
    others = (name for name in cls.model_fields if name not in getattr(cls, "OPTIONS", ()))
    example = ", ".join(f"{name}=..." for name in required or [next(others)])
    raise TypeError(f"{cls.__name__} takes its fields by name: {cls.__name__}({example})")


def problems_of(
    error: ValidationError, cls: type[BaseModel], root: str, envelope: Container[object] = ()
) -> list[Problem]:
    """Returns every wrong field by its path, below `root` unless it belongs to the envelope. Shows no value."""
    problems: dict[str, Problem] = {}
    for one in error.errors(include_input=False, include_url=False):
        loc = [step for step in one["loc"] if not _ALTERNATIVE.fullmatch(str(step))]
        steps = (f"[{step}]" if isinstance(step, int) else f".{step if step.isidentifier() else '?'}" for step in loc)
        path = (("" if loc and loc[0] in envelope else root) + "".join(steps)).removeprefix(".")
        text, remedy = _said(one, cls, loc)
        # Of a value that has several types only the first is told.
        problems.setdefault(path if len(loc) == len(one["loc"]) else str(loc[0]), Problem(path, text, remedy))
    return list(problems.values())


_ALTERNATIVE = re.compile(r"str|[\w-]+\[.*\]")
"""What pydantic puts into the path of a value that has several types."""
_KINDS: Mapping[str, type] = {
    "string": str,
    "int": int,
    "bool": bool,
    "float": float,
    "finite": float,
    "list": list,
    "dict": dict,
    "mapping": dict,
}
"""The JSON type that an error of pydantic asks for, by the first word of the error's type."""
_EXAMPLES = {
    "File": 'use File.at("a.pdf"), File(b"...", "a.pdf") or File.from_url("https://...")',
    "AppCard": "use a card, such as ButtonCard(...) or TextNoticeCard(...)",
    "Attachment": "use one of external's Image, Link, MiniProgram, Video, File",
}


def _said(error: ErrorDetails, cls: type[BaseModel], loc: Sequence[int | str]) -> tuple[str, str]:
    """Returns what is wrong with a value, and what to write, in words of ours."""
    kind, context = error["type"], error.get("ctx", {})
    match kind:
        case "missing":
            return "is missing", "give it a value"
        case "extra_forbidden":
            holder = _holder(cls, loc[:-1])
            return f"{holder.__name__} has no such field", _nearest_field(str(loc[-1]), holder)
        case "model_type" | "is_instance_of":
            name = context.get("class_name") or context["class"]
            return f"is no {name}", _EXAMPLES.get(name, f"use {name}(...)")
        case "value_error":
            return str(context["error"]), "use the vendor's fields"
    wanted = _KINDS.get(kind.partition("_")[0])
    return error["msg"] if wanted is None else wrong_type(wanted), "use the vendor's type"


def _holder(cls: type[BaseModel], steps: Iterable[int | str]) -> type[BaseModel]:
    """Returns the object at a path of fields."""
    for step in steps:
        if isinstance(step, str) and step in cls.model_fields:
            cls = _shape(cls.model_fields[step].annotation)[1] or cls
    return cls


def _nearest_field(name: str, holder: type[BaseModel]) -> str:
    """Returns the remedy for an unknown field: the one that may be meant, and all there are."""
    import difflib  # slow to import, and only needed here

    fields = sorted(holder.model_fields, key=lambda one: one in getattr(holder, "OPTIONS", ()))  # its own first
    near, names = difflib.get_close_matches(name, fields, n=1), ", ".join(fields)
    if near:
        return f"did you mean {near[0]}? Its fields are {names}"
    return f"use one of {names}"


class VendorObject(BaseModel, metaclass=Checked):
    """Base of the objects inside a message. Shows no value in its `repr` or in a validation error."""

    model_config = QUIET

    UPLOADED: ClassVar[tuple[str, str] | None] = None
    """The field that a sibling `file` fills, and the upload type of that file."""
    ENVELOPE: ClassVar[tuple[str, ...]] = ()
    """Fields that stand next to the type's own object."""
    NAMES: ClassVar[Mapping[str, str]] = {}
    """The vendor's names of fields that cannot be names in Python."""
    OPTIONS: ClassVar[tuple[str, ...]] = ()
    """Fields that are not part of the vendor's body."""
    ROWS: ClassVar[tuple[Row, ...]] = ()
    """Rows in addition to those of the fields."""
    CHANGES: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What differs here from the rows of the base classes and of the nested objects, by path."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()

    def __str__(self) -> str:
        return repr(self)  # pydantic's own is the list of the values alone


class VendorMessage(VendorObject, Message):
    """Base of a channel's messages. Shows no value, like the objects in it."""

    @classmethod
    def fields_of(cls, content: Any) -> Mapping[str, Any] | None:
        """Returns the fields in the vendor's own object of this type, or None if `content` is no such object."""
        return content if isinstance(content, Mapping) else None


class PlainMessage(VendorMessage):
    """Base of the messages whose body has one object named like their type."""

    msgtype: ClassVar[str]
    """The vendor's name of the type."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`. Fields without a value are left out."""
        content: dict[str, Any] = {}
        body: dict[str, Any] = {self.msgtype: content}
        for name, value in self.__dict__.items():
            if value is not None and name != "file" and name not in self.OPTIONS:
                (body if name in self.ENVELOPE else content)[self.NAMES.get(name, name)] = plain_value(value)
        return {"type": self.msgtype, "body": body}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return dict(attached(self, self.msgtype)) if can_hold_files(type(self)) else {}


class Raw(VendorMessage):
    """A vendor body we do not model: everything beside the type and the recipients."""

    msgtype: str
    """The vendor's name of the type; `body` has an object (in Youdu perhaps an array) under the same name."""
    body: dict[str, Any]
    """The fields beside the recipients, such as `{"markdown": {"content": "..."}}`."""
    attachments: dict[str, tuple[str, InstanceOf[File]]] = Field(default_factory=dict, alias="files")
    """`files=`: body path (`mpnews.articles.0.thumb_media_id`) -> (upload type, file)."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": self.msgtype, "body": dict(self.body)}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return self.attachments


class Upload(VendorMessage):
    """The message of an upload job. Its receipt is a media_id, or for `uploadimg` a picture's URL that never ends.

    A media_id lives 3 days in WeCom, for every app of the corp (pages 90253 上传临时素材, 90256 上传图片) or for its
    webhook's key alone (webhook/upload_media). How long one of Youdu lives is not documented (c01_00017).
    """

    file: InstanceOf[File]
    """More than 5 bytes; to Youdu not empty and at most `upload_max_bytes` of the account (100 MiB, ours). Members see
    its name, in WeCom without `" \\ / :` and line ends."""
    upload_type: str = "file"
    """For WeCom's applications and group sends `image` (JPG, PNG, 10 MB), `voice` (AMR, 2 MB, 60 s), `video` (MP4,
    10 MB), `file` (any, 20 MB), `uploadimg` (a picture of 2 MB for mpnews content; 1000 a day and 3000 a month per
    corp); for a webhook `file` and `voice`. Other: 40005. For Youdu `image` (jpg, png, gif), `file`, `voice` (amr),
    `video` (mp4). Other: 200009."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; all of an upload is in `files`."""
        return {"type": "upload"}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return {"media": (self.upload_type, self.file)}


def plain_value(value: Any) -> Any:
    """Returns a field's value as JSON."""
    if isinstance(value, list):
        return [plain_value(entry) for entry in value]
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, VendorObject) else value


@cache
def rows_of(message_class: type[VendorObject], at: str = "") -> tuple[Row, ...]:
    """Returns the vendor's field table of a message or an object: a row for each field, also of nested objects.

    `at` is the path of the object, or empty if the table describes the object itself.
    """
    rows: list[Row] = []
    for name, field in message_class.model_fields.items():
        if name not in ("file", *message_class.ENVELOPE, *message_class.OPTIONS):
            path = message_class.NAMES.get(name, name)
            kind, inner, strings = _shape(field.annotation)
            row = rule_of(message_class, name)
            required = row.required or field.is_required()
            rows.append(replace(row, path=path, type=kind, required=required, strings=strings))
            rows += () if inner is None else rows_of(inner, f"{path}[]" if kind is list else path)
    bases = [vars(base) for base in reversed(message_class.__mro__)]
    rows += [row for base in bases for row in base.get("ROWS", ())]
    changes: dict[str, dict[str, Any]] = {}
    for path, values in (pair for base in bases for pair in base.get("CHANGES", {}).items()):
        changes[path] = {**changes.get(path, {}), **values}
    return tuple(_placed(row, at) for row in changed(rows, changes))


def rule_of(message_class: type[BaseModel], name: str) -> FieldRule:
    """Returns the row of a field, without its type and whether it is required."""
    return next((one for one in message_class.model_fields[name].metadata if isinstance(one, FieldRule)), FieldRule())


def _placed(row: Row, at: str) -> Row:
    if not at:
        return row
    if isinstance(row, FieldRule):
        return replace(row, path=below(at, row.path))
    return replace(row, at=below(at, row.at) if row.at else at)


def _shape(annotation: Any) -> tuple[type, type[VendorObject] | None, bool]:
    """Returns the JSON type of a field, the object in it or in its list, and whether it is a list of strings."""
    is_choice = get_origin(annotation) in (Union, UnionType)
    (kept,) = [one for one in get_args(annotation) if one is not NoneType] if is_choice else [annotation]
    if get_origin(kept) is list:
        (entry,) = get_args(kept)
        return list, entry if issubclass(entry, VendorObject) else None, entry is str
    return (dict, kept, False) if issubclass(kept, VendorObject) else (kept, None, False)


_SCALARS = frozenset({str, int, float, bool, type(None)})


@cache
def can_hold_files(message: type[VendorMessage]) -> bool:
    """Returns False for a type that has only texts and numbers."""
    return message.UPLOADED is not None or not all(_is_scalar(one.annotation) for one in message.model_fields.values())


def _is_scalar(annotation: Any) -> bool:
    """Returns True if a field holds only texts and numbers, or lists and choices of them."""
    inner = get_args(annotation)
    return all(map(_is_scalar, inner)) if inner else annotation in _SCALARS


def attached(holder: BaseModel, path: str) -> Iterator[tuple[str, tuple[str, File]]]:
    """Yields every file below a message or an object: body path of its media_id to (upload type, file)."""
    uploaded, file = getattr(holder, "UPLOADED", None), getattr(holder, "file", None)
    if uploaded and file is not None:
        yield f"{path}.{uploaded[0]}", (uploaded[1], file)
    for name, inner in holder.__dict__.items():
        if isinstance(inner, VendorObject):
            yield from attached(inner, f"{path}.{name}")
        elif isinstance(inner, list):
            for i, entry in enumerate(inner):
                if isinstance(entry, VendorObject):
                    yield from attached(entry, f"{path}.{name}.{i}")
