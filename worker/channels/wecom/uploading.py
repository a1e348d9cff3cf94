"""media/upload (page 90253 上传临时素材) and media/uploadimg (page 90256 上传图片): an upload's call and what it gives.

The same for every channel whose accounts are apps of a corp.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from worker.channels.wecom.reply import Answer, moment, text_of
from worker.channels.wecom.upload import BYTES_PER_SECOND, display_name
from worker.channels.wecom.uploads import PERMANENT_IMAGE
from worker.channels.wecom.verdict import warns
from worker.domain.account import Account
from worker.domain.call import FileBody, Request
from worker.domain.job import Part
from worker.domain.message import LOOKED_AT
from worker.domain.outcome import Taken

PATH = "/cgi-bin/media/upload"
IMAGE_PATH = "/cgi-bin/media/uploadimg"
MEDIA_LIFE_S = 3 * 86400
"""A media_id is valid for 3 days, for every app of the corp (page 90253)."""
DEADLINE_S = 20.0


def request(part: Part, account: Account, token: str | None) -> Request:
    """One multipart part named `media`; octet-stream works for every type."""
    file = file_of(part)
    size = int(file["size"])
    query = {} if is_permanent_image(part) else {"type": file["upload_type"]}
    body = FileBody("media", display_name(file["name"]), "application/octet-stream", size, part.facts["open"])
    return Request(
        "POST",
        account.base_url,
        path_of(part),
        {"access_token": token or "", **query},
        body,
        "multipart/form-data",
        deadline_s(account) + size / BYTES_PER_SECOND,
    )


def file_of(part: Part) -> Mapping[str, Any]:
    """What is uploaded; of a file behind a URL its size and hash were learnt when it was fetched."""
    file: Mapping[str, Any] = part.message["files"]["media"]
    fetched: Mapping[str, Any] | None = part.spec.get("fetched")
    return file if fetched is None else {**file, **fetched}


def path_of(part: Part) -> str:
    """The path of an upload's call."""
    return IMAGE_PATH if is_permanent_image(part) else PATH


def is_permanent_image(part: Part) -> bool:
    """Whether it brings a URL that never ends instead of a media_id."""
    return bool(part.message["files"]["media"]["upload_type"] == PERMANENT_IMAGE)


def promised(part: Part) -> str:
    """What a success carries."""
    return "url" if is_permanent_image(part) else "media_id"


def taken(part: Part, answer: Answer) -> Taken:
    """What the vendor gave."""
    name = promised(part)
    given = text_of(answer.data.get(name))
    missing = [] if given else [f"no {name} in the answer"]
    extra = said_of(answer) if name == "media_id" else {"url": given} if given else {}
    return Taken(
        media_id=given if name == "media_id" else None,
        media_expires_in_s=MEDIA_LIFE_S if name == "media_id" else None,
        warning="; ".join([*warns(answer), *missing]) or None,
        from_repeat=part.in_doubt,
        extra=extra,
    )


def said_of(answer: Answer) -> dict[str, str]:
    """What stands beside a media_id: its type, and when it was made by the vendor's clock (Unix seconds as text)."""
    kind, created_at = text_of(answer.data.get("type")), moment(answer.data, "created_at")
    return ({"type": kind} if kind else {}) | ({} if created_at is None else {"created_at": str(created_at)})


def body_hash(part: Part, account: Account) -> str:
    """SHA-256 (hex) of the account and the file's content."""
    return hashlib.sha256(account.name.encode() + b"\0" + str(file_of(part)["sha256"]).encode()).hexdigest()


def deadline_s(account: Account) -> float:
    """The total time of a call, in seconds."""
    return float(account.settings.get("deadline_s", DEADLINE_S))


def lane(message: Mapping[str, Any]) -> str:
    """`upload/<upload type>`, with `/url` where the file has to be fetched first: who fetches waits for others'
    servers, and files that are here already do not wait with him.
    """
    file = message["files"]["media"]
    return f"upload/{file['upload_type']}{'/url' if 'url' in file else ''}"


def message_of(file: Mapping[str, Any]) -> dict[str, Any]:
    """The message document of the upload job that a send's attached file needs."""
    kept = {name: value for name, value in file.items() if name not in LOOKED_AT}
    return {"type": "upload", "files": {"media": kept}}
