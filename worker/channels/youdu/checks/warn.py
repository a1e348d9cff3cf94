"""Warnings about what is allowed in a job but may surprise its sender. Nothing here refuses anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking import rules
from worker.channels.checking.measure import byte_size
from worker.channels.checking.row import FieldRule
from worker.channels.youdu import fields
from worker.channels.youdu.messages.content import BADGE, POP_WINDOW, SENDS, bodies, rows_of
from worker.channels.youdu.split import call_count
from worker.domain.job import Draft


def warnings(draft: Draft) -> list[str]:
    """A sentence for each thing worth a warning."""
    if draft.kind not in SENDS:
        return []
    return [*_unknown_names(draft), *_long_titles(draft), *_content(draft), *_twice(draft)]


def _unknown_names(draft: Draft) -> Iterator[str]:
    rows = rows_of(draft.kind, str(draft.message["type"]), draft.account)
    if rows:
        yield from rules.cautions("", next(bodies(draft.message)), rows)


def _long_titles(draft: Draft) -> Iterator[str]:
    """Titles that fit only if the vendor counts them as its pages say today; older SDKs count bytes."""
    for row in rows_of(draft.kind, str(draft.message["type"]), draft.account):
        if isinstance(row, FieldRule) and row.note and row.max_utf16 == fields.TITLE:
            for path, parent, name in rules.places("", draft.message["body"], row.path):
                if isinstance(value := parent.get(name), str) and byte_size(value) > fields.TITLE:
                    yield f"{path}: over {fields.TITLE} bytes, which an older server may count instead of characters"


def _content(draft: Draft) -> Iterator[str]:
    body: Mapping[str, Any] = draft.message["body"]
    if draft.kind == POP_WINDOW and body["popWindow"].get("url") and body["popWindow"].get("tip"):
        yield "popWindow.tip: not shown beside a url"
    if draft.kind == BADGE and body.get("count") == 0 and body.get("tip"):
        yield "tip: not shown with a count of 0"
    if draft.message["type"] == "exlink":
        files = draft.message.get("files") or {}
        for n, item in enumerate(body["exlink"]):
            if not item.get("media_id") and f"exlink.{n}.media_id" not in files:
                yield f"exlink[{n}].media_id: is empty; the documentation requires a cover, the vendor's SDK sends none"


def _twice(draft: Draft) -> Iterator[str]:
    """Members that may be reached twice; the documentation does not say what becomes of duplicates."""
    asked, calls = draft.recipients, call_count(draft)
    if not asked.parties:
        return
    if calls > 1:
        yield f"goes in {calls} calls and holds departments: a member of several can be reached twice"
    elif asked.users or len(asked.parties) > 1:
        yield "a member who is named in several ways may be reached twice: the vendor does not say"
