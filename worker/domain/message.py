"""What a message is before any vendor: a typed model with a plain document inside, and files that travel with it.

The vendor's own types and field limits live with the channel (`channels/<name>/message.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

CHUNK = 1024 * 1024
"""Files are read, stored and sent in pieces of 1 MiB."""


@dataclass(frozen=True, slots=True)
class File:
    """A file given by the producer: a path, bytes, or an open binary file. `name` is what people will see."""

    source: Path | bytes | BinaryIO = field(repr=False)
    name: str

    @classmethod
    def at(cls, path: str | Path, name: str | None = None) -> File:
        """The file at a path, shown under its own name unless another is given."""
        path = Path(path)
        return cls(path, name or path.name)

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces of at most 1 MiB; memory stays flat."""
        if isinstance(self.source, bytes):
            for start in range(0, len(self.source), CHUNK):
                yield self.source[start : start + CHUNK]
            return
        if isinstance(self.source, Path):
            with self.source.open("rb") as opened:
                yield from iter(lambda: opened.read(CHUNK), b"")
            return
        self.source.seek(0)
        yield from iter(lambda: self.source.read(CHUNK), b"")  # type: ignore[union-attr]

    def measure(self) -> tuple[int, str]:
        """Size in bytes and SHA-256 (hex), read once through."""
        digest, size = hashlib.sha256(), 0
        for chunk in self.chunks():
            digest.update(chunk)
            size += len(chunk)
        return size, digest.hexdigest()

    def head(self, count: int = 16) -> bytes:
        """The first bytes, for checks of the format."""
        return next(self.chunks(), b"")[:count]


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
