"""The base of typed messages: a model with a plain document inside, and the files attached to it.

The vendor's own types and field limits are in the channel's folder (`channels/<name>/`).
"""

from __future__ import annotations

import hashlib
import inspect
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from worker.domain.content.web import UnusableAddress, web_address
from worker.domain.errors import CheckFailed, Problem, refused_type

CHUNK = 1024 * 1024
"""Files are read, stored and sent in pieces of 1 MiB."""

INLINE = "inline"
"""The upload type of a file whose bytes are sent inside the message: it is read when the call is made, never uploaded,
and never part of a job's row."""


@dataclass(frozen=True, slots=True)
class Url:
    """The URL from which a worker fetches a file. It may hold credentials, so no `repr` shows it."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class File:
    """A file given by the producer: a path, bytes, an open binary file, or a URL. `name` is what people will see."""

    source: Path | bytes | BinaryIO | Url = field(repr=False)
    """A path, bytes, a binary file that is open for reading, or the URL that a worker fetches."""
    name: str = ""
    """The name that people see; that of a path or an open file by default."""

    def __post_init__(self) -> None:
        if (wrong := _source_problem(self.source)) is not None:
            raise CheckFailed([Problem("file", *wrong)])
        if self.name == "" and isinstance(named := getattr(self.source, "name", None), str):
            object.__setattr__(self, "name", Path(named).name)

    @classmethod
    def at(cls, path: str | Path, name: str | None = None) -> File:
        """The file at a path, shown under its own name unless another is given."""
        if not isinstance(path, str | PathLike):
            raise refused_type("file", path, 'use File.at("a.pdf")')
        return cls(Path(path), name or "")

    @classmethod
    def from_url(cls, url: str, name: str | None = None) -> File:
        """The file that a worker will find behind a URL when it sends.

        It is shown under `name`, else under the last part of the URL's path. http or https, at most 2048 bytes;
        `https://user:password@host/...` logs in. Every send finds what is there then. Only public addresses are asked,
        unless the worker's `delivery.fetch_allow` names the host or its network.
        """
        try:
            return cls(Url(url), web_address(url).filename if name is None else name)
        except UnusableAddress:  # enqueue reports the problem together with all others
            return cls(Url(url), "file")

    @property
    def url(self) -> str | None:
        """The URL of a file that is still to be fetched; None for all others."""
        return self.source.text if isinstance(self.source, Url) else None

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces of at most 1 MiB; memory stays flat. ValueError for a URL, which a worker fetches."""
        if isinstance(self.source, Url):
            raise ValueError("a file behind a URL is fetched by a worker")  # noqa: TRY004  not a wrong type
        source = io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source
        if isinstance(source, Path):
            with source.open("rb") as opened:
                yield from iter(lambda: opened.read(CHUNK), b"")
        else:
            source.seek(0)
            yield from iter(lambda: source.read(CHUNK), b"")

    def measure(self) -> tuple[int, str]:
        """Returns the size in bytes and the SHA-256 (hex) of the content, which it reads once."""
        digest, size = hashlib.sha256(), 0
        for chunk in self.chunks():
            digest.update(chunk)
            size += len(chunk)
        return size, digest.hexdigest()


def _source_problem(source: Any) -> tuple[str, str] | None:
    """Returns what is wrong with the source of a file, and what to give; None if it can be read."""
    if isinstance(source, bytes | Path | Url):
        return None
    if isinstance(source, str):
        return "is a text", 'use File.at("a.pdf") for a path, File.from_url("https://...") for a URL'
    if isinstance(source, bytearray | memoryview):
        return "can still be changed", "use File(bytes(...), name)"
    if isinstance(source, io.StringIO):
        return "holds a text", 'use File(text.encode(), "a.txt")'
    if not hasattr(source, "read"):
        return f"is a {type(source).__name__}", 'use File.at("a.pdf") or File(b"...", "a.pdf")'
    if inspect.iscoroutinefunction(source.read):
        return "is read asynchronously", "use File(await ....read(), name)"
    return _stream_problem(source)


def _stream_problem(source: Any) -> tuple[str, str] | None:
    """Returns what is wrong with an open file, and what to do. It is read twice, from its beginning."""
    if getattr(source, "closed", False):
        return "is closed", "enqueue it while it is open, or use File.at(path)"
    if isinstance(source, io.TextIOBase):
        return "is open as text", 'open it with "rb"'
    if not getattr(source, "readable", lambda: True)():
        return "is not open for reading", 'open it with "rb"'
    if not hasattr(source, "seek") or not getattr(source, "seekable", lambda: True)():
        return "cannot be read again from its beginning", "use File(....read(), name)"
    return None


class Message(BaseModel):
    """Base of every typed message. `document()` is what is stored; `files()` what travels beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def document(self) -> dict[str, Any]:
        """The stored form: `{"type": msgtype, "body": {vendor envelope fields}, "options": {...}}`.

        Where a file is attached the body holds None at that place and `"files": {path: {...}}` is added by enqueue.
        """
        raise NotImplementedError

    def files(self) -> Mapping[str, tuple[str, File]]:
        """Attached files: body path (`image.media_id`) -> (upload type, file)."""
        return {}
