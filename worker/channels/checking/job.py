"""What is checked of a job alike in every channel: everything of its kind at once, its body, the file of an upload."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from worker.channels.checking import plain
from worker.domain.errors import Problem
from worker.domain.job import Draft

Checks = Mapping[str, tuple[Callable[[Draft], Iterable[Problem]], ...]]
"""The checks of each kind of job."""

MSGTYPE = re.compile(r"[0-9A-Za-z_]{1,64}")
"""The name of a message type; another is not quoted."""


def found_by(checks: Checks, draft: Draft) -> list[Problem]:
    """Every wrong field of the job, each problem once."""
    ours = checks.get(draft.kind)
    if ours is None:
        return [Problem("kind", "this channel does not know it", f"use one of {', '.join(checks)}")]
    return list(dict.fromkeys(problem for check in ours for problem in check(draft)))


def body_problems(draft: Draft, ours: Collection[str], code: int | None = plain.ESCAPES) -> Iterator[Problem]:
    """A body that is no object or cannot be sent, and fields in it that only the worker sets (`ours`)."""
    body = draft.message.get("body")
    if not isinstance(body, Mapping):
        yield Problem("body", "is not an object", "give the vendor's fields as a dict")
        return
    yield from plain.unfit("", body, code)
    yield from plain.unfit("pieces", draft.message.get("pieces"), code)
    for name in sorted(name for name in body if name in ours):
        yield Problem(name, "is set by the worker", "leave it out of the body")


def no_object(draft: Draft, field: str = "msgtype", what: str = "an object") -> Problem:
    """The problem of a body without what should stand under its type's name."""
    msgtype = str(draft.message.get("type"))
    shown = msgtype if MSGTYPE.fullmatch(msgtype) else field
    return Problem(f"body.{shown}", "is missing", f"the body needs {what} named like its {field}")


def upload_problems(draft: Draft, of_file: Callable[[str, Mapping[str, Any]], Iterable[Problem]]) -> Iterator[Problem]:
    """An upload without its file, or what `of_file` finds wrong with it."""
    file = (draft.message.get("files") or {}).get("media")
    if file is None:
        yield Problem("media", "there is no file", "use Upload(file=..., upload_type=...)")
    else:
        yield from of_file("media", file)
