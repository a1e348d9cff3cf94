"""Says what is wrong with settings, each in one sentence: mistyped keys and variables, and wrong values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from worker.domain.errors import ConfigurationError

M = TypeVar("M", bound=BaseModel)


_ALTERNATIVE = re.compile(r"constrained-\w+|\w+\[.*\]")
"""What pydantic puts into the path of a value that has several types; no key is written so."""


def validated(kind: type[M], value: Any, *within: str) -> M:
    """Validates a value as a model. Raises ConfigurationError with a sentence that begins with its path."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        sentence = sentence_of(error, kind, *within)
    raise ConfigurationError(sentence)  # outside the handler: pydantic's error may quote what was typed as a secret


def sentence_of(error: ValidationError, kind: type[BaseModel], *within: str) -> str:
    """Returns the first problem of a table as one sentence: key, problem, remedy."""
    errors: list[ErrorDetails] = error.errors(include_url=False, include_input=False)
    # Of a value that may also be a table, what is wrong inside the table that was given.
    beside = [error for error in errors if error["loc"][:1] == errors[0]["loc"][:1]]
    first = max(beside, key=lambda error: len(error["loc"]))
    path = (str(name) for name in first["loc"] if not _ALTERNATIVE.fullmatch(str(name)))
    key = ".".join((*within, *path)) or "settings"
    match first["type"]:
        case "missing":
            text = "is missing; add it"
        case "extra_forbidden":
            table, unknown = _table_and_key(kind, first["loc"])
            text = f"is not a setting; {did_you_mean(unknown, table.model_fields)}"
        case "string_pattern_mismatch" if example := _example(kind, first["loc"]):
            text = f"does not look like {example}; write it in that form"
        case "value_error":
            text = str(first["ctx"]["error"])
        case "literal_error":
            choices = str(first["ctx"]["expected"]).replace(" or ", ", ")
            text = f"has no such value; use one of {choices}"
        case "model_type":
            text = "is not a table; write keys and values below it"
        case _:
            mistake = first["msg"][0].lower() + first["msg"][1:]
            text = f"{mistake}; correct the value"
    more = f" ({len(errors) - 1} more wrong after that)" if len(errors) > 1 else ""
    return f"{key}: {text}{more}"


def _table_and_key(kind: type[BaseModel], path: Sequence[str | int]) -> tuple[type[BaseModel], str]:
    """Returns the innermost table on a path below `kind`, and the last key."""
    *tables, key = map(str, path)
    for name in tables:
        field = kind.model_fields.get(name)
        kind = (field and table_in(field.annotation)) or kind
    return kind, key


def _example(kind: type[BaseModel], path: Sequence[str | int]) -> str | None:
    """Returns the example of a right value that the setting's field has, or None."""
    table, key = _table_and_key(kind, [name for name in path if isinstance(name, str)])
    field = table.model_fields.get(key)
    return str(field.examples[0]) if field and field.examples else None


def table_in(annotation: Any) -> type[BaseModel] | None:
    """Returns the model of a table, of a list of tables or of tables by name, or None for another value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for one in get_args(annotation) if (table := table_in(one)) is not None), None)


def did_you_mean(key: str, allowed: Collection[str]) -> str:
    """Returns the remedy for an unknown key: the most similar allowed key, or the list of all."""
    near = difflib.get_close_matches(key, allowed, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(allowed)}"


# -- variables ---------------------------------------------------------------------------------------------------

PREFIX = "WORKER_"
NO_SETTINGS = ("WORKER_CONFIG", "WORKER_LANG", "WORKER_IMAGE")
"""Our variables that are no setting."""
SIMILARITY = 0.84
"""How similar two names are, out of 1, to count as a typing mistake: they differ by a letter or an underscore."""
_KUBERNETES = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT|PORT)(_\w+)?")
"""What Kubernetes adds for each Service, also for one whose name begins with `worker`."""


def unknown_variables(
    variables: Mapping[str, str], keys: Mapping[str, Collection[str]], file: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yields each unknown variable with the most similar right one, or an empty text.

    `keys` has each key of the settings with the keys below it. The settings' `file` may name any variable as the place
    of a secret, and so may the variables themselves.
    """
    names = [f"{PREFIX}{key.upper()}" for key in keys]
    inner = [f"{PREFIX}{key}__{below}".upper() for key, all_below in keys.items() for below in all_below]
    named = {*_named_variables(file), *(value for name, value in variables.items() if name.upper().endswith("__ENV"))}
    for name in sorted(variables.keys() - named):
        head, separator, rest = name.upper().partition("__")
        is_ours = head in names or head in NO_SETTINGS or _KUBERNETES.fullmatch(head)
        if head.startswith(PREFIX) and not is_ours:
            first = _nearest(head, [*names, *NO_SETTINGS])
            yield name, _nearest(name.upper(), inner) or (first and first + separator + rest)


def _nearest(name: str, allowed: Collection[str]) -> str:
    """Returns the most similar name. The common prefix is not compared."""
    near = difflib.get_close_matches(
        name.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in allowed], 1, SIMILARITY
    )
    return f"{PREFIX}{near[0]}" if near else ""


def _named_variables(value: Any) -> Iterator[str]:
    """Yields the variables that tables name as places, `{ env = "NAME" }`."""
    values = [value]
    for value in values:  # the list grows meanwhile: a file may have thousands of levels
        if isinstance(value, Mapping):
            if isinstance(named := value.get("env"), str):
                yield named
            values += value.values()
        elif isinstance(value, list):
            values += value
