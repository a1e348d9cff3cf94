"""Files of an upload: what c01_00017 takes. The vendor documents neither a size limit nor formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking.plain import unfit_text
from worker.channels.youdu.account import upload_most
from worker.channels.youdu.fields import UPLOAD_TYPES
from worker.domain.account import Account
from worker.domain.content.web import Unusable, web_address
from worker.domain.errors import Problem

BYTES_PER_SECOND = 256 * 1024
"""The slowest speed of an upload that is waited for."""


def file_problems(account: Account, path: str, file: Mapping[str, Any]) -> Iterator[Problem]:
    """Every reason why a file cannot be uploaded. The name travels encrypted in JSON, so it may be any text."""
    name = str(file.get("name") or "")
    if not name.strip():
        yield Problem(f"{path}.filename", "is empty", "give the file a name")
    yield from unfit_text(f"{path}.filename", name, None)
    if file.get("upload_type") not in UPLOAD_TYPES:
        text = "has no such upload type (vendor code 200009)"
        yield Problem(path, text, f"use one of {', '.join(UPLOAD_TYPES)}")
    if "url" in file:  # its size is looked at when it was fetched
        yield from _unfit_url(path, file["url"])
    else:
        yield from _unfit_size(account, path, file.get("size") or 0)


def _unfit_url(path: str, url: Any) -> Iterator[Problem]:
    try:
        web_address(url)
    except Unusable as error:
        text, _, remedy = str(error).partition("; ")
        yield Problem(f"{path}.url", text, remedy)


def _unfit_size(account: Account, path: str, size: int) -> Iterator[Problem]:
    most = upload_most(account)
    if size < 1:
        yield Problem(path, "is empty, and the vendor's clients refuse such a file", "send a real file")
    if size > most:
        text = "is larger than the account allows (the vendor documents no limit)"
        yield Problem(path, text, "make it smaller, or raise upload_max_bytes", most, "bytes", size)
