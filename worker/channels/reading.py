"""Messages out of JSON: what the reading of every channel has in common. Knows no vendor field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from worker.channels.typed import problems_of
from worker.domain.errors import CheckFailed, Problem

T = TypeVar("T", bound=BaseModel)


def object_of(data: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    """The object in a text of JSON, or the mapping as it was given; CheckFailed when it is neither."""
    body = data
    if isinstance(data, str | bytes):
        try:
            body = json.loads(data)
        except ValueError:
            raise CheckFailed([Problem("body", "is not JSON", "give an object in JSON")]) from None
    if not isinstance(body, Mapping):
        raise CheckFailed([Problem("body", "is not an object", "give the vendor's fields as an object")])
    return body


def validated(made: type[T], fields: Mapping[str, Any], root: str) -> T:
    """A typed message or object; CheckFailed names every field that does not fit, below `root`, and shows no value."""
    try:
        return made.model_validate(dict(fields))
    except ValidationError as error:
        problems = problems_of(error, root)
    raise CheckFailed(problems)
