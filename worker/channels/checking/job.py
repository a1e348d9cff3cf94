"""Checks that every channel shares: the type of a job, its body, its files and their paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from worker.channels.checking import plain, rules
from worker.channels.checking.row import FieldRule, Row
from worker.domain.content.web import UnusableAddress, web_address
from worker.domain.errors import Problem
from worker.domain.job import Draft

Checks = Mapping[str, tuple[Callable[[Draft], Iterable[Problem]], ...]]
"""The checks of each kind of job."""

MSGTYPE = re.compile(r"[0-9A-Za-z_]{1,64}")
"""The name of a message type. Anything else is not quoted."""


def type_problems(
    draft: Draft, field: str, not_sent: Collection[str], remedy: str, code: int | None = None
) -> Iterator[Problem]:
    """Finds a type that is no valid name, or that only other kinds of jobs have (`not_sent`)."""
    msgtype = draft.message.get("type")
    if not isinstance(msgtype, str) or not MSGTYPE.fullmatch(msgtype):
        yield Problem(field, f"is not the name of a message type{rules.vendor_code(code)}", "use the vendor's name")
    elif msgtype in not_sent:
        yield Problem(field, "is not a message to send", remedy)


def body_problems(draft: Draft, ours: Collection[str], code: int | None = plain.ESCAPES) -> Iterator[Problem]:
    """Finds a body that is no object or cannot be sent, and fields that only the worker may set (`ours`)."""
    body = draft.message.get("body")
    if not isinstance(body, Mapping):
        yield Problem("body", "is not an object", "give the vendor's fields as a dict")
        return
    yield from plain.unfit("", body, code)
    yield from plain.unfit("pieces", draft.message.get("pieces"), code)
    for name in sorted(name for name in body if name in ours):
        yield Problem(name, "is set by the worker", "leave it out of the body")


def no_object(draft: Draft, field: str = "msgtype", what: str = "an object") -> Problem:
    """Returns the problem of a body without an object under its type's name."""
    msgtype = str(draft.message.get("type"))
    shown = msgtype if MSGTYPE.fullmatch(msgtype) else field
    return Problem(f"body.{shown}", "is missing", f"the body needs {what} named like its {field}")


def upload_problems(draft: Draft, of_file: Callable[[str, Mapping[str, Any]], Iterable[Problem]]) -> Iterator[Problem]:
    """Finds a missing file of an upload, or what `of_file` finds wrong with it."""
    file = (draft.message.get("files") or {}).get("media")
    if file is None:
        yield Problem("media", "there is no file", "use Upload(file=..., upload_type=...)")
    else:
        yield from of_file("media", file)


SPLIT_FIELD = "content"
"""The field of WeCom's texts and markdowns that can be split into several messages."""


def put(tree: Any, steps: list[str], value: str | None) -> Any:
    """Returns a copy of `tree` with `value` at the end of the path. It is shallow outside the path."""
    if not steps:
        return value
    if isinstance(tree, list):
        place = int(steps[0])
        return [*tree[:place], put(tree[place], steps[1:], value), *tree[place + 1 :]]
    return {**tree, steps[0]: put(tree.get(steps[0]), steps[1:], value)}


def content_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns the object named like the message's type, or None."""
    body = document.get("body")
    content = body.get(document.get("type")) if isinstance(body, Mapping) else None
    return content if isinstance(content, Mapping) else None


def contents(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yields the object of the message's type: once, or once for each piece of a split text."""
    content = content_of(document)
    if content is None:
        return
    if "pieces" in document:
        yield from ({**content, SPLIT_FIELD: piece} for piece in document["pieces"])
    else:
        yield content


def file_places(root: str, content: Mapping[str, Any], rows: Iterable[Row]) -> dict[str, str]:
    """Returns the paths at which a file can stand in an object, each with the upload type it must have."""
    return {
        rules.dotted(path): row.media
        for row in rows
        if isinstance(row, FieldRule) and row.media
        for path, _, _ in rules.places(root, content, row.path)
    }


def misplaced(
    message: Mapping[str, Any],
    path: str,
    file: Mapping[str, Any],
    wanted: Mapping[str, str],
    types: Collection[str],
    code: int | None = None,
) -> Iterator[Problem]:
    """Finds what is wrong with a file's path. `types` has the existing upload types, `code` is the vendor's code."""
    holder, kind = holder_of(message.get("body"), path), wanted.get(path)
    if holder is None:
        example = next(iter(wanted), "image.media_id")
        yield Problem(path, "is not a place in the body", f"use a path such as {example}")
    elif holder.get(path.rpartition(".")[2]):
        yield Problem(path, "has a value and a file", "give one of the two")
    elif kind is not None and file.get("upload_type") in types and file["upload_type"] != kind:
        yield Problem(path, f"is of another upload type{rules.vendor_code(code)}", f"use upload type {kind}")


def holder_of(tree: Any, path: str) -> Mapping[str, Any] | None:
    """Returns the object that holds the last name of `path`."""
    for step in path.split(".")[:-1]:
        if isinstance(tree, Mapping):
            tree = tree.get(step)
        elif isinstance(tree, list) and step.isdecimal() and len(step) < 10 and int(step) < len(tree):
            tree = tree[int(step)]
        else:
            return None
    return tree if isinstance(tree, Mapping) else None


def url_problems(path: str, url: Any) -> Iterator[Problem]:
    """Finds why a file cannot be fetched from this URL."""
    try:
        web_address(url)
    except UnusableAddress as error:
        yield Problem(f"{path}.url", error.what, error.remedy)
