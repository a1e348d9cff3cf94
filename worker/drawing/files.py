"""Files that a page links to: which may be shown in the page, and the name under which they are saved.

Only a file's first bytes decide, because its name comes from a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping

_KINDS: Mapping[bytes, str] = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
    b"#!AMR": "audio/amr",
    b"ID3": "audio/mpeg",
    b"\xff\xfb": "audio/mpeg",
}
"""The first bytes of files that a browser shows in the page. Every other file is downloaded."""
_MP4 = b"ftyp"
"""Follows the first four bytes of a video."""


def kind_of(first: bytes) -> str | None:
    """Returns the media type of a file that may be shown, by its first bytes, or None if it is to be downloaded."""
    if first[4:8] == _MP4:
        return "video/mp4"
    return next((kind for start, kind in _KINDS.items() if first.startswith(start)), None)


def plain_name(name: str) -> str:
    """Returns a file's name without folders and control characters, from which no browser makes another path."""
    plain = "".join(one for one in name.replace("\\", "/").rpartition("/")[2] if one.isprintable())
    return plain.strip(". ") or "file"
