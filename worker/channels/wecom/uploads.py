"""What one file of an upload may be, by upload type (page 90253 上传临时素材, page 90256 上传图片)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class UploadRule:
    """What the vendor takes for one upload type."""

    max_bytes: int
    format: str
    starts: tuple[tuple[int, bytes], ...] = ()
    """(offset, bytes) of which one must be found in the head; none: any format."""
    max_seconds: int | None = None
    """How long a voice may last."""


MIN_FILE = 6
"""Every file must be larger than 5 bytes (page 90253)."""

PERMANENT_IMAGE = "uploadimg"
"""Brings a URL that never ends instead of a media_id; shown inside WeCom only."""

_PICTURES = ((0, b"\xff\xd8\xff"), (0, b"\x89PNG\r\n\x1a\n"))

UPLOADS: Mapping[str, UploadRule] = {
    "image": UploadRule(10 * MB, "JPG or PNG", _PICTURES),
    "voice": UploadRule(2 * MB, "AMR", ((0, b"#!AMR"),), max_seconds=60),
    "video": UploadRule(10 * MB, "MP4", ((4, b"ftyp"),)),
    "file": UploadRule(20 * MB, "any"),
    PERMANENT_IMAGE: UploadRule(2 * MB, "a picture"),
}
