"""Uploads: what pages 90253 (上传临时素材) and 90256 (上传图片) accept, the names members see, call and answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.calls import BYTES_PER_SECOND, digest, file_of
from worker.channels.checking.job import url_problems
from worker.channels.checking.plain import unfit_text
from worker.channels.wecom.answer import TEXT, Answer, Page, moment, text_of, warns
from worker.channels.wecom.names import display_name
from worker.domain.account import Account
from worker.domain.call import FileBody, Request
from worker.domain.errors import Problem
from worker.domain.job import Part
from worker.domain.outcome import CallReceipt

MB = 1024 * 1024


MIN_FILE = 6
"""Every file must be larger than 5 bytes (page 90253)."""

PERMANENT_IMAGE = "uploadimg"
"""The upload type that returns a permanent URL instead of a media_id. The picture is shown inside WeCom only."""

UPLOADS: Mapping[str, int] = {
    "image": 10 * MB,
    "voice": 2 * MB,
    "video": 10 * MB,
    "file": 20 * MB,
    PERMANENT_IMAGE: 2 * MB,
}
"""Upload type to its maximum of bytes. The vendor checks formats (JPG or PNG; AMR of 60 s; MP4): 40004, 45007."""


def file_problems(path: str, file: Mapping[str, Any], uploads: Mapping[str, int] = UPLOADS) -> Iterator[Problem]:
    """Finds every reason why the vendor would refuse this file. `uploads` has the upload types of the call."""
    name = display_name(str(file.get("name") or ""))
    if not name:
        yield Problem(f"{path}.filename", "is empty", "give the file a name")
    yield from unfit_text(f"{path}.filename", name)
    most = uploads.get(str(file.get("upload_type")))
    if most is None:
        yield Problem(path, "has no such upload type (vendor code 40005)", f"use one of {', '.join(uploads)}")
        return
    if "url" in file:  # its size is checked once it was fetched
        yield from url_problems(path, file["url"])
        return
    size = file.get("size") or 0
    if size < MIN_FILE:
        yield Problem(path, "is too small (vendor code 40006)", "send a real file", MIN_FILE, "bytes", size)
    if size > most:
        yield Problem(path, "is too large (vendor code 45001)", "make it smaller", most, "bytes", size)


PATH = "/cgi-bin/media/upload"
IMAGE_PATH = "/cgi-bin/media/uploadimg"


def request(part: Part, account: Account, token: str | None) -> Request:
    """Builds the upload call for the apps of a corp."""
    query = {} if is_permanent_image(part) else {"type": str(file_of(part)["upload_type"])}
    return call(part, account, path_of(part), {"access_token": token or "", **query})


def call(part: Part, account: Account, path: str, query: Mapping[str, str]) -> Request:
    """Builds one multipart part named `media`. octet-stream works for every type."""
    file = file_of(part)
    size = int(file["size"])
    body = FileBody("media", display_name(file["name"]), "application/octet-stream", size, part.facts["open"])
    deadline = account.deadline_s + size / BYTES_PER_SECOND
    return Request("POST", account.base_url, path, query, body, "multipart/form-data", deadline)


def path_of(part: Part) -> str:
    """Returns the path of an upload's call."""
    return IMAGE_PATH if is_permanent_image(part) else PATH


def is_permanent_image(part: Part) -> bool:
    """Returns True if the upload returns a permanent URL instead of a media_id."""
    return bool(part.message["files"]["media"]["upload_type"] == PERMANENT_IMAGE)


def promised(part: Part) -> str:
    """Returns the field of a successful answer that holds the upload's result."""
    return "url" if is_permanent_image(part) else "media_id"


PAGE = Page("90253", {"type": TEXT, "media_id": TEXT, "created_at": (str, int)}, "media_id")
IMAGE_PAGE = Page("90256", {"url": TEXT}, "url")


def page_of(part: Part) -> Page:
    """Returns what the vendor's page says about the answer to an upload."""
    return IMAGE_PAGE if is_permanent_image(part) else PAGE


def receipt(part: Part, answer: Answer) -> CallReceipt:
    """Returns what the vendor gave for an upload."""
    name = promised(part)
    given = text_of(answer.data.get(name))
    missing = [] if given else [f"no {name} in the answer"]
    warning = "; ".join([*warns(answer), *missing]) or None
    if name == "url":
        return CallReceipt(warning=warning, from_repeat=part.in_doubt, extra={"url": given} if given else {})
    # With a media_id come its type, and when it was created by the vendor's clock (Unix seconds).
    kind, created_at = text_of(answer.data.get("type")), moment(answer.data, "created_at")
    extra = ({"type": kind} if kind else {}) | ({} if created_at is None else {"created_at": str(created_at)})
    return CallReceipt(media_id=given, warning=warning, from_repeat=part.in_doubt, extra=extra)


def body_hash(part: Part, account: Account) -> str:
    """Returns the SHA-256 (hex) of the account and the file's content."""
    return digest(account.name, str(file_of(part)["sha256"]).encode())
