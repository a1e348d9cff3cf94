"""Uploads in multipart/form-data, as the vendor reads them.

Does not know what may be uploaded.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
PARAMETER = re.compile(r';\s*([\w*-]+)=(?:"([^"]*)"|([^;]*))')


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that came in."""

    filename: str
    content_type: str
    content: bytes

    def summary(self) -> dict[str, Any]:
        """What the log of calls keeps of it."""
        return {
            "filename": self.filename,
            "size": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "type": self.content_type,
        }


def media_part(content_type: str, body: bytes, name: str | None = "media") -> UploadedFile | None:
    """The part of that name (None: of any) with a plain `filename`; None when there is none.

    The vendor takes raw UTF-8 in `filename` and does not know `filename*` (RFC 5987): such a part is empty to it.
    """
    boundary = BOUNDARY.search(content_type)
    if boundary is None:
        return None
    for part in body.split(b"--" + boundary[1].strip().encode())[1:]:
        upload = _upload(part, name)
        if upload is not None:
            return upload
    return None


def form_fields(content_type: str, body: bytes) -> dict[str, bytes]:
    """The plain fields of the form: the parts that have a name and no filename."""
    boundary, found = BOUNDARY.search(content_type), dict[str, bytes]()
    for part in body.split(b"--" + boundary[1].strip().encode())[1:] if boundary else ():
        head, ended, content = part.partition(b"\r\n\r\n")
        names = {key.lower(): quoted or plain for key, quoted, plain in _parameters(_headers(head.decode("latin-1")))}
        if ended and names.get("name") and "filename" not in names:
            found[names["name"]] = content.removesuffix(b"\r\n")
    return found


def _upload(part: bytes, name: str | None) -> UploadedFile | None:
    head, found, content = part.partition(b"\r\n\r\n")
    if not found:
        return None
    headers = _headers(head.decode("utf-8", "replace"))
    names = {key.lower(): quoted or plain for key, quoted, plain in _parameters(headers)}
    if name not in (None, names.get("name")) or not names.get("filename"):
        return None
    return UploadedFile(names["filename"], headers.get("content-type", ""), content.removesuffix(b"\r\n"))


def _headers(head: str) -> dict[str, str]:
    lines = (line.partition(":") for line in head.split("\r\n"))
    return {name.strip().lower(): value.strip() for name, found, value in lines if found}


def _parameters(headers: dict[str, str]) -> list[tuple[str, str, str]]:
    return PARAMETER.findall(headers.get("content-disposition", ""))
