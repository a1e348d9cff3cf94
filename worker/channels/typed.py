"""What typed messages of every channel are made of: silent models, and files in the place of a media_id.

They only hold and lay out values; a channel's `check` says what is wrong with them, all at once. A `repr` or a
validation error of these types never shows a value: what stands in them is message text.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError, WithJsonSchema

from worker.domain.content.message import File, Message
from worker.domain.errors import CheckFailed, Problem

QUIET = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True)

Attached = Annotated[InstanceOf[File], WithJsonSchema({"not": {}, "description": "A file, which JSON cannot hold."})]
"""A file in the place of a media_id; the worker uploads it first."""

NO_FILE: Any = Field(default=None, exclude=True)


if TYPE_CHECKING:  # a type checker reads the fields, as of every model
    from pydantic._internal._model_construction import ModelMetaclass as Checked
else:

    class Checked(type(BaseModel)):
        """Class of the typed messages and objects: wrong arguments are a CheckFailed that names all of them."""

        # Not __init__: pydantic would call it for each nested object, and its error would hide the others.
        def __call__(cls, *args: Any, **fields: Any) -> Any:
            """Makes one; CheckFailed names every wrong argument."""
            try:
                return super().__call__(*args, **fields)
            except ValidationError as error:
                problems = problems_of(error, getattr(cls, "msgtype", ""), getattr(cls, "ENVELOPE", ()))
            # Outside the handler: chained, the error would still hold the message.
            raise CheckFailed(problems)


def problems_of(error: ValidationError, root: str, envelope: Container[object] = ()) -> list[Problem]:
    """Every wrong field by its path, below `root` unless it stands beside that in the envelope; shows no value."""
    problems: list[Problem] = []
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        path = _path("" if one["loc"] and one["loc"][0] in envelope else root, one["loc"])
        problems.append(Problem(path, one["msg"], "use the vendor's fields"))
    return problems


def _path(root: str, loc: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step if step.isidentifier() else '?'}" for step in loc)
    return (root + "".join(steps)).removeprefix(".")


class VendorObject(BaseModel, metaclass=Checked):
    """Base of the objects nested in a message; as silent as the message itself."""

    model_config = QUIET

    UPLOADED: ClassVar[tuple[str, str] | None] = None
    """Field that a `file` beside it fills, and the upload type of that file."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()

    def __str__(self) -> str:
        return repr(self)  # pydantic's own is the list of the values alone


class VendorMessage(Message, metaclass=Checked):
    """Base of a channel's messages; shows no value in its `repr` or in a validation error."""

    model_config = QUIET

    UPLOADED: ClassVar[tuple[str, str] | None] = None
    """See `VendorObject.UPLOADED`."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()

    def __str__(self) -> str:
        return repr(self)  # pydantic's own is the list of the values alone


def plain_value(value: Any) -> Any:
    """A field's value as JSON holds it."""
    if isinstance(value, list):
        return [plain_value(entry) for entry in value]
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, VendorObject) else value


_SCALARS = frozenset({str, int, bool, type(None)})


@cache
def can_hold_files(message: type[VendorMessage]) -> bool:
    """False for a type made of texts and numbers alone."""
    return message.UPLOADED is not None or not all(_is_scalar(one.annotation) for one in message.model_fields.values())


def _is_scalar(annotation: Any) -> bool:
    """Whether a field can hold texts and numbers only; lists and choices of them count too."""
    inner = get_args(annotation)
    return all(map(_is_scalar, inner)) if inner else annotation in _SCALARS


def attached(holder: BaseModel, path: str) -> Iterator[tuple[str, tuple[str, File]]]:
    """Every file below a message or an object: body path of its media_id -> (upload type, file)."""
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
