"""Files of an upload: what pages 90253 (上传临时素材) and 90256 (上传图片) take, and the names members see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

from worker.channels.checking.plain import unfit_text
from worker.channels.wecom.uploads import MIN_FILE, UPLOADS, UploadRule
from worker.domain.errors import Problem
from worker.domain.web import Unusable, web_address

DROPPED = dict.fromkeys([*range(0x20), 0x7F, *map(ord, '"\\/:')])
"""What breaks the multipart header or is forbidden in names; the rest stays raw UTF-8, as the vendor wants it."""

BYTES_PER_SECOND = 256 * 1024
"""The slowest line an upload is waited for."""


def display_name(name: str) -> str:
    """The name as members will see it."""
    return name.translate(DROPPED).strip()


def file_problems(path: str, file: Mapping[str, Any], uploads: Mapping[str, UploadRule] = UPLOADS) -> Iterator[Problem]:
    """Every reason why the vendor would refuse this file, by the upload types a call has."""
    yield from unfit_name(path, str(file.get("name") or ""))
    rule = uploads.get(str(file.get("upload_type")))
    if rule is None:
        yield Problem(path, "has no such upload type (vendor code 40005)", f"use one of {', '.join(uploads)}")
        return
    if "url" in file:  # size and format are looked at when it was fetched
        yield from _unfit_url(path, file["url"])
        return
    yield from _unfit_size(path, rule, file.get("size") or 0)
    yield from _unfit_format(path, rule, file.get("head"))
    yield from _unfit_length(path, rule, file.get("seconds"))


def unfit_name(path: str, name: str) -> Iterator[Problem]:
    """A name of which nothing is left, or that cannot be encoded."""
    if not display_name(name):
        yield Problem(f"{path}.filename", "is empty", "give the file a name")
    yield from unfit_text(f"{path}.filename", display_name(name))


def _unfit_url(path: str, url: Any) -> Iterator[Problem]:
    try:
        web_address(url)
    except Unusable as error:
        text, _, remedy = str(error).partition("; ")
        yield Problem(f"{path}.url", text, remedy)


def _unfit_size(path: str, rule: UploadRule, size: int) -> Iterator[Problem]:
    if size < MIN_FILE:
        yield Problem(path, "is too small (vendor code 40006)", "send a real file", MIN_FILE, "bytes", size)
    if size > rule.max_bytes:
        yield Problem(path, "is too large (vendor code 45001)", "make it smaller", rule.max_bytes, "bytes", size)


def _unfit_length(path: str, rule: UploadRule, seconds: Any) -> Iterator[Problem]:
    """Only of a voice whose frames could be counted."""
    if rule.max_seconds is not None and isinstance(seconds, int | float) and seconds > rule.max_seconds:
        text = "lasts too long (vendor code 45007)"
        yield Problem(path, text, "make it shorter", rule.max_seconds, "seconds", ceil(seconds))


def _unfit_format(path: str, rule: UploadRule, head: Any) -> Iterator[Problem]:
    """Without a head (a document read back from the store) the format was checked before."""
    if not isinstance(head, str) or not rule.starts:
        return
    first = bytes.fromhex(head)
    if not any(first[offset:].startswith(magic) for offset, magic in rule.starts):
        yield Problem(path, "has another format (vendor code 40004)", f"send {rule.format}")
