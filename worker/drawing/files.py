"""Files that a page leads to: what may be shown in its place, by its first bytes, and the name under which it is saved.

Whatever a file's name says of it: the name is of a stranger.
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
"""How files begin that a browser shows in their place; every other one is to be saved."""
_MP4 = b"ftyp"
"""Stands behind the first four bytes of a video."""


def kind_of(first: bytes) -> str | None:
    """The media type of a file that may be shown, by its first bytes; None: it is to be saved."""
    if first[4:8] == _MP4:
        return "video/mp4"
    return next((kind for start, kind in _KINDS.items() if first.startswith(start)), None)


def plain_name(name: str) -> str:
    """A file's name without folders and control characters, of which no browser makes another path."""
    plain = "".join(one for one in name.replace("\\", "/").rpartition("/")[2] if one.isprintable())
    return plain.strip(". ") or "file"
